# SPDX-License-Identifier: Apache-2.0
"""What arrives on the obligations topic: how much, for whom, and how long after the feed told of it."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from pydantic_core import from_json

from libs.bus.consuming import partitions_of
from libs.contracts.topics import OBLIGATIONS

_CALM: Final = 1.0
"""Seconds without an event after which what was sent has arrived."""


class ObligationWatch:
    """A plain downstream consumer: reads committed events from the start, and never an API.

    `imposed` and `lifted` count duties by body. `sent` takes, by trace id, when a change went out (`time.perf_counter`);
    the delay of a change ends where this consumer has its event in hand.
    """

    def __init__(self, client: Mapping[str, Any]) -> None:
        self.imposed: Counter[str] = Counter()
        self.lifted: Counter[str] = Counter()
        self.events = 0
        self.delays: list[float] = []
        self.last: dict[str, Any] = {}
        self._sent: dict[str, float] = {}
        self._consumer = AIOKafkaConsumer(
            **client, isolation_level="read_committed", auto_offset_reset="earliest", fetch_max_wait_ms=50
        )
        self._task: asyncio.Task[None] | None = None
        self._arrived = time.perf_counter()

    async def __aenter__(self) -> ObligationWatch:
        await self._consumer.start()
        partitions = await self._partitions()
        self._consumer.assign(partitions)
        await self._consumer.seek_to_beginning(*partitions)
        self._task = asyncio.create_task(self._watch())
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        await self._consumer.stop()

    def sent(self, traceparent: str, at: float) -> None:
        self._sent[_trace(traceparent)] = at

    async def calm(self) -> None:
        """Return when nothing has arrived for a second. Raises what ended the watch, if something has."""
        self._arrived = time.perf_counter()
        while time.perf_counter() - self._arrived < _CALM:
            if self._task is not None and self._task.done():
                self._task.result()
            await asyncio.sleep(0.1)

    async def _partitions(self) -> list[TopicPartition]:
        return [
            TopicPartition(OBLIGATIONS.name, number) for number in await partitions_of(self._consumer, OBLIGATIONS.name)
        ]

    async def _watch(self) -> None:
        async for record in self._consumer:
            self._arrived = time.perf_counter()
            self._take(from_json(record.value), self._arrived)

    def _take(self, event: dict[str, Any], arrived: float) -> None:
        change = event["data"]
        self.events += 1
        self.last = event
        self.imposed[event["body"]] += len(change["imposed"])
        self.lifted[event["body"]] += len(change["lifted"])
        if "traceparent" in event and (sent := self._sent.pop(_trace(event["traceparent"]), None)) is not None:
            self.delays.append(arrived - sent)


def percentile(values: Sequence[float], share: float) -> float | None:
    """The nearest-rank percentile; None of no values."""
    if not values:
        return None
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def _trace(traceparent: str) -> str:
    """W3C Trace Context: version, trace id, parent id, flags; the parent changes at each hop."""
    return traceparent.split("-")[1]
