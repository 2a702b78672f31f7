# SPDX-License-Identifier: Apache-2.0
"""Kafka to PostgreSQL, exactly once: what a batch says and how far it came are written in one database transaction (design §4)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import datetime
from typing import Final, NamedTuple

import asyncpg
import structlog
from aiokafka import AIOKafkaConsumer

from libs.bus.consuming import stop_consumer
from libs.bus.deadletters import CapExceeded, ParkedKeys, PartitionDeadLetters
from libs.bus.decoding import failed
from libs.bus.failures import describe
from libs.bus.handlers import Apply, Connection, Prepare
from libs.bus.outbox import enqueue
from libs.bus.producing import START_PATIENCE
from libs.bus.records import ConsumerRecord
from libs.bus.subscription import Subscription, TaskState
from libs.bus.task import STOP_PATIENCE, Fenced, Task
from libs.bus.waiting import ended, uninterrupted

_BEGIN: Final = """
INSERT INTO consumer_offset (consumer, topic, partition, next_offset) VALUES ($1, $2, $3, 0) ON CONFLICT DO NOTHING
"""
_LOAD: Final = "SELECT next_offset FROM consumer_offset WHERE consumer = $1 AND topic = $2 AND partition = $3"
_MOVE: Final = """
UPDATE consumer_offset SET next_offset = $5
WHERE consumer = $1 AND topic = $2 AND partition = $3 AND next_offset = $4 RETURNING true
"""
_PARKED: Final = "SELECT key, parked_at FROM parked_key WHERE consumer = $1 AND topic = $2 AND partition = $3"
_PARK: Final = """
INSERT INTO parked_key (consumer, topic, partition, key, reason, parked_at) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (consumer, topic, partition, key) DO UPDATE SET parked_at = excluded.parked_at
"""
_UNPARK: Final = "DELETE FROM parked_key WHERE consumer = $1 AND topic = $2 AND partition = $3 AND key = $4"

_DATA_CLASSES: Final = frozenset({"22", "23", "54", "P0"})
"""SQLSTATE classes that speak of the data: data exception, constraint, program limit, raised by a function."""

_log = structlog.get_logger(__name__)


class _Batch(NamedTuple):
    """Records that stand between two offsets; `until` may lie behind the last one, where transaction markers follow it.

    `apply` writes them, where that was prepared.
    """

    records: Sequence[ConsumerRecord]
    at: int
    until: int
    apply: Apply | None = None

    def halves(self) -> tuple[_Batch, _Batch]:
        middle = len(self.records) // 2
        border = self.records[middle].offset
        return _Batch(self.records[:middle], self.at, border), _Batch(self.records[middle:], border, self.until)


class OffsetTask(Task):
    """Writes one partition to the database. The stored offset is moved first, by compare-and-set: who is not the owner is fenced there.

    While a batch is written, the next one is read, and prepared where there is something to `prepare`. It is written after the commit
    of the one before, or, where that fails, not at all: then all begins again at the stored offset.
    """

    def __init__(
        self,
        subscription: Subscription,
        partition: int,
        pool: asyncpg.Pool[asyncpg.Record],
        apply: Apply,
        prepare: Prepare | None = None,
    ) -> None:
        super().__init__(subscription, partition)
        self._pool = pool
        self._apply = apply
        self._prepare = prepare
        self._writing = False
        self._row = (subscription.group, subscription.topic, partition)
        self._parked: ParkedKeys = {}

    async def _live(self) -> None:
        async with AsyncExitStack() as stack:
            next_offset = await self._load()
            async with asyncio.timeout(START_PATIENCE):
                consumer = await self._consumer()
            stack.push_async_callback(stop_consumer, consumer)
            consumer.assign([self.source])
            consumer.seek(self.source, next_offset)
            self._enter(TaskState.RUNNING)
            ahead = asyncio.create_task(self._next(consumer, next_offset))
            try:
                while True:
                    batch = await ahead
                    ahead = asyncio.create_task(self._next(consumer, batch.until))
                    await self._step(consumer, batch)
            finally:
                await ended(ahead)

    async def _load(self) -> int:
        async with self._pool.acquire() as connection:
            await connection.execute(_BEGIN, *self._row)
            next_offset: int = await connection.fetchval(_LOAD, *self._row)
            rows = await connection.fetch(_PARKED, *self._row)
        self._parked = {row["key"]: row["parked_at"] for row in rows}
        self._gauges.parked.set(len(self._parked))
        return next_offset

    async def _next(self, consumer: AIOKafkaConsumer, at: int) -> _Batch:
        """The next batch, which may be none."""
        records = await self._poll(consumer, self.subscription.limits.max_records)
        if not records:
            return _Batch(records, at, at)
        until: int = await consumer.position(self.source)
        return _Batch(records, at, until, await self._prepared(records))

    async def _prepared(self, records: Sequence[ConsumerRecord]) -> Apply | None:
        """None where a record is at fault: it is found when they are applied."""
        try:
            return await self._prepare(records) if self._prepare else None
        except Exception as error:
            if not _is_of_data(error):
                raise
            return None

    async def _step(self, consumer: AIOKafkaConsumer, batch: _Batch) -> None:
        if not batch.records:
            return
        self._writing = True
        try:
            await uninterrupted(self._take(batch), STOP_PATIENCE)
        finally:
            self._writing = False
        await self._measure(consumer, batch.until)

    async def _measure(self, consumer: AIOKafkaConsumer, at: int | None = None) -> None:
        """What is read ahead is not handled yet."""
        if not self._writing:
            await super()._measure(consumer, at)

    async def _take(self, batch: _Batch) -> None:
        """Write a batch; where its data are at fault, in halves, until the record that fails is alone, and is put aside."""
        try:
            await self._write(batch)
        except Exception as error:
            if not _is_of_data(error):
                raise
            _log.error("handling failed", records=len(batch.records), **describe(error), **self._where())
            if len(batch.records) == 1:
                await self._write(batch, error)
            else:
                for half in batch.halves():
                    await self._take(half)

    async def _write(self, batch: _Batch, fault: Exception | None = None) -> None:
        began = time.perf_counter()
        letters = PartitionDeadLetters(self.subscription, self._parked)
        async with self._pool.acquire() as connection, connection.transaction():
            if not await connection.fetchval(_MOVE, *self._row, batch.at, batch.until):
                raise Fenced
            if fault is None:
                for piece in letters.admit(batch.records):
                    await (batch.apply or self._apply)(connection, piece, letters)
            else:
                letters.reject(batch.records[0], failed(fault))
            self.guard.check(len(batch.records), letters)
            await self._store(connection, letters)
        self._committed(began, len(batch.records), self._parked, letters)

    async def _store(self, connection: Connection, letters: PartitionDeadLetters) -> None:
        if letters.letters:
            await enqueue(connection, letters.outputs())
        reasons = {letter.record.key: letter.rejected.reason for letter in reversed(letters.letters)}
        for key, since in letters.changes.items():
            if since is None:
                await connection.execute(_UNPARK, *self._row, key)
        rows: list[tuple[str, str, int, bytes, str, datetime]] = [
            (*self._row, key, str(reasons[key]), since) for key, since in letters.changes.items() if since is not None
        ]
        if rows:
            await connection.executemany(_PARK, rows)


def _is_of_data(error: Exception) -> bool:
    """Whether the records or our code are at fault, not the database's or the broker's state."""
    if isinstance(error, Fenced | CapExceeded):
        return False
    if isinstance(error, asyncpg.DataError):
        return True
    if isinstance(error, asyncpg.PostgresError):
        return (error.sqlstate or "")[:2] in _DATA_CLASSES
    return not isinstance(error, asyncpg.InterfaceError | OSError | MemoryError)
