# SPDX-License-Identifier: Apache-2.0
"""How far each feed's NetBox was read, what came of it, and what a person has asked for: one row a feed, which names no asset and no body."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Set
from datetime import datetime
from typing import Final

from sqlalchemy import ARRAY, BigInteger, DateTime, text
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Field
from sqlmodel.ext.asyncio.session import AsyncSession

from libs.contracts import Feed
from libs.persistence import PoolConnection, scoped
from services.inventory.netbox_pull.domain import Asked, Held, Progress, State
from services.inventory.store import Base

_TIME: Final = DateTime(timezone=True)


class NetboxPullRow(Base, table=True):
    """A feed's pulls. `newest` is the time of the newest change read, by NetBox's clock; the other times are by ours."""

    __tablename__ = "netbox_pull"

    feed: str = Field(primary_key=True)
    newest: datetime | None = Field(default=None, sa_type=_TIME)
    seen_ids: list[int] = Field(
        default_factory=list,
        sa_type=ARRAY(BigInteger),
        nullable=False,
        sa_column_kwargs={"server_default": text("'{}'")},
    )
    seen_times: list[datetime] = Field(
        default_factory=list, sa_type=ARRAY(_TIME), nullable=False, sa_column_kwargs={"server_default": text("'{}'")}
    )
    pulled_at: datetime | None = Field(default=None, sa_type=_TIME)
    compared_at: datetime | None = Field(default=None, sa_type=_TIME)
    held: int = Field(default=0, sa_column_kwargs={"server_default": text("0")})
    failure: str | None = None
    failed_at: datetime | None = Field(default=None, sa_type=_TIME)
    asked_at: datetime | None = Field(default=None, sa_type=_TIME)
    asked_by: str | None = None
    asked_compare: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})
    asked_retire: int | None = Field(default=None, sa_type=BigInteger)


_STATE: Final = "SELECT * FROM netbox_pull WHERE feed = $1"
_PROGRESS: Final = """
INSERT INTO netbox_pull (feed, newest, seen_ids, seen_times) VALUES ($1, $2, $3, $4)
ON CONFLICT (feed) DO UPDATE SET
  newest = excluded.newest, seen_ids = excluded.seen_ids, seen_times = excluded.seen_times
"""
_PULLED: Final = "UPDATE netbox_pull SET pulled_at = $2, failure = NULL, failed_at = NULL WHERE feed = $1"
_COMPARED: Final = (
    "UPDATE netbox_pull SET compared_at = $2, held = $3, failure = NULL, failed_at = NULL WHERE feed = $1"
)
_FAILED: Final = """
INSERT INTO netbox_pull (feed, failure, failed_at) VALUES ($1, $2, $3)
ON CONFLICT (feed) DO UPDATE SET failure = excluded.failure, failed_at = excluded.failed_at
"""
# what was asked while it was done stands
_ANSWERED: Final = """
UPDATE netbox_pull SET asked_at = NULL, asked_by = NULL, asked_compare = false, asked_retire = NULL
WHERE feed = $1 AND asked_at = $2
"""
_KNOWN: Final = """
SELECT source_key, body, source_version FROM source_link
WHERE feed = $1 AND ($2::text[] IS NULL OR source_key = ANY ($2)) AND NOT gone
"""
_SET_ASIDE: Final = """
SELECT link.source_key
FROM source_link link JOIN asset USING (asset_id) JOIN asset_revision last USING (asset_id, revision)
WHERE link.feed = $1 AND link.source_key = ANY ($2) AND link.gone AND asset.status = 'retired' AND last.change ? 'actor'
"""


def lock_of(feed: str) -> int:
    """The advisory lock of the one that pulls this feed."""
    return int.from_bytes(hashlib.sha256(f"netbox pull {feed}".encode()).digest()[:8], signed=True)


async def state_of(connection: PoolConnection, feed: str) -> State:
    """What is kept of a feed's pulls; nothing before the first."""
    row = await connection.fetchrow(_STATE, feed)
    return State() if row is None else _state(NetboxPullRow(**row))


async def keep_progress(connection: PoolConnection, feed: str, progress: Progress) -> None:
    await connection.execute(_PROGRESS, feed, progress.newest, list(progress.seen), list(progress.seen.values()))


async def keep_pulled(connection: PoolConnection, feed: str, at: datetime) -> None:
    await connection.execute(_PULLED, feed, at)


async def keep_compared(connection: PoolConnection, feed: str, at: datetime, held: int) -> None:
    await connection.execute(_COMPARED, feed, at, held)


async def keep_failure(connection: PoolConnection, feed: str, at: datetime, code: str) -> None:
    await connection.execute(_FAILED, feed, code, at)


async def answered(connection: PoolConnection, feed: str, asked: Asked) -> None:
    """What was asked is done."""
    await connection.execute(_ANSWERED, feed, asked.at)


async def known(connection: PoolConnection, feed: Feed, keys: Collection[str] | None) -> Mapping[str, Held]:
    """What the feed tells of and has not said is gone, of the bodies that it speaks for, by source key."""
    async with scoped(connection, feed.bodies):
        rows = await connection.fetch(_KNOWN, feed.id, None if keys is None else list(keys))
    return {row["source_key"]: Held(row["body"], row["source_version"]) for row in rows}


async def set_aside(connection: PoolConnection, feed: Feed, keys: Collection[str]) -> Set[str]:
    """Those of the keys whose assets were last retired by a person."""
    async with scoped(connection, feed.bodies):
        rows = await connection.fetch(_SET_ASIDE, feed.id, list(keys))
    return {row["source_key"] for row in rows}


async def ask(session: AsyncSession, feed: str, asked: Asked) -> None:
    """Ask the one that pulls the feed; who asks later replaces what was asked before and is not yet done."""
    values = {
        "asked_at": asked.at,
        "asked_by": asked.by,
        "asked_compare": asked.compare,
        "asked_retire": asked.retire_up_to,
    }
    statement = insert(NetboxPullRow).values(feed=feed, **values)
    await (await session.connection()).execute(statement.on_conflict_do_update(index_elements=["feed"], set_=values))


async def find(session: AsyncSession, feed: str) -> State:
    """As `state_of`, in a session."""
    row = await session.get(NetboxPullRow, feed)
    return State() if row is None else _state(row)


def _state(row: NetboxPullRow) -> State:
    progress = (
        None if row.newest is None else Progress(row.newest, dict(zip(row.seen_ids, row.seen_times, strict=True)))
    )
    asked = None
    if row.asked_at is not None:
        asked = Asked(row.asked_at, row.asked_by or "", row.asked_compare, row.asked_retire)
    return State(progress, row.pulled_at, row.compared_at, row.held, row.failure, row.failed_at, asked)
