# SPDX-License-Identifier: Apache-2.0
"""From `daicho.feed.v1` into the register, and its changes into the outbox: one transaction a batch, with the offset."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Final, TypeAlias

from libs.bus import Connection, ConsumerRecord, PartitionDeadLetters, Rejected, decode
from libs.bus.decoding import sentence
from libs.bus.handlers import Apply
from libs.bus.waiting import in_parts
from libs.contracts import FeedItemSubmitted, Profile
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

GROUP: Final = "inventory"
"""Consumer group on the feed topic, and the name under which dead letters and offsets are kept."""

REJECTED: Final = "rejected"
_NO_FEED: Final = "-"
PASSED_OVER: Final = "passed_over"
"""What a door takes note of and the register does not keep."""

Clock: TypeAlias = Callable[[], datetime]
Read: TypeAlias = Submitted | Rejected


class FeedWriter:
    """Applies batches of the feed topic; `apply` and `prepare` are what `libs.bus.OffsetConsumer` asks for."""

    def __init__(self, profile: Profile, clock: Clock, metrics: Metrics) -> None:
        self._profile = profile
        self._clock = clock
        self._items = metrics.counter(FEED_ITEMS)

    async def apply(
        self, connection: Connection, records: Sequence[ConsumerRecord], dead_letters: PartitionDeadLetters
    ) -> None:
        """Reconcile a batch with the register, in order, and write what it changes."""
        await (await self.prepare(records))(connection, records, dead_letters)

    async def prepare(self, records: Sequence[ConsumerRecord]) -> Apply:
        """Read a batch, and what its items tell."""
        read: dict[int, Read] = {}
        readings = Readings(self._profile)
        async for part in in_parts(records):
            for record in part:
                event = read[record.offset] = _read(self._profile, record)
                if not isinstance(event, Rejected):
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
        events = (read[record.offset] for record in records)
        items = [event.data for event in events if not isinstance(event, Rejected)]
        register = await self._register(connection, items, readings)
        decisions: dict[int, Decision] = {}
        batch = self._fold(register, records, read, dead_letters, decisions)
        await store.write(connection, batch)
        await note(connection, records, decisions, batch.recorded_at)

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
    ) -> store.Batch:
        """The batch to write; `decisions` are added to, by offset."""
        now = self._clock()
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
            _add(batch, register, event, decision)
        for (feed, outcome), items in outcomes.items():
            self._items.labels(feed, outcome).inc(items)
        return batch


def _taken(register: Register, read: Read) -> tuple[Submitted, Decision]:
    if isinstance(read, Rejected):
        raise read
    try:
        return read, register.take(read.data)
    except Refused as refused:
        raise _rejected(refused) from None


def _add(batch: store.Batch, register: Register, event: Submitted, decision: Decision) -> None:
    item, link, state = event.data, decision.link, decision.held.state
    links = [link] if decision.news else []
    if any(revision.before is None for revision in decision.revisions):
        # the asset has come to a body: all that is told of it is of that body now
        links = register.links_of(link.asset_id)
    for one in links:
        batch.links[Source(one.feed, one.source_key)] = (one, state["body"] if state else item.body)
    batch.keys.update((key, item.feed, item.source_key) for key in decision.keys)
    for candidate in decision.candidates:
        store.propose(batch, register, candidate)
    store.add(batch, decision.revisions, event.traceparent)


def _read(profile: Profile, record: ConsumerRecord) -> Read:
    try:
        event = submitted(record.value) or decode(FeedItemSubmitted, record)
        check_authority(profile, event, record.key)
    except Rejected as rejected:
        return rejected
    except Refused as refused:
        return _rejected(refused)
    return event


def _rejected(refused: Refused) -> Rejected:
    return Rejected(refused.reason, refused.field, sentence(f"reason.{refused.reason}"))
