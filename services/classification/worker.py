# SPDX-License-Identifier: Apache-2.0
"""From `daicho.assets.v1` to levels and obligations: one transaction a batch, with the offset; and their projection."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator
from pydantic_core import to_json

from libs.bus import (
    Connection,
    ConsumerRecord,
    Output,
    PartitionDeadLetters,
    PartitionLog,
    Rejected,
    check_key,
    decode,
)
from libs.bus.decoding import sentence
from libs.contracts import (
    AssetChange,
    AssetChanged,
    AssetRef,
    ClassificationChanged,
    CloudEvent,
    Contract,
    Levels,
    ObligationsChanged,
    Profile,
    Reason,
)
from libs.contracts.topics import ASSETS, CLASSIFICATIONS, OBLIGATIONS
from libs.standards import Standard
from services.classification import store
from services.classification.domain import Classifier, Clock, ranks_of

GROUP: Final = "classification"
"""Consumer group on the assets topic; also the name in dead letters, and the beginning of transactional ids."""
PROJECTION: Final = "classification-projection"
"""Group of the read model's consumers, with the topic behind it."""


class AssetHandler:
    """The handler of one partition of the assets topic; see `libs.bus.PartitionHandler`."""

    def __init__(self, standard: Standard, profile: Profile, clock: Clock) -> None:
        self._classifier = Classifier(standard, profile.municipality, clock)

    async def restore(self, log: PartitionLog) -> Sequence[Output]:
        """Read what was published and all assets, evaluate anew, and return the differences: none, but after a new standard."""
        async for records in log.read(CLASSIFICATIONS.name):
            for record in records:
                self._classifier.recall_levels(record.key or b"", decode(ClassificationChanged, record))
        async for records in log.read(OBLIGATIONS.name):
            for record in records:
                self._classifier.recall_obligations(record.key or b"", decode(ObligationsChanged, record))
        events: list[AssetChanged] = []
        async for records in log.read(ASSETS.name, until_committed=True):
            events += _readable(records)
        return _outputs(self._classifier, sorted(events, key=lambda event: event.revision or 0))

    def handle(self, records: Sequence[ConsumerRecord], dead_letters: PartitionDeadLetters) -> Sequence[Output]:
        """Evaluate a batch; what cannot be read goes to the dead letters."""
        return _outputs(self._classifier, [event for _, event in dead_letters.sift(records, _read)])


class _LevelsShown(Contract):
    """Of a change of levels, what the read model shows; explanations are shown as they are."""

    asset: AssetRef
    asset_revision: int
    after: Levels | None
    explanations: dict[str, Any]


class _DutiesShown(Contract):
    """Of a change of obligations, what the read model shows: not the texts."""

    asset: AssetRef
    asset_revision: int
    in_force: tuple[str, ...]


class _LevelsEvent(CloudEvent[_LevelsShown]):
    type: Literal["daicho.classification.changed.v1"] = "daicho.classification.changed.v1"


class _DutiesEvent(CloudEvent[_DutiesShown]):
    type: Literal["daicho.obligations.changed.v1"] = "daicho.obligations.changed.v1"


class _AfterOnly(AssetChange):
    """Of a change, evaluation needs what is; what was is passed over, which is half of the reading."""

    before: Annotated[None, BeforeValidator(lambda _: None)] = None


class _AssetSeen(AssetChanged):
    data: _AfterOnly


def _read(record: ConsumerRecord) -> AssetChanged:
    event = decode(_AssetSeen, record)
    asset = event.data.after
    check_key(record.key, asset.network, asset.body, asset.asset_id)
    return event


def _readable(records: Iterable[ConsumerRecord]) -> Iterator[AssetChanged]:
    """Those that are no dead letters."""
    for record in records:
        try:
            yield _read(record)
        except Rejected:
            continue


def _outputs(classifier: Classifier, events: Sequence[AssetChanged]) -> list[Output]:
    if not events:
        return []
    return [Output(*message) for message in classifier.take(events)]


class Projector:
    """Shows in the read model what the events say; its methods are what `libs.bus.OffsetConsumer` asks for."""

    def __init__(self, standard: Standard, profile: Profile) -> None:
        self._standard = standard
        self._bodies = frozenset(profile.body_by_id)

    async def apply_levels(
        self, connection: Connection, records: Sequence[ConsumerRecord], dead_letters: PartitionDeadLetters
    ) -> None:
        """Show a batch of classification events."""
        read = dead_letters.sift(records, lambda record: self._levels(decode(_LevelsEvent, record)))
        await store.show_levels(connection, self._bodies, [row for _, row in read])

    async def apply_duties(
        self, connection: Connection, records: Sequence[ConsumerRecord], dead_letters: PartitionDeadLetters
    ) -> None:
        """Show a batch of obligation events."""
        read = dead_letters.sift(records, lambda record: self._duties(decode(_DutiesEvent, record)))
        await store.show_duties(connection, self._bodies, [row for _, row in read])

    def _levels(self, event: _LevelsEvent) -> store.Shown:
        change = event.data
        shown = self._shown(event, change)
        if change.after is None:
            return shown
        confidentiality, integrity, availability = ranks_of(self._standard, change.after)
        return shown._replace(
            confidentiality=confidentiality,
            integrity=integrity,
            availability=availability,
            explanations=to_json(change.explanations).decode(),
        )

    def _duties(self, event: _DutiesEvent) -> store.Shown:
        return self._shown(event, event.data)._replace(in_force=list(event.data.in_force))

    def _shown(self, event: CloudEvent[Contract], change: _LevelsShown | _DutiesShown) -> store.Shown:
        """Raises Rejected for a body that the profile does not declare: no row may be written that nobody could read."""
        if event.body is None or event.network is None or event.body not in self._bodies:
            raise Rejected(Reason.UNKNOWN_BODY, "body", sentence(f"reason.{Reason.UNKNOWN_BODY}"))
        asset = change.asset
        return store.Shown(
            body=event.body,
            asset_id=asset.asset_id,
            network=event.network,
            name=asset.name,
            kind=asset.kind,
            zone=asset.zone,
            section=asset.section,
            asset_revision=change.asset_revision,
            standard=event.standardversion,
            revision=event.revision or 0,
        )
