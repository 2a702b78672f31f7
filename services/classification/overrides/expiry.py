# SPDX-License-Identifier: Apache-2.0
"""Ends overrides whose time is up, in the records and on the topic. The level itself falls back by the worker's own clock."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final

from libs.bus import Lasting, Output, enqueue
from libs.persistence import Pool
from services.classification.domain import Clock
from services.classification.overrides import store

_PAUSE: Final = 1.0


class Expiry(Lasting):
    """Looks once a second; `run` lasts until cancelled. Several may be at work: a row is ended by one of them."""

    name = "expiry"

    def __init__(self, pool: Pool, bodies: Iterable[str], municipality: str, clock: Clock) -> None:
        super().__init__()
        self._pool = pool
        self._bodies = frozenset(bodies)
        self._municipality = municipality
        self._clock = clock

    async def _live(self) -> None:
        while True:
            await self.look()
            self._failures, self._code = 0, None
            await asyncio.sleep(_PAUSE)

    async def look(self) -> None:
        """End what has run out by now."""
        now = self._clock()
        async with self._pool.acquire() as connection, connection.transaction():
            ended = await store.expire(connection, self._bodies, now)
            await enqueue(connection, (Output(*one.message(self._municipality, now)) for one in ended))
