# SPDX-License-Identifier: Apache-2.0
"""From `daicho.feed.v1` into the register, and its changes into the outbox: one transaction a batch, with the offset."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from itertools import groupby
from typing import Final, TypeAlias

from libs.bus import Connection, ConsumerRecord, PartitionDeadLetters, Rejected, decode
from libs.bus.decoding import sentence
from libs.bus.handlers import Apply
from libs.bus.waiting import in_parts
from libs.contracts import FeedItemSubmitted, FeedSnapshotMarked, Profile, Reason
from libs.observability import Metrics
from libs.observability.metrics import FEED_ITEMS
from services.inventory import store
from services.inventory.domain import (
    Decision,
    Readings,
    Refused,
    Register,
    Scribe,
    Source,
    check_authority,
)
from services.inventory.items import Item, Submitted, submitted
from services.inventory.receipts.store import note
from services.inventory.snapshots.domain import check_mark
from services.inventory.snapshots.marking import note_told, take_mark

GROUP: Final = "inventory"
"""Consumer group on the feed topic, and the name under which dead letters and offsets are kept."""

REJECTED: Final = "rejected"
_NO_FEED: Final = "-"
PASSED_OVER: Final = "passed_over"
"""What a door takes note of and the register does not keep."""

Clock: TypeAlias = Callable[[], datetime]
Read: TypeAlias = Submitted | FeedSnapshotMarked | Rejected
_NO_ITEM: Final = (FeedSnapshotMarked, Rejected)


class FeedWriter:
    """Applies batches of the feed topic; `apply` and `prepare` are what `libs.bus.OffsetConsumer` asks for."""

    def __init__(self, profile: Profile, clock: Clock, metrics: Metrics) -> None:
        self._profile = profile
        self._clock = clock
        self._items = metrics.counter(FEED_ITEMS)

    async def apply(
        self, connection: Connection, records: Sequence[ConsumerRecord], dead_letters: PartitionDeadLetters
    ) -> None:
        """Reconcile a batch with the register, in order, and write what it changes; where a snapshot begins or ends, what was told
        before is written first."""
        await (await self.prepare(records))(connection, records, dead_letters)

    async def prepare(self, records: Sequence[ConsumerRecord]) -> Apply:
        """Read a batch, and what its items tell."""
        read: dict[int, Read] = {}
        readings = Readings(self._profile)
        async for part in in_parts(records):
            for record in part:
                event = read[record.offset] = _read(self._profile, record)
                if not isinstance(event, _NO_ITEM):
                    readings.of(event.data)
        return partial(self._write, read, readings)

    async def _write(
        self,
        read: Mapping[int, Read],
        readings: Readings,
        connection: Connection,
        records: Sequence[ConsumerRecord],
        dead_letters: PartitionDeadLetters,
    ) -> None:
        now = self._clock()
        decisions: dict[int, Decision] = {}
        for is_mark, piece in groupby(records, lambda one: isinstance(read[one.offset], FeedSnapshotMarked)):
            if is_mark:
                await self._mark(connection, list(piece), read, dead_letters, now)
            else:
                await self._take(connection, list(piece), read, readings, dead_letters, decisions, now)
        await note(connection, records, decisions, now)

    async def _take(
        self,
        connection: Connection,
        records: Sequence[ConsumerRecord],
        read: Mapping[int, Read],
        readings: Readings,
        dead_letters: PartitionDeadLetters,
        decisions: dict[int, Decision],
        now: datetime,
    ) -> None:
        told = list(_told(records, read))
        register = await self._register(connection, [event.data for _, event in told], readings)
        batch = self._fold(register, records, read, dead_letters, decisions, now)
        await store.write(connection, batch)
        heard = [(event.data, offset in decisions) for offset, event in told]
        await note_told(connection, self._profile, heard, records[0].partition, now)

    async def _mark(
        self,
        connection: Connection,
        records: Sequence[ConsumerRecord],
        read: Mapping[int, Read],
        dead_letters: PartitionDeadLetters,
        now: datetime,
    ) -> None:
        for record, event in dead_letters.sift(records, lambda one: read[one.offset]):
            if isinstance(event, FeedSnapshotMarked):
                await store.enter(connection, self._profile.body_by_id, [event.data.network])
                await take_mark(connection, self._profile, event.data, record.partition, now)

    async def _register(self, connection: Connection, items: Sequence[Item], readings: Readings) -> Register:
        """The part of the register that the items are about, held against other writers."""
        bodies = self._profile.body_by_id
        sources = {Source(item.feed, item.source_key) for item in items}
        networks = {self._profile.network_of(item.body) for item in items}
        await store.enter(connection, bodies, networks)
        known = await store.known_under(connection, sources)
        elsewhere = {held.state["network"] for held in known.assets.values() if held.state} - networks
        if elsewhere:
            # an asset moves from another network, which is rare: should two such batches wait for each other, PostgreSQL ends one of
            # them, and it is done again
            await store.enter(connection, bodies, elsewhere)
            known = await store.known_under(connection, sources)
        return await store.register_for(connection, self._profile, items, known, readings)

    def _fold(
        self,
        register: Register,
        records: Sequence[ConsumerRecord],
        read: Mapping[int, Read],
        dead_letters: PartitionDeadLetters,
        decisions: dict[int, Decision],
        now: datetime,
    ) -> store.Batch:
        """The batch to write; `decisions` are added to, by offset."""
        batch = store.Batch(now, Scribe(self._profile.municipality, now))
        outcomes: Counter[tuple[str, str]] = Counter()

        def taken(record: ConsumerRecord) -> tuple[Submitted, Decision]:
            one = read[record.offset]
            try:
                return _taken(register, one)
            except Rejected:
                outcomes[_NO_FEED if isinstance(one, Rejected) else one.data.feed, REJECTED] += 1
                raise

        for record, (event, decision) in dead_letters.sift(records, taken):
            decisions[record.offset] = decision
            outcomes[event.data.feed, decision.outcome.value] += 1
            add_decision(batch, register, decision, event.data.body, event.traceparent)
        for (feed, outcome), items in outcomes.items():
            self._items.labels(feed, outcome).inc(items)
        return batch


def add_decision(
    batch: store.Batch, register: Register, decision: Decision, body: str, traceparent: str | None = None
) -> None:
    """Let the batch write down what was decided of a source; `body` is that of its link where there is no asset yet."""
    link, state = decision.link, decision.held.state
    links = [link] if decision.news else []
    if any(revision.before is None for revision in decision.revisions):
        # the asset has come to a body: all that is told of it is of that body now
        links = register.links_of(link.asset_id)
    for one in links:
        batch.links[Source(one.feed, one.source_key)] = (one, state["body"] if state else body)
    batch.keys.update((key, link.feed, link.source_key) for key in decision.keys)
    for candidate in decision.candidates:
        store.propose(batch, register, candidate)
    store.add(batch, decision.revisions, traceparent)


def _told(records: Sequence[ConsumerRecord], read: Mapping[int, Read]) -> Iterator[tuple[int, Submitted]]:
    for record in records:
        if not isinstance(event := read[record.offset], _NO_ITEM):
            yield record.offset, event


def _taken(register: Register, read: Read) -> tuple[Submitted, Decision]:
    if isinstance(read, Rejected):
        raise read
    try:
        return read, register.take(read.data)
    except Refused as refused:
        raise _rejected(refused) from None


def _read(profile: Profile, record: ConsumerRecord) -> Read:
    try:
        event = submitted(record.value) or decode(FeedItemSubmitted, record)
        check_authority(profile, event, record.key)
    except Rejected as rejected:
        return _read_mark(profile, record, rejected) if rejected.reason is Reason.UNKNOWN_TYPE else rejected
    except Refused as refused:
        return _rejected(refused)
    return event


def _read_mark(profile: Profile, record: ConsumerRecord, as_item: Rejected) -> FeedSnapshotMarked | Rejected:
    """The mark that a record is which is no item; as for an item where it is no mark either."""
    try:
        mark = decode(FeedSnapshotMarked, record)
        check_mark(profile, mark, record.key)
    except Rejected as rejected:
        return as_item if rejected.reason is Reason.UNKNOWN_TYPE else rejected
    except Refused as refused:
        return _rejected(refused)
    return mark


def _rejected(refused: Refused) -> Rejected:
    return Rejected(refused.reason, refused.field, sentence(f"reason.{refused.reason}"))
