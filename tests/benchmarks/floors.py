# SPDX-License-Identifier: Apache-2.0
"""The floors: the bare libraries, written as plainly and as fast as they allow, with none of our code. All return seconds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple

import asyncpg
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

BATCH_BYTES = 512 * 1024


class Message(NamedTuple):
    key: bytes
    value: bytes
    headers: Sequence[tuple[str, bytes]] = ()


class Rows(NamedTuple):
    """What a table holds, for COPY."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]


Written = Mapping[str, Sequence[Message]]
"""By topic."""

Sent = list[asyncio.Future[Any]]
Send = Callable[[AIOKafkaProducer, str, Sequence[Message]], Awaitable[Sent]]


async def fill(client: Mapping[str, Any], topic: str, messages: Sequence[Message]) -> None:
    """Write the messages to partition 0 with `send_batch`."""
    producer = AIOKafkaProducer(**client, enable_idempotence=True, max_batch_size=BATCH_BYTES)
    await producer.start()
    try:
        await asyncio.gather(*await _send(producer, topic, messages))
    finally:
        await producer.stop()


async def read_all(client: Mapping[str, Any], topic: str) -> list[Message]:
    """What partition 0 holds now, of what is committed.

    A commit is answered before its markers are written: until then a reader of what is committed takes the topic for shorter.
    """
    place = TopicPartition(topic, 0)
    messages: list[Message] = []
    reading = {"enable_auto_commit": False, "isolation_level": "read_committed", "auto_offset_reset": "earliest"}
    async with AIOKafkaConsumer(**client) as meter, AIOKafkaConsumer(**client, **reading) as consumer:
        consumer.assign([place])
        end = (await meter.end_offsets([place]))[place]
        while await consumer.position(place) < end:
            records = (await consumer.getmany(place, timeout_ms=50)).get(place, [])
            messages += [Message(record.key, record.value, record.headers) for record in records]
    return messages


async def read_through(client: Mapping[str, Any], topics: Sequence[str]) -> float:
    """Read partition 0 of each topic to its end, one after the other, and keep nothing."""
    start = time.perf_counter()
    reading = {"enable_auto_commit": False, "isolation_level": "read_committed", "max_partition_fetch_bytes": 4 * 2**20}
    for topic in topics:
        place = TopicPartition(topic, 0)
        async with AIOKafkaConsumer(**client) as meter, AIOKafkaConsumer(**client, **reading) as consumer:
            consumer.assign([place])
            consumer.seek(place, 0)
            end = (await meter.end_offsets([place]))[place]
            while await consumer.position(place) < end:
                await consumer.getmany(place, timeout_ms=50)
    return time.perf_counter() - start


async def pass_through(client: Mapping[str, Any], source: str, target: str, count: int, group: str) -> float:
    """Read partition 0 → transaction with `send_batch` and the offset → commit, the same bytes."""

    def same(records: Sequence[Any], _: int) -> Written:
        return {target: [Message(record.key, record.value, record.headers) for record in records]}

    return await _transactions(client, source, same, count, group, _send)


async def write_out(
    client: Mapping[str, Any], source: str, written: Written, count: int, group: str, *, one_by_one: bool = False
) -> float:
    """As `pass_through`, but writing given messages, as large a part of them as what was read is of `count`.

    `one_by_one` hands each to `AIOKafkaProducer.send`, as most programs do, and not whole batches to `send_batch`.
    """

    def part(records: Sequence[Any], done: int) -> Written:
        return {
            topic: messages[len(messages) * done // count : len(messages) * (done + len(records)) // count]
            for topic, messages in written.items()
        }

    return await _transactions(client, source, part, count, group, _send_each if one_by_one else _send)


async def _transactions(
    client: Mapping[str, Any],
    source: str,
    outputs: Callable[[Sequence[Any], int], Written],
    count: int,
    group: str,
    send: Send,
    most: int = 2000,
) -> float:
    partition = TopicPartition(source, 0)
    consumer = AIOKafkaConsumer(
        **client,
        group_id=group,
        enable_auto_commit=False,
        isolation_level="read_committed",
        max_partition_fetch_bytes=4 * 2**20,
    )
    producer = AIOKafkaProducer(**client, transactional_id=group, max_batch_size=BATCH_BYTES, retry_backoff_ms=3)
    await consumer.start()
    await producer.start()
    try:
        consumer.assign([partition])
        consumer.seek(partition, 0)
        done = 0
        start = time.perf_counter()
        while done < count:
            records = (await consumer.getmany(partition, timeout_ms=1000, max_records=most)).get(partition, [])
            if not records:
                continue
            await producer.begin_transaction()
            # before the batches: see libs.bus.producing for what it costs behind them
            await producer.send_offsets_to_transaction({partition: records[-1].offset + 1}, group)
            for topic, messages in outputs(records, done).items():
                await send(producer, topic, messages)
            await producer.commit_transaction()
            done += len(records)
        return time.perf_counter() - start
    finally:
        await consumer.stop()
        await producer.stop()


async def copy_batches(
    connection: asyncpg.Connection[Any], tables: Mapping[str, Rows], schema: str, batch: int
) -> float:
    """COPY the rows of each table, `batch` at a time, all tables in one transaction a batch."""
    most = max(len(table.rows) for table in tables.values())
    start = time.perf_counter()
    for begin in range(0, most, batch):
        async with connection.transaction():
            for name, table in tables.items():
                if rows := table.rows[begin : begin + batch]:
                    await connection.copy_records_to_table(
                        name, schema_name=schema, records=rows, columns=table.columns
                    )
    return time.perf_counter() - start


async def _send_each(producer: AIOKafkaProducer, topic: str, messages: Sequence[Message]) -> Sent:
    return [
        await producer.send(topic, value, key, partition=0, headers=list(headers)) for key, value, headers in messages
    ]


async def _send(producer: AIOKafkaProducer, topic: str, messages: Sequence[Message]) -> Sent:
    sent: Sent = []
    if not messages:
        return sent
    now = int(time.time() * 1000)
    batch = producer.create_batch()
    for key, value, headers in messages:
        if batch.append(key=key, value=value, timestamp=now, headers=list(headers)) is None:
            sent.append(await producer.send_batch(batch, topic, partition=0))
            batch = producer.create_batch()
            batch.append(key=key, value=value, timestamp=now, headers=list(headers))
    sent.append(await producer.send_batch(batch, topic, partition=0))
    return sent
