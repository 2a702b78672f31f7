# SPDX-License-Identifier: Apache-2.0
"""What a person decides, done on the bus: a key's records go back, corrected or without those that are given up."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final

from sqlmodel.ext.asyncio.session import AsyncSession

from libs.bus import Act, KafkaSettings, Output, ParkedLetter
from libs.bus.partition_log import LogReader, open_log
from libs.bus.producing import START_PATIENCE, TransactionalWriter
from libs.bus.release import letters_from, release, release_elsewhere, releasing
from libs.contracts.topics import DEADLETTERS, TOPICS, Principal
from services.inventory.dead_letters import store
from services.inventory.dead_letters.projector import PROJECTION
from services.inventory.dead_letters.store import ParkedPlace
from services.inventory.store import next_offsets
from services.inventory.worker import Clock

PATIENCE: Final = 5.0
"""Seconds for the table to catch up with the dead letters' topic before a release is given up."""
_LOOK: Final = 0.05

OpenSession = Callable[[], AbstractAsyncContextManager[AsyncSession]]
"""Opens a session in the scope of who decides."""

WRITABLE: Final = frozenset(topic.name for topic in TOPICS if Principal.INVENTORY in topic.writers)
"""Topics to which this service may send records back."""


Asked = Callable[[ParkedLetter], bool]
"""Whether a letter is one that a person has asked to be decided on: what was put aside since is for another decision."""
ANY: Final[Asked] = lambda _letter: True  # noqa: E731


class BehindError(Exception):
    """The table does not know yet all that the dead letters' topic says of the keys."""


class Releases:
    """Releases keys, one after another; the table of dead letters tells what waits.

    A table that is behind the topic could bring a record back twice. So the transactional id is taken over first, by which no other
    release can be under way, and the keys' letters are read when the table knows all that the topic has of them.
    """

    def __init__(self, kafka: KafkaSettings, municipality: str, clock: Clock, patience: float = PATIENCE) -> None:
        self._kafka = kafka
        self._municipality = municipality
        self._clock = clock
        self._patience = patience
        self._busy: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def keys(
        self, open_session: OpenSession, places: Collection[ParkedPlace], act: Act, asked: Asked = ANY
    ) -> dict[ParkedPlace, int]:
        """Release keys of one consumer; how many records went back of each that has still a letter of those `asked` for.

        Raises BehindError, ProducerFenced where another process releases at the same time, or what aiokafka raises.
        """
        (consumer,) = {place.consumer for place in places}
        released: dict[ParkedPlace, int] = {}
        async with self._busy[consumer], self._writer(consumer) as writer:
            await self._caught_up(open_session, {place.key for place in places})
            for place in places:
                async with open_session() as session:
                    letters = await store.parked_at(session, place)
                if any(map(asked, letters)):
                    released[place] = await self._release(writer, letters, act)
        return released

    async def single(self, open_session: OpenSession, letter: ParkedLetter, act: Act) -> int | None:
        """Release what parked nothing, for it has no proper key; None where it waits no longer. Raises as `keys` does."""
        async with self._alone(open_session, letter) as writer:
            return None if writer is None else await self._release(writer, [letter], act)

    async def elsewhere(
        self, open_session: OpenSession, letter: ParkedLetter, outputs: Sequence[Output], act: Act
    ) -> int | None:
        """Release what stands on a source's own topic, by what it means; None where it waits no longer. Raises as `keys` does."""
        async with self._alone(open_session, letter) as writer:
            if writer is None:
                return None
            return await release_elsewhere(
                writer, letter, outputs, act, municipality=self._municipality, clock=self._clock
            )

    @asynccontextmanager
    async def _alone(
        self, open_session: OpenSession, letter: ParkedLetter
    ) -> AsyncIterator[TransactionalWriter | None]:
        """The writer for a letter that parked nothing; None where it waits no longer."""
        consumer = letter.letter.consumer
        async with self._busy[consumer], self._writer(consumer) as writer:
            await self._caught_up(open_session, {letter.key or b""})
            async with open_session() as session:
                row = await store.find(session, letter.id)
            yield None if row is None or row.state != store.LetterState.PARKED else writer

    def _writer(self, consumer: str) -> AbstractAsyncContextManager[TransactionalWriter]:
        # begins with the service's account, as the rights on transactional ids do
        return releasing(self._kafka, f"{Principal.INVENTORY}-release-{consumer}")

    async def _release(self, writer: TransactionalWriter, letters: Sequence[ParkedLetter], act: Act) -> int:
        return await release(writer, letters, act, municipality=self._municipality, clock=self._clock)

    async def _caught_up(self, open_session: OpenSession, keys: Collection[bytes]) -> None:
        deadline = time.monotonic() + self._patience
        async with asyncio.timeout(START_PATIENCE + self._patience), open_log(self._kafka, PROJECTION) as log:
            while await self._is_behind(open_session, log, keys):
                if time.monotonic() > deadline:
                    raise BehindError
                await asyncio.sleep(_LOOK)

    async def _is_behind(self, open_session: OpenSession, log: LogReader, keys: Collection[bytes]) -> bool:
        async with open_session() as session:
            known = await next_offsets(session, PROJECTION, DEADLETTERS.name)
        return any([(record.key or b"") in keys async for record in letters_from(log, known)])
