# SPDX-License-Identifier: Apache-2.0
"""The stream's job done by a Faust worker (`faust_worker.py`) in a process of its own, on the same broker."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.benchmarks import floors
from tests.benchmarks.place import Place

_PATIENCE = 600.0
_LOOK = 0.5


async def seconds_of(place: Place, count: int, app: str, municipality: str, outputs: Mapping[str, str]) -> float:
    """Seconds for the first `count` assets; `outputs` names the empty topics to write to in place of the service's own.

    Raises RuntimeError where the worker ends before, TimeoutError where what it wrote is not committed in the end.
    """
    settings = place.admin
    told = {
        "app": app,
        "bootstrap": settings.bootstrap,
        "username": settings.username,
        "password": settings.password.get_secret_value() if settings.password else None,
        "municipality": municipality,
        "count": count,
        "outputs": dict(outputs),
    }
    with tempfile.TemporaryDirectory(prefix="daicho-faust-") as data:
        told["datadir"] = data
        worker = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.benchmarks.faust_worker"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
        )
        try:
            async with asyncio.timeout(_PATIENCE):
                _tell(worker, told)
                found = await _found(worker, Path(data, "found.json"))
                while await _committed(place, outputs) < found["written"]:
                    await asyncio.sleep(_LOOK)
        finally:
            if worker.returncode is None:
                worker.kill()
            await worker.wait()
    return float(found["seconds"])


def _tell(worker: asyncio.subprocess.Process, told: Mapping[str, Any]) -> None:
    if worker.stdin is None:
        raise RuntimeError("the worker has no standard input")
    worker.stdin.write(json.dumps(told).encode())
    worker.stdin.close()


async def _found(worker: asyncio.subprocess.Process, path: Path) -> Mapping[str, Any]:
    while (found := _read(path)) is None:
        if worker.returncode is not None:
            raise RuntimeError("the worker has ended before its input has: its errors are above")
        await asyncio.sleep(_LOOK)
    return found


def _read(path: Path) -> Mapping[str, Any] | None:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


async def _committed(place: Place, outputs: Mapping[str, str]) -> int:
    client = place.admin.client()
    return sum([len(await floors.read_all(client, topic)) for topic in outputs.values()])
