# SPDX-License-Identifier: Apache-2.0
"""Doors under load on a real broker that stands still in the middle of it: what was accepted is in the register, the rest is told when to come again."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import count

import asyncpg
import httpx

from libs.contracts import Profile
from libs.contracts.topics import FEED
from libs.devstack import Stack
from libs.persistence import Sessions
from services.inventory.backpressure import Bounds, Gate, WorkerWatch
from services.inventory.intake import Intake
from tests.integration.inventory.conftest import Look
from tests.integration.inventory.test_api import Service, app_over, service, thing, utc_now
from tests.integration.service import account

__all__ = ["service"]

SENDERS = 12
ITEMS = 25


@asynccontextmanager
async def doors(
    stack: Stack, profile: Profile, sessions: Sessions, bounds: Bounds, patience: float = 10
) -> AsyncIterator[Service]:
    """Doors with bounds of their own, before the worker that runs already."""
    kafka, gate = account(stack, "inventory"), Gate(bounds, utc_now)
    intake = Intake(kafka, profile, utc_now, patience, gate)
    watching = asyncio.create_task(WorkerWatch(kafka, sessions, gate, utc_now).run())
    app = app_over(sessions, intake, profile, kafka)
    try:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://inventory") as http:
            yield Service(http, app)
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
        await intake.stop()


async def post(service: Service, *names: str) -> httpx.Response:
    content = {"items": [thing(name, name=name) for name in names]}
    return await service.call("feeder", "POST", "/v1/feeds/cmdb/items", json=content)


async def until_taken(service: Service, name: str) -> None:
    async with asyncio.timeout(30):
        while (await post(service, name)).status_code != 202:
            await asyncio.sleep(0.1)


async def test_all_that_was_accepted_is_in_the_register_though_the_broker_stood_still(
    service: Service, stack: Stack, profile: Profile, sessions: Sessions, look: Look
) -> None:
    numbers, answers, done = count(), dict[tuple[str, ...], httpx.Response](), asyncio.Event()

    async def sender(under_load: Service) -> None:
        while not done.is_set():
            names = tuple(f"BP-{next(numbers)}" for _ in range(ITEMS))
            answers[names] = await post(under_load, *names)
            await asyncio.sleep(0.02)

    async def until(wanted: int) -> None:
        seen = [answer.status_code for answer in answers.values()].count(wanted)
        async with asyncio.timeout(30):
            while [answer.status_code for answer in answers.values()].count(wanted) < seen + SENDERS:
                await asyncio.sleep(0.02)

    async with doors(stack, profile, sessions, Bounds(waiting_items=200), patience=1.5) as under_load:
        senders = [asyncio.create_task(sender(under_load)) for _ in range(SENDERS)]
        try:
            await until(202)
            os.kill(stack.kafka_pid, signal.SIGSTOP)
            try:
                await until(503)
            finally:
                os.kill(stack.kafka_pid, signal.SIGCONT)
            await until(202)
        finally:
            done.set()
            await asyncio.gather(*senders)

    refused = [answer for answer in answers.values() if answer.status_code != 202]
    assert {answer.status_code for answer in refused} <= {429, 503}
    assert all(int(answer.headers["retry-after"]) > 0 for answer in refused)
    accepted = {names: answer for names, answer in answers.items() if answer.status_code == 202}
    for answer in accepted.values():
        for receipt in answer.json()["receipts"]:
            assert (await service.outcome("feeder", receipt["id"]))["status"] in {"applied", "unchanged"}
    register = {row["source_key"] for row in await look("SELECT source_key FROM source_link WHERE feed = 'cmdb'")}
    assert {name for names in accepted for name in names} <= register


async def test_a_worker_that_does_not_come_along_is_told_at_the_doors(
    service: Service, stack: Stack, profile: Profile, sessions: Sessions, owner_dsn: str
) -> None:
    async with doors(stack, profile, sessions, Bounds(unhandled_of_feed=3, behind_seconds=2)) as bounded:
        await until_taken(bounded, "BP-W-0")
        holding = await asyncpg.connect(owner_dsn)
        try:
            async with holding.transaction():
                await holding.execute("SELECT FROM consumer_offset WHERE topic = $1 FOR UPDATE", FEED.name)
                taken = 0
                while (answer := await post(bounded, f"BP-W-{taken + 1}")).status_code == 202:
                    taken += 1
                assert taken <= 3
                assert (answer.status_code, answer.headers["retry-after"]) == (429, "60")
                other = await bounded.call(
                    "ledger",
                    "POST",
                    "/v1/feeds/ledger/ledger",
                    params={"body": "audit"},
                    content="台帳番号,情報資産名,種類,個人情報の有無,件数\r\nBP-1,監査計画,関連文書,無,\r\n".encode(),
                    headers={"Content-Type": "text/csv"},
                )
                assert other.status_code == 202, other.text
                async with asyncio.timeout(20):
                    while (answer := await post(bounded, "BP-W-9")).status_code != 503:
                        await asyncio.sleep(0.1)
                assert answer.headers["retry-after"] == "60"
        finally:
            await holding.close()
        await until_taken(bounded, "BP-W-10")
