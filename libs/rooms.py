# SPDX-License-Identifier: Apache-2.0
"""How a service's process lives: its rooms run side by side until one fails or a signal asks them to end."""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import Coroutine, Iterable
from contextlib import suppress
from typing import Any, Final

import structlog
import uvloop

_ENDING: Final = (signal.SIGTERM, signal.SIGINT)
COLLECT_AFTER: Final = (20_000, 500, 50)
"""Allocations and rounds before the garbage collector looks: by default it would walk a large register again and again."""
_log = structlog.get_logger(__name__)


async def run_rooms(rooms: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run until cancelled, also with no rooms; a room that fails ends the others and raises."""
    async with asyncio.TaskGroup() as group:
        for room in rooms:
            group.create_task(room)
        await asyncio.Event().wait()


def run_until_signal(service: Coroutine[Any, Any, None]) -> int:
    """Run a service until it ends, or until SIGTERM or SIGINT cancels it; returns the exit code: 0, or 1 where it failed."""
    gc.set_threshold(*COLLECT_AFTER)
    return uvloop.run(_run(service))


async def _run(service: Coroutine[Any, Any, None]) -> int:
    task = asyncio.create_task(service)
    loop = asyncio.get_running_loop()
    for number in _ENDING:
        loop.add_signal_handler(number, task.cancel)
    try:
        with suppress(asyncio.CancelledError):
            await task
    except Exception:
        _log.exception("service failed")
        return 1
    return 0
