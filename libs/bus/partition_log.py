# SPDX-License-Identifier: Apache-2.0
"""Reading topics from their beginning to their present end, to rebuild a state."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition

from libs.bus.consuming import FETCH_BYTES, start_consumer, stop_consumer
from libs.bus.records import ConsumerRecord
from libs.bus.settings import KafkaSettings

_WAIT_MS: Final = 10
"""For a fetch at the end of a topic, which holds up the next topic's on the same connection, and for news of a topic's leader."""
_GAP_MS: Final = 20
"""A fetch that brings only transaction markers wakes nobody: look again soon."""


class LogReader:
    """Two consumers: `reader` sees what is committed, `meter` the true ends of topics, and a group's offsets."""

    def __init__(self, reader: AIOKafkaConsumer, meter: AIOKafkaConsumer) -> None:
        self._reader = reader
        self.meter = meter

    async def read(self, place: TopicPartition, start: int = 0) -> AsyncIterator[Sequence[ConsumerRecord]]:
        """All that is committed, from `start` on, below the end that the partition has now.

        The end is that of everything written, committed or not: a transaction that is open now hides even what was committed after it
        began, so this waits until it ends. Offsets have gaps (compaction, transaction markers): the position tells, not the records.
        """
        start = max(start, (await self.meter.beginning_offsets([place]))[place])
        end = (await self.meter.end_offsets([place]))[place]
        if start >= end:
            return
        self._reader.assign([place])
        self._reader.seek(place, start)
        while await self._reader.position(place) < end:
            records = (await self._reader.getmany(place, timeout_ms=_GAP_MS)).get(place, [])
            if records and records[-1].offset >= end:
                records = [record for record in records if record.offset < end]
            if records:
                yield records


@asynccontextmanager
async def open_log(
    settings: KafkaSettings, name: str, *, group: str | None = None, fetch_bytes: int = FETCH_BYTES
) -> AsyncIterator[LogReader]:
    """A reader of topics for a while; with `group` its meter can ask for the group's offsets."""
    brief: dict[str, Any] = {"fetch_bytes": fetch_bytes, "fetch_max_wait_ms": _WAIT_MS, "retry_backoff_ms": _WAIT_MS}
    reader = await start_consumer(settings, name, **brief)
    try:
        meter = await start_consumer(settings, name, group_id=group, isolation_level="read_uncommitted", **brief)
        try:
            yield LogReader(reader, meter)
        finally:
            await stop_consumer(meter)
    finally:
        await stop_consumer(reader)


class KafkaPartitionLog:
    """`PartitionLog` on a real log."""

    def __init__(self, log: LogReader, source: TopicPartition, committed: int) -> None:
        self._log = log
        self._source = source
        self.partition: int = source.partition
        self.committed = committed

    async def read(
        self, topic: str, *, until_committed: bool = False, partition: int | None = None
    ) -> AsyncIterator[Sequence[ConsumerRecord]]:
        """See `PartitionLog.read`."""
        place = TopicPartition(topic, self.partition if partition is None else partition)
        async for records in self._log.read(place):
            if not until_committed or place != self._source or records[-1].offset < self.committed:
                yield records
                continue
            if before := [record for record in records if record.offset < self.committed]:
                yield before
            return
