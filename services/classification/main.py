# SPDX-License-Identifier: Apache-2.0
"""Starts the rooms of the service: `python -m services.classification.main [api] [worker] [projector] [relay]`, or `migrate`.

With no room named, the first four run in one process. Every process answers under `/health`.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Coroutine
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any, Final

import httpx

from libs.bus import Limits, OffsetConsumer, OutboxRelay, PartitionWorker, Subscription
from libs.bus.handlers import Apply
from libs.contracts import Profile
from libs.contracts.topics import ASSETS, CLASSIFICATIONS, CONTROL, FINDINGS, OBLIGATIONS
from libs.observability import Metrics, Probe, configure_logging
from libs.observability.health import Health
from libs.persistence import OutboxProbe, Pool, PostgresProbe, Sessions, create_pool, upgrade
from libs.rooms import run_rooms, run_until_signal
from libs.security import RemoteKeys, TokenVerifier, serving
from libs.security import create_app as secured_app
from libs.standards import StandardsInForce
from services.classification.api import VERSION, create_app
from services.classification.control import Heard, Progress, publish_standards, read_control
from services.classification.domain import SERVICE
from services.classification.overrides.expiry import Expiry
from services.classification.settings import MigrationSettings, Settings
from services.classification.standards.domain import Version, in_force, ready
from services.classification.standards.ruling import Rulings
from services.classification.worker import GROUP, PROJECTION, AssetHandler, Projector

ROOMS: Final = ("api", "worker", "projector", "relay")
MIGRATE: Final = "migrate"
READING: Final = Limits(pause_seconds=0.5)
"""Who reads can wait a little; who is told of obligations does not wait behind the read model."""


def utc_now() -> datetime:
    return datetime.now(UTC)


class Service:
    """What the rooms share, opened as a room asks for it."""

    def __init__(self, settings: Settings, stack: AsyncExitStack) -> None:
        self._settings = settings
        self._stack = stack
        self._profile: Profile = settings.read_profile()
        self._shipped: tuple[Version, ...] = settings.read_shipped(self._profile)
        self._standards: StandardsInForce = ready(self._shipped)
        self._metrics = Metrics()
        self._probes: list[Probe] = []

    async def run(self, rooms: Collection[str]) -> None:
        """Run the rooms until cancelled, or until one of them fails."""
        work: list[Coroutine[Any, Any, None]] = []
        if "worker" in rooms:
            work += await self._worker()
        if {"projector", "relay"} & set(rooms):
            pool = await create_pool(self._settings.postgres)
            self._stack.push_async_callback(pool.close)
            self._probes.append(PostgresProbe(pool))
            work += self._projectors(pool) if "projector" in rooms else []
            work += self._relay(pool) if "relay" in rooms else []
        await self._serve(with_api="api" in rooms)
        await run_rooms(work)

    async def _worker(self) -> list[Coroutine[Any, Any, None]]:
        kafka, municipality = self._settings.kafka, self._profile.municipality
        activated, duties = await read_control(kafka)
        held = in_force(self._standards, ((one.network, one.standard) for one in activated.values()), self._profile)
        await publish_standards(kafka, held, municipality, utc_now())
        heard, progress = Heard(kafka, municipality, activated, duties), Progress(kafka, municipality, utc_now)

        def handler(_partition: int) -> AssetHandler:
            known = heard.events, heard.duties, heard.activated
            return AssetHandler(self._standards, self._profile, utc_now, *known, progress.applied)

        worker = PartitionWorker(self._subscription(GROUP, ASSETS.name), handler)
        self._probes += [worker, heard.follower, progress]
        return [worker.run(), heard.follower.run(), progress.run()]

    def _projectors(self, pool: Pool) -> list[Coroutine[Any, Any, None]]:
        projector = Projector(self._profile)
        shown: list[tuple[str, Apply]] = [
            (CLASSIFICATIONS.name, projector.apply_levels),
            (OBLIGATIONS.name, projector.apply_duties),
            (ASSETS.name, projector.apply_assets),
            (FINDINGS.name, projector.apply_findings),
            (CONTROL.name, projector.apply_applied),
        ]
        consumers = [
            OffsetConsumer(self._subscription(f"{PROJECTION}-{topic}", topic, READING), pool, apply)
            for topic, apply in shown
        ]
        self._probes += consumers
        return [consumer.run() for consumer in consumers]

    def _relay(self, pool: Pool) -> list[Coroutine[Any, Any, None]]:
        relay = OutboxRelay(pool, self._settings.kafka, f"{SERVICE}-relay", self._metrics)
        expiry = Expiry(pool, self._profile.body_by_id, self._profile.municipality, utc_now)
        self._probes += [relay, OutboxProbe(pool, self._metrics), expiry]
        return [relay.run(), expiry.run()]

    def _subscription(self, group: str, topic: str, limits: Limits = Limits()) -> Subscription:  # noqa: B008 - it is frozen
        return Subscription(
            settings=self._settings.kafka,
            group=group,
            topic=topic,
            service=SERVICE,
            municipality=self._profile.municipality,
            instance=self._settings.member,
            metrics=self._metrics,
            caps=self._settings.caps,
            limits=limits,
        )

    async def _serve(self, *, with_api: bool) -> None:
        client = await self._stack.enter_async_context(httpx.AsyncClient())
        verifier = TokenVerifier(self._settings.oidc, RemoteKeys(self._settings.oidc, client), utc_now)
        if with_api:
            sessions = Sessions(self._settings.postgres)
            self._stack.push_async_callback(sessions.close)
            rulings = Rulings(sessions, self._standards, self._profile)
            app = create_app(verifier, sessions, rulings, self._shipped, self._profile, utc_now, self._metrics)
        else:
            app = secured_app(f"Daicho {SERVICE}", verifier, version=VERSION, metrics=self._metrics)
        app.include_router(Health(self._probes, self._metrics).router())
        await self._stack.enter_async_context(serving(app, self._settings.http))


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
