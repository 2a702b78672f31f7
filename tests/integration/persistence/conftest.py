# SPDX-License-Identifier: Apache-2.0
"""A provisioned and migrated database of a small service, and pools of its run-time role."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest
from pydantic import SecretStr

from libs.devstack import Stack
from libs.persistence import (
    Pool,
    PoolConnection,
    PostgresSettings,
    Sessions,
    create_pool,
    owner_of,
    provision,
    scoped,
    upgrade,
)

SERVICE = "register"


@dataclass(frozen=True)
class Database:
    """The DSNs of the three roles; the service's name needs quoting in SQL."""

    name: str
    admin: str
    owner: str
    runtime: str

    @property
    def settings(self) -> PostgresSettings:
        return PostgresSettings(dsn=SecretStr(self.runtime), pool_size=4, session_pool_size=2)


async def provisioned(stack: Stack, service: str) -> Database:
    owner = owner_of(service)
    admin = stack.postgres_dsn("postgres", "postgres")
    await provision(admin, service, stack.postgres_password(owner), stack.postgres_password(service))
    return Database(
        service,
        stack.postgres_dsn("postgres", service),
        stack.postgres_dsn(owner, service),
        stack.postgres_dsn(service, service),
    )


@pytest.fixture(scope="package", autouse=True)
def register_service() -> None:
    """Make the small service importable."""
    here = str(Path(__file__).parent)
    if here not in sys.path:
        sys.path.append(here)


@pytest.fixture(scope="module")
async def database(stack: Stack) -> Database:
    found = await provisioned(stack, "persistence-Test")
    await upgrade("register_service", found.owner)
    return found


@pytest.fixture(scope="module")
async def pool(database: Database) -> AsyncIterator[Pool]:
    async with await create_pool(database.settings) as pool:
        yield pool


@pytest.fixture(scope="module")
async def sessions(database: Database) -> AsyncIterator[Sessions]:
    sessions = Sessions(database.settings)
    yield sessions
    await sessions.close()


@pytest.fixture
async def connection(pool: Pool, database: Database) -> AsyncIterator[PoolConnection]:
    """A connection to tables that hold one asset of each of two bodies."""
    admin = await asyncpg.connect(database.admin)
    await admin.execute("TRUNCATE register, outbox, consumer_offset, parked_key")
    await admin.close()
    async with pool.acquire() as connection:
        for body in ("mayor", "fire"):
            async with scoped(connection, [body]):
                await connection.execute(
                    "INSERT INTO register VALUES ($1, $2, $3, $4)", f"{body}-1", body, f"asset of {body}", {"n": 1}
                )
        yield connection
