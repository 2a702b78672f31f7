# SPDX-License-Identifier: Apache-2.0
"""A ledger through the HTTP door of a whole instance to the last obligation event, beside the bare reading of the same file.

The peak memory of each service's process is told, and a process above the bound ends the scenario.
"""

from __future__ import annotations

import asyncio
import csv
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import httpx

from cli.instance import Instance
from libs.contracts.topics import OBLIGATIONS
from tests.benchmarks.content import PROFILE
from tests.benchmarks.place import Place
from tests.benchmarks.report import Result, Rounds
from tests.e2e.city import City

NAME = "import-1m"
COUNT = 1_000_000
MOST_BYTES: Final = 2 * 1024**3
"""Of memory, that any process of a service may have had at once."""
_BODY: Final = "mayor"
_HEADER: Final = ("台帳番号", "情報資産名", "種類", "所管課", "個人情報の有無", "情報の種類", "件数")
_PIECE: Final = 256 * 1024
_PATIENCE: Final = 6 * 3_600.0


async def run(place: Place, count: int, rounds: int) -> Result:
    """Each round: so many rows of assets that are new to the register. `place` is of no use: the instance has its own."""
    seconds: dict[str, list[float]] = {"ours": [], "floor": []}
    accepted: list[float] = []
    with (
        tempfile.TemporaryDirectory(prefix="daicho-import-") as data,
        Instance(Path(data) / "instance", profile=PROFILE) as instance,
    ):
        whole = City(instance)
        before = await whole.size(OBLIGATIONS.name)
        for number in range(rounds):
            file = Path(data) / f"{number}.csv"
            await asyncio.to_thread(_write, file, count, number)
            began = time.perf_counter()
            await _import(whole, file, count)
            accepted.append(time.perf_counter() - began)
            await whole.settle(_PATIENCE)
            seconds["ours"].append(time.perf_counter() - began)
            began = time.perf_counter()
            await asyncio.to_thread(_read, file)
            seconds["floor"].append(time.perf_counter() - began)
        written = await whole.size(OBLIGATIONS.name) - before
        if written < count * rounds:
            raise RuntimeError(f"{written} obligation events of {count * rounds} assets")
        peaks = _peaks(instance)
    if over := {name: peak for name, peak in peaks.items() if peak > MOST_BYTES}:
        raise RuntimeError(f"more than {MOST_BYTES} bytes of memory: {over}")
    return Result(
        scenario=NAME,
        unit="assets/s",
        ours=Rounds.of(count, seconds["ours"]),
        floor=Rounds.of(count, seconds["floor"]),
        floor_is="bare csv: the same file read row by row, nothing checked, kept or told",
        work={
            "rows": count,
            "seconds_to_accept": [round(one, 1) for one in accepted],
            "peak_memory_mib": {name: round(peak / 2**20) for name, peak in peaks.items()},
            "measured": "from the first byte sent to all topics at rest with no lag anywhere, which is seen some 4 seconds later",
        },
    )


def _write(file: Path, count: int, number: int) -> None:
    with file.open("w", encoding="utf-8-sig", newline="") as sheet:
        writer = csv.writer(sheet)
        writer.writerow(_HEADER)
        writer.writerows(_row(number, at) for at in range(count))


def _row(number: int, at: int) -> tuple[object, ...]:
    return (
        f"IMP-{number}-{at:07d}",
        f"住民税課税調書 第{at}号",
        "情報",
        f"税務課{at % 40}係",
        "有",
        "税",
        at % 20_000,
    )


def _read(file: Path) -> None:
    with file.open(encoding="utf-8-sig", newline="") as sheet:
        for _ in csv.reader(sheet):
            pass


async def _import(whole: City, file: Path, count: int) -> None:
    headers = {"Authorization": f"Bearer {whole.instance.token('feed-ledger')}", "Content-Type": "text/csv"}
    path = f"/v1/feeds/ledger/ledger?body={_BODY}&receipts=false"
    async with httpx.AsyncClient(base_url=whole.instance.addresses["inventory"], timeout=None) as http:  # noqa: S113
        answer = await http.post(path, content=_pieces(file), headers=headers)
    if answer.status_code != 202 or answer.json()["accepted"] != count:
        raise RuntimeError(f"{answer.status_code}: {answer.text[:500]}")


async def _pieces(file: Path) -> AsyncIterator[bytes]:
    with file.open("rb") as sheet:
        while piece := await asyncio.to_thread(sheet.read, _PIECE):
            yield piece


def _peaks(instance: Instance) -> dict[str, int]:
    """Bytes of memory that each process of the services has had at most (Linux, `VmHWM`)."""
    return {name: _peak(process.pid) for name, process in instance.running.processes.items() if name != "issuer"}


def _peak(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024
