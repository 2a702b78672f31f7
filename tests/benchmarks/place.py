# SPDX-License-Identifier: Apache-2.0
"""Where a scenario runs: a Kafka and a PostgreSQL of its own, with one partition a topic."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import NamedTuple

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from pydantic import SecretStr

from libs.bus import KafkaSettings, Subscription, TaskState, apply_topics
from libs.bus.task import Task
from libs.contracts.topics import TOPICS, Topic
from libs.devstack import Stack
from libs.observability import Metrics

_LOOK = 0.005


class Place:
    """A stack with the topics of the topic table."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.admin = self.account("admin")

    def account(self, name: str) -> KafkaSettings:
        """The settings of a client that signs in as one of the stack's accounts."""
        username, password = self.stack.kafka_account(name)
        return KafkaSettings(bootstrap=self.stack.kafka_bootstrap, username=username, password=SecretStr(password))

    async def make_topics(self, topics: Sequence[Topic] = TOPICS) -> None:
        await apply_topics(self.admin, topics, partitions=1)

    async def empty(self, topics: Sequence[Topic]) -> None:
        """Delete topics and make them anew: the broker deletes in its own time."""
        admin = AdminClient(self.admin.admin())
        present = await asyncio.to_thread(lambda: admin.list_topics(timeout=30).topics)
        gone = [topic.name for topic in topics if topic.name in present]
        for future in (admin.delete_topics(gone) if gone else {}).values():
            await asyncio.to_thread(future.result)
        async with asyncio.timeout(30):
            while not await self._made(topics):
                await asyncio.sleep(0.1)

    async def _made(self, topics: Sequence[Topic]) -> bool:
        with suppress(KafkaException):
            await self.make_topics(topics)
            return True
        return False

    def subscription(self, service: str, group: str, topic: Topic, municipality: str) -> Subscription:
        """As the service makes it, with its own account and the default limits; `group` must begin with the service's name."""
        return Subscription(
            settings=self.account(service),
            group=group,
            topic=topic.name,
            service=service,
            municipality=municipality,
            instance="bench",
            metrics=Metrics(),
        )


def like(topic: Topic, name: str) -> Topic:
    """A topic with the same settings under another name."""
    return replace(topic, name=name)


class Seconds(NamedTuple):
    """What a task took to restore its state and connect, and from then to commit what it was given."""

    to_restore: float
    to_work: float


async def seconds_of(task: Task, count: int, patience: float = 300.0) -> Seconds:
    """Run a task until it has committed what is below offset `count`."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    async with asyncio.timeout(patience), working(task, count) as work:
        return Seconds(work.restored - begun, loop.time() - work.restored)


class Work:
    """A task that runs; `restored` is the loop's time at which its state was."""

    def __init__(self, task: Task) -> None:
        self.restored = 0.0
        self.running = asyncio.create_task(task.run())

    async def until(self, reached: Callable[[], bool]) -> None:
        """Raises RuntimeError where the task ends before."""
        while not reached():
            if self.running.done():
                raise RuntimeError("the task has ended before its work has")
            await asyncio.sleep(_LOOK)


@asynccontextmanager
async def working(task: Task, count: int) -> AsyncIterator[Work]:
    """A task that has committed what is below offset `count`, and goes on."""
    work = Work(task)
    try:
        await work.until(lambda: task.status.state is TaskState.RUNNING)
        work.restored = asyncio.get_running_loop().time()
        await work.until(lambda: (task.status.position or 0) >= count)
        yield work
    finally:
        work.running.cancel()
        await asyncio.wait({work.running})
