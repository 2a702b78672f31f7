# SPDX-License-Identifier: Apache-2.0
"""The stream's job as a Faust program: `python -m tests.benchmarks.faust_worker`, told on standard input what to do.

It writes into `found.json` of its directory the seconds from the first event to the last, and how many messages it has written. As a Faust program would be written: an agent
that takes one event after the other, a table that keeps the register in a changelog, exactly once.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import faust

from libs.bus.subscription import utc_now
from libs.contracts.topics import ASSETS
from libs.standards import StandardsInForce
from services.classification.domain import Classifier
from services.classification.reading import AssetReader
from services.classification.settings import BASE, Settings


def main() -> None:
    told: dict[str, Any] = json.load(sys.stdin)
    app = faust.App(
        told["app"],
        broker=f"kafka://{told['bootstrap']}",
        broker_credentials=faust.SASLCredentials(
            username=told["username"], password=told["password"], mechanism="SCRAM-SHA-512"
        ),
        processing_guarantee="exactly_once",
        key_serializer="raw",
        value_serializer="raw",
        store="memory://",
        datadir=told["datadir"],
        topic_partitions=1,
        topic_disable_leader=True,
        web_enabled=False,
    )
    outputs = {name: app.topic(to) for name, to in told["outputs"].items()}
    register = app.Table("register", key_type=bytes, value_type=bytes)
    reader, classifier = (
        AssetReader(),
        Classifier(
            StandardsInForce(Settings.model_construct(standard=BASE).read_standard()), told["municipality"], utc_now
        ),
    )

    @app.agent(app.topic(ASSETS.name))
    async def classify(stream: Any) -> None:
        done, written, began = 0, 0, time.perf_counter()
        async for event in stream.events():
            if done == 0:
                began = time.perf_counter()
            asset = reader.read(event.message)
            register[event.key] = event.value
            for message in classifier.take([asset]):
                written += 1
                await outputs[message.topic].send(key=message.key, value=message.value, headers=message.headers)
            done += 1
            if done == told["count"]:
                _leave(Path(told["datadir"]), {"seconds": time.perf_counter() - began, "written": written})

    faust.Worker(app, loglevel="WARNING").execute_from_commandline()


def _leave(directory: Path, found: dict[str, Any]) -> None:
    """Whole or not at all: somebody waits for it."""
    part = directory / "found.part"
    part.write_text(json.dumps(found), encoding="utf-8")
    part.rename(directory / "found.json")


if __name__ == "__main__":
    main()
