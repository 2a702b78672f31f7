# SPDX-License-Identifier: Apache-2.0
"""A candidate standard against the register of one network, beside what the stream takes for as many assets."""

from __future__ import annotations

import gc
import time

from libs.contracts import Asset, AssetChanged, AssetStatus
from libs.standards import Standard, compile_standard
from libs.standards.what_if import compare
from services.classification.settings import BASE, Settings
from services.classification.worker import GROUP
from tests.benchmarks import classification_stream
from tests.benchmarks.content import asset_messages
from tests.benchmarks.place import Place
from tests.benchmarks.report import Result, Rounds

NAME = "what-if-100k"
COUNT = 100_000
_ASSETS_A_MESSAGE = 0.2
"""The samples change each asset several times."""


async def run(place: Place, count: int, rounds: int) -> Result:
    """Each round: the comparison, then the stream."""
    await place.make_topics()
    assets = register(count)
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


def register(count: int) -> list[Asset]:
    """`count` assets of the sample city that are not retired, as its changes have left them; more than it has are copies under other ids."""
    known: dict[str, Asset] = {}
    for message in asset_messages(max(1_000, int(count * _ASSETS_A_MESSAGE))):
        asset = AssetChanged.model_validate_json(message.value).data.after
        known[asset.asset_id] = asset
    active = [asset for asset in known.values() if asset.status is AssetStatus.ACTIVE]
    copies = -(-count // len(active))
    return [_copied(asset, copy) for copy in range(copies) for asset in active][:count]


def without_rule(standard: Standard, rule_id: str) -> Standard:
    rules = tuple(rule for rule in standard.document.rules if rule.id != rule_id)
    return compile_standard(standard.document.model_copy(update={"rules": rules}))


def _copied(asset: Asset, copy: int) -> Asset:
    """The same asset once more, related to the copies of those that it is related to."""
    if copy == 0:
        return asset
    relations = tuple(one.model_copy(update={"asset_id": f"{one.asset_id}-{copy}"}) for one in asset.relations)
    return asset.model_copy(update={"asset_id": f"{asset.asset_id}-{copy}", "relations": relations})
