# SPDX-License-Identifier: Apache-2.0
"""What a live stream of changes waits for its events: sent, and looked for, by a process of its own, as a neighbour would."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from itertools import count as numbers
from multiprocessing import get_context
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
from statistics import quantiles
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from libs.contracts import Asset, DeclaredLevels
from libs.contracts.topics import ASSETS, CLASSIFICATIONS
from tests.benchmarks.content import changed, message_of
from tests.benchmarks.floors import Message

RATE = 200
"""Changes a second."""
_PATIENCE = 60.0


class Delay(NamedTuple):
    """When a change was due to be sent (seconds of the epoch), and after how many seconds its event was there."""

    due: float
    seconds: float


class Stream:
    """Changes that go on from `begun` until it is asked for their delays."""

    def __init__(self, client: Mapping[str, Any], assets: Sequence[Asset]) -> None:
        context = get_context("spawn")
        self._begun, self._end = context.Event(), context.Event()
        self._found: Queue[list[Delay]] = context.Queue()
        given = (dict(client), assets, self._begun, self._end, self._found)
        self._process = context.Process(target=_stream, args=given)
        self._process.start()

    async def begun(self) -> None:
        await asyncio.to_thread(self._begun.wait, _PATIENCE)

    async def delays(self) -> list[Delay]:
        """End it; returns those of all that was sent."""
        self._end.set()
        found = await asyncio.to_thread(self._found.get, timeout=_PATIENCE)
        await asyncio.to_thread(self._process.join)
        return found


def p99(delays: Sequence[Delay]) -> float:
    """In milliseconds."""
    return round(quantiles([one.seconds for one in delays], n=100, method="inclusive")[-1] * 1000, 1)


def _stream(
    client: Mapping[str, Any], assets: Sequence[Asset], begun: Event, end: Event, found: Queue[list[Delay]]
) -> None:
    found.put(asyncio.run(_delays(client, assets, begun, end)))


async def _delays(client: Mapping[str, Any], assets: Sequence[Asset], begun: Event, end: Event) -> list[Delay]:
    """Each change tells another declared level of its asset than the one before, so that each has an event of its own, unless two are taken
    together: there must be more assets than changes at any one time under way, and another stream has others. Revisions are seconds of the epoch.
    """
    due: dict[bytes, float] = {}
    place = TopicPartition(CLASSIFICATIONS.name, 0)
    async with (
        AIOKafkaConsumer(**client, isolation_level="read_committed") as consumer,
        AIOKafkaProducer(**client) as producer,
    ):
        consumer.assign([place])
        await consumer.seek_to_end(place)
        begun.set()
        async with asyncio.TaskGroup() as group:
            sending = group.create_task(_send(producer, assets, end, due))
            arriving = group.create_task(_arrivals(consumer, due, sending))
    return arriving.result()


async def _send(producer: AIOKafkaProducer, assets: Sequence[Asset], end: Event, due: dict[bytes, float]) -> None:
    begun = time.time()
    for number in numbers():
        moment = begun + number / RATE
        await asyncio.sleep(max(0.0, moment - time.time()))
        if end.is_set():
            return
        name = b"00-%032x-%016x-01" % (number + 1, int(begun))
        due[name] = moment
        message = _change(assets[number % len(assets)], number // len(assets), int(begun), name.decode())
        await producer.send(ASSETS.name, message.value, message.key, partition=0, headers=list(message.headers))


def _change(asset: Asset, again: int, revision: int, traceparent: str) -> Message:
    declared = DeclaredLevels(availability="2" if again % 2 else "1")
    event = changed(asset.model_copy(update={"declared": declared}), revision + again)
    return message_of(event.model_copy(update={"traceparent": traceparent}))


async def _arrivals(consumer: AIOKafkaConsumer, due: Mapping[bytes, float], sending: asyncio.Task[None]) -> list[Delay]:
    """In the order of their sending; raises TimeoutError where one does not come."""
    found: dict[bytes, Delay] = {}
    last = time.time()
    while not sending.done() or len(found) < len(due):
        if time.time() - last > _PATIENCE:
            raise TimeoutError(f"{len(due) - len(found)} of {len(due)} changes have no event")
        for records in (await consumer.getmany(timeout_ms=50)).values():
            now = time.time()
            for record in records:
                name = dict(record.headers).get("ce_traceparent", b"")
                if name in due and name not in found:
                    found[name] = Delay(due[name], now - due[name])
                    last = now
    return [found[name] for name in due]
