# SPDX-License-Identifier: Apache-2.0
"""A standard that changes over a large register of one network, beside what the stream takes for as many assets."""

from __future__ import annotations

import gc
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock_time
from itertools import count as numbers
from itertools import islice
from multiprocessing import get_context
from statistics import quantiles
from typing import NamedTuple

import psutil

from libs.contracts.topics import CLASSIFICATIONS
from libs.standards import Standard, StandardsInForce, compile_standard
from services.classification.domain import AssetSeen, Classifier
from services.classification.settings import BASE, Settings
from services.classification.worker import GROUP
from tests.benchmarks import classification_stream
from tests.benchmarks.content import TIME, register, seen
from tests.benchmarks.place import Place
from tests.benchmarks.report import Result, Rounds

NAME = "reclassify-1m"
COUNT = 1_000_000
_FIRST_DAY = date(2026, 5, 1)
_TAKEN_AT_A_TIME = 1_000
_LIVE = 200
_WEIGHED = 200_000
_PIECES_A_CHANGE = 4


class Clock:
    """Stands still until it is set."""

    def __init__(self) -> None:
        self.now = TIME

    def __call__(self) -> datetime:
        return self.now


class Turned(NamedTuple):
    """A standard taken over: `seconds` of that alone, the waits of changes that came meanwhile, and the assets told of."""

    seconds: float
    waits: Sequence[float]
    told: int


async def run(place: Place, count: int, rounds: int) -> Result:
    """The register is filled once. Each round: another rule ceases to hold while changes go on, then the stream."""
    await place.make_topics()
    streamed = min(count, classification_stream.COUNT)
    await classification_stream.preload(place, streamed)
    with ProcessPoolExecutor(1, get_context("spawn")) as fresh:
        held = fresh.submit(bytes_held, min(count, _WEIGHED)).result()
    clock = Clock()
    classifier = _filled(Classifier(StandardsInForce(_ending(rounds)), "990019", clock), count)
    live = seen(islice(register(count), _LIVE))
    quiet = [_taken(classifier, event, 2) for event in live]
    turned, streams = [], []
    for number in range(rounds):
        clock.now = datetime.combine(_FIRST_DAY + timedelta(days=number), clock_time(), UTC)
        gc.collect()
        turned.append(_turned(classifier, live, 3 + number * 10 * count))
        await place.empty(classification_stream.OUT)
        gc.collect()
        streams.append(await classification_stream.stream(place, streamed, f"{GROUP}-reclassify-{number}"))
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
            "milliseconds_a_change_waits_p99": {
                "quiet": _p99(quiet),
                "meanwhile": _p99([wait for one in turned for wait in one.waits]),
            },
            "measured": "evaluation, comparison and encoding, in memory, in pieces between which changes have their turn",
        },
    )


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


def _taken(classifier: Classifier, event: AssetSeen, revision: int) -> float:
    """Seconds that a change of one asset takes."""
    again = event._replace(revision=revision)
    began = time.perf_counter()
    classifier.take([again])
    return time.perf_counter() - began


def _turned(classifier: Classifier, live: Sequence[AssetSeen], revision: int) -> Turned:
    """A change comes at the beginning of every so-manieth piece: it waits for that, and is taken, before which comes another piece."""
    told, waits, seconds = 0, [], 0.0
    for number in numbers():
        began = time.perf_counter()
        told += sum(message.topic == CLASSIFICATIONS.name for message in classifier.due())
        piece = time.perf_counter() - began
        seconds += piece
        if not classifier.pending:
            return Turned(seconds, waits, told)
        if number % _PIECES_A_CHANGE == 0:
            taken = _taken(classifier, live[number // _PIECES_A_CHANGE % len(live)], revision + number)
            waits.append(piece + taken)
            seconds += taken
    raise AssertionError("there is no last number")


def _p99(seconds: Sequence[float]) -> float:
    """In milliseconds."""
    return round(quantiles(seconds, n=100, method="inclusive")[-1] * 1000, 1) if len(seconds) > 1 else 0.0
