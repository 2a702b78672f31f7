# SPDX-License-Identifier: Apache-2.0
"""Messages out, a batch per partition and a transaction per call (design §4)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

from aiokafka import AIOKafkaProducer, TopicPartition

from libs.bus.partitioner import NetworkPartitioner, partition_of
from libs.bus.records import Output
from libs.bus.settings import KafkaSettings
from libs.bus.waiting import within
from libs.contracts import network_of

MAX_REQUEST_BYTES: Final = 5 * 1024 * 1024
"""Above the largest record of the topic table, the dead letters' and the control topic's."""
TRANSACTION_TIMEOUT_MS: Final = 15_000
"""How long a transaction that a killed process left open may hold up its readers, where nobody takes the partition over."""
RETRY_BACKOFF_MS: Final = 3
START_PATIENCE: Final = 30.0
STOP_PATIENCE: Final = 3.0


class Offset(NamedTuple):
    """How far a consumer group has come in a partition: offset of the first record not yet handled."""

    group: str
    partition: TopicPartition
    next_offset: int


class UnsendableError(Exception):
    """A message that is none: its key, value or headers are not bytes."""


class TransactionalWriter:
    """A producer that alone holds its transactional id: starting it fences whoever held it before, and ends their transaction.

    After any error it is of no further use: stop it and start another.
    """

    def __init__(self, settings: KafkaSettings, transactional_id: str, *, send_bytes: int = 512 * 1024) -> None:
        self._producer = AIOKafkaProducer(
            **settings.client(),
            client_id=transactional_id,
            transactional_id=transactional_id,
            transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
            max_batch_size=send_bytes,
            max_request_size=MAX_REQUEST_BYTES,
            retry_backoff_ms=RETRY_BACKOFF_MS,
            partitioner=NetworkPartitioner(),
        )
        self._partitions: dict[str, int] = {}

    async def start(self) -> None:
        """Returns when all transactions of earlier holders of the id have ended."""
        await self._producer.start()

    async def stop(self) -> None:
        """Close the connections, also where the broker does not answer."""
        if not await within(self._producer.stop(), STOP_PATIENCE):
            await within(self._producer.client.close(), STOP_PATIENCE)

    async def write(
        self,
        outputs: Iterable[Output],
        *,
        pinned: Mapping[str, int] | None = None,
        beside: Iterable[Output] = (),
        offset: Offset | None = None,
        then: Callable[[Mapping[TopicPartition, int]], Iterable[Output]] | None = None,
    ) -> None:
        """Write all of it and the offset, or nothing. Raises ProducerFenced, or what aiokafka raises.

        `pinned` names the partition for topics where it does not follow from the key; what is `beside` goes where its key says, after
        the outputs. `then` gives more to write, from the offset of the last of the outputs in each partition.
        """
        batches = await self._pack(outputs, pinned or {})
        others = await self._pack(beside, {})
        async with asyncio.timeout(TRANSACTION_TIMEOUT_MS / 1000):
            await self._producer.begin_transaction()
            if offset is not None:
                await self._send_offset(offset)
            last = await self._sent(batches)
            await self._sent(others)
            if then is not None:
                await self._sent(await self._pack(then(last), pinned or {}))
            await self._producer.commit_transaction()

    async def partitions(self, topic: str) -> int:
        """How many partitions a topic has."""
        if topic not in self._partitions:
            self._partitions[topic] = len(await self._producer.partitions_for(topic))
        return self._partitions[topic]

    async def _pack(self, outputs: Iterable[Output], pinned: Mapping[str, int]) -> Mapping[TopicPartition, list[Any]]:
        """Batches for each partition, in order. The only work here that is done for each message."""
        batches: dict[TopicPartition, list[Any]] = {}
        of_network: dict[tuple[str, bytes], list[Any]] = {}
        now = int(time.time() * 1000)
        for topic, key, value, headers in outputs:
            network = network_of(key)
            builders = of_network.get((topic, network))
            if builders is None:
                place = await self._place(topic, key, pinned)
                builders = of_network[topic, network] = batches.setdefault(place, [self._producer.create_batch()])
            try:
                if builders[-1].append(timestamp=now, key=key, value=value, headers=list(headers)) is None:
                    builders.append(self._producer.create_batch())
                    builders[-1].append(timestamp=now, key=key, value=value, headers=list(headers))
            except (TypeError, ValueError) as error:
                raise UnsendableError(topic) from error
        return batches

    async def _place(self, topic: str, key: bytes, pinned: Mapping[str, int]) -> TopicPartition:
        count = await self.partitions(topic)
        return TopicPartition(topic, pinned[topic] % count if topic in pinned else partition_of(key, count))

    async def _sent(self, batches: Mapping[TopicPartition, list[Any]]) -> dict[TopicPartition, int]:
        """All partitions at once; whatever fails, what is under way is waited for, so that no error is lost."""
        work = [self._send(place, builders) for place, builders in batches.items()]
        offsets: list[int] = []
        for result in await asyncio.gather(*work, return_exceptions=True):
            if isinstance(result, BaseException):
                raise result
            offsets.append(result)
        return dict(zip(batches, offsets, strict=True))

    async def _send(self, place: TopicPartition, builders: list[Any]) -> int:
        """`send_batch` returns when the batch before it in the partition is on its way; all are awaited at the end."""
        deliveries: list[asyncio.Future[Any]] = []
        try:
            for builder in builders:
                delivery = await self._producer.send_batch(builder, place.topic, partition=place.partition)
                deliveries.append(delivery)
        finally:
            delivered = await asyncio.gather(*deliveries, return_exceptions=True)
        offsets: list[int] = []
        for one in delivered:
            if isinstance(one, BaseException):
                raise one
            offsets.append(one.offset)
        count: int = builders[-1].record_count()
        return offsets[-1] + count - 1

    async def _send_offset(self, offset: Offset) -> None:
        """To be sent before the batches.

        A new transaction's first request meets the one before it being closed still, and is tried again: this one after
        `retry_backoff_ms`, the one that batches begin with after a fixed 20 ms. And while this one is being written, the broker
        refuses batches (as NotEnoughReplicas, to clients of aiokafka's age).
        """
        await self._producer.send_offsets_to_transaction({offset.partition: offset.next_offset}, offset.group)
