# SPDX-License-Identifier: Apache-2.0
"""What a service brings to the bus: how to handle the records of one partition."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Protocol, TypeAlias

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from libs.bus.deadletters import PartitionDeadLetters
from libs.bus.records import ConsumerRecord, Output


class PartitionLog(Protocol):
    """The topics, as far as the task of one partition needs them to rebuild its state."""

    @property
    def partition(self) -> int:
        """The input partition's number."""
        ...

    @property
    def committed(self) -> int:
        """Offset of the first input record that is not yet handled."""
        ...

    def read(
        self, topic: str, *, until_committed: bool = False, partition: int | None = None
    ) -> AsyncIterator[Sequence[ConsumerRecord]]:
        """Everything committed in a partition (default: the input's number), in order, in large batches.

        It ends where the topic ended when it was called, or, for the input topic with `until_committed`, before `committed`.
        """
        ...


class PartitionHandler(Protocol):
    """The state of one partition and what each record does to it: Kafka to Kafka, exactly once.

    A handler is made anew at each assignment and after each failure; it alone sees its partition. It must not do I/O but in `restore`.
    """

    async def restore(self, log: PartitionLog) -> Sequence[Output]:
        """Rebuild the state; return what it finds missing in its own topics. Called once, first."""
        ...

    def handle(self, records: Sequence[ConsumerRecord], dead_letters: PartitionDeadLetters) -> Sequence[Output]:
        """Handle a batch, in order; what it returns is committed in one transaction with the batch's offset.

        A record that cannot be taken goes to `dead_letters.reject`, and later records of its key in the same batch must be
        passed over: `dead_letters.sift` does both. If this raises, the state is rebuilt and the records are handled one by one;
        the one that raises again becomes a dead letter (`failed`).
        """
        ...

    @property
    def pending(self) -> bool:
        """Whether `due` has more to tell: then it is asked again as soon as the records that are there are handled."""
        ...

    def due(self) -> Sequence[Output]:
        """What is to be told with no record to cause it: by the clock, or by what is learnt elsewhere. Asked between batches, at
        least once a second; what it returns is committed in a transaction of its own, so a restart must find it again.
        """
        ...


HandlerFactory = Callable[[int], PartitionHandler]
"""Makes the handler of a partition."""

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]"

Apply = Callable[[Connection, Sequence[ConsumerRecord], PartitionDeadLetters], Awaitable[None]]
"""Write what a batch of records says, in order, inside the transaction that also moves the stored offset.

Rejects as `PartitionHandler.handle` does. If it raises for a reason other than the database's state, the transaction is rolled back
and the batch halved until the record that fails is alone: that one becomes a dead letter (`failed`).
"""

Prepare = Callable[[Sequence[ConsumerRecord]], Awaitable[Apply]]
"""What an `Apply` does of these records that needs no database, done ahead; what it returns does the rest.

It runs while the batch before is written, and is to let that go first (`libs.bus.waiting.in_parts`). Where it raises, the records go to
the `Apply` that prepares nothing, which finds the one at fault.
"""
