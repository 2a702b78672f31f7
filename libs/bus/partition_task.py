# SPDX-License-Identifier: Apache-2.0
"""Kafka to Kafka, exactly once: one task, and one transactional id, for each input partition (design §4).

aiokafka does not fence by the group's generation (aio-libs/aiokafka#844). A newcomer first takes the transactional id over, which
fences the old owner and ends its transaction, and only then reads the committed offset: no commit of the old owner is missed.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack

import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import MessageSizeTooLargeError

from libs.bus.consuming import stop_consumer
from libs.bus.deadletters import OutOfOrder, ParkedKeys, PartitionDeadLetters, parked_in_log
from libs.bus.decoding import failed
from libs.bus.failures import describe
from libs.bus.handlers import HandlerFactory, PartitionHandler
from libs.bus.partition_log import KafkaPartitionLog, open_log
from libs.bus.producing import START_PATIENCE, Offset, TransactionalWriter, UnsendableError
from libs.bus.records import ConsumerRecord, Output
from libs.bus.subscription import Subscription, TaskState
from libs.bus.task import STOP_PATIENCE, Again, Task
from libs.bus.waiting import uninterrupted
from libs.contracts.topics import DEADLETTERS

_log = structlog.get_logger(__name__)


class PartitionTask(Task):
    """Runs a handler over one partition. Whatever fails, it begins again at the committed offset with a handler made anew."""

    def __init__(self, subscription: Subscription, partition: int, make_handler: HandlerFactory) -> None:
        super().__init__(subscription, partition)
        self._make_handler = make_handler
        self._careful_until = 0
        self._failed: dict[int, Exception] = {}

    @property
    def transactional_id(self) -> str:
        return f"{self.subscription.group}-{self.source.topic}-{self.source.partition}"

    async def _live(self) -> None:
        limits = self.subscription.limits
        async with AsyncExitStack() as stack:
            writer = TransactionalWriter(
                self.subscription.settings, self.transactional_id, send_bytes=limits.send_bytes
            )
            stack.push_async_callback(writer.stop)
            async with asyncio.timeout(START_PATIENCE):
                await writer.start()
            parked: ParkedKeys = {}
            handler, committed = await self._restored(writer, parked)
            reader = await self._consumer()
            stack.push_async_callback(stop_consumer, reader)
            reader.assign([self.source])
            reader.seek(self.source, committed)
            self._enter(TaskState.RUNNING)
            while True:
                await self._tell(writer, handler.due())
                await self._step(writer, reader, handler, parked)

    async def _restored(self, writer: TransactionalWriter, parked: ParkedKeys) -> tuple[PartitionHandler, int]:
        self._enter(TaskState.RESTORING)
        group = self.subscription.group
        async with open_log(self.subscription.settings, self.transactional_id, group=group) as opened:
            committed: int = await opened.meter.committed(self.source) or 0
            log = KafkaPartitionLog(opened, self.source, committed)
            letters = log.read(DEADLETTERS.name, partition=await self._letters_partition(writer))
            parked.update(await parked_in_log(letters, group, self.source, committed))
            self._gauges.parked.set(len(parked))
            handler = self._make_handler(self.source.partition)
            missing = await handler.restore(log)
        await self._tell(writer, missing)
        return handler, committed

    async def _tell(self, writer: TransactionalWriter, outputs: Sequence[Output]) -> None:
        """Write what no record has caused."""
        if outputs:
            await uninterrupted(writer.write(outputs), STOP_PATIENCE)
            self._count(outputs)

    async def _letters_partition(self, writer: TransactionalWriter) -> int:
        count = await writer.partitions(DEADLETTERS.name)
        letters_partition: int = self.source.partition % count
        return letters_partition

    async def _step(
        self, writer: TransactionalWriter, reader: AIOKafkaConsumer, handler: PartitionHandler, parked: ParkedKeys
    ) -> None:
        careful = await reader.position(self.source) < self._careful_until
        limit = 1 if careful else self.subscription.limits.max_records
        records = await self._poll(reader, limit, busy=handler.pending)
        if not records:
            return
        began = time.perf_counter()
        letters = PartitionDeadLetters(self.subscription, parked)
        try:
            outputs = self._handled(handler, records, letters)
            self.guard.check(len(records), letters)
            outputs += letters.outputs()
            offset = Offset(self.subscription.group, self.source, await reader.position(self.source))
            pinned = {DEADLETTERS.name: self.source.partition}
            await uninterrupted(writer.write(outputs, pinned=pinned, offset=offset), STOP_PATIENCE)
        except _HandlerError as error:
            self._suspect(records, error.cause)
            raise Again from error
        except (UnsendableError, MessageSizeTooLargeError) as error:
            self._suspect(records, error)
            raise Again from error
        self._count(outputs)
        self._failed.clear()
        self._committed(began, len(records), parked, letters)
        await self._measure(reader)

    def _handled(
        self, handler: PartitionHandler, records: Sequence[ConsumerRecord], letters: PartitionDeadLetters
    ) -> list[Output]:
        if error := self._failed.get(records[0].offset):
            letters.reject(records[0], failed(error))
            return []
        outputs: list[Output] = []
        try:
            for piece in letters.admit(records):
                outputs += handler.handle(piece, letters)
        except (Exception, OutOfOrder) as error:
            raise _HandlerError(error) from error
        return outputs

    def _suspect(self, records: Sequence[ConsumerRecord], error: Exception) -> None:
        """Handle these one by one next; the one that fails alone is put aside."""
        _log.error("handling failed", records=len(records), **describe(error), **self._where())
        self._careful_until = max(self._careful_until, records[-1].offset + 1)
        if len(records) == 1:
            self._failed[records[0].offset] = error

    def _count(self, outputs: Iterable[Output]) -> None:
        for topic, count in Counter(output.topic for output in outputs).items():
            self._gauges.produced.labels(self.subscription.group, topic).inc(count)


class _HandlerError(Exception):
    def __init__(self, cause: Exception) -> None:
        super().__init__(type(cause).__name__)
        self.cause = cause
