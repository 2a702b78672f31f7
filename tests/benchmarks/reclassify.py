# SPDX-License-Identifier: Apache-2.0
"""A standard that changes over a large register of one network, beside what the stream takes for as many assets."""

from __future__ import annotations

import asyncio
import gc
import time
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock_time
from itertools import islice
from multiprocessing import get_context
from typing import Any, NamedTuple

import psutil

from libs.bus import PartitionTask
from libs.contracts.topics import ASSETS, CLASSIFICATIONS
from libs.standards import Standard, StandardsInForce, compile_standard
from services.classification.domain import Classifier
from services.classification.settings import BASE, Settings
from services.classification.worker import GROUP, AssetHandler
from tests.benchmarks import classification_stream
from tests.benchmarks.content import TIME, one_network, register, seen
from tests.benchmarks.live import RATE, Stream, p99
from tests.benchmarks.place import Place, working
from tests.benchmarks.report import Result, Rounds
from tests.benchmarks.restart import fill

NAME = "reclassify-1m"
COUNT = 1_000_000
_FIRST_DAY = date(2026, 5, 1)
_TAKEN_AT_A_TIME = 1_000
_WEIGHED = 200_000
_CHANGED = 20_000
_QUIET_SECONDS = 10.0
_SETTLING_SECONDS = 2.0


class Clock:
    """Stands still until it is set; `asked` is how often somebody has looked."""

    def __init__(self) -> None:
        self.now = TIME
        self.asked = 0

    def __call__(self) -> datetime:
        self.asked += 1
        return self.now


class Turned(NamedTuple):
    """A standard taken over: how long that took, and the assets told of."""

    seconds: float
    told: int


async def run(place: Place, count: int, rounds: int) -> Result:
    """The register is filled once. Each round: another rule ceases to hold, then the stream; at last once more on the bus, beside a live stream."""
    await place.make_topics()
    streamed = min(count, classification_stream.COUNT)
    await classification_stream.preload(place, streamed)
    with ProcessPoolExecutor(1, get_context("spawn")) as fresh:
        held = fresh.submit(bytes_held, min(count, _WEIGHED)).result()
    clock = Clock()
    classifier = _filled(Classifier(StandardsInForce(_ending(rounds)), "990019", clock), count)
    turned, streams = [], []
    for number in range(rounds):
        clock.now = _morning(number)
        gc.collect()
        turned.append(_turned(classifier))
        await place.empty(classification_stream.OUT)
        gc.collect()
        streams.append(await classification_stream.stream(place, streamed, f"{GROUP}-reclassify-{number}"))
    del classifier
    gc.collect()
    return Result(
        scenario=NAME,
        unit="assets/s",
        ours=Rounds.of(count, [one.seconds for one in turned]),
        floor=Rounds.of(streamed, streams),
        floor_is="our own stream scenario: as many events through Kafka, in the same run",
        work={
            "assets": count,
            "told_of": [one.told for one in turned],
            "bytes_an_asset": round(held / min(count, _WEIGHED)),
            "measured": "evaluation, comparison and encoding, in memory",
            "on_the_bus": await _beside_a_live_stream(place, count),
        },
    )


async def _beside_a_live_stream(place: Place, count: int) -> dict[str, Any]:
    """The service's own task over as many assets, told of `RATE` changes a second; then a rule ceases to hold as well."""
    await fill(place, count)
    clock, handlers = Clock(), []
    standards = StandardsInForce(_ending(1))

    def handler(_: int) -> AssetHandler:
        handlers.append(AssetHandler(standards, one_network(), clock, ()))
        return handlers[-1]

    subscription = place.subscription(GROUP, f"{GROUP}-live", ASSETS, one_network().municipality)
    task = PartitionTask(subscription, 0, handler)
    assets = [asset for asset in islice(register(count), _CHANGED) if asset.declared.availability is None]
    async with working(task, count) as work:
        gc.collect()
        quiet = Stream(place.admin.client(), assets[::2])
        await quiet.begun()
        await asyncio.sleep(_QUIET_SECONDS)
        quiet_delays = await quiet.delays()
        meanwhile = Stream(place.admin.client(), assets[1::2])
        await meanwhile.begun()
        await asyncio.sleep(_SETTLING_SECONDS)
        begun, asked, clock.now = time.time(), clock.asked, _morning(0)
        await work.until(lambda: clock.asked > asked and not handlers[-1].pending)
        ended = time.time()
        delays = [one for one in await meanwhile.delays() if begun <= one.due <= ended]
    return {
        "changes_a_second": RATE,
        "seconds": round(ended - begun, 1),
        "delay_p99_ms": {"quiet": p99(quiet_delays[RATE:]), "meanwhile": p99(delays)},
    }


def bytes_held(count: int) -> int:
    """By how much a process grows that takes so many assets; to be asked of a new one, for another has freed memory to fill first."""
    standard = Settings.model_construct(standard=BASE).read_standard()
    classifier = Classifier(StandardsInForce(standard), "990019", Clock())
    assets = register(count)
    classifier.take(seen(islice(assets, _TAKEN_AT_A_TIME)))
    gc.collect()
    before = psutil.Process().memory_info().rss
    while piece := list(islice(assets, _TAKEN_AT_A_TIME)):
        classifier.take(seen(piece))
    gc.collect()
    return psutil.Process().memory_info().rss - before


def _ending(rounds: int) -> Standard:
    """The base, of which on each of so many days one rule ceases to hold."""
    document = Settings.model_construct(standard=BASE).read_standard().document
    days = {f"CR-{19 - number:02}": _FIRST_DAY + timedelta(days=number) for number in range(rounds)}
    rules = [
        rule.model_copy(update={"effective_until": days.get(rule.id, rule.effective_until)}) for rule in document.rules
    ]
    return compile_standard(document.model_copy(update={"rules": tuple(rules)}))


def _filled(classifier: Classifier, count: int) -> Classifier:
    assets = register(count)
    while piece := list(islice(assets, _TAKEN_AT_A_TIME)):
        classifier.take(seen(piece))
    return classifier


def _turned(classifier: Classifier) -> Turned:
    told, began = 0, time.perf_counter()
    while True:
        told += sum(message.topic == CLASSIFICATIONS.name for message in classifier.due())
        if not classifier.pending:
            return Turned(time.perf_counter() - began, told)


def _morning(number: int) -> datetime:
    """When the rule of so many days after the first ceases to hold."""
    return datetime.combine(_FIRST_DAY + timedelta(days=number), clock_time(), UTC)
