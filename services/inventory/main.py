# SPDX-License-Identifier: Apache-2.0
"""Starts the rooms of the service: `python -m services.inventory.main [api] [worker] [relay] [pull] [debezium]`, or `migrate`.

With no room named, the first five run in one process. Every process answers under `/health`.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Coroutine
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Final

import httpx

from libs.bus import OffsetConsumer, OutboxRelay, PartitionWorker, Subscription
from libs.contracts import Feed, Profile
from libs.contracts.topics import DEADLETTERS, FEED
from libs.observability import Metrics, Probe, configure_logging
from libs.observability.health import Health
from libs.persistence import OutboxProbe, Pool, PostgresProbe, Sessions, create_pool, upgrade
from libs.rooms import run_rooms, run_until_signal
from libs.security import RemoteKeys, TokenVerifier, serving
from libs.security import create_app as secured_app
from services.inventory.api import VERSION, Api, create_app
from services.inventory.backpressure import Gate, WorkerWatch
from services.inventory.dead_letters.projector import PROJECTION, LetterProjector, WaitingLetters
from services.inventory.debezium import ChangeHandler, group_of
from services.inventory.intake import Intake
from services.inventory.netbox_pull.room import NetboxRoom
from services.inventory.rhythm.watch import RhythmWatch
from services.inventory.settings import MigrationSettings, Settings
from services.inventory.snapshots.keeper import SnapshotKeeper
from services.inventory.worker import GROUP, FeedWriter

ROOMS: Final = ("api", "worker", "relay", "pull", "debezium")
MIGRATE: Final = "migrate"
SERVICE: Final = "inventory"


def utc_now() -> datetime:
    return datetime.now(UTC)


class Service:
    """What the rooms share, opened as a room asks for it."""

    def __init__(self, settings: Settings, stack: AsyncExitStack) -> None:
        self._settings = settings
        self._stack = stack
        self._profile: Profile = settings.read_profile()
        self._mappings = settings.read_mappings(self._profile)
        self._metrics = Metrics()
        self._probes: list[Probe] = []
        self._work: list[Coroutine[Any, Any, None]] = []

    async def run(self, rooms: Collection[str]) -> None:
        """Run the rooms until cancelled, or until one of them fails."""
        pool = await create_pool(self._settings.postgres)
        self._stack.push_async_callback(pool.close)
        self._probes.append(PostgresProbe(pool))
        if "worker" in rooms:
            self._work += [*self._worker(pool), *self._letters(pool)]
        if "relay" in rooms:
            self._work.append(self._relay(pool))
        if "pull" in rooms:
            self._work += self._pulls(pool)
        if "debezium" in rooms:
            self._work += [self._changes(feed, topic) for feed in self._profile.feeds for topic in feed.topics]
        await self._serve(with_api="api" in rooms)
        await run_rooms(self._work)

    def _worker(self, pool: Pool) -> list[Coroutine[Any, Any, None]]:
        writer = FeedWriter(self._profile, utc_now, self._metrics)
        worker = OffsetConsumer(self._subscription(GROUP, FEED.name), pool, writer.apply, writer.prepare)
        keeper = SnapshotKeeper(pool, self._profile, utc_now, self._metrics)
        rhythm = RhythmWatch(pool, self._profile, utc_now, self._metrics, worker.is_behind)
        self._probes += [worker, keeper, rhythm]
        return [worker.run(), keeper.run(), rhythm.run()]

    def _letters(self, pool: Pool) -> list[Coroutine[Any, Any, None]]:
        projector = LetterProjector(self._profile)
        consumer = OffsetConsumer(self._subscription(PROJECTION, DEADLETTERS.name), pool, projector.apply)
        waiting = WaitingLetters(pool, self._profile.body_by_id, self._metrics, utc_now)
        self._probes += [consumer, waiting]
        return [consumer.run(), waiting.run()]

    def _relay(self, pool: Pool) -> Coroutine[Any, Any, None]:
        relay = OutboxRelay(pool, self._settings.kafka, f"{SERVICE}-relay", self._metrics)
        self._probes += [relay, OutboxProbe(pool, self._metrics)]
        return relay.run()

    def _changes(self, feed: Feed, topic: str) -> Coroutine[Any, Any, None]:
        subscription = self._subscription(group_of(topic), topic)
        mapping = self._mappings[feed.id]
        reader = PartitionWorker(subscription, lambda _: ChangeHandler(subscription, self._profile, feed, mapping))
        self._probes.append(reader)
        return reader.run()

    def _pulls(self, pool: Pool) -> list[Coroutine[Any, Any, None]]:
        """One for each feed that declares where it is to be pulled from."""
        tokens = self._settings.read_feed_tokens()
        rooms = [
            NetboxRoom(pool, feed, tokens.get(feed.id), self._intake, utc_now, self._metrics)
            for feed in self._profile.feeds
            if feed.pull is not None
        ]
        self._probes += rooms
        return [room.run() for room in rooms]

    @cached_property
    def _sessions(self) -> Sessions:
        sessions = Sessions(self._settings.postgres)
        self._stack.push_async_callback(sessions.close)
        return sessions

    @cached_property
    def _intake(self) -> Intake:
        """One for all that takes items in, behind one gate that is told how far the worker is."""
        gate = Gate(self._settings.intake, utc_now)
        watch = WorkerWatch(self._settings.kafka, self._sessions, gate, utc_now)
        self._work.append(watch.run())
        intake = Intake(self._settings.kafka, self._profile, utc_now, gate=gate)
        self._stack.push_async_callback(intake.stop)
        self._probes += [intake, watch]
        return intake

    def _subscription(self, group: str, topic: str) -> Subscription:
        return Subscription(
            settings=self._settings.kafka,
            group=group,
            topic=topic,
            service=SERVICE,
            municipality=self._profile.municipality,
            instance=self._settings.member,
            metrics=self._metrics,
            caps=self._settings.caps,
        )

    async def _serve(self, *, with_api: bool) -> None:
        client = await self._stack.enter_async_context(httpx.AsyncClient())
        verifier = TokenVerifier(self._settings.oidc, RemoteKeys(self._settings.oidc, client), utc_now)
        if with_api:
            secrets = self._settings.read_feed_secrets()
            app = create_app(verifier, self._api(), self._profile, secrets, self._metrics)
        else:
            app = secured_app(f"Daicho {SERVICE}", verifier, version=VERSION, metrics=self._metrics)
        app.include_router(Health(self._probes, self._metrics).router())
        await self._stack.enter_async_context(serving(app, self._settings.http))

    def _api(self) -> Api:
        settings = self._settings
        return Api(
            self._sessions,
            self._intake,
            self._profile,
            settings.read_earlier_scales(),
            settings.kafka,
            utc_now,
            self._metrics,
            caps=settings.caps,
            columns=settings.read_ledger_columns(),
            mappings=self._mappings,
        )


async def run(rooms: Collection[str]) -> None:
    if MIGRATE in rooms:
        settings = MigrationSettings()
        await upgrade(f"services.{SERVICE}", settings.postgres.dsn.get_secret_value())
        return
    async with AsyncExitStack() as stack:
        await Service(Settings(), stack).run(rooms or ROOMS)


def main() -> int:
    rooms = sys.argv[1:]
    if unknown := set(rooms) - {*ROOMS, MIGRATE}:
        sys.stderr.write(f"{', '.join(sorted(unknown))}: give one or more of {', '.join((*ROOMS, MIGRATE))}\n")
        return 2
    configure_logging(SERVICE)
    return run_until_signal(run(rooms))


if __name__ == "__main__":
    sys.exit(main())
