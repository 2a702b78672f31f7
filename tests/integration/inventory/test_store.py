# SPDX-License-Identifier: Apache-2.0
"""The register's tables, on a real PostgreSQL."""

from __future__ import annotations

import json
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


async def test_a_register_of_before_keeps_what_its_sources_told(owner_dsn: str) -> None:
    """One asset with a relation to another that is known, and one that is not; and one that is retired."""
    ids = [uuid4() for _ in range(4)]
    relations = [{"type": "stores", "asset_id": str(ids[1])}, {"type": "runs_on", "asset_id": str(ids[3])}]
    await downgrade("services.inventory", owner_dsn, "0001")
    connection = await asyncpg.connect(owner_dsn)
    try:
        await connection.execute("SELECT set_config('daicho.bodies', 'audit', false)")
        for number, one in enumerate(ids[:3]):
            status = "retired" if number == 2 else "active"
            state = {
                "asset_id": str(one),
                "body": "audit",
                "network": "mayor",
                "kind": "system",
                "name": "名",
                "status": status,
            }
            state |= {"facts": {"a": 1}, "declared": {}, "relations": [] if number else relations}
            await connection.execute("INSERT INTO asset VALUES ($1, 'audit', 1, now(), $2)", one, json.dumps(state))
            await connection.execute("INSERT INTO source_link VALUES ('cmdb', $1, $2, 'audit', 1)", f"S-{number}", one)
        await upgrade("services.inventory", owner_dsn)
        links = await connection.fetch("SELECT told, gone FROM source_link ORDER BY source_key")
        pointing = await connection.fetch("SELECT target_id FROM asset_relation WHERE asset_id = $1", ids[0])
        texts = await connection.fetch("SELECT active, text FROM asset_findable ORDER BY active")
        await connection.execute("TRUNCATE asset, source_link, asset_relation, asset_findable")
    finally:
        await connection.close()
    first = json.loads(links[0]["told"])
    assert sorted(first.pop("relations")) == [["runs_on", "", str(ids[3])], ["stores", "cmdb", "S-1"]]
    assert first == {"body": "audit", "kind": "system", "name": "名", "facts": {"a": 1}, "declared": {}}
    assert [link["gone"] for link in links] == [False, False, True]
    assert {row["target_id"] for row in pointing} == {ids[1], ids[3]}
    assert [(row["active"], row["text"]) for row in texts] == [(False, "名\n"), (True, "名\n"), (True, "名\n")]


INSERTS = {
    "asset": "INSERT INTO asset VALUES ($1, 'audit', 1, now(), '{}')",
    "asset_revision": "INSERT INTO asset_revision VALUES ($1, 1, 'audit', now(), '{}', '{}')",
    "asset_findable": "INSERT INTO asset_findable VALUES ($1, 'audit', 'system', true, '名')",
    "merge_candidate": "INSERT INTO merge_candidate VALUES ($1, 'audit', 'mayor', $1, $1, 'cmdb', 'S', '[]', false, now(), 'proposed', 1)",
    "asset_merge": "INSERT INTO asset_merge VALUES ($1, 'audit', 'mayor', 'merged', $1, $1, '[]', NULL, 'officer', now(), NULL, 1)",
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
