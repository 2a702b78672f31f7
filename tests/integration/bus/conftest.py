# SPDX-License-Identifier: Apache-2.0
"""Topics of one's own on the shared Kafka, a database with the tables every service has, and readers and senders by plain aiokafka."""

from __future__ import annotations

import asyncio
import itertools
import tempfile
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from pydantic import SecretStr
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateTable

from libs.bus import KafkaSettings, Limits, NetworkPartitioner, PartitionDeadLetters, Subscription, apply_topics
from libs.bus.records import Output
from libs.contracts.topics import TOPICS, Topic
from libs.devstack import Stack, devstack
from libs.observability import Metrics
from libs.persistence import (
    OffsetsTable,
    OutboxTable,
    ParkedKeyTable,
    Pool,
    PostgresSettings,
    create_pool,
    dsn_for,
    model_base,
    owner_of,
    provision,
)

PARTITIONS = 2
SERVICE = "bustest"


def settings_for(stack: Stack, account: str) -> KafkaSettings:
    user, password = stack.kafka_account(account)
    return KafkaSettings(bootstrap=stack.kafka_bootstrap, username=user, password=SecretStr(password))


async def eventually(holds: Callable[[], Any], within: float = 20) -> None:
    """Wait until something, looked at again and again, is so."""
    async with asyncio.timeout(within):
        while not holds():
            await asyncio.sleep(0.01)


@asynccontextmanager
async def running(*runnables: Any) -> AsyncIterator[list[asyncio.Task[None]]]:
    """Run workers or tasks as long as the block lasts; their errors are the block's."""
    tasks = [asyncio.create_task(one.run()) for one in runnables]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task


@dataclass
class Bus:
    """The administrator's view of the bus."""

    settings: KafkaSettings
    names: Any = field(default_factory=itertools.count)

    def subscription(self, topic: str, **changes: Any) -> Subscription:
        chosen = {
            "settings": self.settings,
            "group": f"test-{uuid.uuid4().hex[:8]}",
            "topic": topic,
            "service": "test",
            "municipality": "990019",
            "instance": "one",
            "metrics": Metrics(),
            "limits": Limits(max_records=50),
        }
        return Subscription(**(chosen | changes))

    async def topic(self, *, partitions: int = PARTITIONS) -> str:
        name = f"test.{next(self.names)}.{uuid.uuid4().hex[:8]}"
        topic = Topic(name=name, key="", messages=(), writers=frozenset(), readers=frozenset())
        await apply_topics(self.settings, [topic], partitions=partitions)
        return name

    async def send(self, outputs: Sequence[Output], partition: int | None = None) -> None:
        producer = AIOKafkaProducer(
            **self.settings.client(), partitioner=NetworkPartitioner(), max_request_size=5 * 2**20, linger_ms=5
        )
        async with producer:
            sent = [
                await producer.send(one.topic, one.value, one.key, partition=partition, headers=list(one.headers))
                for one in outputs
            ]
            await asyncio.gather(*sent)

    async def read(self, topic: str, isolation: str = "read_committed") -> list[ConsumerRecord]:
        """Everything in a topic now, partition by partition."""
        consumer = AIOKafkaConsumer(
            **self.settings.client(),
            isolation_level=isolation,
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=4 * 2**20,
        )
        records: list[ConsumerRecord] = []
        async with consumer:
            await consumer.beginning_offsets([TopicPartition(topic, 0)])
            places = [TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic) or ())]
            consumer.assign(places)
            for place, end in (await consumer.end_offsets(places)).items():
                await consumer.seek_to_beginning(place)
                while await consumer.position(place) < end:
                    found = await consumer.getmany(place, timeout_ms=20)
                    records += found.get(place, [])
        return records

    async def committed(self, subscription: Subscription, partition: int) -> int | None:
        consumer = AIOKafkaConsumer(**self.settings.client(), group_id=subscription.group, enable_auto_commit=False)
        async with consumer:
            offset: int | None = await consumer.committed(TopicPartition(subscription.topic, partition))
        return offset


@pytest.fixture(scope="package")
def stack() -> Iterator[Stack]:
    """A stack of its own: these tests write what no service could read to the topics that services read."""
    with tempfile.TemporaryDirectory(prefix="daicho-") as data, devstack(Path(data)) as running:
        yield running


@pytest.fixture(scope="module")
async def bus(stack: Stack) -> Bus:
    settings = settings_for(stack, "admin")
    await apply_topics(settings, TOPICS)
    return Bus(settings)


@pytest.fixture(scope="package")
def dsn(stack: Stack) -> str:
    """Of the run-time role of a database that has the bus's tables, and one of items."""

    async def make() -> str:
        admin = stack.postgres_dsn("postgres", "postgres")
        owner, runtime = stack.postgres_password(owner_of(SERVICE)), stack.postgres_password(SERVICE)
        await provision(admin, SERVICE, owner, runtime)
        connection = await asyncpg.connect(dsn_for(admin, owner_of(SERVICE), owner, SERVICE))
        try:
            for statement in _tables():
                await connection.execute(statement)
        finally:
            await connection.close()
        return dsn_for(admin, SERVICE, runtime, SERVICE)

    return asyncio.run(make())


def _tables() -> list[str]:
    base = model_base()

    class Offsets(OffsetsTable, base, table=True):  # type: ignore[misc, valid-type]
        pass

    class Outbox(OutboxTable, base, table=True):  # type: ignore[misc, valid-type]
        pass

    class ParkedKey(ParkedKeyTable, base, table=True):  # type: ignore[misc, valid-type]
        pass

    tables = (Offsets.__table__, Outbox.__table__, ParkedKey.__table__)
    statements = [str(CreateTable(table).compile(dialect=postgresql.dialect())) for table in tables]
    return [*statements, "CREATE TABLE item (n bigserial, topic text, record_offset bigint, content text)"]


@pytest.fixture
async def pool(dsn: str) -> AsyncIterator[Pool]:
    pool = await create_pool(PostgresSettings(dsn=SecretStr(dsn)))
    async with pool:
        await pool.execute("DELETE FROM outbox")
        yield pool


class Copier:
    """A handler that passes every record on to another topic; its state is the values that it has passed on."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.seen: list[bytes] = []
        self.fail_on: Callable[[bytes], bool] = lambda _: False

    async def restore(self, log: Any) -> list[Output]:
        async for records in log.read(self.target):
            self.seen += [record.value for record in records]
        return []

    pending = False

    def due(self) -> list[Output]:
        return []

    def handle(self, records: Sequence[ConsumerRecord], dead_letters: PartitionDeadLetters) -> list[Output]:
        outputs = []
        for record in records:
            self.seen.append(record.value)
            if self.fail_on(record.value):
                raise ZeroDivisionError("the value is " + record.value.decode())
            outputs.append(Output(self.target, record.key, record.value))
        return outputs


@pytest.fixture
def make_copier() -> type[Copier]:
    return Copier


@pytest.fixture
def run_all() -> Any:
    return running


@pytest.fixture
def wait_until() -> Any:
    return eventually


@pytest.fixture
def account(stack: Stack) -> Callable[[str], KafkaSettings]:
    return lambda name: settings_for(stack, name)
