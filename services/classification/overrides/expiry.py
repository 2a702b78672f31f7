# SPDX-License-Identifier: Apache-2.0
"""Ends overrides whose time is up, in the records and on the topic. The level itself falls back by the worker's own clock."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final

import structlog

from libs.bus import Output, enqueue
from libs.bus.failures import backoff, code_of, describe
from libs.observability import ProbeResult
from libs.persistence import Pool
from services.classification.domain import Clock
from services.classification.overrides import store

_PAUSE: Final = 1.0

_log = structlog.get_logger(__name__)


class Expiry:
    """Looks once a second; `run` lasts until cancelled. Several may be at work: a row is ended by one of them."""

    name = "expiry"

    def __init__(self, pool: Pool, bodies: Iterable[str], municipality: str, clock: Clock) -> None:
        self._pool = pool
        self._bodies = frozenset(bodies)
        self._municipality = municipality
        self._clock = clock
        self._failures = 0
        self._code: str | None = None

    async def run(self) -> None:
        """Whatever fails, it looks again."""
        while True:
            try:
                await self.look()
                self._failures, self._code = 0, None
                await asyncio.sleep(_PAUSE)
            except Exception as error:
                self._code = code_of(error)
                _log.warning("expiry looks again", reason=self._code, **describe(error))
                await asyncio.sleep(backoff(self._failures))
                self._failures += 1

    async def look(self) -> None:
        """End what has run out by now."""
        now = self._clock()
        async with self._pool.acquire() as connection, connection.transaction():
            ended = await store.expire(connection, self._bodies, now)
            await enqueue(connection, (Output(*one.message(self._municipality, now)) for one in ended))

    async def check(self) -> ProbeResult:
        """This is its own `Probe`."""
        return ProbeResult(ok=self._code is None, code=self._code)
