# SPDX-License-Identifier: Apache-2.0
"""PostgreSQL to Kafka: messages written in the transaction that made them true, sent on in their order (design §4).

A crash between sending and deleting sends the same bytes under the same event id once more; consumers drop the revision they have seen.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from typing import Any, Final

import asyncpg
import structlog

from libs.bus.handlers import Connection
from libs.bus.lasting import Lasting
from libs.bus.producing import START_PATIENCE, TransactionalWriter
from libs.bus.records import Output
from libs.bus.settings import KafkaSettings
from libs.bus.waiting import Pace, uninterrupted
from libs.observability import Metrics, ProbeResult, metrics

CHANNEL: Final = "outbox"
"""`NOTIFY outbox` in a transaction that writes rows wakes the relay when it commits."""

_LOCK: Final = 0x6F75_7462_6F78
"""Advisory lock of the one relay at work in a database ("outbox" in ASCII)."""
_INSERT: Final = "INSERT INTO outbox (topic, key, value, headers) VALUES ($1, $2, $3, $4::text::jsonb)"
_READ: Final = "SELECT id, topic, key, value, headers FROM outbox ORDER BY id LIMIT $1"
_DELETE: Final = "DELETE FROM outbox WHERE id = ANY($1::bigint[])"
_STOP_PATIENCE: Final = 5.0

_log = structlog.get_logger(__name__)


async def enqueue(connection: Connection, outputs: Iterable[Output]) -> None:
    """Write messages to the outbox inside the caller's transaction, and wake the relay when it commits."""
    rows = [
        (output.topic, output.key, output.value, json.dumps([[name, value.decode()] for name, value in output.headers]))
        for output in outputs
    ]
    if rows:
        await connection.executemany(_INSERT, rows)
        await wake_relay(connection)


async def wake_relay(connection: Connection) -> None:
    """For who writes rows to the outbox by other means: the relay looks when this transaction has committed."""
    await connection.execute(f"NOTIFY {CHANNEL}")


class OutboxRelay(Lasting):
    """Sends the rows of the outbox in the order of their ids, a transaction per batch, and deletes them; `run` lasts until cancelled.

    One relay is at work in a database: the others wait for its advisory lock. A relay that lost the lock unawares is fenced, for
    the transactional id is one. Rows become visible out of their order across networks, never within one, so they are deleted by id.
    """

    name = "relay"

    def __init__(
        self,
        pool: asyncpg.Pool[asyncpg.Record],
        settings: KafkaSettings,
        transactional_id: str,
        meters: Metrics,
        *,
        batch_rows: int = 2_000,
        poll_seconds: float = 1.0,
        pause_seconds: float = 0.04,
    ) -> None:
        super().__init__()
        self._pool = pool
        self._settings = settings
        self._transactional_id = transactional_id
        self._produced = meters.counter(metrics.PRODUCED)
        self._batch_rows = batch_rows
        self._poll_seconds = poll_seconds
        self._pace = Pace(pause_seconds)
        self._rows_came = asyncio.Event()

    async def check(self) -> ProbeResult:
        """This is its own `Probe`: well while it relays, or waits behind another that does."""
        return ProbeResult(ok=self._code is None or self._code == "standby", code=self._code)

    async def _live(self) -> None:
        async with AsyncExitStack() as stack:
            connection = await stack.enter_async_context(self._pool.acquire())
            await self._become_the_one(connection, stack)
            writer = TransactionalWriter(self._settings, self._transactional_id)
            stack.push_async_callback(writer.stop)
            async with asyncio.timeout(START_PATIENCE):
                await writer.start()
            self._code = None
            while True:
                await self._pace.rest()
                self._rows_came.clear()
                rows = await connection.fetch(_READ, self._batch_rows)
                if rows:
                    await uninterrupted(self._send(writer, connection, rows), _STOP_PATIENCE)
                    self._failures = 0
                if len(rows) < self._batch_rows:
                    self._pace.begun()
                    await self._sleep(connection)

    async def _become_the_one(self, connection: Any, stack: AsyncExitStack) -> None:
        while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", _LOCK):
            self._code = "standby"
            await asyncio.sleep(self._poll_seconds)
        stack.push_async_callback(_release, connection)
        await connection.add_listener(CHANNEL, self._on_notify)
        stack.push_async_callback(_forget, connection, self._on_notify)

    def _on_notify(self, *_: object) -> None:
        self._rows_came.set()

    async def _sleep(self, connection: Any) -> None:
        """Until rows come; now and then it looks unbidden, for a notification can be lost with its connection."""
        if connection.is_closed():
            raise ConnectionResetError("the database closed the connection")
        try:
            async with asyncio.timeout(self._poll_seconds):
                await self._rows_came.wait()
        except TimeoutError:
            return

    async def _send(self, writer: TransactionalWriter, connection: Any, rows: Sequence[asyncpg.Record]) -> None:
        began = time.perf_counter()
        await writer.write(
            Output(topic, key, value, [(name, text.encode()) for name, text in headers])
            for _, topic, key, value, headers in rows
        )
        await connection.execute(_DELETE, [row["id"] for row in rows])
        for topic, count in Counter(row["topic"] for row in rows).items():
            self._produced.labels("relay", topic).inc(count)
        _log.debug("relayed", rows=len(rows), seconds=time.perf_counter() - began)


async def _release(connection: Any) -> None:
    if not connection.is_closed():
        await connection.execute("SELECT pg_advisory_unlock($1)", _LOCK)


async def _forget(connection: Any, callback: Any) -> None:
    if not connection.is_closed():
        await connection.remove_listener(CHANNEL, callback)
