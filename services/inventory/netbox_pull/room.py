# SPDX-License-Identifier: Apache-2.0
"""The room that pulls: one loop for each feed that declares a NetBox, at work in one process at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence, Set
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from typing import Final

import structlog
from pydantic import SecretStr

from libs.bus.lasting import Lasting
from libs.contracts import Feed, FeedItem, NetboxPull
from libs.observability import Metrics, ProbeResult
from libs.observability.metrics import PULL_AGE, PULL_HELD, PULLS
from libs.persistence import Pool, PoolConnection
from libs.security import ProblemError
from services.inventory.intake import Intake
from services.inventory.netbox_pull import store
from services.inventory.netbox_pull.client import Netbox, NetboxError, http_client
from services.inventory.netbox_pull.domain import Held, Job, State, Trouble, due
from services.inventory.netbox_pull.pull import Puller
from services.inventory.worker import Clock

DONE: Final = "done"
HELD: Final = "held"
_STANDBY: Final = "standby"
_CHANGES, _COMPARISON = "changes", "comparison"
_FIRST_WAIT: Final = 5.0
_LONGEST_WAIT: Final = 300.0

_log = structlog.get_logger(__name__)


class NetboxRoom(Lasting):
    """Pulls one feed's NetBox for as long as it runs; of several, one is at work and the others wait for its advisory lock.

    As a `Probe` it tells whether NetBox answers; that it does not keeps nothing else from working.
    """

    def __init__(
        self,
        pool: Pool,
        feed: Feed,
        token: SecretStr | None,
        intake: Intake,
        clock: Clock,
        metrics: Metrics,
        *,
        look_every: float = 1.0,
    ) -> None:
        super().__init__()
        if feed.pull is None:
            raise ValueError(f"{feed.id} declares no NetBox")
        self.name = f"pull {feed.id}"
        self._pool = pool
        self._feed = feed
        self._pull: NetboxPull = feed.pull
        self._token = token
        self._intake = intake
        self._clock = clock
        self._metrics = metrics
        self._look_every = look_every
        self._state = State()
        self._refusals = 0
        self._tried_at: datetime | None = None
        self._not_before: datetime | None = None

    async def check(self) -> ProbeResult:
        code = self._code or self._state.failure or (HELD if self._state.held else None)
        measures = {"held": float(self._state.held)}
        if (silent := self._silent_seconds()) is not None:
            measures["silent_seconds"] = silent
        return ProbeResult(ok=code in (None, _STANDBY), essential=False, code=code, measures=measures)

    async def _live(self) -> None:
        if self._token is None:
            self._code = "no-token"
            _log.error("the profile declares a NetBox and no token is given for it", feed=self._feed.id)
            await asyncio.Event().wait()
            return
        async with AsyncExitStack() as stack:
            connection = await stack.enter_async_context(self._pool.acquire())
            await self._become_the_one(connection, stack)
            http = await stack.enter_async_context(http_client(self._pull))
            netbox = Netbox(http, self._pull.url, self._token, self._clock)
            kept = _Kept(connection, self._feed, self._intake)
            puller = Puller(self._feed, self._pull, netbox, kept, self._metrics)
            self._code = None
            while True:
                await self._look(connection, puller)
                self._failures = 0
                await asyncio.sleep(self._look_every)

    async def _become_the_one(self, connection: PoolConnection, stack: AsyncExitStack) -> None:
        lock = store.lock_of(self._feed.id)
        while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", lock):
            self._code = _STANDBY
            await asyncio.sleep(self._look_every)

        async def release() -> None:
            if not connection.is_closed():
                await connection.execute("SELECT pg_advisory_unlock($1)", lock)

        stack.push_async_callback(release)

    async def _look(self, connection: PoolConnection, puller: Puller) -> None:
        """Do what is due, if anything; the state is read anew before and after."""
        self._state = await store.state_of(connection, self._feed.id)
        job = due(self._state, self._pull, self._clock())
        if job is not None and self._may_try():
            self._tried_at = self._clock()
            await self._try(connection, puller, job)
            self._state = await store.state_of(connection, self._feed.id)
        self._metrics.gauge(PULL_HELD).labels(self._feed.id).set(self._state.held)
        if (silent := self._silent_seconds()) is not None:
            self._metrics.gauge(PULL_AGE).labels(self._feed.id).set(silent)

    def _may_try(self) -> bool:
        """After a failure it waits; a person who asks meanwhile is not kept waiting."""
        if self._not_before is None or self._clock() >= self._not_before:
            return True
        asked = self._state.asked
        return asked is not None and self._tried_at is not None and asked.at > self._tried_at

    async def _try(self, connection: PoolConnection, puller: Puller, job: Job) -> None:
        kind = _CHANGES
        try:
            await self._read_changes(connection, puller)
            if job.compare:
                kind = _COMPARISON
                await self._compare(connection, puller)
        except (NetboxError, ProblemError) as error:
            code, after = (error.code, error.retry_after) if isinstance(error, NetboxError) else (Trouble.BROKER, None)
            self._wait(after)
            self._metrics.counter(PULLS).labels(self._feed.id, kind, code).inc()
            _log.warning("a pull failed", feed=self._feed.id, kind=kind, reason=code, detail=str(error))
            await store.keep_failure(connection, self._feed.id, self._clock(), code)
            return
        self._refusals, self._not_before = 0, None
        if self._state.asked is not None:
            await store.answered(connection, self._feed.id, self._state.asked)

    async def _read_changes(self, connection: PoolConnection, puller: Puller) -> None:
        progress = self._state.progress
        if progress is None:
            progress = await puller.begin()
            await store.keep_progress(connection, self._feed.id, progress)
        async for further in puller.changes(progress):
            await store.keep_progress(connection, self._feed.id, further)
        await store.keep_pulled(connection, self._feed.id, self._clock())
        self._metrics.counter(PULLS).labels(self._feed.id, _CHANGES, DONE).inc()

    async def _compare(self, connection: PoolConnection, puller: Puller) -> None:
        asked = self._state.asked
        compared = await puller.compare(asked.retire_up_to if asked else None)
        await store.keep_compared(connection, self._feed.id, self._clock(), compared.held)
        self._metrics.counter(PULLS).labels(self._feed.id, _COMPARISON, HELD if compared.held else DONE).inc()
        _log.info(
            "compared",
            feed=self._feed.id,
            retired=compared.retired,
            held=compared.held,
            asked_by=asked.by if asked else None,
            allowed=asked.retire_up_to if asked else None,
        )

    def _wait(self, asked_to: float | None) -> None:
        wait = min(_FIRST_WAIT * 2**self._refusals, max(_LONGEST_WAIT, self._pull.every))
        self._refusals = min(self._refusals + 1, 16)
        self._not_before = self._clock() + timedelta(seconds=max(wait, asked_to or 0.0))

    def _silent_seconds(self) -> float | None:
        last = self._state.pulled_at
        return None if last is None else max((self._clock() - last).total_seconds(), 0.0)


class _Kept:
    """The register by its database, and the way into it by its feed topic."""

    def __init__(self, connection: PoolConnection, feed: Feed, intake: Intake) -> None:
        self._connection = connection
        self._feed = feed
        self._intake = intake

    async def known(self, keys: Collection[str] | None = None) -> Mapping[str, Held]:
        return await store.known(self._connection, self._feed, keys)

    async def set_aside(self, keys: Collection[str]) -> Set[str]:
        return await store.set_aside(self._connection, self._feed, keys)

    async def take(self, items: Sequence[FeedItem]) -> None:
        await self._intake.accept(items, None)
