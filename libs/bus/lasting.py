# SPDX-License-Identifier: Apache-2.0
"""Work that lasts: whatever fails, it begins again, after a wait that grows with each failure in a row."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod

import structlog

from libs.bus.failures import backoff, code_of, describe
from libs.observability import ProbeResult

_log = structlog.get_logger(__name__)


class Lasting(ABC):
    """`run` lasts until cancelled. It is its own `Probe` under `name`: well unless it has just failed, or is `starting`."""

    name: str

    def __init__(self) -> None:
        self._failures = 0
        self._code: str | None = "starting"

    async def run(self) -> None:
        """Whatever fails, it begins again."""
        while True:
            try:
                await self._live()
            except Exception as error:
                self._code = code_of(error)
                _log.warning(f"{self.name} begins again", reason=self._code, **describe(error))
                await asyncio.sleep(backoff(self._failures))
                self._failures += 1

    async def check(self) -> ProbeResult:
        return ProbeResult(ok=self._code is None, code=self._code)

    @abstractmethod
    async def _live(self) -> None:
        """The work, until the first error; it sets `_code` to None, and `_failures` to 0, when it does well."""
