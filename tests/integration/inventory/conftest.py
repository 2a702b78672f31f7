# SPDX-License-Identifier: Apache-2.0
"""The inventory's database and topics, emptied for each module, and what the tests of its rooms share."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import asyncpg
import pytest
import yaml
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import UnknownTopicOrPartitionError
from pydantic import SecretStr
from pydantic_core import from_json

from libs.bus import KafkaSettings, PartitionDeadLetters, Subscription
from libs.bus.consuming import partitions_of
from libs.bus.deadletters import Letter
from libs.contracts import Profile, make_key
from libs.contracts.topics import DEADLETTERS, FEED
from libs.devstack import Stack
from libs.observability import Metrics
from libs.persistence import Pool, PoolConnection, PostgresSettings, Sessions, create_pool, owner_of, provision, upgrade
from libs.security import Identity, InvalidTokenError
from services.inventory.dead_letters.projector import PROJECTION
from services.inventory.worker import FeedWriter
from tests.integration.service import account

ROOT = Path(__file__).parents[3]
NOW = datetime(2026, 4, 1, 0, 0, tzinfo=UTC)
Look = Callable[..., Awaitable[list[dict[str, Any]]]]
TABLES = (
    "asset, asset_revision, asset_relation, asset_findable, source_link, match_key, merge_candidate, asset_merge, outbox, parked_key, "
    "consumer_offset, dead_letter, feed_outcomes, idempotent_answer, netbox_pull, "
    "feed_snapshot, snapshot_mention, snapshot_missing, feed_heard, feed_finding, act_request, disposal, attachment"
)


@pytest.fixture(scope="session")
def profile() -> Profile:
    return Profile.model_validate(yaml.safe_load((ROOT / "samples/city/profile.yaml").read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
async def owner_dsn(stack: Stack) -> str:
    """A migrated, empty database, past what other modules have written to the feed and put aside; the DSN is the owner's."""
    owner = owner_of("inventory")
    passwords = stack.postgres_password(owner), stack.postgres_password("inventory")
    await provision(stack.postgres_dsn("postgres", "postgres"), "inventory", *passwords)
    dsn = stack.postgres_dsn(owner, "inventory")
    await upgrade("services.inventory", dsn)
    await emptied(dsn)
    connection = await asyncpg.connect(dsn)
    try:
        places = [
            (consumer, topic, partition, end)
            for consumer, topic in (("inventory", FEED.name), (PROJECTION, DEADLETTERS.name))
            for partition, end in (await ends_of(stack, topic)).items()
        ]
        await connection.executemany("INSERT INTO consumer_offset VALUES ($1, $2, $3, $4)", places)
    finally:
        await connection.close()
    return dsn


async def emptied(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(f"TRUNCATE {TABLES}")
    finally:
        await connection.close()


async def ends_of(stack: Stack, topic: str) -> dict[int, int]:
    """Where each partition of a topic ends; nothing while there is no topic."""
    async with AIOKafkaConsumer(**account(stack, "admin").client()) as consumer:
        try:
            places = [TopicPartition(topic, number) for number in await partitions_of(consumer, topic)]
        except UnknownTopicOrPartitionError:
            return {}
        return {place.partition: end for place, end in (await consumer.end_offsets(places)).items()}


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


@dataclass
class Worker:
    """The worker's batch write as its consumer calls it, in one transaction; `letters` are those of the last batch."""

    pool: Pool
    profile: Profile
    writer: FeedWriter
    letters: list[Letter] = field(default_factory=list)
    _offsets: Iterator[int] = field(default_factory=lambda: count(1))

    def record(self, item: Mapping[str, Any], key: bytes | None = None, **event: Any) -> SimpleNamespace:
        """An item as it stands on the feed topic; it needs a body and a source key."""
        whole = {"feed": "cmdb", "source_version": 1, **item}
        network = self.profile.network_of(whole["body"])
        envelope = {
            "specversion": "1.0",
            "id": f"{whole['source_key']}@{whole['source_version']}",
            "source": f"urn:daicho:990019:{whole['body']}:{whole['feed']}",
            "type": "daicho.feed.item.v1",
            "subject": whole["source_key"],
            "time": "2026-04-01T09:00:00+09:00",
            "data": whole,
            **event,
        }
        key = make_key(network, whole["body"], whole["feed"], whole["source_key"]) if key is None else key
        value = json.dumps(envelope, ensure_ascii=False).encode()
        return SimpleNamespace(
            topic=FEED.name, partition=0, offset=next(self._offsets), timestamp=0, key=key, value=value, headers=()
        )

    def mark(
        self, step: str, session: str = "s1", network: str = "mayor", feed: str = "cmdb", **more: Any
    ) -> SimpleNamespace:
        """A mark as it stands there."""
        data = {"feed": feed, "network": network, "session": session, "step": step, **more}
        envelope = {
            "specversion": "1.0",
            "id": f"{session}-{step}",
            "source": f"urn:daicho:990019:-:{feed}",
            "type": "daicho.feed.snapshot.v1",
            "subject": session,
            "time": "2026-04-01T09:00:00+09:00",
            "data": data,
        }
        return SimpleNamespace(
            topic=FEED.name,
            partition=0,
            offset=next(self._offsets),
            timestamp=0,
            key=make_key(network, "-", feed, session),
            value=json.dumps(envelope).encode(),
            headers=(),
        )

    async def apply(self, *items: Mapping[str, Any] | SimpleNamespace) -> None:
        records = [self.record(item) if isinstance(item, Mapping) else item for item in items]
        async with self.pool.acquire() as connection, connection.transaction():
            await self.apply_in(connection, records)

    async def apply_in(self, connection: PoolConnection, records: Sequence[Any]) -> None:
        subscription = Subscription(
            settings=KafkaSettings(bootstrap="none"),
            group="inventory",
            topic=FEED.name,
            service="inventory",
            municipality=self.profile.municipality,
            instance="test",
            metrics=Metrics(),
        )
        letters = PartitionDeadLetters(subscription, {})
        await self.writer.apply(connection, records, letters)
        self.letters = letters.letters


@pytest.fixture
async def worker(pool: Pool, profile: Profile, owner_dsn: str) -> Worker:
    """Over an empty register."""
    await emptied(owner_dsn)
    return Worker(pool, profile, FeedWriter(profile, lambda: NOW, Metrics()))


@pytest.fixture
async def look(stack: Stack) -> AsyncIterator[Look]:
    """A query past row-level security, as a list of dictionaries."""
    connection = await asyncpg.connect(stack.postgres_dsn("postgres", "inventory"))
    await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=json.dumps, decoder=from_json)

    async def fetched(query: str, *arguments: object) -> list[dict[str, Any]]:
        return [dict(row) for row in await connection.fetch(query, *arguments)]

    yield fetched
    await connection.close()


class Tokens:
    """A caller's name is its token."""

    def __init__(self, callers: Mapping[str, Identity]) -> None:
        self._callers = callers

    async def verify(self, token: str) -> Identity:
        if token not in self._callers:
            raise InvalidTokenError("token_forged")
        return self._callers[token]
