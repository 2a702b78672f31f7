# SPDX-License-Identifier: Apache-2.0
"""A chain and a fan-out whose root is raised, then lowered: whether an affected asset costs as much where there are many as where
there are few."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence

from libs.bus.subscription import utc_now
from libs.contracts import Asset, Relation
from libs.standards import StandardsInForce
from services.classification.domain import Classifier
from services.classification.settings import BASE, Settings
from tests.benchmarks.content import seen
from tests.benchmarks.place import Place
from tests.benchmarks.report import Result, Rounds

NAME = "deep-and-wide"
COUNT = 100_000
RESIDENTS = {"data_kinds": ["resident"], "personal_data": True}
ROOT = 0


async def run(_place: Place, count: int, rounds: int) -> Result:
    """The fan-out has `count` assets and is compared with one of a hundredth; the chain has a tenth."""
    few = max(10, count // 100)
    sizes = {"fan": (fan, count), "few": (fan, few), "deep": (chain, count // 10), "shallow": (chain, few)}
    rates: dict[str, list[float]] = {name: [] for name in sizes}
    for _ in range(rounds):
        for name, (shape, size) in sizes.items():
            rates[name].append(_rate(shape, size))
    measured = {name: Rounds(tuple(found)) for name, found in rates.items()}
    return Result(
        scenario=NAME,
        unit="assets/s",
        ours=measured["fan"],
        floor=measured["few"],
        floor_is=f"the same with {few:,} assets",
        work={
            "assets": count,
            "chain": count // 10,
            "measured": "evaluation, comparison and encoding of the root's two changes, in memory",
            "ratio_of_the_chain": round(measured["deep"].median / measured["shallow"].median, 3),
        },
        also={f"a chain of {count // 10:,}": measured["deep"], f"a chain of {few:,}": measured["shallow"]},
    )


def fan(size: int) -> list[Asset]:
    return [_asset(number, holds=ROOT if number else None) for number in range(size)]


def chain(size: int) -> list[Asset]:
    return [_asset(number, holds=number - 1 if number else None) for number in range(size)]


def _rate(shape: Callable[[int], Sequence[Asset]], size: int) -> float:
    """Affected assets a second, of both changes."""
    standard = Settings.model_construct(standard=BASE).read_standard()
    classifier = Classifier(StandardsInForce(standard), "990019", utc_now)
    classifier.take(seen(shape(size)))
    root = _asset(ROOT)
    raised, lowered = seen([root.model_copy(update={"facts": RESIDENTS})], 2), seen([root], 3)
    gc.collect()
    began = time.perf_counter()
    told = [classifier.take(change) for change in (raised, lowered)]
    seconds = time.perf_counter() - began
    if any(len({message.key for message in messages}) != size for messages in told):
        raise RuntimeError("a change of the root did not reach every asset")
    return 2 * size / seconds


def _asset(number: int, holds: int | None = None) -> Asset:
    relations = () if holds is None else (Relation(type="stores", asset_id=_id(holds)),)
    return Asset(
        asset_id=_id(number),
        body="mayor",
        network="mayor",
        kind="system",
        name=f"{number}",
        facts={},
        relations=relations,
    )


def _id(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012}"
