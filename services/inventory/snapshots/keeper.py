# SPDX-License-Identifier: Apache-2.0
"""Retires what snapshots did not have, a part at a time, once their shares or a person allow it; and closes those that were forgotten."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog
from pydantic_core import from_json

from libs.bus import Lasting
from libs.contracts import Profile
from libs.observability import Metrics
from libs.observability.metrics import FEED_ITEMS, SNAPSHOTS_WAITING
from libs.persistence import Pool, PoolConnection
from services.inventory import store as register_store
from services.inventory.domain import Decision, Part, Register, Scribe, Source
from services.inventory.snapshots import store
from services.inventory.snapshots.domain import LASTS, Snapshot, extent
from services.inventory.worker import Clock, add_decision

OMITTED: Final = "omitted"
AT_ONCE: Final = 1_000
"""Assets that one transaction retires: writers of the network wait for no more."""
_LOOK_SECONDS: Final = 1.0

_log = structlog.get_logger(__name__)


class SnapshotKeeper(Lasting):
    """Works for as long as `run` lasts; several do not disturb each other, for each step holds the network and the snapshot."""

    name = "snapshots"

    def __init__(self, pool: Pool, profile: Profile, clock: Clock, metrics: Metrics) -> None:
        super().__init__()
        self._pool = pool
        self._profile = profile
        self._clock = clock
        self._waiting = metrics.gauge(SNAPSHOTS_WAITING)
        self._items = metrics.counter(FEED_ITEMS)

    async def step(self) -> None:
        """Do all that is to be done now."""
        now = self._clock()
        async with self._pool.acquire() as connection:
            for network in await store.forgotten(connection, now - LASTS):
                async with connection.transaction():
                    await register_store.enter(connection, self._profile.body_by_id, [network])
                    await store.expire(connection, network, now - LASTS, now)
            for snapshot in await store.retiring(connection):
                while await self._retire_some(connection, snapshot):
                    pass
            waiting = await store.waiting(connection)
        for feed in self._profile.feed_by_id:
            self._waiting.labels(feed).set(waiting.get(feed, 0))

    async def _live(self) -> None:
        while True:
            await self.step()
            self._code, self._failures = None, 0
            await asyncio.sleep(_LOOK_SECONDS)

    async def _retire_some(self, connection: PoolConnection, snapshot: Snapshot) -> bool:
        """Retire a part of what the snapshot did not have; whether there is more. A feed that is declared no longer retires nothing."""
        feed = self._profile.feed_by_id.get(snapshot.feed)
        if feed is None:
            return False
        async with connection.transaction():
            await register_store.enter(connection, self._profile.body_by_id, [snapshot.network])
            keys = await store.take_missing(connection, snapshot, extent(feed, snapshot), AT_ONCE)
            if keys is None:
                return False
            if keys:
                await self._omit(connection, snapshot, [Source(snapshot.feed, key) for key in keys])
            more = await store.retired(connection, snapshot.snapshot_id, len(keys))
        self._items.labels(snapshot.feed, OMITTED).inc(len(keys))
        if not more:
            _log.info("a snapshot is done", feed=snapshot.feed, network=snapshot.network, session=snapshot.session)
        return more

    async def _omit(self, connection: PoolConnection, snapshot: Snapshot, sources: list[Source]) -> None:
        known = await register_store.known_under(connection, sources)
        if elsewhere := self._networks(known) - {snapshot.network}:
            # what another source still tells may lead an asset to another network, which is rare
            await register_store.enter(connection, self._profile.body_by_id, elsewhere)
        register = await register_store.register_for(connection, self._profile, [], known)
        now = self._clock()
        batch = register_store.Batch(now, Scribe(self._profile.municipality, now))
        for source in sources:
            self._add(batch, register, register.omit(source, snapshot.session))
        await register_store.write(connection, batch)

    def _add(self, batch: register_store.Batch, register: Register, decision: Decision) -> None:
        state = decision.held.state
        add_decision(batch, register, decision, state["body"] if state else "")

    def _networks(self, known: Part) -> set[str]:
        """The networks of all that is told of the assets; people's edits name no body."""
        told = (from_json(link.told) for link in known.links.values() if link.told is not None)
        bodies = {one.get("body") for one in told} & self._profile.body_by_id.keys()
        return {self._profile.network_of(body) for body in bodies}
