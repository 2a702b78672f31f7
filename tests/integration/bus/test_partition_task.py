# SPDX-License-Identifier: Apache-2.0
"""Kafka to Kafka on a real broker: nothing lost, nothing twice, whoever is cut off where."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from aiokafka import ConsumerRecord

from libs.bus import Caps, Limits, Output, PartitionTask, PartitionWorker, Rejected, TaskState, partition_of
from libs.bus.group import SESSION_TIMEOUT_MS
from libs.bus.producing import TransactionalWriter
from libs.bus.resuming import resumption_output
from libs.contracts import DeadLettered, Reason, Resumption
from libs.contracts.topics import DEADLETTERS

KEY = b"mayor/mayor/a"
PARTITION = partition_of(KEY, 2)


def numbered(topic: str, count: int, start: int = 0, keys: int = 7) -> list[Output]:
    return [Output(topic, b"mayor/mayor/%d" % (n % keys), b"%d" % n) for n in range(start, start + count)]


async def letters_of(bus: Any, consumer: str) -> list[DeadLettered]:
    events = [
        DeadLettered.model_validate_json(record.value)
        for record in await bus.read(DEADLETTERS.name)
        if dict(record.headers)["ce_type"] == b"daicho.deadletter.parked.v1"
    ]
    return sorted((one for one in events if one.data.consumer == consumer), key=lambda one: one.data.offset)


async def test_every_record_goes_through_once_though_the_task_is_cut_off_again_and_again(
    bus: Any, make_copier: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half the times in the middle of whatever it does, as when a process is killed; half the times with a commit finished."""
    source, target = await bus.topic(), await bus.topic()
    subscription = bus.subscription(source, limits=Limits(max_records=40))
    await bus.send(numbered(source, 6000))
    chance = random.Random(4)
    lives = 0

    while (await bus.committed(subscription, PARTITION) or 0) < 6000:
        monkeypatch.setattr("libs.bus.partition_task.STOP_PATIENCE", chance.choice([0, 5]))
        task = PartitionTask(subscription, PARTITION, lambda _: make_copier(target))
        work = asyncio.create_task(task.run())
        # longer and longer: on a busy machine, too, some live long enough to come further
        await asyncio.sleep(chance.uniform(0.2, 0.7) * (1 + lives / 20))
        work.cancel()
        await asyncio.wait({work})
        lives += 1

    records = await bus.read(target)
    assert [record.value for record in records] == [b"%d" % n for n in range(6000)]
    assert {record.partition for record in records} == {PARTITION}
    assert lives > 2


async def test_a_reader_of_what_is_committed_never_sees_half_a_batch(bus: Any, make_copier: Any) -> None:
    source, target = await bus.topic(), await bus.topic()
    subscription = bus.subscription(source)
    await bus.send(numbered(source, 20))
    task = PartitionTask(subscription, PARTITION, lambda _: make_copier(target))
    writer = TransactionalWriter(bus.settings, task.transactional_id)
    await writer.start()
    producer = writer._producer
    await producer.begin_transaction()
    batch = producer.create_batch()
    batch.append(timestamp=None, key=KEY, value=b"half")
    await (await producer.send_batch(batch, target, partition=PARTITION))

    assert await bus.read(target) == []
    work = asyncio.create_task(task.run())
    async with asyncio.timeout(20):
        while len(await bus.read(target)) < 20:
            await asyncio.sleep(0.02)
    work.cancel()
    await asyncio.wait({work})

    assert [record.value for record in await bus.read(target)] == [b"%d" % n for n in range(20)]
    assert b"half" in {record.value for record in await bus.read(target, "read_uncommitted")}
    await writer.stop()


async def test_a_newcomer_fences_the_old_owner_who_then_stops_quietly(
    bus: Any, make_copier: Any, run_all: Any, wait_until: Any
) -> None:
    source, target = await bus.topic(), await bus.topic()
    subscription = bus.subscription(source)
    old = PartitionTask(subscription, PARTITION, lambda _: make_copier(target))
    new = PartitionTask(subscription, PARTITION, lambda _: make_copier(target))
    async with run_all(old) as (old_work,):
        await bus.send(numbered(source, 10))
        await wait_until(lambda: old.status.position and old.status.position >= 10)
        async with run_all(new):
            await wait_until(lambda: new.status.state is TaskState.RUNNING)
            await bus.send(numbered(source, 10, start=10))
            await wait_until(old_work.done)
            await wait_until(lambda: new.status.position and new.status.position >= 20)

    assert old.status.state is TaskState.FENCED
    assert old_work.exception() is None
    assert [record.value for record in await bus.read(target)] == [b"%d" % n for n in range(20)]


async def test_the_state_is_rebuilt_from_the_log_up_to_the_committed_offset(
    bus: Any, run_all: Any, wait_until: Any
) -> None:
    source, target = await bus.topic(), await bus.topic()
    subscription = bus.subscription(source)
    restored: list[tuple[list[bytes], list[bytes], int]] = []

    class Restoring:
        async def restore(self, log: Any) -> list[Output]:
            inputs = [r.value async for batch in log.read(source, until_committed=True) for r in batch]
            outputs = [r.value async for batch in log.read(target) for r in batch]
            restored.append((inputs, outputs, log.committed))
            return [Output(target, KEY, b"difference")] if len(restored) == 2 else []

        pending = False

        def due(self) -> list[Output]:
            return []

        def handle(self, records: Sequence[ConsumerRecord], _: Any) -> list[Output]:
            return [Output(target, record.key, record.value) for record in records]

    first = PartitionTask(subscription, PARTITION, lambda _: Restoring())
    async with run_all(first):
        await bus.send(numbered(source, 5))
        await wait_until(lambda: first.status.position and first.status.position >= 5)
    await bus.send(numbered(source, 5, start=5))
    second = PartitionTask(subscription, PARTITION, lambda _: Restoring())
    async with run_all(second):
        await wait_until(lambda: second.status.position and second.status.position >= 10)

    five = [b"%d" % n for n in range(5)]
    assert restored == [([], [], 0), (five, five, 5)]
    values = [record.value for record in await bus.read(target)]
    assert values == [*five, b"difference", *[b"%d" % n for n in range(5, 10)]]


async def test_restoring_waits_for_open_transactions_of_others(bus: Any, run_all: Any, wait_until: Any) -> None:
    """What this task committed may stand behind another's open transaction: it must not be missed."""
    source, target = await bus.topic(), await bus.topic()
    subscription = bus.subscription(source)
    seen: list[bytes] = []

    class Reading:
        async def restore(self, log: Any) -> list[Output]:
            async for records in log.read(target):
                seen.extend(record.value for record in records)
            return []

        pending = False

        def due(self) -> list[Output]:
            return []

        def handle(self, records: Sequence[ConsumerRecord], _: Any) -> list[Output]:
            return []

    other = TransactionalWriter(bus.settings, f"other-{subscription.group}")
    await other.start()
    await other._producer.begin_transaction()
    await other._producer.send_and_wait(target, b"other", KEY, partition=PARTITION)
    mine = TransactionalWriter(bus.settings, f"mine-{subscription.group}")
    await mine.start()
    await mine.write([Output(target, KEY, b"mine")])
    await mine.stop()

    task = PartitionTask(subscription, PARTITION, lambda _: Reading())
    async with run_all(task):
        await wait_until(lambda: task.status.state is TaskState.RESTORING)
        await other._producer.abort_transaction()
        await wait_until(lambda: task.status.state is TaskState.RUNNING)
    await other.stop()

    assert seen == [b"mine"]


async def test_a_record_on_which_the_program_fails_is_put_aside_alone(
    bus: Any, make_copier: Any, run_all: Any, wait_until: Any
) -> None:
    source, target = await bus.topic(), await bus.topic()
    subscription = bus.subscription(source)
    handlers: list[Any] = []

    def make(_: int) -> Any:
        copier = make_copier(target)
        copier.fail_on = lambda value: value in {b"11", b"30"}
        handlers.append(copier)
        return copier

    await bus.send(numbered(source, 60, keys=60))
    await bus.send([Output(source, b"mayor/mayor/11", b"after 11")])
    task = PartitionTask(subscription, PARTITION, make)
    async with run_all(task):
        await wait_until(lambda: task.status.position and task.status.position >= 61)

    values = [record.value for record in await bus.read(target)]
    assert values == [b"%d" % n for n in range(60) if n not in {11, 30}]
    letters = await letters_of(bus, subscription.group)
    assert [(one.data.offset, one.data.reason) for one in letters] == [
        (11, Reason.FAILED),
        (30, Reason.FAILED),
        (60, Reason.KEY_PARKED),
    ]
    assert "ZeroDivisionError" in letters[0].data.detail
    assert "the value" not in letters[0].data.detail
    assert handlers[-1].seen == values, "the last state was rebuilt from what was committed"


async def test_parked_keys_are_known_again_after_a_restart(
    bus: Any, make_copier: Any, run_all: Any, wait_until: Any
) -> None:
    source, target = await bus.topic(), await bus.topic()
    subscription = bus.subscription(source)

    class Rejecting(make_copier):  # type: ignore[misc]
        pending = False

        def due(self) -> list[Output]:
            return []

        def handle(self, records: Sequence[ConsumerRecord], dead_letters: Any) -> list[Output]:
            def read(record: ConsumerRecord) -> bytes:
                if record.value == b"bad":
                    raise Rejected(Reason.SCHEMA, "data", "bad")
                return record.value or b""

            return [Output(target, r.key, value) for r, value in dead_letters.sift(records, read)]

    await bus.send([Output(source, b"mayor/mayor/x", b"bad"), Output(source, b"mayor/mayor/y", b"good")])
    first = PartitionTask(subscription, PARTITION, lambda _: Rejecting(target))
    async with run_all(first):
        await wait_until(lambda: first.status.position and first.status.position >= 2)
    await bus.send([Output(source, b"mayor/mayor/x", b"later"), Output(source, b"mayor/mayor/y", b"good too")])
    second = PartitionTask(subscription, PARTITION, lambda _: Rejecting(target))
    async with run_all(second):
        await wait_until(lambda: second.status.position and second.status.position >= 4)

    assert [record.value for record in await bus.read(target)] == [b"good", b"good too"]
    reasons = [one.data.reason for one in await letters_of(bus, subscription.group)]
    assert reasons == [Reason.SCHEMA, Reason.KEY_PARKED]


async def test_a_cap_stops_the_task_and_keeps_the_offset(bus: Any, run_all: Any, wait_until: Any) -> None:
    source = await bus.topic()
    caps = Caps(max_parked_keys=15)
    subscription = bus.subscription(source, caps=caps, limits=Limits(max_records=10))

    class RejectingAll:
        async def restore(self, log: Any) -> list[Output]:
            return []

        pending = False

        def due(self) -> list[Output]:
            return []

        def handle(self, records: Sequence[ConsumerRecord], dead_letters: Any) -> list[Output]:
            for record in records:
                dead_letters.reject(record, Rejected(Reason.SCHEMA, None, "bad"))
            return []

    await bus.send(numbered(source, 40, keys=40))
    worker = PartitionWorker(subscription, lambda _: RejectingAll())
    async with run_all(worker):
        await wait_until(
            lambda: worker.statuses().get(PARTITION) and worker.statuses()[PARTITION].state is TaskState.STOPPED
        )
        probe = await worker.check()

        assert (probe.ok, probe.code) == (False, "parked-keys-cap")
        assert await bus.committed(subscription, PARTITION) == 10
        assert len(await letters_of(bus, subscription.group)) == 10

        # a person lets it go on: there is room for 15 keys more, and then it stops again
        told = Resumption(
            consumer=subscription.group, topic=source, partition=PARTITION, actor="officer", reason="mended"
        )
        resumption = resumption_output(told, "990019", "test", subscription.clock)
        stopped = worker.statuses()[PARTITION]
        async with asyncio.timeout(20):
            while worker.statuses()[PARTITION] is stopped:
                # it is heard from the moment on when the task's owner listens
                await bus.send([resumption])
                await asyncio.sleep(0.3)
        await wait_until(lambda: worker.statuses()[PARTITION].state is TaskState.STOPPED)
        assert await bus.committed(subscription, PARTITION) == 20


async def test_large_and_many_messages_share_one_transaction(bus: Any, run_all: Any, wait_until: Any) -> None:
    source, target = await bus.topic(), await bus.topic()
    subscription = bus.subscription(source, limits=Limits(send_bytes=16 * 1024))
    large = bytes(900_000)
    networks = [next(n for n in (b"n%d" % i for i in range(20)) if partition_of(n, 2) == p) for p in (0, 1)]

    class Spreading:
        async def restore(self, log: Any) -> list[Output]:
            return []

        pending = False

        def due(self) -> list[Output]:
            return []

        def handle(self, records: Sequence[ConsumerRecord], _: Any) -> list[Output]:
            small = [Output(target, b"%s/b/%d" % (network, n), b"x" * 1000) for network in networks for n in range(50)]
            return [*small, Output(target, KEY, large), *small]

    await bus.send(numbered(source, 1))
    task = PartitionTask(subscription, PARTITION, lambda _: Spreading())
    async with run_all(task):
        await wait_until(lambda: task.status.position)

    records = await bus.read(target)
    assert sum(len(record.value) == 1000 for record in records) == 200
    assert sum(record.value == large for record in records) == 1
    assert {record.partition for record in records} == {0, 1}


async def test_who_has_more_to_tell_is_asked_again_at_once_and_records_have_their_turn_between(
    bus: Any, run_all: Any, wait_until: Any
) -> None:
    source, target = await bus.topic(), await bus.topic()
    subscription = bus.subscription(source)
    told: list[str] = []

    class Turning:
        async def restore(self, log: Any) -> list[Output]:
            return []

        @property
        def pending(self) -> bool:
            return told.count("piece") < 100

        def due(self) -> list[Output]:
            if not self.pending:
                return []
            told.append("piece")
            return [Output(target, KEY, b"piece")]

        def handle(self, records: Sequence[ConsumerRecord], _: Any) -> list[Output]:
            told.extend("record" for _ in records)
            return [Output(target, KEY, record.value) for record in records]

    task = PartitionTask(subscription, PARTITION, lambda _: Turning())
    async with run_all(task):
        await wait_until(lambda: len(told) > 5)
        await bus.send(numbered(source, 3))
        await wait_until(lambda: len(told) == 103)

    assert told.index("record") < len(told) - 3, "the records waited for the last piece"
    assert len(await bus.read(target)) == 103


async def test_an_output_that_no_topic_takes_puts_its_record_aside(bus: Any, run_all: Any, wait_until: Any) -> None:
    source, target = await bus.topic(), await bus.topic()
    subscription = bus.subscription(source)

    class Growing:
        async def restore(self, log: Any) -> list[Output]:
            return []

        pending = False

        def due(self) -> list[Output]:
            return []

        def handle(self, records: Sequence[ConsumerRecord], _: Any) -> list[Output]:
            return [Output(target, r.key, bytes(2_000_000) if r.value == b"3" else r.value) for r in records]

    await bus.send(numbered(source, 6))
    task = PartitionTask(subscription, PARTITION, lambda _: Growing())
    async with run_all(task):
        await wait_until(lambda: task.status.position and task.status.position >= 6)

    assert [record.value for record in await bus.read(target)] == [b"0", b"1", b"2", b"4", b"5"]
    (letter,) = await letters_of(bus, subscription.group)
    assert (letter.data.offset, letter.data.reason) == (3, Reason.FAILED)


async def test_a_worker_started_again_under_its_name_has_its_partitions_back_at_once(
    bus: Any, make_copier: Any, run_all: Any, wait_until: Any
) -> None:
    source, target = await bus.topic(), await bus.topic()
    subscription = bus.subscription(source)
    for life in range(3):
        worker = PartitionWorker(subscription, lambda _: make_copier(target))
        began = asyncio.get_running_loop().time()
        async with run_all(worker):
            await bus.send(numbered(source, 10, start=10 * life))
            goal = 10 * (life + 1)
            await wait_until(
                lambda: len(worker.statuses()) == 2 and (worker.statuses()[PARTITION].position or 0) >= goal,  # noqa: B023
                within=SESSION_TIMEOUT_MS / 1000,
            )
            probe = await worker.check()
        assert asyncio.get_running_loop().time() - began < SESSION_TIMEOUT_MS / 1000, (
            "it waited for its earlier life to be given up"
        )
    assert probe.ok
    assert set(probe.measures) == {f"lag {source}-0", f"lag {source}-1"}
    assert [record.value for record in await bus.read(target)] == [b"%d" % n for n in range(30)]


async def test_two_workers_share_the_partitions_and_each_record_is_handled_once(
    bus: Any, make_copier: Any, run_all: Any, wait_until: Any
) -> None:
    source, target = await bus.topic(), await bus.topic()
    subscription = bus.subscription(source)
    one = PartitionWorker(subscription, lambda _: make_copier(target))
    two = PartitionWorker(replace(subscription, instance="two"), lambda _: make_copier(target))
    networks = [next(n for n in (b"n%d" % i for i in range(20)) if partition_of(n, 2) == p) for p in (0, 1)]

    def batch(start: int) -> list[Output]:
        return [Output(source, network + b"/b/x", b"%d" % n) for n in range(start, start + 20) for network in networks]

    async with run_all(one):
        await bus.send(batch(0))
        await wait_until(lambda: len(one.statuses()) == 2)
        async with run_all(two):
            await wait_until(lambda: len(one.statuses()) == 1 and len(two.statuses()) == 1)
            await bus.send(batch(20))
            statuses = [*one.statuses().values(), *two.statuses().values()]
            assert {status.partition for status in statuses} == {0, 1}
            await wait_until(lambda: all((status.position or 0) >= 40 for status in statuses))

    for partition in (0, 1):
        values = [record.value for record in await bus.read(target) if record.partition == partition]
        assert values == [b"%d" % n for n in range(40)]


async def test_a_broker_that_no_longer_answers_turns_health_red(
    bus: Any, make_copier: Any, run_all: Any, wait_until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("libs.bus.task.POLL_MS", 50)
    monkeypatch.setattr("libs.bus.task.SILENCE_MS", 700)
    source, target = await bus.topic(), await bus.topic()
    task = PartitionTask(bus.subscription(source), PARTITION, lambda _: make_copier(target))
    async with run_all(task):
        await wait_until(lambda: task.status.state is TaskState.RUNNING)
        monkeypatch.setattr("libs.bus.task.SILENCE_MS", 0)
        await wait_until(lambda: (task.status.state, task.status.reason) == (TaskState.RETRYING, "broker"))
        monkeypatch.setattr("libs.bus.task.SILENCE_MS", 700)
        await wait_until(lambda: task.status.state is TaskState.RUNNING)


async def test_what_comes_due_is_told_with_no_record_to_cause_it(bus: Any, make_copier: Any) -> None:
    source, target = await bus.topic(), await bus.topic()
    copier = make_copier(target)
    waiting = numbered(target, 3)
    copier.due = lambda: [waiting.pop()] if waiting else []
    task = PartitionTask(bus.subscription(source), PARTITION, lambda _: copier)
    work = asyncio.create_task(task.run())
    async with asyncio.timeout(20):
        while len(records := await bus.read(target)) < 3:
            await asyncio.sleep(0.1)
    work.cancel()
    await asyncio.wait({work})
    assert {record.value for record in records} == {b"0", b"1", b"2"}
