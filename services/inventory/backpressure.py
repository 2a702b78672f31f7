# SPDX-License-Identifier: Apache-2.0
"""When a door refuses what it could not keep: too much from one feed, too much at all, or a worker too far behind."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from pydantic import BaseModel, ConfigDict, Field

from libs.bus import KafkaSettings, Lasting
from libs.bus.consuming import partitions_of, start_consumer, stop_consumer
from libs.contracts import ProblemType
from libs.contracts.topics import FEED
from libs.persistence import Sessions
from libs.security import ProblemError
from services.inventory.store import next_offsets
from services.inventory.worker import GROUP, Clock

SOON: Final = "5"
"""Seconds after which it is worth to try again where the broker is at fault, or too much is on its way to it."""
LATER: Final = "60"
"""The same where the worker is."""
_LOOK_SECONDS: Final = 1.0
_ONE_RECORD: Final = 64 * 1024
_WAIT_MS: Final = 500

Count = Annotated[int, Field(ge=1)]


class Bounds(BaseModel):
    """How much the doors of one process take (`DAICHO_INTAKE__WAITING_ITEMS` and so on).

    `waiting_items` and `waiting_bytes` may be on their way to the broker at a time, of one feed `feed_share` of them. One feed may have
    `unhandled_of_feed` items accepted that the worker has not handled: others wait behind them. Nothing is taken while the worker is
    `behind_seconds` behind: what the feed topic has is kept for 14 days, and a register of yesterday serves nobody.
    """

    model_config = ConfigDict(frozen=True)

    waiting_items: Count = 100_000
    waiting_bytes: Count = 256 * 1024 * 1024
    feed_share: Annotated[float, Field(gt=0, le=1)] = 0.5
    unhandled_of_feed: Count = 2_000_000
    behind_seconds: Count = 6 * 60 * 60


class Backlog:
    """What was accepted here and is not handled yet, by feed; it knows nothing of what others write to the topic."""

    def __init__(self) -> None:
        self._of_feed: Counter[str] = Counter()
        self._deliveries: defaultdict[int, deque[tuple[int, str, int]]] = defaultdict(deque)

    def of(self, feed: str) -> int:
        """How many items of a feed wait for the worker."""
        return self._of_feed[feed]

    def add(self, feed: str, places: Iterable[tuple[int, int]]) -> None:
        """A delivery was accepted: partition and offset of each item."""
        offsets: defaultdict[int, list[int]] = defaultdict(list)
        for partition, offset in places:
            offsets[partition].append(offset)
        for partition, found in offsets.items():
            self._deliveries[partition].append((max(found), feed, len(found)))
            self._of_feed[feed] += len(found)

    def handled(self, partition: int, next_offset: int) -> None:
        """The worker has handled what is below `next_offset`."""
        waiting = self._deliveries[partition]
        while waiting and waiting[0][0] < next_offset:
            _, feed, items = waiting.popleft()
            self._of_feed[feed] -= items


class Gate:
    """Says whether a delivery may come in, and counts what is on its way. One for each process with doors; it does no I/O."""

    def __init__(self, bounds: Bounds, clock: Clock) -> None:
        self.backlog = Backlog()
        self._bounds = bounds
        self._clock = clock
        self._items: Counter[str] = Counter()
        self._bytes: Counter[str] = Counter()
        self._all_handled_until = clock()

    @property
    def waiting(self) -> int:
        """Items on their way to the broker."""
        return self._items.total()

    @property
    def behind(self) -> timedelta:
        """How long the oldest item that is not handled may have waited."""
        return max(self._clock() - self._all_handled_until, timedelta(0))

    def worker_at(self, time: datetime) -> None:
        """All that was written before `time` is handled."""
        self._all_handled_until = time

    def enter(self, feed: str, sizes: Sequence[int]) -> None:
        """Count a delivery in, by the bytes of each item. Raises ProblemError with `Retry-After`: 503 or 429, with nothing counted."""
        bounds, items, size = self._bounds, len(sizes), sum(sizes)
        if self.behind > timedelta(seconds=bounds.behind_seconds):
            raise ProblemError(ProblemType.BUSY, "inventory.worker_behind", headers={"Retry-After": LATER})
        if self.backlog.of(feed) + items > bounds.unhandled_of_feed:
            raise _too_many(feed, LATER)
        if self.waiting + items > bounds.waiting_items or self._bytes.total() + size > bounds.waiting_bytes:
            raise ProblemError(ProblemType.BUSY, "inventory.broker_busy", headers={"Retry-After": SOON})
        share = bounds.feed_share
        if (
            self._items[feed] + items > share * bounds.waiting_items
            or self._bytes[feed] + size > share * bounds.waiting_bytes
        ):
            raise _too_many(feed, SOON)
        self._items[feed] += items
        self._bytes[feed] += size

    def leave(self, feed: str, size: int) -> None:
        """An item has come to the broker, or will not."""
        self._items[feed] -= 1
        self._bytes[feed] -= size


def _too_many(feed: str, seconds: str) -> ProblemError:
    return ProblemError(ProblemType.TOO_MANY, "inventory.feed_too_much", feed=feed, headers={"Retry-After": seconds})


class WorkerWatch(Lasting):
    """Tells the gate once a second how far the worker has come, as long as `run` lasts."""

    name = "worker-watch"

    def __init__(self, kafka: KafkaSettings, sessions: Sessions, gate: Gate, clock: Clock) -> None:
        super().__init__()
        self._kafka = kafka
        self._sessions = sessions
        self._gate = gate
        self._clock = clock

    async def _live(self) -> None:
        # what is written but not committed counts too: it is on its way
        consumer = await start_consumer(
            self._kafka, "inventory-worker-watch", fetch_bytes=_ONE_RECORD, isolation_level="read_uncommitted"
        )
        try:
            places = [TopicPartition(FEED.name, number) for number in await partitions_of(consumer, FEED.name)]
            consumer.assign(places)
            while True:
                await self._look(consumer, places)
                self._code, self._failures = None, 0
                await asyncio.sleep(_LOOK_SECONDS)
        finally:
            await stop_consumer(consumer)

    async def _look(self, consumer: AIOKafkaConsumer, places: Sequence[TopicPartition]) -> None:
        now = self._clock()
        ends = await consumer.end_offsets(places)
        async with self._sessions.session(()) as session:
            handled = await next_offsets(session, GROUP, FEED.name)
        for partition, offset in handled.items():
            self._gate.backlog.handled(partition, offset)
        behind = {place: handled.get(place.partition, 0) for place in places}
        times = [await _time_at(consumer, place, at) for place, at in behind.items() if at < ends[place]]
        self._gate.worker_at(min((time for time in times if time is not None), default=now))


async def _time_at(consumer: AIOKafkaConsumer, place: TopicPartition, offset: int) -> datetime | None:
    """When the first record from an offset on was written; None where there are only transaction markers."""
    consumer.seek(place, offset)
    records = (await consumer.getmany(place, timeout_ms=_WAIT_MS, max_records=1)).get(place, [])
    return datetime.fromtimestamp(records[0].timestamp / 1000, UTC) if records else None
