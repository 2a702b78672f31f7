# SPDX-License-Identifier: Apache-2.0
"""Health of the database and of the outbox."""

from __future__ import annotations

from libs.observability.metrics import OUTBOX_OLDEST, OUTBOX_ROWS, Metrics
from libs.observability.probes import ProbeResult
from libs.persistence.pool import Pool

_OUTBOX = """
SELECT count(*) AS rows,
       coalesce(extract(epoch FROM clock_timestamp() - min(created_at)), 0)::float8 AS oldest
FROM outbox
"""


class PostgresProbe:
    """Well when the database answers."""

    name = "postgres"

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def check(self) -> ProbeResult:
        await self._pool.fetchval("SELECT 1")
        return ProbeResult(ok=True)


class OutboxProbe:
    """Well while the oldest row of the outbox is younger than `max_age` seconds."""

    name = "outbox"

    def __init__(self, pool: Pool, metrics: Metrics, max_age: float = 60) -> None:
        self._pool = pool
        self._rows = metrics.gauge(OUTBOX_ROWS)
        self._oldest = metrics.gauge(OUTBOX_OLDEST)
        self._max_age = max_age

    async def check(self) -> ProbeResult:
        ((rows, oldest),) = await self._pool.fetch(_OUTBOX)
        self._rows.set(rows)
        self._oldest.set(oldest)
        ok = oldest < self._max_age
        measures = {"rows": float(rows), "oldest_seconds": round(oldest, 3)}
        return ProbeResult(ok=ok, code=None if ok else "outbox-old", measures=measures)
