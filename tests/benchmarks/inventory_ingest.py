# SPDX-License-Identifier: Apache-2.0
"""Assets new to the register, from the feed topic, against bare COPY of the rows that come of them."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import asyncpg
from pydantic import SecretStr

from libs.bus.offset_task import OffsetTask
from libs.bus.subscription import Limits, utc_now
from libs.contracts import Profile
from libs.contracts.topics import ASSETS, FEED
from libs.observability import Metrics
from libs.persistence import Pool, PostgresSettings, create_pool, owner_of, provision, upgrade
from services.inventory.worker import GROUP, FeedWriter
from tests.benchmarks import floors
from tests.benchmarks.content import profile, told_again, told_first
from tests.benchmarks.place import Place, seconds_of
from tests.benchmarks.report import Result, Rounds

NAME = "inventory-ingest"
COUNT = 20_000
BATCH = 2_000
_TABLES = {"asset": "updated_at", "asset_revision": "recorded_at", "outbox": "created_at"}
"""The tables of the floor, and when a row of each was written."""
EMPTY = """
TRUNCATE asset, asset_revision, asset_relation, asset_findable, source_link, match_key, merge_candidate, outbox, parked_key, consumer_offset,
  feed_outcomes, feed_snapshot, snapshot_mention, snapshot_missing, feed_heard
RESTART IDENTITY
"""
_SCHEMA = "floor"
_COLUMNS = """
SELECT column_name FROM information_schema.columns
WHERE table_schema = 'public' AND table_name = $1 AND is_generated = 'NEVER' AND is_identity = 'NO' ORDER BY ordinal_position
"""


async def run(place: Place, count: int, rounds: int) -> Result:
    """Each round: ours into an empty register, then the floor into empty copies of its tables."""
    return await measure(place, NAME, count, rounds, changed=False)


async def measure(place: Place, name: str, count: int, rounds: int, *, changed: bool) -> Result:
    """Assets that are new to the register, or each `changed` once after that: of these, only the changes are measured."""
    await place.make_topics()
    await provision_inventory(place)
    seconds: dict[str, list[float]] = {"ours": [], "floor": []}
    work: dict[str, Any] = {}
    settings = PostgresSettings(dsn=SecretStr(place.stack.postgres_dsn("inventory", "inventory")))
    superuser = await asyncpg.connect(place.stack.postgres_dsn("postgres", "inventory"))
    try:
        await _make_copies(superuser)
        async with await create_pool(settings) as pool:
            for _ in range(rounds):
                await place.empty([FEED])
                await superuser.execute(EMPTY)
                if changed:
                    await _ours(place, pool, told_first(count), count)
                    await superuser.execute("TRUNCATE outbox")
                begun = utc_now()
                told, end = (told_again(count), 2 * count) if changed else (told_first(count), count)
                seconds["ours"].append(await _ours(place, pool, told, end))
                tables = {table: await _rows(superuser, table, time, begun) for table, time in _TABLES.items()}
                work = await _work(superuser, tables, count)
                await superuser.execute(f"TRUNCATE {', '.join(f'{_SCHEMA}.{table}' for table in _TABLES)}")
                gc.collect()
                seconds["floor"].append(await floors.copy_batches(superuser, tables, _SCHEMA, BATCH))
    finally:
        await superuser.close()
    return Result(
        scenario=name,
        unit="assets/s",
        ours=Rounds.of(count, seconds["ours"]),
        floor=Rounds.of(count, seconds["floor"]),
        floor_is=f"bare asyncpg: COPY of the rows that ours wrote to {', '.join(_TABLES)}, into empty tables with the same indexes, "
        f"without row-level security, a transaction every {BATCH} rows, as ours; nothing read, decoded or compared",
        work=work,
    )


async def provision_inventory(place: Place) -> None:
    """The service's database, migrated, with its own roles."""
    stack, owner = place.stack, owner_of("inventory")
    passwords = stack.postgres_password(owner), stack.postgres_password("inventory")
    await provision(stack.postgres_dsn("postgres", "postgres"), "inventory", *passwords)
    await upgrade("services.inventory", stack.postgres_dsn(owner, "inventory"))


async def _make_copies(superuser: asyncpg.Connection[Any]) -> None:
    await superuser.execute(f"DROP SCHEMA IF EXISTS {_SCHEMA} CASCADE; CREATE SCHEMA {_SCHEMA}")
    for name in _TABLES:
        await superuser.execute(f"CREATE TABLE {_SCHEMA}.{name} (LIKE public.{name} INCLUDING ALL)")


async def _ours(place: Place, pool: Pool, messages: Sequence[floors.Message], end: int) -> float:
    """Seconds for what is told, which ends at the offset `end`."""
    await floors.fill(place.admin.client(), FEED.name, messages)
    city = with_match_keys(profile())
    writer = FeedWriter(city, utc_now, Metrics())
    subscription = replace(place.subscription(GROUP, GROUP, FEED, city.municipality), limits=Limits(max_records=BATCH))
    gc.collect()
    return (await seconds_of(OffsetTask(subscription, 0, pool, writer.apply, writer.prepare), end)).to_work


def with_match_keys(city: Profile) -> Profile:
    """Every feed brings a match key in each item, which nothing is found by: the samples' items have no serials."""
    feeds = tuple(feed.model_copy(update={"match": ({f"{feed.id}_number": "source_key"},)}) for feed in city.feeds)
    return city.model_copy(update={"feeds": feeds})


async def _rows(superuser: asyncpg.Connection[Any], table: str, time: str, begun: datetime) -> floors.Rows:
    """What was written to a table since `begun`."""
    columns = [row["column_name"] for row in await superuser.fetch(_COLUMNS, table)]
    rows = await superuser.fetch(f"SELECT {', '.join(columns)} FROM {table} WHERE {time} >= $1 ORDER BY ctid", begun)
    return floors.Rows(columns, [tuple(row) for row in rows])


async def _work(superuser: asyncpg.Connection[Any], tables: dict[str, floors.Rows], count: int) -> dict[str, Any]:
    if letters := await superuser.fetchval("SELECT count(*) FROM outbox WHERE topic <> $1", ASSETS.name):
        raise RuntimeError(f"{letters} items were put aside: the floor would have less to do")
    return {
        "items": count,
        "rows": {name: len(table.rows) for name, table in tables.items()},
        "measured": "from connected to the last stored offset; a topic of one partition",
    }
