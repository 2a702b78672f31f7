# SPDX-License-Identifier: Apache-2.0
"""`/health/live`, `/health/ready` and `/metrics` of a service.

The health routes are open, for a supervisor has no token: they say numbers and reason codes, never the name of an asset or a body.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Annotated, Final, Literal

import structlog
from fastapi import APIRouter, Depends, Response
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel

from libs.observability.metrics import Metrics
from libs.observability.probes import Probe, ProbeResult
from libs.security import Identity, Role, authenticated

LIVE: Final = "/health/live"
READY: Final = "/health/ready"

_log = structlog.get_logger(__name__)


class ProbeReport(ProbeResult):
    """A probe's result under its name."""

    name: str


class Readiness(BaseModel):
    """The answer of `/health/ready`."""

    status: Literal["ready", "not-ready"]
    probes: tuple[ProbeReport, ...]


class Health:
    """The health of one process. Probes are asked at most once a second, however often the open route is called."""

    def __init__(
        self,
        probes: Sequence[Probe],
        metrics: Metrics,
        *,
        patience: float = 2.0,
        every: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._probes = probes
        self._metrics = metrics
        self._patience = patience
        self._every = every
        self._clock = clock
        self._lock = asyncio.Lock()
        self._last: tuple[float, Readiness] | None = None

    async def readiness(self) -> Readiness:
        """Ready when every probe is well, or what is not is not essential."""
        async with self._lock:
            if self._last is None or self._clock() - self._last[0] >= self._every:
                reports = await asyncio.gather(*(self._report(probe) for probe in self._probes))
                status: Literal["ready", "not-ready"] = (
                    "ready" if all(one.ok or not one.essential for one in reports) else "not-ready"
                )
                self._last = self._clock(), Readiness(status=status, probes=tuple(reports))
            return self._last[1]

    def router(self) -> APIRouter:
        """The three routes; `/metrics` asks for the operator's role."""
        router = APIRouter(tags=["health"])

        @router.get(LIVE)
        async def live() -> dict[str, str]:
            return {"status": "live"}

        @router.get(READY, responses={503: {"model": Readiness}})
        async def ready(response: Response) -> Readiness:
            found = await self.readiness()
            response.status_code = 200 if found.status == "ready" else 503
            response.headers["Cache-Control"] = "no-store"
            return found

        @router.get("/metrics", response_class=Response)
        async def metrics(_operator: Annotated[Identity, Depends(authenticated(Role.OPERATOR))]) -> Response:
            return Response(self._metrics.exposition(), media_type=CONTENT_TYPE_LATEST)

        return router

    async def _report(self, probe: Probe) -> ProbeReport:
        try:
            async with asyncio.timeout(self._patience):
                result = await probe.check()
        except TimeoutError:
            return ProbeReport(name=probe.name, ok=False, code="timeout")
        except Exception:
            _log.exception("probe failed", probe=probe.name)
            return ProbeReport(name=probe.name, ok=False, code="failed")
        return ProbeReport(name=probe.name, **result.model_dump())
