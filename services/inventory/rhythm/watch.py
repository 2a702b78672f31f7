# SPDX-License-Identifier: Apache-2.0
"""Watches the rhythm of the feeds: opens a finding where one is silent, and resolves it when it is heard of again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from libs.bus import Lasting
from libs.bus.outbox import enqueue
from libs.bus.records import Output
from libs.contracts import FindingState, Profile, kafka_headers
from libs.contracts.topics import FINDINGS
from libs.observability import Metrics
from libs.observability.metrics import FEED_HEARD, FEED_SILENT
from libs.persistence import Pool
from libs.persistence.scope import scoped
from services.inventory.rhythm import store
from services.inventory.rhythm.domain import Found, event, judge, last_heard
from services.inventory.worker import Clock

_LOOK_SECONDS: Final = 15.0

_log = structlog.get_logger(__name__)


class RhythmWatch(Lasting):
    """Works for as long as `run` lasts; what was told is in the database, so a restart tells nothing twice.

    `is_behind`: whether there may be items that were sent and are not handled yet; nobody is called silent then.
    """

    name = "feeds"

    def __init__(
        self,
        pool: Pool,
        profile: Profile,
        clock: Clock,
        metrics: Metrics,
        is_behind: Callable[[], bool] = lambda: False,
    ) -> None:
        super().__init__()
        self._pool = pool
        self._profile = profile
        self._clock = clock
        self._is_behind = is_behind
        self._silent = metrics.gauge(FEED_SILENT)
        self._heard = metrics.gauge(FEED_HEARD)

    async def judge(self) -> None:
        """Judge all feeds once, and tell what changed: to each body for which the feed speaks."""
        now = self._clock()
        async with self._pool.acquire() as connection, scoped(connection, self._profile.body_by_id):
            known, heard = await store.watched(connection), await store.heard(connection)
            found = list(judge(self._profile, known, heard, now))
            await store.keep(connection, found, now)
            told = (event(self._profile, one, heard.get(one.place.feed), now) for one in found if one.is_news)
            await enqueue(
                connection,
                (Output(FINDINGS.name, key, one.model_dump_json().encode(), kafka_headers(one)) for key, one in told),
            )
        known.update((one.place, one.watched) for one in found)
        self._silent.clear()
        self._heard.clear()
        for place, watched in known.items():
            if watched.since is not None:
                age = now - last_heard(watched.since, heard.get(place.feed))
                self._heard.labels(place.feed).set(max(age.total_seconds(), 0.0))
                self._silent.labels(place.feed).set(watched.told is FindingState.NOT_MET)
        self._say(found)

    async def _live(self) -> None:
        self._code, self._failures = None, 0
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            if not self._is_behind():
                await self.judge()
            self._code, self._failures = None, 0

    @staticmethod
    def _say(found: list[Found]) -> None:
        for feed, state in {(one.place.feed, one.watched.told) for one in found if one.is_news}:
            _log.warning("a feed's rhythm", feed=feed, state=state)
