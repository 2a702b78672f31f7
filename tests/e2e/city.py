# SPDX-License-Identifier: Apache-2.0
"""Whole instances, driven from outside: what a city would have running."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import httpx
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from pydantic import SecretStr

from cli.instance import Instance
from libs.bus import KafkaSettings, NetworkPartitioner
from libs.bus.consuming import partitions_of as numbers_of
from libs.contracts.topics import ASSETS, CLASSIFICATIONS, DEADLETTERS, FEED, OBLIGATIONS

PROFILE = Path("samples/city/profile.yaml")
OUTPUTS = tuple(topic.name for topic in (ASSETS, CLASSIFICATIONS, OBLIGATIONS, DEADLETTERS))
SETTLED_WITHIN = 240.0


def account(instance: Instance, name: str) -> KafkaSettings:
    """What signs in as one of the stack's accounts."""
    username, password = instance.stack.kafka_account(name)
    return KafkaSettings(bootstrap=instance.stack.kafka_bootstrap, username=username, password=SecretStr(password))


def client(instance: Instance, name: str) -> dict[str, Any]:
    """aiokafka's arguments for one of the stack's accounts."""
    return account(instance, name).client()


@dataclass
class City:
    """An instance, and what a test asks of it."""

    instance: Instance

    @asynccontextmanager
    async def feed(self) -> AsyncIterator[AIOKafkaProducer]:
        """A CMDB that writes to the bus itself."""
        producer = AIOKafkaProducer(
            **client(self.instance, "feed"), partitioner=NetworkPartitioner(), enable_idempotence=True
        )
        await producer.start()
        try:
            yield producer
        finally:
            await producer.stop()

    async def read(self, *topics: str, isolation: str = "read_committed") -> list[ConsumerRecord]:
        """Every record of the topics up to their ends, in the order of each partition."""
        consumer = AIOKafkaConsumer(
            **client(self.instance, "admin"),
            isolation_level=isolation,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=50,
        )
        await consumer.start()
        try:
            partitions = await partitions_of(consumer, topics)
            consumer.assign(partitions)
            ends = await consumer.end_offsets(partitions)
            await consumer.seek_to_beginning(*partitions)
            records: list[ConsumerRecord] = []
            waiting = {partition for partition in partitions if ends[partition] > 0}
            while waiting:
                for batch in (await consumer.getmany(*waiting, timeout_ms=200)).values():
                    records += batch
                waiting = {partition for partition in waiting if await consumer.position(partition) < ends[partition]}
            return records
        finally:
            await consumer.stop()

    async def rows(self, database: str, query: str) -> list[Mapping[str, Any]]:
        """What the database holds, seen past row-level security."""
        connection = await asyncpg.connect(self.instance.stack.postgres_dsn("postgres", database))
        try:
            return [dict(row) for row in await connection.fetch(query)]
        finally:
            await connection.close()

    async def size(self, topic: str) -> int:
        """How many offsets of a topic are taken: its records, and what ends each transaction."""
        return sum((await self._ends((topic,))).values())

    async def settle(self, within: float = SETTLED_WITHIN) -> None:
        """Return when every change sent so far has gone all the way.

        The feed is consumed to its end and the outbox is empty; then every service is ready without lag, and no topic grows any more.
        """
        async with asyncio.timeout(within), httpx.AsyncClient(timeout=5) as http:
            while not await self._feed_is_consumed():
                await asyncio.sleep(0.2)
            calm, ends = 0, {}
            while calm < 3:
                before, ends = ends, await self._ends(OUTPUTS)
                calm = calm + 1 if ends == before and _is_calm(await self._readiness(http)) else 0
                await asyncio.sleep(1.1)

    async def _feed_is_consumed(self) -> bool:
        ends = {place.partition: end for place, end in (await self._ends((FEED.name,))).items() if end}
        rows = await self.rows(
            "inventory", "SELECT partition, next_offset FROM consumer_offset WHERE consumer = 'inventory'"
        )
        waiting = await self.rows("inventory", "SELECT count(*) AS rows FROM outbox")
        consumed = {row["partition"]: row["next_offset"] for row in rows if row["next_offset"]}
        return consumed == ends and waiting[0]["rows"] == 0

    async def _ends(self, topics: Sequence[str]) -> dict[TopicPartition, int]:
        async with AIOKafkaConsumer(**client(self.instance, "admin"), isolation_level="read_committed") as consumer:
            return await consumer.end_offsets(await partitions_of(consumer, topics))

    async def _readiness(self, http: httpx.AsyncClient) -> dict[str, Any]:
        addresses = {
            name: self.instance.addresses[name] for name in self.instance.running.processes if name != "issuer"
        }
        answers: dict[str, Any] = {}
        for name, address in addresses.items():
            try:
                answers[name] = (await http.get(f"{address}/health/ready")).json()
            except httpx.TransportError as error:
                answers[name] = {"status": str(error), "probes": []}
        return answers


def _is_calm(readiness: Mapping[str, Any]) -> bool:
    measures = [
        (name, value)
        for answer in readiness.values()
        for probe in answer["probes"]
        for name, value in probe["measures"].items()
    ]
    waiting = [value for name, value in measures if name.startswith(("lag", "oldest", "rows"))]
    return all(answer["status"] == "ready" for answer in readiness.values()) and not any(waiting)


async def partitions_of(consumer: AIOKafkaConsumer, topics: Sequence[str]) -> list[TopicPartition]:
    return [TopicPartition(topic, number) for topic in topics for number in await numbers_of(consumer, topic)]


def digest(value: bytes | None) -> str:
    return hashlib.sha256(value or b"").hexdigest()


def document(record: ConsumerRecord) -> dict[str, Any]:
    return json.loads(record.value)


def last_by_key(records: Sequence[ConsumerRecord]) -> dict[bytes, dict[str, Any]]:
    return {record.key: document(record) for record in records}
