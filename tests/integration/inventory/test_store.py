# SPDX-License-Identifier: Apache-2.0
"""The register's tables, on a real PostgreSQL."""

from __future__ import annotations

from uuid import uuid4

import asyncpg
import pytest

import services.inventory.netbox_pull.store  # noqa: F401 - its table
from libs.persistence import Pool, assert_no_drift, scoped, upgrade
from libs.persistence.migrations import downgrade
from services.inventory.store import Base


async def test_the_migrations_make_what_the_models_say(owner_dsn: str) -> None:
    await assert_no_drift(Base.metadata, owner_dsn)


async def test_they_can_be_undone_and_done_again(owner_dsn: str) -> None:
    await downgrade("services.inventory", owner_dsn)
    await upgrade("services.inventory", owner_dsn)
    await assert_no_drift(Base.metadata, owner_dsn)


INSERTS = {
    "asset": "INSERT INTO asset VALUES ($1, 'audit', 1, now(), '{}')",
    "asset_revision": "INSERT INTO asset_revision VALUES ($1, 1, 'audit', now(), '{}', '{}')",
    "source_link": "INSERT INTO source_link VALUES ('cmdb', $1::uuid::text, $1, 'audit', 1)",
}


@pytest.mark.parametrize("table", INSERTS)
async def test_rows_are_there_and_can_be_written_only_in_the_scope_of_their_body(pool: Pool, table: str) -> None:
    count = f"SELECT count(*) FROM {table}"
    async with pool.acquire() as connection, scoped(connection, ["audit", "mayor"]):
        await connection.execute(INSERTS[table], uuid4())
        assert await connection.fetchval(count) == 1
    async with pool.acquire() as connection, scoped(connection, ["mayor"]):
        assert await connection.fetchval(count) == 0
    assert await pool.fetchval(count) == 0
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with pool.acquire() as connection, scoped(connection, ["mayor"]):
            await connection.execute(INSERTS[table], uuid4())
