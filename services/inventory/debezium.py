# SPDX-License-Identifier: Apache-2.0
"""The room `debezium`: from a CMDB's own topics, as Debezium writes them, to `daicho.feed.v1`, exactly once.

Kafka to Kafka, a transaction a batch (`libs.bus.PartitionTask`): the items and how far the source's topic was read are one commit, so
that after a crash nothing is missing and nothing twice. What cannot be read becomes a dead letter with the field; the rest goes on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from pydantic_core import from_json

from libs.bus import Subscription
from libs.bus.deadletters import PartitionDeadLetters
from libs.bus.decoding import Rejected, read_object, sentence
from libs.bus.handlers import PartitionLog
from libs.bus.records import ConsumerRecord, Output
from libs.contracts import Feed, FeedItem, FeedItemSubmitted, Profile, Reason, kafka_headers, make_key, source_urn
from libs.contracts.topics import FEED, MAX_RECORD_BYTES, MAX_VALUE_BYTES
from libs.observability.metrics import FEED_ITEMS
from services.inventory.doors.debezium import Change, read_change
from services.inventory.doors.delivery import UnreadableError
from services.inventory.doors.mapping import FeedMapping
from services.inventory.worker import PASSED_OVER, REJECTED

NOT_OURS: Final = "inventory.mapping.body"


def group_of(topic: str) -> str:
    """The consumer group on a source's topic: one each, for a member of a group reads one topic."""
    return f"inventory-debezium-{topic}"


class ChangeRecord(NamedTuple):
    """A record of a source's topic: where it stands, when it came, and its bytes."""

    topic: str
    partition: int
    offset: int
    time: datetime
    key: bytes | None
    value: bytes | None


class ChangeReader:
    """From the records of a feed's topics to those of the feed topic, by the feed's mapping."""

    def __init__(self, profile: Profile, feed: Feed, mapping: FeedMapping) -> None:
        self._profile, self._feed, self._mapping = profile, feed, mapping

    def read(self, record: ChangeRecord) -> list[Output]:
        """Raises Rejected."""
        value = read_object(record.value, max_bytes=MAX_RECORD_BYTES) if record.value else None
        try:
            items = read_change(self._feed, self._mapping, Change(_key(record.key), value))
        except UnreadableError as error:
            raise _rejected(error) from None
        return list(self._outputs(record, items))

    def _outputs(self, record: ChangeRecord, items: Sequence[FeedItem]) -> Iterator[Output]:
        for number, item in enumerate(items):
            network = self._profile.network_of(item.body)
            event = FeedItemSubmitted(
                id=f"{record.topic}:{record.partition}:{record.offset}:{number}",
                source=source_urn(self._profile.municipality, item.body, item.feed),
                subject=item.source_key,
                time=record.time,
                body=item.body,
                network=network,
                data=item,
            )
            value = event.model_dump_json(exclude_none=True).encode()
            if len(value) > MAX_VALUE_BYTES:
                detail = sentence("deadletter.too_large", size=len(value), limit=MAX_VALUE_BYTES)
                raise Rejected(Reason.TOO_LARGE, None, detail)
            key = make_key(network, item.body, item.feed, item.source_key)
            yield Output(FEED.name, key, value, kafka_headers(event))


class ChangeHandler:
    """Reads the changes of one partition of a source's topic; each stands for itself, so there is no state to keep."""

    def __init__(self, subscription: Subscription, profile: Profile, feed: Feed, mapping: FeedMapping) -> None:
        self._feed = feed
        self._reader = ChangeReader(profile, feed, mapping)
        self._items = subscription.metrics.counter(FEED_ITEMS)

    @property
    def pending(self) -> bool:
        return False

    def due(self) -> Sequence[Output]:
        return ()

    async def restore(self, log: PartitionLog) -> Sequence[Output]:
        return ()

    def handle(self, records: Sequence[ConsumerRecord], dead_letters: PartitionDeadLetters) -> Sequence[Output]:
        outputs: list[Output] = []
        rejected = len(dead_letters.letters)
        for _, found in dead_letters.sift(records, self._read):
            outputs += found
            if not found:
                self._items.labels(self._feed.id, PASSED_OVER).inc()
        self._items.labels(self._feed.id, REJECTED).inc(len(dead_letters.letters) - rejected)
        return outputs

    def _read(self, record: ConsumerRecord) -> list[Output]:
        """Raises Rejected."""
        time = datetime.fromtimestamp(record.timestamp / 1000, UTC)
        place = record.topic, record.partition, record.offset
        return self._reader.read(ChangeRecord(*place, time, record.key, record.value))


def _key(content: bytes | None) -> Any:
    """A key is read where a row has nothing else; None where it is no JSON."""
    try:
        return from_json(content) if content else None
    except ValueError:
        return None


def _rejected(error: UnreadableError) -> Rejected:
    """The first fault, with its place in the payload."""
    fault = error.faults[0]
    reason = Reason.FEED_NOT_AUTHORISED if fault.key == NOT_OURS else Reason.SCHEMA
    return Rejected(reason, fault.field.strip("/").replace("/", ".") or None, sentence(fault.key, **fault.args))
