# SPDX-License-Identifier: Apache-2.0
"""Waiting that ends: for what may hang when a broker is away, and for what must not be cut off in the middle."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine, Sequence
from typing import Any, TypeVar

T = TypeVar("T")


async def within(work: Coroutine[Any, Any, object], seconds: float) -> bool:
    """Whether the work ended in time; if not it is cancelled. What it raises is passed over: it is of a closing kind."""
    task = asyncio.ensure_future(work)
    done, _ = await asyncio.wait({task}, timeout=seconds)
    if not done:
        task.cancel()
        await asyncio.wait({task}, timeout=seconds)
    if task.done() and not task.cancelled():
        task.exception()
    return bool(done)


async def uninterrupted(work: Coroutine[Any, Any, T], seconds: float) -> T:
    """Do the work; where the caller is cancelled meanwhile, give it so many seconds to end first."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        if not task.done():
            await within(_finished(task), seconds)
            task.cancel()
        raise


async def ended(task: asyncio.Task[Any]) -> None:
    """Cancel a task and wait until it has ended; what it raises is passed over."""
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled():
        task.exception()


async def in_parts(items: Sequence[T], size: int = 32) -> AsyncIterator[Sequence[T]]:
    """The items in parts, before each of which others have their turn: for work that takes long."""
    for begin in range(0, len(items), size):
        await asyncio.sleep(0)
        yield items[begin : begin + size]


class Pace:
    """Keeps `seconds` between what would else follow at once."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._next = 0.0

    async def rest(self) -> None:
        """Wait until it is time again."""
        if (left := self._next - time.monotonic()) > 0:
            await asyncio.sleep(left)

    def begun(self) -> None:
        """From now on the seconds count."""
        self._next = time.monotonic() + self._seconds


async def _finished(task: asyncio.Task[Any]) -> None:
    await asyncio.wait({task})
