# SPDX-License-Identifier: Apache-2.0
"""Feed items into the register, against bare COPY of the rows that come of them."""

from __future__ import annotations

import gc
from typing import Any

import asyncpg
from pydantic import SecretStr

from libs.bus.offset_task import OffsetTask
from libs.bus.subscription import utc_now
from libs.contracts import Profile
from libs.contracts.topics import ASSETS, FEED
from libs.observability import Metrics
from libs.persistence import Pool, PostgresSettings, create_pool, owner_of, provision, upgrade
from services.inventory.store import AssetRow, OutboxRow, RevisionRow
from services.inventory.worker import GROUP, FeedWriter
from tests.benchmarks import floors
from tests.benchmarks.content import feed_messages, profile
from tests.benchmarks.place import Place, seconds_of
from tests.benchmarks.report import Result, Rounds

NAME = "inventory-ingest"
COUNT = 20_000
BATCH = 2_000
_TABLES = tuple(str(table.__tablename__) for table in (AssetRow, RevisionRow, OutboxRow))
_EMPTY = """
TRUNCATE asset, asset_revision, asset_relation, asset_findable, source_link, match_key, merge_candidate, outbox, parked_key, consumer_offset, feed_outcomes
RESTART IDENTITY
"""
_SCHEMA = "floor"
_COLUMNS = """
SELECT column_name FROM information_schema.columns
WHERE table_schema = 'public' AND table_name = $1 AND is_generated = 'NEVER' AND is_identity = 'NO' ORDER BY ordinal_position
"""


async def run(place: Place, count: int, rounds: int) -> Result:
    """Each round: ours into an empty register, then the floor into empty copies of its tables."""
    await place.make_topics()
    await floors.fill(place.admin.client(), FEED.name, feed_messages(count))
    await _provision(place)
    seconds: dict[str, list[float]] = {"ours": [], "floor": []}
    work: dict[str, Any] = {}
    settings = PostgresSettings(dsn=SecretStr(place.stack.postgres_dsn("inventory", "inventory")))
    superuser = await asyncpg.connect(place.stack.postgres_dsn("postgres", "inventory"))
    try:
        await _make_copies(superuser)
        async with await create_pool(settings) as pool:
            for _ in range(rounds):
                await superuser.execute(_EMPTY)
                gc.collect()
                seconds["ours"].append(await _ours(place, pool, count))
                tables = {name: await _rows(superuser, name) for name in _TABLES}
                work = await _work(superuser, tables, count)
                await superuser.execute(f"TRUNCATE {', '.join(f'{_SCHEMA}.{name}' for name in _TABLES)}")
                gc.collect()
                seconds["floor"].append(await floors.copy_batches(superuser, tables, _SCHEMA, BATCH))
    finally:
        await superuser.close()
    return Result(
        scenario=NAME,
        unit="assets/s",
        ours=Rounds.of(count, seconds["ours"]),
        floor=Rounds.of(count, seconds["floor"]),
        floor_is=f"bare asyncpg: COPY of the rows of {', '.join(_TABLES)} into empty tables with the same indexes, "
        f"without row-level security, a transaction every {BATCH} rows; nothing read, decoded or compared",
        work=work,
    )


async def _provision(place: Place) -> None:
    stack, owner = place.stack, owner_of("inventory")
    passwords = stack.postgres_password(owner), stack.postgres_password("inventory")
    await provision(stack.postgres_dsn("postgres", "postgres"), "inventory", *passwords)
    await upgrade("services.inventory", stack.postgres_dsn(owner, "inventory"))


async def _make_copies(superuser: asyncpg.Connection[Any]) -> None:
    await superuser.execute(f"DROP SCHEMA IF EXISTS {_SCHEMA} CASCADE; CREATE SCHEMA {_SCHEMA}")
    for name in _TABLES:
        await superuser.execute(f"CREATE TABLE {_SCHEMA}.{name} (LIKE public.{name} INCLUDING ALL)")


async def _ours(place: Place, pool: Pool, count: int) -> float:
    city = with_match_keys(profile())
    writer = FeedWriter(city, utc_now, Metrics())
    subscription = place.subscription(GROUP, GROUP, FEED, city.municipality)
    return (await seconds_of(OffsetTask(subscription, 0, pool, writer.apply), count)).to_work


def with_match_keys(city: Profile) -> Profile:
    """Every feed brings a match key in each item, which nothing is found by: the samples' items have no serials."""
    feeds = tuple(feed.model_copy(update={"match": ({f"{feed.id}_number": "source_key"},)}) for feed in city.feeds)
    return city.model_copy(update={"feeds": feeds})


async def _rows(superuser: asyncpg.Connection[Any], table: str) -> floors.Rows:
    columns = [row["column_name"] for row in await superuser.fetch(_COLUMNS, table)]
    rows = await superuser.fetch(f"SELECT {', '.join(columns)} FROM {table} ORDER BY ctid")
    return floors.Rows(columns, [tuple(row) for row in rows])


async def _work(superuser: asyncpg.Connection[Any], tables: dict[str, floors.Rows], count: int) -> dict[str, Any]:
    if letters := await superuser.fetchval("SELECT count(*) FROM outbox WHERE topic <> $1", ASSETS.name):
        raise RuntimeError(f"{letters} items were put aside: the floor would have less to do")
    return {
        "items": count,
        "rows": {name: len(table.rows) for name, table in tables.items()},
        "measured": "from connected, with an empty register, to the last stored offset; a topic of one partition",
    }
