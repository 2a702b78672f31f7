# SPDX-License-Identifier: Apache-2.0
"""Assets in, levels and obligations out, against the same messages passed through bare aiokafka."""

from __future__ import annotations

import gc
from typing import Any

from libs.bus import PartitionTask
from libs.bus.subscription import utc_now
from libs.contracts.topics import ASSETS, CLASSIFICATIONS, OBLIGATIONS
from libs.standards import StandardsInForce
from services.classification.settings import BASE, Settings
from services.classification.worker import GROUP, AssetHandler
from tests.benchmarks import faust_stream, floors
from tests.benchmarks.content import asset_messages, one_network
from tests.benchmarks.place import Place, like, seconds_of
from tests.benchmarks.report import Result, Rounds

NAME = "classification-stream"
COUNT = 60_000
_FAUST_SHARE = 20
"""It takes so many times as long."""
OUT = (CLASSIFICATIONS, OBLIGATIONS)
_SAME = like(ASSETS, "bench.same.v1")
_LIKE_OURS = {topic.name: like(topic, f"bench.{topic.name}") for topic in OUT}


async def run(place: Place, count: int, rounds: int) -> Result:
    """Each round: ours into empty topics, then the floors."""
    await place.make_topics()
    work = await preload(place, count)
    in_faust = max(1, count // _FAUST_SHARE)
    seconds: dict[str, list[float]] = {"ours": [], "floor": [], "writing": [], "sending": [], "faust": []}
    client = place.admin.client()
    for number in range(rounds):
        await place.empty([*OUT, _SAME, *_LIKE_OURS.values()])
        gc.collect()
        seconds["ours"].append(await stream(place, count, f"{GROUP}-{number}"))
        written = {_LIKE_OURS[topic.name].name: await floors.read_all(client, topic.name) for topic in OUT}
        gc.collect()
        seconds["floor"].append(
            await floors.pass_through(client, ASSETS.name, _SAME.name, count, f"bench-same-{number}")
        )
        seconds["writing"].append(
            await floors.write_out(client, ASSETS.name, written, count, f"bench-writing-{number}")
        )
        await place.empty(list(_LIKE_OURS.values()))
        gc.collect()
        seconds["sending"].append(
            await floors.write_out(client, ASSETS.name, written, count, f"bench-sending-{number}", one_by_one=True)
        )
        await place.empty(list(_LIKE_OURS.values()))
        outputs = {name: topic.name for name, topic in _LIKE_OURS.items()}
        seconds["faust"].append(
            await faust_stream.seconds_of(place, in_faust, f"bench-faust-{number}", one_network().municipality, outputs)
        )
        work |= _written(written)
    ours, faust = Rounds.of(count, seconds["ours"]), Rounds.of(in_faust, seconds["faust"])
    return Result(
        scenario=NAME,
        unit="assets/s",
        ours=ours,
        floor=Rounds.of(count, seconds["floor"]),
        floor_is="bare aiokafka: read, a transaction with send_batch and the offset, write the same bytes",
        work=work | {"times_faust": round(ours.median / faust.median, 1)},
        also={
            "bare aiokafka writing the bytes that ours wrote": Rounds.of(count, seconds["writing"]),
            "the same, each message given to `send`": Rounds.of(count, seconds["sending"]),
            f"the job in Faust, {in_faust:,} assets": faust,
        },
    )


async def preload(place: Place, count: int) -> dict[str, Any]:
    """Write the assets of the scenario; returns what they are."""
    messages = asset_messages(count)
    await floors.fill(place.admin.client(), ASSETS.name, messages)
    return {
        "events": count,
        "assets": len({message.key for message in messages}),
        "bytes_per_event": round(sum(len(message.value) for message in messages) / count),
        "measured": "from connected, with nothing to restore, to the last committed offset; topics of one partition",
    }


async def stream(place: Place, count: int, group: str) -> float:
    """Seconds for what `preload` has written."""
    return (await seconds_of(task(place, group), count)).to_work


def task(place: Place, group: str) -> PartitionTask:
    """The service's own, on partition 0 of the assets."""
    profile = one_network()
    standards = StandardsInForce(Settings.model_construct(standard=BASE).read_standard())
    subscription = place.subscription(GROUP, group, ASSETS, profile.municipality)
    return PartitionTask(subscription, 0, lambda _: AssetHandler(standards, profile, utc_now, ()))


def _written(written: floors.Written) -> dict[str, Any]:
    values = [len(message.value) for messages in written.values() for message in messages]
    if not values:
        raise RuntimeError("nothing was written")
    return {"events_written": len(values), "bytes_per_event_written": round(sum(values) / len(values))}
