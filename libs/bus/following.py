# SPDX-License-Identifier: Apache-2.0
"""Hearing of every record of one partition, by no group and with no offsets: each process hears all of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from aiokafka import TopicPartition

from libs.bus.consuming import start_consumer, stop_consumer
from libs.bus.lasting import Lasting
from libs.bus.records import ConsumerRecord
from libs.bus.settings import KafkaSettings
from libs.bus.task import POLL_MS


class Follower(Lasting):
    """Gives what is committed in a partition, from its beginning on and as it comes, to `take`; `run` lasts until cancelled.

    After a failure it begins again where it was, so `take` may be given records twice.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        place: TopicPartition,
        name: str,
        take: Callable[[Sequence[ConsumerRecord]], Awaitable[None]],
    ) -> None:
        super().__init__()
        self.name = name
        self._settings = settings
        self._place = place
        self._take = take
        self._position = 0

    async def _live(self) -> None:
        consumer = await start_consumer(self._settings, self.name)
        try:
            consumer.assign([self._place])
            consumer.seek(self._place, self._position)
            while True:
                found = await consumer.getmany(self._place, timeout_ms=POLL_MS)
                self._code, self._failures = None, 0
                if records := found.get(self._place, []):
                    await self._take(records)
                self._position = await consumer.position(self._place)
        finally:
            await stop_consumer(consumer)
