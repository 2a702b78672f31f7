# SPDX-License-Identifier: Apache-2.0
"""Count and time HTTP requests by operation: a name from the source, never what a caller sent."""

from __future__ import annotations

import time
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from libs.observability.metrics import HTTP_REQUESTS, HTTP_SECONDS, Metrics

UNKNOWN: Final = "-"


class RequestMetrics:
    """ASGI middleware, to be the outermost: what no route matches counts as the operation `-`."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self._requests = metrics.counter(HTTP_REQUESTS)
        self._seconds = metrics.histogram(HTTP_SECONDS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begin, status = time.perf_counter(), 500

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, watch)
        finally:
            operation = getattr(scope.get("route"), "name", UNKNOWN)
            self._requests.labels(operation, status).inc()
            self._seconds.labels(operation).observe(time.perf_counter() - begin)
