# SPDX-License-Identifier: Apache-2.0
"""All that a feed has, told again in a snapshot and unchanged: no event and no revision, against the same items when they are new."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from datetime import timedelta
from itertools import count as numbers
from typing import Any

import asyncpg
from pydantic import SecretStr

from libs.bus.offset_task import OffsetTask
from libs.bus.subscription import utc_now
from libs.contracts import FeedItem, Profile, SnapshotMark, kafka_headers
from libs.contracts.topics import FEED
from libs.observability import Metrics
from libs.persistence import Pool, PostgresSettings, create_pool
from services.inventory.intake import FeedEvent, key_of, marked, submission, value_of
from services.inventory.worker import GROUP, FeedWriter
from tests.benchmarks import floors
from tests.benchmarks.content import TIME, one_network, register
from tests.benchmarks.floors import Message
from tests.benchmarks.inventory_ingest import EMPTY, provision_inventory
from tests.benchmarks.place import Place, seconds_of
from tests.benchmarks.report import Result, Rounds

NAME = "snapshot-unchanged"
COUNT = 100_000
_FEED, _NETWORK = "cmdb", "mayor"
_TRACE = f"00-{1:032x}-{1:016x}-01"
_COUNTS = """
SELECT (SELECT count(*) FROM asset) AS assets, (SELECT count(*) FROM asset_revision) AS revisions, (SELECT count(*) FROM outbox) AS events
"""
_SNAPSHOTS = "SELECT state, accepted, missing FROM feed_snapshot ORDER BY begun_at"


async def run(place: Place, count: int, rounds: int) -> Result:
    """Each round: the items into an empty register; in a snapshot the same once more; and in another one under newer versions."""
    await place.make_topics()
    await provision_inventory(place)
    city, items = _city(), _items(count)
    seconds: dict[str, list[float]] = {"new": [], "same": [], "newer": []}
    work: dict[str, Any] = {}
    settings = PostgresSettings(dsn=SecretStr(place.stack.postgres_dsn("inventory", "inventory")))
    superuser = await asyncpg.connect(place.stack.postgres_dsn("postgres", "inventory"))
    try:
        async with await create_pool(settings) as pool:
            for _ in range(rounds):
                await superuser.execute(EMPTY)
                await place.empty([FEED])
                work = await _round(_Phases(place, pool, city), superuser, items, seconds)
    finally:
        await superuser.close()
    return Result(
        scenario=NAME,
        unit="assets/s",
        ours=Rounds.of(count, seconds["same"]),
        floor=Rounds.of(count, seconds["new"]),
        floor_is="the same items when they are new to the register, in the same way: what it costs where everything changes",
        work=work,
        also={"newer versions of the same content": Rounds.of(count, seconds["newer"])},
    )


class _Phases:
    """Fills the topic and has the worker take it, one part after another."""

    def __init__(self, place: Place, pool: Pool, city: Profile) -> None:
        self._place, self._pool, self._city = place, pool, city
        self._writer = FeedWriter(city, utc_now, Metrics())
        self._written = 0

    async def seconds(self, events: Sequence[FeedEvent]) -> float:
        messages = [Message(key_of(one), value_of(one), kafka_headers(one)) for one in events]
        await floors.fill(self._place.admin.client(), FEED.name, messages)
        self._written += len(messages)
        gc.collect()
        subscription = self._place.subscription(GROUP, GROUP, FEED, self._city.municipality)
        task = OffsetTask(subscription, 0, self._pool, self._writer.apply, self._writer.prepare)
        return (await seconds_of(task, self._written)).to_work

    def session(self, name: str, items: Sequence[FeedItem], version: int) -> list[FeedEvent]:
        told = [item.model_copy(update={"source_version": version, "snapshot": name}) for item in items]
        return [self._mark(name, step="begin"), *self.plain(told), self._mark(name, step="end", items=len(items))]

    def plain(self, items: Sequence[FeedItem]) -> list[FeedEvent]:
        return [submission(self._city, item, TIME, _TRACE) for item in items]

    def _mark(self, name: str, **step: Any) -> FeedEvent:
        mark = SnapshotMark(feed=_FEED, network=_NETWORK, session=name, **step)
        return marked(self._city, mark, TIME + timedelta(seconds=1), _TRACE)


async def _round(
    phases: _Phases,
    superuser: asyncpg.Connection[Any],
    items: Sequence[FeedItem],
    seconds: dict[str, list[float]],
) -> dict[str, Any]:
    """Raises RuntimeError where a snapshot of what is known made an event or a revision, or was not whole."""
    seconds["new"].append(await phases.seconds(phases.plain(items)))
    before = dict(await superuser.fetchrow(_COUNTS) or {})
    for version, kind in zip(numbers(1), ("same", "newer"), strict=False):
        seconds[kind].append(await phases.seconds(phases.session(f"bench-{kind}", items, version)))
        after = dict(await superuser.fetchrow(_COUNTS) or {})
        if after != before:
            raise RuntimeError(f"a snapshot of what is known changed {before} to {after}")
    ended = [tuple(row) for row in await superuser.fetch(_SNAPSHOTS)]
    if ended != [("done", len(items), 0)] * 2:
        raise RuntimeError(f"the snapshots were not whole: {ended}")
    return {
        "items": len(items),
        **before,
        "events_of_a_snapshot": 0,
        "revisions_of_a_snapshot": 0,
        "measured": "from connected to the last stored offset, with beginning and end; a topic of one partition",
    }


def _city() -> Profile:
    """The sample city on one network, with a feed that speaks for all of it."""
    city = one_network()
    document = city.model_dump(mode="json")
    for feed in document["feeds"]:
        if feed["id"] == _FEED:
            feed["bodies"] = [body["id"] for body in document["bodies"]]
            feed["match"] = [{"cmdb_number": "source_key"}]
    return Profile.model_validate(document)


def _items(count: int) -> list[FeedItem]:
    """The sample city's assets as that feed would tell them."""
    return [
        FeedItem(
            body=asset.body,
            feed=_FEED,
            source_key=asset.asset_id,
            source_version=1,
            kind=asset.kind,
            name=asset.name,
            section=asset.section,
            zone=asset.zone,
            facts=asset.facts,
            declared=asset.declared,
            relations=[{"type": one.type, "source_key": one.asset_id} for one in asset.relations],
        )
        for asset in register(count)
    ]
