# SPDX-License-Identifier: Apache-2.0
"""What services start: a worker for each way out, Kafka or PostgreSQL."""

from __future__ import annotations

import asyncpg

from libs.bus.group import GroupWorker
from libs.bus.handlers import Apply, HandlerFactory, Prepare
from libs.bus.offset_task import OffsetTask
from libs.bus.partition_task import PartitionTask
from libs.bus.subscription import Subscription


class PartitionWorker(GroupWorker):
    """Kafka to Kafka: a `PartitionTask` for each partition that the group gives this process."""

    def __init__(self, subscription: Subscription, make_handler: HandlerFactory) -> None:
        super().__init__(subscription)
        self._make_handler = make_handler

    def _make_task(self, partition: int) -> PartitionTask:
        return PartitionTask(self.subscription, partition, self._make_handler)


class OffsetConsumer(GroupWorker):
    """Kafka to PostgreSQL: an `OffsetTask` for each partition that the group gives this process."""

    commits_offsets = True

    def __init__(
        self,
        subscription: Subscription,
        pool: asyncpg.Pool[asyncpg.Record],
        apply: Apply,
        prepare: Prepare | None = None,
    ) -> None:
        super().__init__(subscription)
        self._pool = pool
        self._apply = apply
        self._prepare = prepare

    def _make_task(self, partition: int) -> OffsetTask:
        return OffsetTask(self.subscription, partition, self._pool, self._apply, self._prepare)
