# SPDX-License-Identifier: Apache-2.0
"""The inventory's database and topics, emptied for each module, and what the tests of its rooms share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
import yaml
from pydantic import SecretStr

from libs.contracts import Profile
from libs.devstack import Stack
from libs.persistence import Pool, PostgresSettings, Sessions, create_pool, owner_of, provision, upgrade

ROOT = Path(__file__).parents[3]
TABLES = "asset, asset_revision, source_link, outbox, parked_key, consumer_offset"


@pytest.fixture(scope="session")
def profile() -> Profile:
    return Profile.model_validate(yaml.safe_load((ROOT / "samples/city/profile.yaml").read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
async def owner_dsn(stack: Stack) -> str:
    """A migrated, empty database; the DSN is the owner's."""
    owner = owner_of("inventory")
    passwords = stack.postgres_password(owner), stack.postgres_password("inventory")
    await provision(stack.postgres_dsn("postgres", "postgres"), "inventory", *passwords)
    dsn = stack.postgres_dsn(owner, "inventory")
    await upgrade("services.inventory", dsn)
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(f"TRUNCATE {TABLES}")
    finally:
        await connection.close()
    return dsn


@pytest.fixture(scope="module")
def postgres(stack: Stack, owner_dsn: str) -> PostgresSettings:
    return PostgresSettings(dsn=SecretStr(stack.postgres_dsn("inventory", "inventory")), pool_size=8)


@pytest.fixture(scope="module")
async def pool(postgres: PostgresSettings) -> AsyncIterator[Pool]:
    async with await create_pool(postgres) as pool:
        yield pool


@pytest.fixture(scope="module")
async def sessions(postgres: PostgresSettings) -> AsyncIterator[Sessions]:
    sessions = Sessions(postgres)
    yield sessions
    await sessions.close()
