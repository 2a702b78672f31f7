# SPDX-License-Identifier: Apache-2.0
"""The classifier as tests speak to it: told of the contracts' events, and of messages as the bus keeps them."""

from __future__ import annotations

from collections.abc import Iterable

from aiokafka.structs import ConsumerRecord

from libs.contracts import AssetChanged, FindingChanged
from libs.contracts.topics import CLASSIFICATIONS, OBLIGATIONS
from services.classification.domain import AssetSeen, Classifier, Message
from services.classification.reading import OwnEvents


class ToldClassifier(Classifier):
    """A classifier, and what its worker does around it."""

    def take_events(self, events: Iterable[AssetChanged]) -> list[Message]:
        """See `take`."""
        return self.take(map(AssetSeen.of, events))

    def begin_again(self, events: Iterable[AssetChanged], published: Iterable[Message] = ()) -> list[Message]:
        """What a new life publishes that finds this on the topics."""
        self.recall(published)
        self.load(map(AssetSeen.of, events))
        messages = self.loaded()
        while self.pending:
            messages += self.due()
        return messages

    def recall(self, published: Iterable[Message]) -> None:
        """As messages of an earlier life, in their order."""
        own = OwnEvents()
        for message in published:
            if message.topic == CLASSIFICATIONS.name:
                self.recall_levels(message.key, *own.levels(record_of(message)))
            elif message.topic == OBLIGATIONS.name:
                self.recall_obligations(message.key, *own.duties(record_of(message)))
            else:
                self.recall_finding(FindingChanged.model_validate_json(message.value))


def record_of(message: Message) -> ConsumerRecord[bytes | None, bytes | None]:
    """The message as a consumer gets it."""
    headers = tuple(message.headers)
    return ConsumerRecord(message.topic, 0, 0, 0, 0, message.key, message.value, None, -1, -1, headers)
