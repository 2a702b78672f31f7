# SPDX-License-Identifier: Apache-2.0
"""The staging table: one for each connection, empty at each commit."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from libs.persistence import Pool, PoolConnection, StagingTable, copy_staging

STAGING = StagingTable(
    "staged", {"id": "bigint", "key": "bytea", "order": "text", "facts": "jsonb", "at": "timestamptz", "tags": "text[]"}
)
COUNT = "SELECT count(*) FROM pg_temp.staged"
ROW = (1, b"\x00\xff", "台帳", {"a": [1.5, None, "é"]}, datetime(2027, 7, 1, tzinfo=UTC), ["x", "y"])


async def test_values_come_back_as_they_were(pool: Pool) -> None:
    async with pool.acquire() as connection, connection.transaction():
        await copy_staging(connection, STAGING, [ROW, (None,) * 6])
        rows = await connection.fetch("SELECT * FROM pg_temp.staged ORDER BY id")
        assert [tuple(row) for row in rows] == [ROW, (None,) * 6]


async def test_it_is_appended_to_and_emptied_at_commit(pool: Pool) -> None:
    async with pool.acquire() as connection:
        for _ in range(2):
            async with connection.transaction():
                await copy_staging(connection, STAGING, [ROW] * 3)
                await copy_staging(connection, STAGING, [])
                await copy_staging(connection, STAGING, [ROW])
                assert await connection.fetchval(COUNT) == 4
            assert await connection.fetchval(COUNT) == 0


async def test_it_is_made_again_after_the_transaction_that_made_it_failed(pool: Pool) -> None:
    await pool.expire_connections()
    async with pool.acquire() as connection:
        with pytest.raises(RuntimeError):
            async with connection.transaction():
                await copy_staging(connection, STAGING, [ROW])
                raise RuntimeError
        async with connection.transaction():
            await copy_staging(connection, STAGING, [ROW])
            assert await connection.fetchval(COUNT) == 1


async def test_two_connections_do_not_share_it(pool: Pool) -> None:
    async with pool.acquire() as one, pool.acquire() as other, one.transaction(), other.transaction():
        await copy_staging(one, STAGING, [ROW])
        await copy_staging(other, STAGING, [ROW, ROW])
        assert (await one.fetchval(COUNT), await other.fetchval(COUNT)) == (1, 2)


async def test_without_a_transaction_it_is_refused(connection: PoolConnection) -> None:
    with pytest.raises(ValueError, match="transaction"):
        await copy_staging(connection, STAGING, [ROW])


async def test_a_record_that_does_not_fit_is_refused_whole(pool: Pool) -> None:
    async with pool.acquire() as connection:
        with pytest.raises(TypeError):
            async with connection.transaction():
                await copy_staging(connection, STAGING, [ROW, ("no number", *ROW[1:])])
        async with connection.transaction():
            await copy_staging(connection, STAGING, [ROW])
            assert await connection.fetchval(COUNT) == 1
