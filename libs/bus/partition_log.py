# SPDX-License-Identifier: Apache-2.0
"""Reading topics from their beginning to their present end, to rebuild a state."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition

from libs.bus.records import ConsumerRecord

_GAP_MS: Final = 20
"""A fetch that brings only transaction markers wakes nobody: look again soon."""


class KafkaPartitionLog:
    """`PartitionLog` by two consumers: `reader` sees what is committed, `meter` sees the true ends of the topics."""

    def __init__(
        self, reader: AIOKafkaConsumer, meter: AIOKafkaConsumer, source: TopicPartition, committed: int
    ) -> None:
        self._reader = reader
        self._meter = meter
        self._source = source
        self.partition: int = source.partition
        self.committed = committed

    async def read(
        self, topic: str, *, until_committed: bool = False, partition: int | None = None
    ) -> AsyncIterator[Sequence[ConsumerRecord]]:
        """See `PartitionLog.read`."""
        place = TopicPartition(topic, self.partition if partition is None else partition)
        async for records in read_to_end(self._reader, self._meter, place):
            if not until_committed or place != self._source or records[-1].offset < self.committed:
                yield records
                continue
            if before := [record for record in records if record.offset < self.committed]:
                yield before
            return


async def read_to_end(
    reader: AIOKafkaConsumer, meter: AIOKafkaConsumer, place: TopicPartition
) -> AsyncIterator[Sequence[ConsumerRecord]]:
    """All that is committed below the end that the partition has now.

    The end is that of everything written, committed or not: a transaction that is open now hides even what was committed after it
    began, so the reader waits until it ends. Offsets have gaps (compaction, transaction markers): the position tells, not the records.
    """
    start = (await meter.beginning_offsets([place]))[place]
    end = (await meter.end_offsets([place]))[place]
    if start >= end:
        return
    reader.assign([place])
    reader.seek(place, start)
    while await reader.position(place) < end:
        records = (await reader.getmany(place, timeout_ms=_GAP_MS)).get(place, [])
        if records and records[-1].offset >= end:
            records = [record for record in records if record.offset < end]
        if records:
            yield records
