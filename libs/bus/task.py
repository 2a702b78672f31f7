# SPDX-License-Identifier: Apache-2.0
"""The life of the task that owns one partition: it begins again after an error, and ends only when fenced, stopped or cancelled."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from typing import Any, Final

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import ProducerFenced

from libs.bus.consuming import start_consumer
from libs.bus.deadletters import CapExceeded, CapGuard, ParkedKeys, PartitionDeadLetters
from libs.bus.failures import backoff, code_of, describe
from libs.bus.records import ConsumerRecord
from libs.bus.subscription import Subscription, TaskState, TaskStatus
from libs.bus.waiting import Pace
from libs.observability import metrics

POLL_MS: Final = 1000
GLANCE_MS: Final = 3
"""Without any wait at all, aiokafka would never get to fetching: it does so while others wait."""
SILENCE_MS: Final = 10_000
"""A broker answers a fetch within half a second, with records or without; so long without an answer, it is away."""
STOP_PATIENCE: Final = 5.0
"""Seconds for a commit that is under way when its task is cancelled."""

_log = structlog.get_logger(__name__)


class Fenced(Exception):  # noqa: N818 - a state that ends a task
    """Another task owns the partition by now."""


class Again(Exception):  # noqa: N818 - not an error
    """Begin the task's life again at once: what it holds in memory is not to be trusted."""


class Task(ABC):
    """Owns one partition for as long as `run` lasts; `status` tells how it is."""

    def __init__(self, subscription: Subscription, partition: int) -> None:
        self.subscription = subscription
        self.source = TopicPartition(subscription.topic, partition)
        self.status = TaskStatus(subscription.topic, partition)
        self.guard = CapGuard(subscription.caps)
        self._gauges = _Gauges(subscription, partition)
        self._pace = Pace(subscription.limits.pause_seconds)
        self._failures = 0
        self._entered = 0.0

    async def run(self) -> None:
        """Returns when the task is fenced, or stopped by a cap. Cancel it to end it: a commit under way is then finished first."""
        try:
            while await self._survived():
                pass
        finally:
            self._gauges.running.set(0)

    @abstractmethod
    async def _live(self) -> None:
        """From taking the partition over to the first error; never returns."""

    async def _survived(self) -> bool:
        try:
            self._enter(TaskState.STARTING)
            await self._live()
        except Again:
            pass
        except (Fenced, ProducerFenced):
            self._end(TaskState.FENCED, "fenced")
            return False
        except CapExceeded as cap:
            self._end(TaskState.STOPPED, cap.code)
            return False
        except Exception as error:
            self._enter(TaskState.RETRYING, code_of(error))
            _log.warning("task begins again", reason=self.status.reason, **describe(error), **self._where())
            await asyncio.sleep(backoff(self._failures))
            self._failures += 1
        return True

    def _enter(self, state: TaskState, reason: str | None = None) -> None:
        self.status.state = state
        self._entered = time.time()
        self.status.reason = reason
        self._gauges.running.set(state is TaskState.RUNNING)

    def _end(self, state: TaskState, reason: str) -> None:
        self._enter(state, reason)
        self._gauges.stops.labels(self.subscription.group, reason).inc()
        _log.log(30 if state is TaskState.FENCED else 40, "task ended", reason=reason, **self._where())

    def _where(self) -> dict[str, Any]:
        return {"consumer": self.subscription.group, "topic": self.source.topic, "partition": self.source.partition}

    async def _consumer(self, **options: Any) -> AIOKafkaConsumer:
        limits = self.subscription.limits
        name = f"{self.subscription.group}-{self.source.topic}-{self.source.partition}"
        return await start_consumer(self.subscription.settings, name, fetch_bytes=limits.fetch_bytes, **options)

    async def _poll(self, consumer: AIOKafkaConsumer, limit: int, *, busy: bool = False) -> list[ConsumerRecord]:
        """The next records, as soon as there is one; none after a second without, or a glance where the task is `busy` with other work.

        Once it has caught up, the consumer fetches nothing until the pause is over: what it fetched at once would be the first record to
        come, and the others would wait for the batch after.
        """
        if not busy:
            await self._pace.rest()
        consumer.resume(self.source)
        found = await consumer.getmany(self.source, timeout_ms=GLANCE_MS if busy else POLL_MS, max_records=limit)
        records: list[ConsumerRecord] = found.get(self.source, [])
        if (
            records
            and not busy
            and await consumer.position(self.source) >= (consumer.last_stable_offset(self.source) or 0)
        ):
            self._pace.begun()
            consumer.pause(self.source)
        if not records:
            await self._measure(consumer)
            self._listen(consumer)
        return records

    async def _measure(self, consumer: AIOKafkaConsumer, at: int | None = None) -> None:
        """Where the task stands: `at` where the consumer has read further."""
        self.status.position = await consumer.position(self.source) if at is None else at
        self.status.lag = max(0, (consumer.highwater(self.source) or 0) - self.status.position)
        self._gauges.lag.set(self.status.lag)

    def _listen(self, consumer: AIOKafkaConsumer) -> None:
        """Whether the broker still answers: aiokafka itself tries again for ever, in silence."""
        answered = consumer.last_poll_timestamp(self.source) or self._entered * 1000
        if time.time() * 1000 - answered > SILENCE_MS:
            self._enter(TaskState.RETRYING, "broker")
        elif self.status.state is not TaskState.RUNNING:
            self._enter(TaskState.RUNNING)

    def _committed(self, began: float, records: int, parked: ParkedKeys, letters: PartitionDeadLetters) -> None:
        """A batch is committed: carry over what it changed, and count it."""
        letters.settle(parked)
        self.guard.add(records, letters)
        self._failures = 0
        self._gauges.consumed.inc(records)
        self._gauges.seconds.observe(time.perf_counter() - began)
        if letters.letters or letters.changes:
            self._gauges.parked.set(len(parked))
            for letter in letters.letters:
                self._gauges.letters.labels(self.subscription.group, letter.rejected.reason).inc()


class _Gauges:
    """The metrics of one task, looked up once."""

    def __init__(self, subscription: Subscription, partition: int) -> None:
        table, group, topic = subscription.metrics, subscription.group, subscription.topic
        place = (group, topic, str(partition))
        self.consumed = table.counter(metrics.CONSUMED).labels(group, topic)
        self.produced = table.counter(metrics.PRODUCED)
        self.seconds = table.histogram(metrics.BATCH_SECONDS).labels(group)
        self.lag = table.gauge(metrics.LAG).labels(*place)
        self.parked = table.gauge(metrics.PARKED_KEYS).labels(*place)
        self.running = table.gauge(metrics.TASK_RUNNING).labels(*place)
        self.letters = table.counter(metrics.DEAD_LETTERS)
        self.stops = table.counter(metrics.TASK_STOPS)
