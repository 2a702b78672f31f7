# SPDX-License-Identifier: Apache-2.0
"""From `daicho.assets.v1` to levels and obligations: one transaction a batch, with the offset; and their projection."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import suppress
from typing import Any, Final, Literal, TypeVar

import structlog
from pydantic_core import to_json

from libs.bus import (
    Connection,
    ConsumerRecord,
    Output,
    PartitionDeadLetters,
    PartitionLog,
    Rejected,
    decode,
    letter_id,
)
from libs.bus.deadletters import RELEASE_DISCARD, is_of
from libs.bus.decoding import sentence
from libs.bus.failures import describe
from libs.contracts import (
    AssetRef,
    CloudEvent,
    Contract,
    DeadLettered,
    DutyRef,
    FeedFindingChanged,
    FindingChanged,
    Levels,
    OverrideChanged,
    Profile,
    Reason,
    StandardApplied,
)
from libs.contracts.topics import (
    ASSETS,
    CLASSIFICATIONS,
    CONTROL,
    DEADLETTERS,
    FINDINGS,
    MAX_RECORD_BYTES,
    OBLIGATIONS,
    Topic,
)
from libs.standards import StandardsInForce
from services.classification import store
from services.classification.control import InPlace, events_in, is_news
from services.classification.domain import AssetSeen, Classifier, Clock, Message, Turned
from services.classification.reading import AssetReader, OwnEvents
from services.classification.standards.domain import Activated, in_force, place_of
from services.classification.standards.store import show_applied

GROUP: Final = "classification"
"""Consumer group on the assets topic; also the name in dead letters, and the beginning of transactional ids."""
PROJECTION: Final = "classification-projection"
"""Group of the read model's consumers, with the topic behind it."""


_log = structlog.get_logger(__name__)

EventT = TypeVar("EventT", bound=CloudEvent[Contract])
RowT = TypeVar("RowT")


class AssetHandler:
    """The handler of one partition of the assets topic; see `libs.bus.PartitionHandler`.

    `shipped` holds where nothing is activated. `heard` grows as overrides and activations are heard of on the control topic; which of
    these were heard before is told by `activated`, and overrides are read in `restore`. In `applied` it sets down, by partition and
    place, how far it is with each activation.
    """

    def __init__(
        self,
        shipped: StandardsInForce,
        profile: Profile,
        clock: Clock,
        heard: Sequence[OverrideChanged | Activated],
        withdrawn: Mapping[str, DutyRef] | None = None,
        activated: Mapping[str, Activated] | None = None,
        applied: MutableMapping[tuple[int, str], InPlace] | None = None,
    ) -> None:
        self._shipped = shipped
        self._profile = profile
        self._activated = dict(activated or {})
        self._standards = self._standards_with(self._activated)
        self._classifier = Classifier(self._standards, profile.municipality, clock, withdrawn)
        self._applying = set(self._activated)
        self._applied = {} if applied is None else applied
        self._partition = 0
        self._events = heard
        self._heard = 0
        self._reader = AssetReader()

    async def restore(self, log: PartitionLog) -> Sequence[Output]:
        """Read what was published, overrides and all assets, and evaluate anew. What differs (nothing, but after a new standard, or where
        an override has begun or ceased to hold meanwhile) is `due`, as after a change of the standard.
        """
        self._partition = log.partition
        async for records in log.read(CONTROL.name, partition=0):
            for event in events_in(records):
                if isinstance(event, OverrideChanged):
                    self._classifier.learn(event)
        own = OwnEvents()
        async for record in _own(log, CLASSIFICATIONS):
            self._classifier.recall_levels(record.key or b"", *own.levels(record))
        async for record in _own(log, OBLIGATIONS):
            self._classifier.recall_obligations(record.key or b"", *own.duties(record))
        async for record in _own(log, FINDINGS):
            if not is_of(record, FeedFindingChanged):
                self._classifier.recall_finding(decode(FindingChanged, record, max_bytes=MAX_RECORD_BYTES))
        letters = await _letters(log)
        async for records in log.read(ASSETS.name, until_committed=True):
            self._classifier.load(self._handled_before(records, letters))
        return self._told(self._classifier.loaded())

    @property
    def pending(self) -> bool:
        """Whether a new standard is still being applied."""
        return self._classifier.pending

    def due(self) -> Sequence[Output]:
        """What time alone has changed, and what was heard of since."""
        heard = self._events[self._heard :]
        self._heard += len(heard)
        for event in heard:
            if isinstance(event, OverrideChanged):
                self._classifier.learn(event)
            elif is_news(event, self._activated):
                self._activate(event)
        outputs = self._told(self._classifier.due())
        self._set_down()
        return outputs

    def handle(self, records: Sequence[ConsumerRecord], dead_letters: PartitionDeadLetters) -> Sequence[Output]:
        """Evaluate a batch; what cannot be read goes to the dead letters."""
        events = [event for _, event in dead_letters.sift(records, self._reader.read)]
        return self._told(self._classifier.take(events)) if events else []

    def _handled_before(self, records: Iterable[ConsumerRecord], letters: Collection[bytes]) -> Iterator[AssetSeen]:
        """Those that were not put aside, nor given up; a record on which the program failed would fail it again."""
        for record in records:
            letter = letter_id(GROUP, record.topic, record.partition, record.offset).encode()
            if letter in letters or RELEASE_DISCARD in dict(record.headers):
                continue
            with suppress(Rejected):
                yield self._reader.read(record)

    @staticmethod
    def _told(messages: Iterable[Message]) -> list[Output]:
        return [Output(*message) for message in messages]

    def _activate(self, event: Activated) -> None:
        """One that does not go with the standards that hold elsewhere, which is refused before it comes here, stops nothing."""
        known = self._activated | {event.place: event}
        try:
            self._standards = self._standards_with(known)
        except ValueError as error:
            _log.error("a standard cannot hold", place=event.place, revision=event.revision, **describe(error))
            return
        self._activated = known
        self._classifier.activate(self._standards)
        self._applying.add(event.place)

    def _standards_with(self, activated: Mapping[str, Activated]) -> StandardsInForce:
        held = ((one.network, one.standard) for one in activated.values())
        return in_force(self._shipped, held, self._profile)

    def _set_down(self) -> None:
        """How far each activation that is under way is."""
        if not self._applying:
            return
        by_place = dict.fromkeys(self._applying, Turned(0, 0, 0))
        for network, turned in self._classifier.turned.items():
            place = place_of(network if network in self._standards.own else None)
            if place in by_place:
                by_place[place] = Turned(*map(sum, zip(by_place[place], turned, strict=True)))
        for place, turned in by_place.items():
            self._applied[self._partition, place] = InPlace(self._activated[place].revision, turned)
            if turned.evaluated == turned.told == turned.total:
                self._applying.remove(place)


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


class _AssetShown(Contract):
    """Of a change of an asset, what the read model shows."""

    after: AssetRef


class _AssetEvent(CloudEvent[_AssetShown]):
    type: Literal["daicho.asset.changed.v1"] = "daicho.asset.changed.v1"


class _LevelsEvent(CloudEvent[_LevelsShown]):
    type: Literal["daicho.classification.changed.v1"] = "daicho.classification.changed.v1"


class _DutiesEvent(CloudEvent[_DutiesShown]):
    type: Literal["daicho.obligations.changed.v1"] = "daicho.obligations.changed.v1"


async def _own(log: PartitionLog, topic: Topic) -> AsyncIterator[ConsumerRecord]:
    """The records of one of this service's own topics."""
    async for records in log.read(topic.name):
        for record in records:
            yield record


async def _letters(log: PartitionLog) -> Collection[bytes]:
    """The ids of this consumer's dead letters: theirs lie in the partition with the number of the input's."""
    ids: set[bytes] = set()
    async for records in log.read(DEADLETTERS.name):
        ids.update(dict(record.headers).get("ce_id") or b"" for record in records if is_of(record, DeadLettered))
    return ids


class Projector:
    """Shows in the read model what the events say; its methods are what `libs.bus.OffsetConsumer` asks for."""

    def __init__(self, profile: Profile) -> None:
        self._bodies = frozenset(profile.body_by_id)

    async def apply_levels(
        self, connection: Connection, records: Sequence[ConsumerRecord], dead_letters: PartitionDeadLetters
    ) -> None:
        """Show a batch of classification events."""
        rows = _rows(records, dead_letters, _LevelsEvent, self._levels)
        await store.show_levels(connection, self._bodies, rows)

    async def apply_duties(
        self, connection: Connection, records: Sequence[ConsumerRecord], dead_letters: PartitionDeadLetters
    ) -> None:
        """Show a batch of obligation events."""
        rows = _rows(records, dead_letters, _DutiesEvent, self._duties)
        await store.show_duties(connection, self._bodies, rows)

    async def apply_findings(
        self, connection: Connection, records: Sequence[ConsumerRecord], dead_letters: PartitionDeadLetters
    ) -> None:
        """Show a batch of findings of assets; those of feeds are the inventory's to show."""
        told = [record for record in records if not is_of(record, FeedFindingChanged)]
        rows = _rows(told, dead_letters, FindingChanged, self._finding)
        await store.show_findings(connection, self._bodies, rows)

    async def apply_assets(
        self, connection: Connection, records: Sequence[ConsumerRecord], _dead_letters: PartitionDeadLetters
    ) -> None:
        """Show a batch of asset events: what they are called now. It is the worker that puts aside what cannot be read."""
        await store.show_assets(connection, self._bodies, list(self._assets(records)))

    async def apply_applied(
        self, connection: Connection, records: Sequence[ConsumerRecord], dead_letters: PartitionDeadLetters
    ) -> None:
        """Show how far activated standards are applied; of the other events of the control topic, nothing."""
        told = [record for record in records if is_of(record, StandardApplied)]
        read = dead_letters.sift(told, lambda one: decode(StandardApplied, one))
        await show_applied(connection, [event.data for _, event in read])

    def _assets(self, records: Sequence[ConsumerRecord]) -> Iterator[store.Shown]:
        for record in records:
            with suppress(Rejected):
                event = decode(_AssetEvent, record)
                yield self._shown(event, event.data.after, event.revision or 0)

    def _levels(self, event: _LevelsEvent) -> store.Shown:
        change = event.data
        shown = self._shown(event, change.asset, change.asset_revision)
        if change.after is None:
            return shown
        return shown._replace(
            confidentiality=change.after.confidentiality,
            integrity=change.after.integrity,
            availability=change.after.availability,
            explanations=to_json(change.explanations).decode(),
        )

    def _duties(self, event: _DutiesEvent) -> store.Shown:
        change = event.data
        return self._shown(event, change.asset, change.asset_revision)._replace(in_force=list(change.in_force))

    def _finding(self, event: FindingChanged) -> store.ShownFinding:
        self._check_body(event)
        change = event.data
        asset_id, obligation = change.asset.asset_id, change.obligation.id
        return store.ShownFinding(event.body or "", asset_id, obligation, change.after, event.time, event.revision or 0)

    def _check_body(self, event: CloudEvent[Contract]) -> None:
        """Raises Rejected for a body that the profile does not declare: no row may be written that nobody could read."""
        if event.body is None or event.network is None or event.body not in self._bodies:
            raise Rejected(Reason.UNKNOWN_BODY, "body", sentence(f"reason.{Reason.UNKNOWN_BODY}"))

    def _shown(self, event: CloudEvent[Contract], asset: AssetRef, asset_revision: int) -> store.Shown:
        self._check_body(event)
        return store.Shown(
            body=event.body or "",
            asset_id=asset.asset_id,
            network=event.network or "",
            name=asset.name,
            kind=asset.kind,
            zone=asset.zone,
            section=asset.section,
            asset_revision=asset_revision,
            standard=event.standardversion,
            revision=event.revision or 0,
            at=event.time,
        )


def _rows(
    records: Sequence[ConsumerRecord],
    dead_letters: PartitionDeadLetters,
    model: type[EventT],
    row_of: Callable[[EventT], RowT],
) -> list[RowT]:
    """What the events show; one that cannot be read, or that `row_of` rejects, goes to the dead letters."""
    read = dead_letters.sift(records, lambda one: row_of(decode(model, one, max_bytes=MAX_RECORD_BYTES)))
    return [row for _, row in read]
