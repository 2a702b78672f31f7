# SPDX-License-Identifier: Apache-2.0
"""Health of the database and of the outbox."""

from __future__ import annotations

import asyncpg
import pytest

from libs.observability import Metrics
from libs.persistence import OutboxProbe, Pool, PoolConnection, PostgresProbe, PostgresSettings, create_pool

INSERT = "INSERT INTO outbox (topic, key, value, created_at) VALUES ('t', 'k', NULL, now() - $1 * interval '1 second')"


async def test_an_empty_outbox_is_well(pool: Pool, connection: PoolConnection) -> None:
    result = await OutboxProbe(pool, Metrics()).check()
    assert (result.ok, result.code, dict(result.measures)) == (True, None, {"rows": 0, "oldest_seconds": 0})


async def test_an_old_row_is_not_well_and_is_measured(pool: Pool, connection: PoolConnection) -> None:
    metrics = Metrics()
    probe = OutboxProbe(pool, metrics, max_age=60)
    await connection.execute(INSERT, 10)
    assert (await probe.check()).ok
    await connection.execute(INSERT, 100)
    result = await probe.check()
    assert (result.ok, result.code, result.measures["rows"]) == (False, "outbox-old", 2)
    assert result.measures["oldest_seconds"] == pytest.approx(100, abs=20)
    assert b"daicho_outbox_rows 2.0" in metrics.exposition()
    assert b"daicho_outbox_oldest_seconds 1" in metrics.exposition()


async def test_a_closed_database_is_not_well(database: object, pool: Pool) -> None:
    assert (await PostgresProbe(pool).check()).ok
    settings: PostgresSettings = database.settings  # type: ignore[attr-defined]
    closed = await create_pool(settings)
    await closed.close()
    with pytest.raises(asyncpg.InterfaceError):
        await PostgresProbe(closed).check()
