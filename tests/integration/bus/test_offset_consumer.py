# SPDX-License-Identifier: Apache-2.0
"""Kafka to PostgreSQL on real servers: what a batch says and how far it came are one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import asyncpg
import pytest
from aiokafka import ConsumerRecord

from libs.bus import (
    Caps,
    Limits,
    OffsetConsumer,
    OutboxRelay,
    Output,
    PartitionDeadLetters,
    Rejected,
    TaskState,
    partition_of,
)
from libs.bus.handlers import Apply
from libs.bus.offset_task import OffsetTask
from libs.contracts import DeadLettered, Reason
from libs.contracts.topics import DEADLETTERS

KEY = b"mayor/mayor/a"
PARTITION = partition_of(KEY, 2)


def numbered(topic: str, count: int, start: int = 0, keys: int = 1000) -> list[Output]:
    return [Output(topic, b"mayor/mayor/%d" % (n % keys), b"%d" % n) for n in range(start, start + count)]


async def write(connection: Any, records: Sequence[ConsumerRecord], dead_letters: PartitionDeadLetters) -> None:
    """Writes each record's text; `bad…` is rejected, and PostgreSQL refuses NUL."""

    def read(record: ConsumerRecord) -> str:
        text = (record.value or b"").decode()
        if text.startswith("bad"):
            raise Rejected(Reason.SCHEMA, "data", "bad")
        return text

    rows = [(record.topic, record.offset, text) for record, text in dead_letters.sift(records, read)]
    await connection.executemany("INSERT INTO item (topic, record_offset, content) VALUES ($1, $2, $3)", rows)


async def items(pool: Any, topic: str) -> list[str]:
    rows = await pool.fetch("SELECT content FROM item WHERE topic = $1 ORDER BY n", topic)
    return [row["content"] for row in rows]


async def letters(pool: Any, consumer: str) -> list[tuple[int, Reason]]:
    rows = await pool.fetch("SELECT value FROM outbox WHERE topic = $1 ORDER BY id", DEADLETTERS.name)
    events = [DeadLettered.model_validate_json(row["value"]) for row in rows]
    return [(one.data.offset, one.data.reason) for one in events if one.data.consumer == consumer]


async def test_every_record_is_written_once_though_the_task_is_cut_off_again_and_again(
    bus: Any, pool: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = await bus.topic()
    subscription = bus.subscription(source, limits=Limits(max_records=10))
    await bus.send(numbered(source, 2000))
    lives, batches, cut = 0, 0, asyncio.Event()

    async def written(connection: Any, records: Sequence[ConsumerRecord], dead_letters: PartitionDeadLetters) -> None:
        nonlocal batches
        batches += 1
        if batches % 20 == 0:
            cut.set()
        await write(connection, records, dead_letters)

    while len(await items(pool, source)) < 2000:
        monkeypatch.setattr("libs.bus.offset_task.STOP_PATIENCE", lives % 2)
        cut.clear()
        work = asyncio.create_task(OffsetTask(subscription, PARTITION, pool, written).run())
        with suppress(TimeoutError):
            await asyncio.wait_for(cut.wait(), 2)
        # before, in and after the transaction of the batch
        await asyncio.sleep(0.002 * (lives % 4))
        work.cancel()
        await asyncio.wait({work})
        lives += 1

    assert await items(pool, source) == [str(n) for n in range(2000)]
    assert lives > 2


async def test_a_batch_is_prepared_while_the_one_before_is_written_and_written_after_it(
    bus: Any, pool: Any, run_all: Any, wait_until: Any
) -> None:
    source = await bus.topic()
    subscription = bus.subscription(source, limits=Limits(max_records=10))
    prepared: list[int] = []

    async def prepare(records: Sequence[ConsumerRecord]) -> Apply:
        first = records[0].offset
        prepared.append(first)

        async def prepared_write(
            connection: Any, records: Sequence[ConsumerRecord], dead_letters: PartitionDeadLetters
        ) -> None:
            assert records[0].offset == first
            if first < 20:
                await wait_until(lambda: first + 10 in prepared)
                assert task.status.position in (None, first)
            await write(connection, records, dead_letters)

        return prepared_write

    await bus.send(numbered(source, 30))
    task = OffsetTask(subscription, PARTITION, pool, write, prepare)
    async with run_all(task):
        await wait_until(lambda: task.status.position == 30)

    assert await items(pool, source) == [str(n) for n in range(30)]
    assert prepared == [0, 10, 20]


async def test_a_batch_that_cannot_be_prepared_or_written_takes_no_other_with_it(
    bus: Any, pool: Any, run_all: Any, wait_until: Any
) -> None:
    source = await bus.topic()
    subscription = bus.subscription(source, limits=Limits(max_records=10))

    async def faulty(connection: Any, records: Sequence[ConsumerRecord], dead_letters: PartitionDeadLetters) -> None:
        await write(connection, records, dead_letters)
        if any(record.value == b"3" for record in records):
            raise KeyError("no such thing")

    async def prepare(records: Sequence[ConsumerRecord]) -> Apply:
        if any(record.value == b"14" for record in records):
            raise KeyError("no such thing")
        return faulty

    await bus.send(numbered(source, 30))
    task = OffsetTask(subscription, PARTITION, pool, faulty, prepare)
    async with run_all(task):
        await wait_until(lambda: task.status.position == 30)

    assert await items(pool, source) == [str(n) for n in range(30) if n != 3]
    assert await letters(pool, subscription.group) == [(3, Reason.FAILED)]


async def test_who_is_not_the_owner_is_fenced_by_the_stored_offset(
    bus: Any, pool: Any, run_all: Any, wait_until: Any
) -> None:
    source = await bus.topic()
    subscription = bus.subscription(source)
    zombie = OffsetTask(subscription, PARTITION, pool, write)
    owner = OffsetTask(subscription, PARTITION, pool, write)
    await bus.send(numbered(source, 5))
    async with run_all(zombie) as (zombie_work,):
        await wait_until(lambda: zombie.status.position == 5)
        await pool.execute(
            "UPDATE consumer_offset SET next_offset = 3 WHERE consumer = $1", subscription.group
        )  # as if another owner had gone elsewhere
        await bus.send(numbered(source, 5, start=5))
        await wait_until(zombie_work.done)
        assert zombie.status.state is TaskState.FENCED
        assert await items(pool, source) == [str(n) for n in range(5)]
        async with run_all(owner):
            await wait_until(lambda: owner.status.position == 10)

    assert await items(pool, source) == [*map(str, range(5)), *map(str, range(3, 10))]


async def test_a_batch_that_fails_is_halved_until_the_bad_record_is_alone(
    bus: Any, pool: Any, run_all: Any, wait_until: Any
) -> None:
    source = await bus.topic()
    subscription = bus.subscription(source)
    values = [b"%d" % n for n in range(40)]
    values[7], values[31] = b"a\x00b", b"c\x00d"
    await bus.send([Output(source, b"mayor/mayor/%d" % (n % 20), value) for n, value in enumerate(values)])
    task = OffsetTask(subscription, PARTITION, pool, write)
    async with run_all(task):
        await wait_until(lambda: task.status.position == 40)

    # 27 has the key of 7; 31 fails for itself
    aside = {7: Reason.FAILED, 27: Reason.KEY_PARKED, 31: Reason.FAILED}
    assert await items(pool, source) == [str(n) for n in range(40) if n not in aside]
    assert sorted(await letters(pool, subscription.group)) == sorted(aside.items())


async def test_a_fault_of_the_program_puts_aside_no_more_than_its_record(
    bus: Any, pool: Any, run_all: Any, wait_until: Any
) -> None:
    source = await bus.topic()
    subscription = bus.subscription(source)

    async def faulty(connection: Any, records: Sequence[ConsumerRecord], dead_letters: PartitionDeadLetters) -> None:
        await write(connection, records, dead_letters)
        if any(record.value == b"3" for record in records):
            raise KeyError("no such thing")

    await bus.send(numbered(source, 10))
    task = OffsetTask(subscription, PARTITION, pool, faulty)
    async with run_all(task):
        await wait_until(lambda: task.status.position == 10)

    assert await items(pool, source) == [str(n) for n in range(10) if n != 3]
    assert await letters(pool, subscription.group) == [(3, Reason.FAILED)]


async def test_a_database_that_is_away_is_waited_for(bus: Any, pool: Any, run_all: Any, wait_until: Any) -> None:
    source = await bus.topic()
    subscription = bus.subscription(source)
    away = True

    async def failing(connection: Any, records: Sequence[ConsumerRecord], dead_letters: PartitionDeadLetters) -> None:
        await write(connection, records, dead_letters)
        if away:
            await connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    await bus.send(numbered(source, 10))
    consumer = OffsetConsumer(subscription, pool, failing)
    async with run_all(consumer):
        await wait_until(lambda: any(one.state is TaskState.RETRYING for one in consumer.statuses().values()))
        probe = await consumer.check()
        assert (probe.ok, probe.code) == (False, "database")
        away = False
        await wait_until(lambda: consumer.statuses()[PARTITION].position == 10)
        await wait_until(lambda: consumer.statuses()[PARTITION].state is TaskState.RUNNING)

    assert await items(pool, source) == [str(n) for n in range(10)]
    assert await letters(pool, subscription.group) == []


async def test_a_rejected_record_and_the_offset_are_one_transaction(
    bus: Any, pool: Any, run_all: Any, wait_until: Any
) -> None:
    source = await bus.topic()
    subscription = bus.subscription(source)
    a, b = b"mayor/mayor/a", b"mayor/mayor/b"
    await bus.send([Output(source, a, b"bad"), Output(source, b, b"1"), Output(source, a, b"2")])
    first = OffsetTask(subscription, PARTITION, pool, write)
    async with run_all(first):
        await wait_until(lambda: first.status.position == 3)
    await bus.send([Output(source, a, b"3"), Output(source, b, b"4")])
    second = OffsetTask(subscription, PARTITION, pool, write)
    async with run_all(second):
        await wait_until(lambda: second.status.position == 5)

    assert await items(pool, source) == ["1", "4"]
    assert await letters(pool, subscription.group) == [
        (0, Reason.SCHEMA),
        (2, Reason.KEY_PARKED),
        (3, Reason.KEY_PARKED),
    ]
    row = await pool.fetchrow("SELECT key, reason FROM parked_key WHERE consumer = $1", subscription.group)
    assert tuple(row) == (a, Reason.SCHEMA)


async def test_a_cap_stops_the_task_and_keeps_the_offset(bus: Any, pool: Any, run_all: Any, wait_until: Any) -> None:
    source = await bus.topic()
    subscription = bus.subscription(source, caps=Caps(max_invalid_ratio=0.5, window=20), limits=Limits(max_records=10))
    await bus.send([Output(source, b"", b"bad") for _ in range(40)], partition=PARTITION)
    consumer = OffsetConsumer(subscription, pool, write)
    async with run_all(consumer):
        await wait_until(lambda: any(one.state is TaskState.STOPPED for one in consumer.statuses().values()))
        assert (await consumer.check()).code == "invalid-ratio-cap"

    offset = await pool.fetchval(
        "SELECT next_offset FROM consumer_offset WHERE consumer = $1 AND partition = $2", subscription.group, PARTITION
    )
    assert offset == 10
    assert len(await letters(pool, subscription.group)) == 10


async def test_two_consumers_share_the_partitions(bus: Any, pool: Any, run_all: Any, wait_until: Any) -> None:
    source = await bus.topic()
    subscription = bus.subscription(source)
    one = OffsetConsumer(subscription, pool, write)
    two = OffsetConsumer(replace(subscription, instance="two"), pool, write)
    networks = [next(n for n in (b"n%d" % i for i in range(20)) if partition_of(n, 2) == p) for p in (0, 1)]
    async with run_all(one, two):
        await wait_until(lambda: len(one.statuses()) == 1 and len(two.statuses()) == 1)
        await bus.send([Output(source, network + b"/b/x", b"%d" % n) for n in range(50) for network in networks])
        statuses = [*one.statuses().values(), *two.statuses().values()]
        await wait_until(lambda: all(status.position == 50 for status in statuses))

    assert sorted(await items(pool, source), key=int) == [str(n) for n in range(50) for _ in networks]


async def test_the_dead_letters_reach_their_topic_by_the_outbox(
    bus: Any, pool: Any, run_all: Any, wait_until: Any
) -> None:
    source = await bus.topic()
    subscription = bus.subscription(source)
    await bus.send([Output(source, KEY, b"bad")])
    relay = OutboxRelay(pool, bus.settings, f"relay-{subscription.group}", subscription.metrics)
    task = OffsetTask(subscription, PARTITION, pool, write)
    async with run_all(task, relay):
        await wait_until(lambda: task.status.position == 1)
        async with asyncio.timeout(10):
            while await pool.fetchval("SELECT count(*) FROM outbox"):
                await asyncio.sleep(0.02)

    found = [
        DeadLettered.model_validate_json(record.value)
        for record in await bus.read(DEADLETTERS.name)
        if dict(record.headers)["ce_id"] == f"{subscription.group}:{source}:{PARTITION}:0".encode()
    ]
    assert [one.data.reason for one in found] == [Reason.SCHEMA]


def test_what_speaks_of_the_data_and_what_does_not() -> None:
    from libs.bus.offset_task import _is_of_data

    assert _is_of_data(asyncpg.UniqueViolationError("x"))
    assert _is_of_data(asyncpg.exceptions.DataError("x"))
    assert _is_of_data(ValueError("x"))
    assert not _is_of_data(asyncpg.DeadlockDetectedError("x"))
    assert not _is_of_data(asyncpg.UndefinedTableError("x"))
    assert not _is_of_data(asyncpg.InterfaceError("x"))
    assert not _is_of_data(ConnectionResetError())
    assert not _is_of_data(TimeoutError())
