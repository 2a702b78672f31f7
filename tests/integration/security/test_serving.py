# SPDX-License-Identifier: Apache-2.0
"""The server: starts or says why not, limits what it reads, ends gracefully, leaves signals alone."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any

import httpx
import pytest
from fastapi import Depends, FastAPI, Request

from libs.security import (
    AppNotStartedError,
    HttpSettings,
    Identity,
    Role,
    UnguardedRouteError,
    authenticated,
    create_app,
    serving,
)

LIMIT = 1024


class Verifier:
    async def verify(self, token: str) -> Identity:
        return Identity(token, frozenset(), frozenset({Role.READER}))


def application(lifespan: Callable[[Any], Any] | None = None) -> FastAPI:
    app = create_app("t", Verifier(), version="1", max_body_bytes=LIMIT, lifespan=lifespan)  # type: ignore[arg-type]
    app.state.entered = asyncio.Event()
    app.state.go_on = asyncio.Event()

    @app.post("/size")
    async def size(request: Request, _reader: Annotated[Identity, Depends(authenticated("reader"))]) -> int:
        return len(await request.body())

    @app.get("/slow")
    async def slow(_reader: Annotated[Identity, Depends(authenticated("reader"))]) -> str:
        app.state.entered.set()
        await app.state.go_on.wait()
        return "done"

    return app


def client(url: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=url, headers={"Authorization": "Bearer someone"})


async def chunks(count: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield b"x" * 100


async def test_a_chunked_body_is_cut_off_at_the_limit() -> None:
    async with serving(application(), HttpSettings()) as url, client(url) as http:
        assert (await http.post("/size", content=chunks(10))).json() == 1000
        for content in (chunks(1000), b"x" * (LIMIT + 1)):
            answer = await http.post("/size", content=content)
            assert (answer.status_code, answer.headers["content-type"]) == (413, "application/problem+json")


async def test_a_request_under_way_is_answered_before_the_end() -> None:
    app = application()
    async with serving(app, HttpSettings()) as url:
        http = client(url)
        under_way = asyncio.create_task(http.get("/slow"))
        await app.state.entered.wait()
        asyncio.get_running_loop().call_later(0.2, app.state.go_on.set)
    assert (await under_way).json() == "done"
    with pytest.raises(httpx.ConnectError):
        await http.get("/slow")
    await http.aclose()


async def test_signals_stay_the_callers() -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    async with serving(application(), HttpSettings()):
        assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


async def test_an_application_with_an_open_route_is_not_served() -> None:
    app = application()
    app.add_api_route("/open", lambda: "open")
    with pytest.raises(UnguardedRouteError, match="/open"):
        async with serving(app, HttpSettings()):
            pass


async def test_a_start_that_fails_is_told() -> None:
    @asynccontextmanager
    async def failing(_app: FastAPI) -> AsyncIterator[None]:
        raise RuntimeError("no database")
        yield

    with pytest.raises(AppNotStartedError):
        async with serving(application(failing), HttpSettings()):
            pass


async def test_a_taken_port_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        async with serving(application(), HttpSettings(port=taken.getsockname()[1])):
            pass


async def test_lifespan_runs_around_the_serving() -> None:
    seen: list[str] = []

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        seen.append("begin")
        yield
        seen.append("end")

    async with serving(application(lifespan), HttpSettings()):
        seen.append("serve")
    assert seen == ["begin", "serve", "end"]


async def test_too_many_requests_at_once_are_told_when_to_come_again() -> None:
    app = application()
    async with serving(app, HttpSettings(max_connections=2)) as url, client(url) as http, asyncio.timeout(20):
        slow = [asyncio.create_task(http.get("/slow")) for _ in range(2)]
        while (refused := await http.post("/size", content=b"x")).status_code == 200:
            await asyncio.sleep(0.01)
        app.state.go_on.set()
        await asyncio.gather(*slow)
        taken = await http.post("/size", content=b"x")

    assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
    assert refused.json()["type"] == "urn:daicho:problem:busy"
    assert taken.status_code == 200
