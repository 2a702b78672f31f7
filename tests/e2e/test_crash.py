# SPDX-License-Identifier: Apache-2.0
"""SIGKILL at random points in a stream of changes, against the same stream undisturbed."""

from __future__ import annotations

import asyncio
import os
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord

from cli.instance import Instance
from cli.layout import APART
from libs.bus import NetworkPartitioner
from libs.contracts.topics import ASSETS, CLASSIFICATIONS, FEED, OBLIGATIONS
from samples.generate import Line, changes, city
from tests.e2e.city import PROFILE, City, client, digest, document, last_by_key, partitions_of

LONG = os.environ.get("DAICHO_TEST_LONG") == "1"
SEED = int(os.environ.get("DAICHO_TEST_SEED", "20260401"))
KILLS = 100 if LONG else 21
RATE = 100
VICTIMS = ("inventory-worker", "inventory-relay", "classification-worker")
OUTPUTS = (ASSETS, CLASSIFICATIONS, OBLIGATIONS)

pytestmark = pytest.mark.timeout(1800 if LONG else 600)


class Outcome:
    """What a run left behind, without what differs between any two runs (times, how changes were batched).

    An asset that comes and goes within one batch is never spoken of, so only what is in force is compared.
    """

    def __init__(self, register: Sequence[Mapping[str, Any]], records: Sequence[ConsumerRecord]) -> None:
        self.register = {str(row["asset_id"]): dict(row) for row in register}
        by_topic: dict[str, list[ConsumerRecord]] = defaultdict(list)
        for record in records:
            by_topic[record.topic].append(record)
        self.assets = {
            key: (event["revision"], event["data"]["after"])
            for key, event in last_by_key(by_topic[ASSETS.name]).items()
        }
        self.levels = {
            key: (event["data"]["after"], _reasons(event["data"]["explanations"]))
            for key, event in last_by_key(by_topic[CLASSIFICATIONS.name]).items()
            if event["data"]["after"] is not None
        }
        self.in_force = {
            key: event["data"]["in_force"]
            for key, event in last_by_key(by_topic[OBLIGATIONS.name]).items()
            if event["data"]["in_force"]
        }


def _reasons(explanations: Mapping[str, Any]) -> dict[str, tuple[Any, ...]]:
    """What of an explanation makes an event; the way that a level came down may change in silence (`libs.standards.graph`)."""
    return {
        dimension: (one["level"], one["origin"], one.get("rule"), one.get("inherited_from", {}).get("asset_id"))
        for dimension, one in explanations.items()
    }


class LiveReader:
    """A downstream consumer that reads committed while the killing goes on."""

    def __init__(self, instance: Instance) -> None:
        self._consumer = AIOKafkaConsumer(
            **client(instance, "reader"),
            isolation_level="read_committed",
            auto_offset_reset="earliest",
            fetch_max_wait_ms=50,
        )
        self.seen: dict[tuple[str, int], list[tuple[int, str]]] = defaultdict(list)
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> LiveReader:
        await self._consumer.start()
        partitions = await partitions_of(self._consumer, [topic.name for topic in OUTPUTS])
        self._consumer.assign(partitions)
        await self._consumer.seek_to_beginning(*partitions)
        self._task = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *exc: object) -> None:
        assert self._task is not None
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        await self._consumer.stop()

    async def _read(self) -> None:
        async for record in self._consumer:
            self.seen[record.topic, record.partition].append((record.offset, digest(record.value)))


async def send(city: City, lines: Sequence[Line], rate: int | None = None) -> None:
    """One writer, at so many a second or as fast as it can; `time` is the line's number, so that two runs send the same bytes."""
    producer = AIOKafkaProducer(
        **client(city.instance, "feed"), partitioner=NetworkPartitioner(), enable_idempotence=True
    )
    await producer.start()
    try:
        for number, line in enumerate(lines):
            key, value = line.message(datetime.fromtimestamp(number, UTC), f"00-{number + 1:032x}-{1:016x}-01")
            await producer.send(FEED.name, key=key, value=value)
            if rate and number % (rate // 20) == 0:
                await asyncio.sleep(1 / 20)
        await producer.flush()
    finally:
        await producer.stop()


async def kill_now_and_then(city: City, chance: random.Random, sending: asyncio.Task[None]) -> list[str]:
    """Kill and restart until the stream has been sent and the killing is enough."""
    killed: list[str] = []
    while len(killed) < KILLS or not sending.done():
        await asyncio.sleep(chance.uniform(0.2, 2.0))
        victim = chance.choice(VICTIMS)
        await asyncio.to_thread(city.instance.kill, victim)
        assert city.instance.ended() == [victim]
        await asyncio.to_thread(city.instance.start, victim, wait=False)
        killed.append(victim)
    return killed


async def outcome_of(city: City) -> Outcome:
    register = await city.rows(
        "inventory",
        "SELECT asset_id, asset.body, revision, state, source_version FROM asset JOIN source_link USING (asset_id)",
    )
    return Outcome(register, await city.read(*(topic.name for topic in OUTPUTS)))


@pytest.fixture(scope="module")
def lines() -> list[Line]:
    print(f"DAICHO_TEST_SEED={SEED}")
    ledgers = city(SEED, 300)
    return [line for line in changes(ledgers, SEED, KILLS * 130) if line.event is not None]


@pytest.fixture(scope="module")
async def undisturbed(tmp_path_factory: pytest.TempPathFactory, lines: list[Line]) -> Outcome:
    data: Path = tmp_path_factory.mktemp("undisturbed")
    with Instance(data, profile=PROFILE) as instance:
        calm = City(instance)
        await send(calm, lines)
        await calm.settle()
        return await outcome_of(calm)


async def test_killed_services_leave_what_an_undisturbed_run_leaves(
    tmp_path: Path, lines: list[Line], undisturbed: Outcome
) -> None:
    chance = random.Random(SEED)
    with Instance(tmp_path, profile=PROFILE, layout=APART) as instance:
        assert instance.addresses.keys() == {process.name for process in APART} | {
            "inventory",
            "classification",
            "issuer",
        }
        disturbed = City(instance)
        async with LiveReader(instance) as reader:
            sending = asyncio.create_task(send(disturbed, lines, RATE))
            killed = await kill_now_and_then(disturbed, chance, sending)
            await sending
            await disturbed.settle()
            records = await disturbed.read(*(topic.name for topic in OUTPUTS))
            await _caught_up(reader, records)
        outcome = await outcome_of(disturbed)

    assert len(killed) >= 20
    assert set(killed) == set(VICTIMS)
    assert outcome.register == undisturbed.register
    assert outcome.assets == undisturbed.assets
    assert outcome.levels == undisturbed.levels
    assert outcome.in_force == undisturbed.in_force
    _no_revision_has_two_contents(records)
    _no_reader_saw_what_was_not_committed(reader, records)
    _both_events_of_a_classification_came_together(records)
    assert [
        one for one in psutil.process_iter(["cmdline"]) if str(tmp_path) in " ".join(one.info["cmdline"] or ())
    ] == []


async def _caught_up(reader: LiveReader, records: Sequence[ConsumerRecord]) -> None:
    async with asyncio.timeout(30):
        while sum(map(len, reader.seen.values())) < len(records):
            await asyncio.sleep(0.1)


def _no_revision_has_two_contents(records: Sequence[ConsumerRecord]) -> None:
    contents: dict[tuple[Any, ...], set[str]] = defaultdict(set)
    for record in records:
        event = document(record)
        contents[event["type"], record.key, event["revision"]].add(digest(record.value))
    assert {name: found for name, found in contents.items() if len(found) > 1} == {}


def _no_reader_saw_what_was_not_committed(reader: LiveReader, records: Sequence[ConsumerRecord]) -> None:
    """What was read while transactions were cut off is, record for record, what stands committed in the end."""
    committed: dict[tuple[str, int], list[tuple[int, str]]] = defaultdict(list)
    for record in records:
        committed[record.topic, record.partition].append((record.offset, digest(record.value)))
    assert dict(reader.seen) == dict(committed)


def _both_events_of_a_classification_came_together(records: Sequence[ConsumerRecord]) -> None:
    """An obligation event of a revision whose levels changed stands beside its classification event, never alone."""
    by_revision: dict[tuple[bytes, int], dict[str, dict[str, Any]]] = defaultdict(dict)
    for record in records:
        if record.topic != ASSETS.name:
            event = document(record)
            by_revision[record.key, event["revision"]][record.topic] = event
    for topics in by_revision.values():
        duties, levels = topics.get(OBLIGATIONS.name), topics.get(CLASSIFICATIONS.name)
        if duties is not None and levels is not None:
            assert duties["data"].get("levels") == levels["data"].get("after")
            assert duties["data"]["asset_revision"] == levels["data"]["asset_revision"]
