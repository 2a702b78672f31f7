# SPDX-License-Identifier: Apache-2.0
"""A FastAPI application with what every service's must have, and the server that serves it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Collection, Generator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import Annotated, Any, Final

import uvicorn
from fastapi import FastAPI, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from libs.contracts import ProblemType
from libs.observability.http import RequestMetrics
from libs.observability.metrics import Metrics
from libs.security.guard import assert_guarded
from libs.security.problems import install_problem_handlers, problem_response
from libs.security.tokens import TokenVerifier

OPEN_PATHS: Final = frozenset({"/health/live", "/health/ready"})
MAX_BODY_BYTES: Final = 1024 * 1024


class HttpSettings(BaseModel):
    """`DAICHO_HTTP__HOST` and `DAICHO_HTTP__PORT`; loopback unless said otherwise."""

    model_config = ConfigDict(frozen=True)

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 0
    max_connections: Annotated[int, Field(ge=1)] = 500


class SecuredApp(FastAPI):
    """Refuses to serve at all while one of its routes is neither guarded nor declared open."""

    open_paths: Collection[str] = OPEN_PATHS
    metrics: Metrics | None = None

    def build_middleware_stack(self) -> ASGIApp:
        """Called before the first request or lifespan event, when all routes are known."""
        assert_guarded(self, self.open_paths)
        stack = _TooLargeAsProblem(super().build_middleware_stack())
        return RequestMetrics(stack, self.metrics) if self.metrics else stack


def create_app(
    title: str,
    verifier: TokenVerifier,
    *,
    version: str,
    open_paths: Collection[str] = OPEN_PATHS,
    max_body_bytes: int = MAX_BODY_BYTES,
    metrics: Metrics | None = None,
    lifespan: Callable[[Any], AbstractAsyncContextManager[Any]] | None = None,
) -> FastAPI:
    """An application whose routes all ask for a token but `open_paths`, whose bodies are limited, whose errors are problems.

    A route may set another limit of its own (`max_body_size=`). With `metrics`, requests are counted and timed. There are no built-in pages for the API's description.
    """
    app = SecuredApp(
        title=title,
        version=version,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        max_body_size=max_body_bytes,
    )
    app.open_paths = open_paths
    app.metrics = metrics
    app.state.token_verifier = verifier
    install_problem_handlers(app)
    return app


@asynccontextmanager
async def serving(app: FastAPI, settings: HttpSettings) -> AsyncIterator[str]:
    """Serve for as long as the block lasts, and give the address; at the end let requests under way finish (10 s).

    Signals are left to the caller. Raises OSError where the port cannot be had, AppNotStartedError where the application's
    own start fails (the log says why), UnguardedRouteError where one of its routes is open.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.create_server((settings.host, settings.port), family=family, backlog=2048) as listening:
        if isinstance(app, SecuredApp):
            assert_guarded(app, app.open_paths)
        running = _Server(app, settings.max_connections)
        task = asyncio.create_task(running.serve(sockets=[listening]))
        try:
            await running.up
            yield f"http://{settings.host}:{listening.getsockname()[1]}"
        finally:
            running.should_exit = True
            await task


class AppNotStartedError(RuntimeError):
    """The application's lifespan failed at its start."""


class _Server(uvicorn.Server):
    """uvicorn without its hold on signals and on the end of the process."""

    def __init__(self, app: FastAPI, max_connections: int) -> None:
        super().__init__(
            uvicorn.Config(
                _BusyAsProblem(app, max_connections),
                lifespan="on",
                log_config=None,
                server_header=False,
                # beyond that, in plain text: connections that ask for nothing count too
                limit_concurrency=2 * max_connections,
                timeout_keep_alive=30,
                timeout_graceful_shutdown=10,
            )
        )
        self.up: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        except SystemExit:
            self.should_exit = True
            self.up.set_exception(AppNotStartedError("the application did not start; the log says why"))
        else:
            self.up.set_result(None)


class _BusyAsProblem:
    """Refuses a request while as many as `limit` are under way, and says when to come again."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self.app = app
        self._limit = limit
        self._under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if self._under_way >= self._limit:
            busy = problem_response(
                Request(scope), ProblemType.BUSY, 503, "problems.busy", headers={"Retry-After": "5"}
            )
            await busy(scope, receive, send)
            return
        self._under_way += 1
        try:
            await self.app(scope, receive, send)
        finally:
            self._under_way -= 1


class _TooLargeAsProblem:
    """Starlette answers some oversize bodies in plain text; here every refusal is a problem document."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        replaced = False

        async def send_problem(message: Message) -> None:
            nonlocal replaced
            if message["type"] == "http.response.start":
                replaced = message["status"] == 413 and _is_plain(message)
                if replaced:
                    response = problem_response(Request(scope), ProblemType.TOO_LARGE, 413, "problems.http.413")
                    await response(scope, receive, send)
            if not replaced:
                await send(message)

        await self.app(scope, receive, send_problem)


def _is_plain(message: Message) -> bool:
    return any(name == b"content-type" and value.startswith(b"text/plain") for name, value in message["headers"])
