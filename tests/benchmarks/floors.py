# SPDX-License-Identifier: Apache-2.0
"""The floors: the bare libraries, written as plainly and as fast as they allow, with none of our code."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import asyncpg
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

BATCH_BYTES = 512 * 1024


class Message(NamedTuple):
    key: bytes
    value: bytes
    headers: Sequence[tuple[str, bytes]] = ()


async def fill(client: Mapping[str, Any], topic: str, messages: Sequence[Message]) -> None:
    """Write the messages to partition 0 with `send_batch`."""
    producer = AIOKafkaProducer(**client, enable_idempotence=True, max_batch_size=BATCH_BYTES)
    await producer.start()
    try:
        await asyncio.gather(*await _send(producer, topic, messages))
    finally:
        await producer.stop()


async def pass_through(
    client: Mapping[str, Any], source: str, target: str, count: int, group: str, most: int = 2000
) -> float:
    """Read partition 0 → transaction with `send_batch` and the offset → commit, the same bytes; returns messages a second."""
    partition = TopicPartition(source, 0)
    consumer = AIOKafkaConsumer(
        **client,
        group_id=group,
        enable_auto_commit=False,
        isolation_level="read_committed",
        max_partition_fetch_bytes=4 * 2**20,
    )
    producer = AIOKafkaProducer(**client, transactional_id=group, max_batch_size=BATCH_BYTES, retry_backoff_ms=20)
    await consumer.start()
    await producer.start()
    try:
        consumer.assign([partition])
        await consumer.seek_to_beginning(partition)
        done = 0
        start = time.perf_counter()
        while done < count:
            records = (await consumer.getmany(partition, timeout_ms=1000, max_records=most)).get(partition, [])
            if not records:
                continue
            async with producer.transaction():
                await _send(producer, target, [Message(record.key, record.value, record.headers) for record in records])
                await producer.send_offsets_to_transaction({partition: records[-1].offset + 1}, group)
            done += len(records)
        return done / (time.perf_counter() - start)
    finally:
        await consumer.stop()
        await producer.stop()


async def copy_batches(
    connection: asyncpg.Connection, tables: Mapping[str, tuple[Sequence[str], Sequence[Sequence[Any]]]], batch: int
) -> float:
    """COPY the rows of each table, `batch` at a time, all tables in one transaction a batch; returns rows of the first a second."""
    first = next(iter(tables))
    count = len(tables[first][1])
    start = time.perf_counter()
    for begin in range(0, count, batch):
        async with connection.transaction():
            for name, (columns, rows) in tables.items():
                await connection.copy_records_to_table(name, records=rows[begin : begin + batch], columns=columns)
    return count / (time.perf_counter() - start)


async def _send(producer: AIOKafkaProducer, topic: str, messages: Sequence[Message]) -> list[asyncio.Future[Any]]:
    sent = []
    batch = producer.create_batch()
    for key, value, headers in messages:
        if batch.append(key=key, value=value, timestamp=None, headers=headers) is None:
            sent.append(await producer.send_batch(batch, topic, partition=0))
            batch = producer.create_batch()
            batch.append(key=key, value=value, timestamp=None, headers=headers)
    sent.append(await producer.send_batch(batch, topic, partition=0))
    return sent
