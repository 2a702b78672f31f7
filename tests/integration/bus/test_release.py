# SPDX-License-Identifier: Apache-2.0
"""A parked key is released on a real bus: its records are handled in their first order, and the key is free."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from aiokafka import ConsumerRecord

from libs.bus import (
    Act,
    OffsetConsumer,
    OutboxRelay,
    Output,
    PartitionDeadLetters,
    PartitionTask,
    Rejected,
    parked_letters,
    partition_of,
    release_key,
)
from libs.bus.deadletters import RELEASE, RELEASE_LAST
from libs.contracts import DeadLetterReleased, Reason
from libs.contracts.topics import DEADLETTERS

A, B = b"mayor/mayor/a", b"mayor/mayor/b"
PARTITION = partition_of(A, 2)
CITY = "990019"


class Judge:
    """A handler that rejects what is in `bad`, and passes on the rest."""

    def __init__(self, target: str, bad: set[bytes]) -> None:
        self.target = target
        self.bad = bad

    async def restore(self, log: Any) -> list[Output]:
        return []

    pending = False

    def due(self) -> list[Output]:
        return []

    def handle(self, records: Sequence[ConsumerRecord], dead_letters: PartitionDeadLetters) -> list[Output]:
        return [Output(self.target, r.key or b"", value) for r, value in dead_letters.sift(records, self.read)]

    def read(self, record: ConsumerRecord) -> bytes:
        if record.value in self.bad:
            raise Rejected(Reason.UNKNOWN_BODY, "data.body", "unknown")
        return record.value or b""


async def test_a_key_of_a_partition_task(bus: Any, run_all: Any, wait_until: Any) -> None:
    source, target = await bus.topic(), await bus.topic()
    subscription = bus.subscription(source)
    bad = {b"1"}
    task = PartitionTask(subscription, PARTITION, lambda _: Judge(target, bad))

    async def handled(count: int) -> None:
        await wait_until(lambda: (task.status.position or 0) >= count)

    await bus.send([Output(source, A, b"1"), Output(source, B, b"2"), Output(source, A, b"3", [("own", b"x")])])
    async with run_all(task):
        await handled(3)
        letters = await parked_letters(bus.settings, consumer=subscription.group)
        assert [(one.letter.offset, one.letter.reason, one.key) for one in letters] == [
            (0, Reason.UNKNOWN_BODY, A),
            (2, Reason.KEY_PARKED, A),
        ]

        # not mended yet: both are put aside again, in order
        assert await release_key(bus.settings, subscription.group, source, A, Act("officer"), municipality=CITY) == 2
        await handled(5)
        again = await parked_letters(bus.settings, consumer=subscription.group)
        assert [(one.letter.offset, one.first_offset) for one in again] == [(3, 0), (4, 2)]

        bad.clear()
        assert await release_key(bus.settings, subscription.group, source, A, Act("officer"), municipality=CITY) == 2
        await bus.send([Output(source, A, b"4")])
        await handled(10)

    assert [record.value for record in await bus.read(target)] == [b"2", b"1", b"3", b"4"]
    assert await parked_letters(bus.settings, consumer=subscription.group) == []
    released = [record for record in await bus.read(source) if record.headers and record.headers[0][0] == RELEASE]
    assert dict(released[-1].headers)["own"] == b"x"
    assert RELEASE_LAST in dict(released[-1].headers)
    events = [
        DeadLetterReleased.model_validate_json(record.value)
        for record in await bus.read(DEADLETTERS.name)
        if dict(record.headers)["ce_type"] == b"daicho.deadletter.released.v1" and record.key == A
    ]
    ours = [event.data for event in events if event.data.consumer == subscription.group]
    assert [(one.key, one.actor, one.count) for one in ours] == [("mayor/mayor/a", "officer", 2)] * 2


async def test_a_key_of_an_offset_consumer_with_one_record_given_up(
    bus: Any, pool: Any, run_all: Any, wait_until: Any
) -> None:
    source = await bus.topic()
    subscription = bus.subscription(source)
    seen: list[bytes | None] = []

    async def apply(_: Any, records: Sequence[ConsumerRecord], dead_letters: PartitionDeadLetters) -> None:
        judge = Judge("", {b"1"})
        seen.extend(value for _, value in dead_letters.sift(records, judge.read))

    consumer = OffsetConsumer(subscription, pool, apply)
    relay = OutboxRelay(pool, bus.settings, f"relay-{subscription.group}", subscription.metrics)
    await bus.send([Output(source, A, b"1"), Output(source, A, b"2"), Output(source, B, b"3")])
    async with run_all(consumer, relay):
        async with asyncio.timeout(15):
            while len(letters := await parked_letters(bus.settings, consumer=subscription.group)) < 2:
                await asyncio.sleep(0.05)
        assert [one.id for one in letters] == [f"{subscription.group}:{source}:{PARTITION}:{n}" for n in (0, 1)]

        count = await release_key(
            bus.settings, subscription.group, source, A, Act("officer", discard={letters[0].id}), municipality=CITY
        )
        await bus.send([Output(source, A, b"4")])
        await wait_until(lambda: len(seen) == 3)

    assert count == 1
    assert seen == [b"3", b"2", b"4"]
    assert not await pool.fetchval("SELECT count(*) FROM parked_key WHERE consumer = $1", subscription.group)
    assert await parked_letters(bus.settings, consumer=subscription.group) == []


async def test_everything_given_up_frees_the_key_also_after_a_restart(bus: Any, run_all: Any, wait_until: Any) -> None:
    source, target = await bus.topic(), await bus.topic()
    subscription = bus.subscription(source)
    await bus.send([Output(source, A, b"1")])
    first = PartitionTask(subscription, PARTITION, lambda _: Judge(target, {b"1"}))
    async with run_all(first):
        await wait_until(lambda: first.status.position == 1)
    (letter,) = await parked_letters(bus.settings, consumer=subscription.group)
    assert (
        await release_key(
            bus.settings, subscription.group, source, A, Act("officer", discard={letter.id}), municipality=CITY
        )
        == 0
    )
    await bus.send([Output(source, A, b"2")])
    second = PartitionTask(subscription, PARTITION, lambda _: Judge(target, {b"1"}))
    async with run_all(second):
        await wait_until(lambda: (second.status.position or 0) >= 4)
    await bus.send([Output(source, A, b"3")])
    third = PartitionTask(subscription, PARTITION, lambda _: Judge(target, {b"1"}))
    async with run_all(third):
        await wait_until(lambda: (third.status.position or 0) >= 5)

    assert [record.value for record in await bus.read(target)] == [b"2", b"3"]


async def test_nothing_is_released_where_nothing_is_parked(bus: Any) -> None:
    source = await bus.topic()

    assert await release_key(bus.settings, "nobody", source, A, Act("officer"), municipality=CITY) == 0
    assert await bus.read(source) == []


@pytest.mark.parametrize("size", [1_000_000])
async def test_a_large_record_comes_back_whole(bus: Any, run_all: Any, wait_until: Any, size: int) -> None:
    source, target = await bus.topic(), await bus.topic()
    subscription = bus.subscription(source)
    large = bytes(size)
    bad = {large}
    await bus.send([Output(source, A, large)])
    task = PartitionTask(subscription, PARTITION, lambda _: Judge(target, bad))
    async with run_all(task):
        await wait_until(lambda: task.status.position == 1)
        bad.clear()
        assert await release_key(bus.settings, subscription.group, source, A, Act("officer"), municipality=CITY) == 1
        await wait_until(lambda: (task.status.position or 0) >= 2)

    assert [record.value for record in await bus.read(target)] == [large]
