# SPDX-License-Identifier: Apache-2.0
"""The worker begins again over a large register, beside bare aiokafka reading the same topics."""

from __future__ import annotations

import gc
from itertools import islice

from libs.contracts.topics import ASSETS, CLASSIFICATIONS, CONTROL, DEADLETTERS, FINDINGS, OBLIGATIONS
from services.classification.worker import GROUP
from tests.benchmarks import floors
from tests.benchmarks.classification_stream import task
from tests.benchmarks.content import changed, message_of, register
from tests.benchmarks.place import Place, seconds_of
from tests.benchmarks.report import Result, Rounds

NAME = "restart-1m"
COUNT = 1_000_000
READ = (CONTROL, CLASSIFICATIONS, OBLIGATIONS, FINDINGS, DEADLETTERS, ASSETS)
_GROUP = f"{GROUP}-restart"
_FILLED_AT_A_TIME = 10_000
_PATIENCE = 3_600.0


async def run(place: Place, count: int, rounds: int) -> Result:
    """First the stream of all assets, which leaves what is read; then each round: ours, then the floor."""
    await fill(place, count)
    client = place.admin.client()
    streamed = await seconds_of(task(place, _GROUP), count, _PATIENCE)
    seconds: dict[str, list[float]] = {"ours": [], "floor": []}
    for _ in range(rounds):
        gc.collect()
        seconds["ours"].append((await seconds_of(task(place, _GROUP), count, _PATIENCE)).to_restore)
        gc.collect()
        seconds["floor"].append(await floors.read_through(client, [topic.name for topic in READ]))
    return Result(
        scenario=NAME,
        unit="assets/s",
        ours=Rounds.of(count, seconds["ours"]),
        floor=Rounds.of(count, seconds["floor"]),
        floor_is="bare aiokafka: the same topics read to their ends, nothing decoded, nothing kept",
        work={
            "assets": count,
            "seconds_to_classify_them_first": round(streamed.to_work, 1),
            "measured": "from the start of the task to when it takes the stream up again, everything read, evaluated and compared",
        },
    )


async def fill(place: Place, count: int) -> None:
    """Nothing is on the topics but so many assets."""
    await place.empty(READ)
    assets = register(count)
    while piece := list(islice(assets, _FILLED_AT_A_TIME)):
        await floors.fill(place.admin.client(), ASSETS.name, [message_of(changed(asset, 1)) for asset in piece])
