# SPDX-License-Identifier: Apache-2.0
"""Assets that the register has, each told of anew with one change, against bare COPY of the rows that come of it."""

from __future__ import annotations

from tests.benchmarks.inventory_ingest import COUNT, measure
from tests.benchmarks.place import Place
from tests.benchmarks.report import Result

__all__ = ["COUNT", "NAME", "run"]

NAME = "inventory-changes"


async def run(place: Place, count: int, rounds: int) -> Result:
    """Each round: the assets into an empty register, ours, then the floor into empty copies of its tables."""
    return await measure(place, NAME, count, rounds, changed=True)
