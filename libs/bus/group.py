# SPDX-License-Identifier: Apache-2.0
"""A process's membership in a consumer group: which partitions are its own, and a task for each.

The group only assigns. Each task reads with a consumer of its own, so that one slow partition holds up no other, and is safe by itself
against an owner who does not know yet that it has lost the partition; so a task whose partition stays lives on through a rebalance.
Membership is static (KIP-345): a process that was killed and is started again has its partitions back at once.
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Final

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaError

from libs.bus.consuming import start_consumer, stop_consumer
from libs.bus.deadletters import CapGuard
from libs.bus.failures import describe
from libs.bus.resuming import Resumed
from libs.bus.subscription import Subscription, TaskState, TaskStatus
from libs.bus.task import STOP_PATIENCE, Task
from libs.observability import ProbeResult

SESSION_TIMEOUT_MS: Final = 10_000
"""How long the partitions of a process that has died, and is not started again, wait for another."""
_HEARTBEAT_MS: Final = 1_000
_NEVER_MS: Final = 2**31 - 1
_LOOK_MS: Final = 250
_REJOIN_AFTER: Final = 1.0
_REVIVE_AFTER: Final = 1.0
_COMMIT_EVERY: Final = 5.0

_log = structlog.get_logger(__name__)


class GroupWorker(ABC):
    """Runs a task for each partition that the group gives this process; `run` lasts until cancelled."""

    commits_offsets = False
    """Whether offsets go to Kafka too, for those who watch lag there; what counts is kept elsewhere."""

    def __init__(self, subscription: Subscription) -> None:
        self.subscription = subscription
        self._running: dict[int, _Running] = {}
        self._joined = False

    @abstractmethod
    def _make_task(self, partition: int) -> Task: ...

    async def run(self) -> None:
        """Join, work, and join again after an error. Cancel it to stop: batches under way are then committed first."""
        try:
            while True:
                try:
                    await self._serve()
                except KafkaError as error:
                    _log.warning("membership lost", consumer=self.subscription.group, **describe(error))
                self._joined = False
                await asyncio.sleep(_REJOIN_AFTER)
        finally:
            await self._stop(list(self._running))

    def statuses(self) -> Mapping[int, TaskStatus]:
        """How the task of each partition of this process is."""
        return {partition: running.task.status for partition, running in sorted(self._running.items())}

    def is_behind(self) -> bool:
        """Whether what was written may not be handled yet, by more than a batch: here, for what other processes have is theirs to say."""
        most, statuses = self.subscription.limits.max_records, self.statuses().values()
        return not self._joined or any(one.state is not TaskState.RUNNING or one.lag > most for one in statuses)

    @property
    def name(self) -> str:
        """The probe's name."""
        return self.subscription.group

    async def check(self) -> ProbeResult:
        """This is its own `Probe`: well when the group has assigned, and every task runs."""
        statuses = self.statuses().values()
        measures = {f"lag {one.topic}-{one.partition}": float(one.lag) for one in statuses}
        if not self._joined:
            return ProbeResult(ok=False, code="joining", measures=measures)
        ill = next((one for one in statuses if one.state is not TaskState.RUNNING), None)
        return ProbeResult(ok=ill is None, code=(ill.reason or ill.state) if ill else None, measures=measures)

    async def _serve(self) -> None:
        consumer = await start_consumer(
            self.subscription.settings,
            f"{self.subscription.group}-{self.subscription.instance}",
            isolation_level="read_uncommitted",
            group_id=self.subscription.group,
            group_instance_id=self.subscription.instance,
            session_timeout_ms=SESSION_TIMEOUT_MS,
            heartbeat_interval_ms=_HEARTBEAT_MS,
            max_poll_interval_ms=_NEVER_MS,
        )
        try:
            consumer.subscribe([self.subscription.topic], listener=_Assignments(self, consumer))
            committed_at = time.monotonic()
            while True:
                # everything is paused: this only brings errors of the membership to light
                await consumer.getmany(timeout_ms=_LOOK_MS)
                await self._revive()
                if self.commits_offsets and time.monotonic() - committed_at >= _COMMIT_EVERY:
                    await self._commit(consumer)
                    committed_at = time.monotonic()
        finally:
            await stop_consumer(consumer)

    async def assign(self, partitions: set[int]) -> None:
        """Stop the tasks of partitions that are gone, then start those of new ones."""
        await self._stop([partition for partition in self._running if partition not in partitions])
        for partition in sorted(partitions - self._running.keys()):
            self._start(partition)
        self._joined = True

    def _start(self, partition: int, *, resumed: bool = False) -> None:
        task = self._make_task(partition)
        if resumed:
            task.guard = CapGuard(self.subscription.caps, resumed=True)
        name = f"{self.subscription.group}-{self.subscription.topic}-{partition}"
        self._running[partition] = _Running(task, asyncio.create_task(task.run(), name=name))

    async def _stop(self, partitions: Iterable[int]) -> None:
        ending = [work for partition in partitions for work in self._running.pop(partition).works()]
        for work in ending:
            work.cancel()
        if ending:
            await asyncio.wait(ending, timeout=2 * STOP_PATIENCE)

    async def _revive(self) -> None:
        """Start again what was fenced although the partition is still ours, or ended by a fault of ours; at a cap, once a person says so."""
        for partition, running in list(self._running.items()):
            if not running.work.done():
                continue
            with suppress(asyncio.CancelledError):
                if isinstance(error := running.work.exception(), Exception):
                    _log.error("task ended by an error", consumer=self.subscription.group, **describe(error))
            if running.task.status.state is TaskState.STOPPED:
                if running.is_resumed(self.subscription):
                    self._start(partition, resumed=True)
                continue
            if running.ended is None:
                running.ended = time.monotonic()
            elif time.monotonic() - running.ended >= _REVIVE_AFTER:
                self._start(partition)

    async def _commit(self, consumer: AIOKafkaConsumer) -> None:
        topic = self.subscription.topic
        offsets = {
            TopicPartition(topic, partition): status.position
            for partition, status in self.statuses().items()
            if status.position is not None and TopicPartition(topic, partition) in consumer.assignment()
        }
        if offsets:
            with suppress(KafkaError):
                await consumer.commit(offsets)


class _Running:
    def __init__(self, task: Task, work: asyncio.Task[None]) -> None:
        self.task = task
        self.work = work
        self.ended: float | None = None
        self._resumption: asyncio.Task[None] | None = None

    def works(self) -> Iterator[asyncio.Task[None]]:
        """All that runs for the partition."""
        yield self.work
        if self._resumption is not None:
            yield self._resumption

    def is_resumed(self, subscription: Subscription) -> bool:
        """Whether a person has let the stopped task go on; listens from the first call on."""
        if self._resumption is None:
            self._resumption = asyncio.create_task(Resumed(subscription, self.task.source).run())
        return self._resumption.done()


class _Assignments(ConsumerRebalanceListener):  # type: ignore[misc]
    """What is revoked is most often given back at once: tasks stop only when the new assignment is known."""

    def __init__(self, worker: GroupWorker, consumer: AIOKafkaConsumer) -> None:
        self._worker = worker
        self._consumer = consumer

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        return

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        self._consumer.pause(*assigned)
        await self._worker.assign({place.partition for place in assigned})
