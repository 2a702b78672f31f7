# SPDX-License-Identifier: Apache-2.0
"""PostgreSQL to Kafka on real servers: in order, nothing lost, repeated only as the same."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from aiokafka.errors import ProducerFenced

from libs.bus import OutboxRelay, Output, enqueue
from libs.bus.producing import TransactionalWriter
from libs.observability import Metrics


def relay_of(bus: Any, pool: Any, name: str, **options: Any) -> OutboxRelay:
    return OutboxRelay(pool, bus.settings, name, Metrics(), **options)


async def put(pool: Any, outputs: Sequence[Output]) -> None:
    async with pool.acquire() as connection, connection.transaction():
        await enqueue(connection, outputs)


async def emptied(pool: Any, within: float = 20) -> None:
    async with asyncio.timeout(within):
        while await pool.fetchval("SELECT count(*) FROM outbox"):
            await asyncio.sleep(0.01)


def messages(topic: str, count: int, start: int = 0) -> list[Output]:
    networks = (b"mayor", b"hospital", b"education")
    return [
        Output(topic, networks[n % 3] + b"/b/x", b"%d" % n, [("ce_id", b"%d" % n)]) for n in range(start, start + count)
    ]


async def test_rows_are_sent_in_their_order_whole_and_then_are_gone(bus: Any, pool: Any, run_all: Any) -> None:
    topic = await bus.topic()
    await put(pool, messages(topic, 250))
    await put(pool, [Output(topic, b"mayor/b/x", None)])
    relay = relay_of(bus, pool, f"relay-{topic}", batch_rows=100)
    async with run_all(relay):
        await emptied(pool)
        assert (await relay.check()).ok

    records = await bus.read(topic)
    for network in (b"mayor", b"hospital", b"education"):
        numbers = [int(r.value) for r in records if r.key.startswith(network) and r.value is not None]
        assert numbers == sorted(numbers)
    assert len(records) == 251
    assert [r.value for r in records].count(None) == 1
    assert all(dict(r.headers)["ce_id"] == r.value for r in records if r.value is not None)


async def test_a_notification_wakes_the_relay_at_once(bus: Any, pool: Any, run_all: Any, wait_until: Any) -> None:
    topic = await bus.topic()
    relay = relay_of(bus, pool, f"relay-{topic}", poll_seconds=30)
    async with run_all(relay):
        async with asyncio.timeout(10):
            while not (await relay.check()).ok:
                await asyncio.sleep(0.01)
        for start in range(0, 30, 3):
            await put(pool, messages(topic, 3, start))
            await emptied(pool, within=15)

    assert sorted(int(r.value) for r in await bus.read(topic)) == list(range(30))


async def test_cut_off_anywhere_it_repeats_the_same_in_the_same_order(
    bus: Any, pool: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half the times in the middle of sending and deleting, as when the process is killed."""
    topic = await bus.topic()
    await put(pool, messages(topic, 900))
    lives = 0
    while await pool.fetchval("SELECT count(*) FROM outbox"):
        monkeypatch.setattr("libs.bus.outbox._STOP_PATIENCE", lives % 2)
        work = asyncio.create_task(relay_of(bus, pool, f"relay-{topic}", batch_rows=25).run())
        # longer and longer: on a busy machine, too, some live long enough to come further
        await asyncio.sleep((0.1 + 0.03 * (lives % 4)) * (1 + lives / 20))
        work.cancel()
        await asyncio.wait({work})
        lives += 1

    records = await bus.read(topic)
    for network in (b"mayor", b"hospital", b"education"):
        numbers = [int(r.value) for r in records if r.key.startswith(network)]
        first_times = list(dict.fromkeys(numbers))
        assert first_times == sorted(first_times), "what is new comes in order"
    assert {int(r.value) for r in records} == set(range(900))
    assert lives > 2


async def test_rows_that_become_visible_late_are_not_lost(bus: Any, pool: Any, run_all: Any) -> None:
    topic = await bus.topic()
    late, early = messages(topic, 2)
    relay = relay_of(bus, pool, f"relay-{topic}")
    async with run_all(relay), pool.acquire() as slow:
        async with slow.transaction():
            await enqueue(slow, [late])  # has the lower id, and is committed last
            await put(pool, [early])
            async with asyncio.timeout(10):
                while len(await bus.read(topic)) < 1:
                    await asyncio.sleep(0.02)
        await emptied(pool)

    assert {r.value for r in await bus.read(topic)} == {late.value, early.value}


async def test_a_second_relay_waits_and_takes_over(bus: Any, pool: Any, run_all: Any) -> None:
    topic = await bus.topic()
    first = relay_of(bus, pool, f"relay-{topic}", poll_seconds=0.1)
    second = relay_of(bus, pool, f"relay-{topic}", poll_seconds=0.1)
    async with run_all(first):
        await put(pool, messages(topic, 5))
        await emptied(pool)
        async with run_all(second):
            async with asyncio.timeout(10):
                while (await second.check()).code != "standby":
                    await asyncio.sleep(0.01)
            assert (await second.check()).ok
    async with run_all(second):
        await put(pool, messages(topic, 5, start=5))
        await emptied(pool)

    assert sorted(int(r.value) for r in await bus.read(topic)) == list(range(10))


async def test_a_zombie_relay_is_fenced(bus: Any, pool: Any, run_all: Any) -> None:
    topic = await bus.topic()
    zombie = TransactionalWriter(bus.settings, f"relay-{topic}")
    await zombie.start()
    async with run_all(relay_of(bus, pool, f"relay-{topic}")):
        await put(pool, messages(topic, 3))
        await emptied(pool)
        with pytest.raises(ProducerFenced):
            await zombie.write(messages(topic, 1, start=100))
    await zombie.stop()

    assert sorted(int(r.value) for r in await bus.read(topic)) == [0, 1, 2]


async def test_a_database_connection_that_is_cut_is_made_again(bus: Any, pool: Any, run_all: Any) -> None:
    topic = await bus.topic()
    relay = relay_of(bus, pool, f"relay-{topic}", poll_seconds=0.1)
    async with run_all(relay):
        await put(pool, messages(topic, 3))
        await emptied(pool)
        await pool.fetch(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND pid <> pg_backend_pid()"
        )
        await put(pool, messages(topic, 3, start=3))
        await emptied(pool)

    assert sorted(int(r.value) for r in await bus.read(topic)) == list(range(6))
