# SPDX-License-Identifier: Apache-2.0
"""A candidate standard against the register of one network, beside what the stream takes for as many assets."""

from __future__ import annotations

import gc
import time

from libs.standards import Standard, compile_standard
from libs.standards.what_if import compare
from services.classification.settings import BASE, Settings
from services.classification.worker import GROUP
from tests.benchmarks import classification_stream
from tests.benchmarks.content import register
from tests.benchmarks.place import Place
from tests.benchmarks.report import Result, Rounds

NAME = "what-if-100k"
COUNT = 100_000


async def run(place: Place, count: int, rounds: int) -> Result:
    """Each round: the comparison, then the stream."""
    await place.make_topics()
    assets = list(register(count))
    streamed = min(count, classification_stream.COUNT)
    await classification_stream.preload(place, streamed)
    now = Settings.model_construct(standard=BASE).read_standard()
    candidate = without_rule(now, "CR-19")
    seconds: dict[str, list[float]] = {"compared": [], "streamed": []}
    found = 0
    for number in range(rounds):
        gc.collect()
        gc.disable()  # as the command does
        began = time.perf_counter()
        found = len(compare(assets, compile_standard(now.document), candidate).differences)
        seconds["compared"].append(time.perf_counter() - began)
        gc.enable()
        await place.empty(classification_stream.OUT)
        gc.collect()
        seconds["streamed"].append(await classification_stream.stream(place, streamed, f"{GROUP}-what-if-{number}"))
    return Result(
        scenario=NAME,
        unit="assets/s",
        ours=Rounds.of(len(assets), seconds["compared"]),
        floor=Rounds.of(streamed, seconds["streamed"]),
        floor_is="our own stream scenario: as many events through Kafka, in the same run",
        work={
            "assets": len(assets),
            "would_change": found,
            "measured": "both standards evaluated over the whole register, in memory, and compared",
        },
    )


def without_rule(standard: Standard, rule_id: str) -> Standard:
    rules = tuple(rule for rule in standard.document.rules if rule.id != rule_id)
    return compile_standard(standard.document.model_copy(update={"rules": rules}))
