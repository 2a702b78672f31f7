# SPDX-License-Identifier: Apache-2.0
"""Migrations run once, by the owner, and agree with the models."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from libs.devstack import Stack
from libs.persistence import SchemaDriftError, assert_no_drift, downgrade, owner_of, provision, upgrade

SERVICE = "migrations_test"
PACKAGE = "register_service"


@pytest.fixture
async def owner(stack: Stack) -> AsyncIterator[str]:
    """A freshly provisioned, empty database."""
    admin = stack.postgres_dsn("postgres", "postgres")
    passwords = stack.postgres_password(owner_of(SERVICE)), stack.postgres_password(SERVICE)
    await provision(admin, SERVICE, *passwords)
    yield stack.postgres_dsn(owner_of(SERVICE), SERVICE)
    connection = await asyncpg.connect(admin)
    await connection.execute(f'DROP DATABASE "{SERVICE}" WITH (FORCE)')
    await connection.close()


async def run(dsn: str, statement: str) -> Any:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


async def test_upgrade_makes_what_the_models_say_also_twice_and_at_once(owner: str) -> None:
    from register_service.store import Base

    await asyncio.gather(upgrade(PACKAGE, owner), upgrade(PACKAGE, owner))
    await upgrade(PACKAGE, owner)
    assert await run(owner, "SELECT version_num FROM alembic_version") == "0001"
    await assert_no_drift(Base.metadata, owner)


async def test_downgrade_takes_it_all_away(owner: str) -> None:
    await upgrade(PACKAGE, owner)
    await downgrade(PACKAGE, owner)
    tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version'"
    assert await run(owner, tables) == 0
    await upgrade(PACKAGE, owner)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("ALTER TABLE register ADD COLUMN extra text", "extra"),
        ("ALTER TABLE register ALTER COLUMN name DROP NOT NULL", "name"),
        ("ALTER TABLE consumer_offset ALTER COLUMN next_offset TYPE integer", "next_offset"),
        ("ALTER TABLE outbox ALTER COLUMN created_at DROP DEFAULT", "created_at"),
        ("DROP TABLE parked_key", "parked_key"),
        ("DROP INDEX ix_register_body", "ix_register_body"),
        ("ALTER TABLE register DISABLE ROW LEVEL SECURITY", "row-level security: register"),
        ("ALTER TABLE register NO FORCE ROW LEVEL SECURITY", "row-level security: register"),
        ("DROP POLICY body_scope ON register", "row-level security: register"),
        ("CREATE POLICY open ON register USING (true)", "row-level security: register"),
        ("ALTER POLICY body_scope ON register USING (true)", "row-level security: register"),
        ("ALTER POLICY body_scope ON register WITH CHECK (true)", "row-level security: register"),
    ],
)
async def test_drift_is_found(owner: str, change: str, told: str) -> None:
    from register_service.store import Base

    await upgrade(PACKAGE, owner)
    await run(owner, change)
    with pytest.raises(SchemaDriftError, match=told):
        await assert_no_drift(Base.metadata, owner)


async def test_the_runtime_role_cannot_migrate(stack: Stack, owner: str) -> None:
    await upgrade(PACKAGE, owner)
    runtime = stack.postgres_dsn(SERVICE, SERVICE)
    assert await run(runtime, "SELECT version_num FROM alembic_version") == "0001"
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await run(runtime, "DELETE FROM alembic_version")
