# SPDX-License-Identifier: Apache-2.0
"""The health routes: open, quick, and telling nothing but numbers and codes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI

from libs.observability import Metrics, ProbeResult
from libs.observability import metrics as table
from libs.observability.health import Health
from libs.security import Identity, InvalidTokenError, Role, create_app


class Scripted:
    """A probe that does as it is told."""

    def __init__(self, name: str, result: ProbeResult) -> None:
        self.name = name
        self.result = result
        self.error: Exception | None = None
        self.hangs = False
        self.checks = 0

    async def check(self) -> ProbeResult:
        self.checks += 1
        if self.hangs:
            await asyncio.Event().wait()
        if self.error:
            raise self.error
        return self.result


class Verifier:
    async def verify(self, token: str) -> Identity:
        if token not in ("reader", "operator"):
            raise InvalidTokenError("token_forged")
        return Identity(token, frozenset(), frozenset({Role(token)}))


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def outbox() -> Scripted:
    return Scripted("outbox", ProbeResult(ok=True, measures={"oldest_seconds": 0.5}))


@pytest.fixture
def consumer() -> Scripted:
    return Scripted("consumer", ProbeResult(ok=True, measures={"lag daicho.feed.v1-0": 12}))


@pytest.fixture
async def app(outbox: Scripted, consumer: Scripted, clock: Clock) -> FastAPI:
    metrics = Metrics()
    metrics.gauge(table.OUTBOX_ROWS).set(7)
    app = create_app("test", Verifier(), version="1", max_body_bytes=100, metrics=metrics)  # type: ignore[arg-type]
    app.include_router(Health([outbox, consumer], metrics, patience=0.05, clock=clock).router())
    return app


@pytest.fixture
async def http(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        yield client


async def test_a_service_that_is_well_says_its_numbers(http: httpx.AsyncClient) -> None:
    assert (await http.get("/health/live")).json() == {"status": "live"}
    answer = await http.get("/health/ready")
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    assert answer.json() == {
        "status": "ready",
        "probes": [
            {"name": "outbox", "ok": True, "essential": True, "code": None, "measures": {"oldest_seconds": 0.5}},
            {"name": "consumer", "ok": True, "essential": True, "code": None, "measures": {"lag daicho.feed.v1-0": 12}},
        ],
    }


async def test_a_stopped_task_turns_it_red_with_its_code(http: httpx.AsyncClient, consumer: Scripted) -> None:
    consumer.result = ProbeResult(ok=False, code="max-parked-keys")
    answer = await http.get("/health/ready")
    assert (answer.status_code, answer.json()["status"]) == (503, "not-ready")
    assert answer.json()["probes"][1]["code"] == "max-parked-keys"
    assert (await http.get("/health/live")).status_code == 200


async def test_what_is_not_essential_is_told_and_the_service_is_ready(
    http: httpx.AsyncClient, consumer: Scripted
) -> None:
    consumer.result = ProbeResult(ok=False, essential=False, code="unreachable")
    answer = await http.get("/health/ready")
    assert (answer.status_code, answer.json()["status"]) == (200, "ready")
    assert (answer.json()["probes"][1]["ok"], answer.json()["probes"][1]["code"]) == (False, "unreachable")


async def test_a_probe_that_fails_or_hangs_is_told_without_its_error(
    http: httpx.AsyncClient, outbox: Scripted, consumer: Scripted
) -> None:
    outbox.error = RuntimeError("the ledger of 山田太郎")
    consumer.hangs = True
    answer = await http.get("/health/ready")
    assert answer.status_code == 503
    assert [probe["code"] for probe in answer.json()["probes"]] == ["failed", "timeout"]
    assert "山田" not in answer.text


async def test_probes_are_asked_once_a_second_however_many_call(
    http: httpx.AsyncClient, outbox: Scripted, clock: Clock
) -> None:
    await asyncio.gather(*(http.get("/health/ready") for _ in range(20)))
    assert outbox.checks == 1
    outbox.result = ProbeResult(ok=False, code="outbox-old")
    clock.now += 1
    assert (await http.get("/health/ready")).status_code == 503
    assert outbox.checks == 2


async def test_metrics_are_for_the_operator(http: httpx.AsyncClient) -> None:
    assert (await http.get("/metrics")).status_code == 401
    assert (await http.get("/metrics", headers={"Authorization": "Bearer reader"})).status_code == 403
    answer = await http.get("/metrics", headers={"Authorization": "Bearer operator"})
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert "daicho_outbox_rows 7.0" in answer.text


async def test_requests_are_counted_by_operation_and_never_by_what_was_sent(http: httpx.AsyncClient) -> None:
    operator = {"Authorization": "Bearer operator"}
    await http.get("/health/live?name=山田")
    await http.get("/made-up/山田")
    await http.request("BREW", "/health/live")
    await http.post("/made-up", content=b"x" * 200)
    shown = (await http.get("/metrics", headers=operator)).text
    assert 'daicho_http_requests_total{operation="live",status="200"} 1.0' in shown
    assert 'daicho_http_requests_total{operation="live",status="405"} 1.0' in shown
    assert 'daicho_http_requests_total{operation="-",status="404"} 1.0' in shown
    assert 'daicho_http_requests_total{operation="-",status="413"} 1.0' in shown
    assert 'daicho_http_seconds_count{operation="live"} 2.0' in shown
    assert not {"made-up", "BREW", "%E5"} & set(shown.split('"'))
