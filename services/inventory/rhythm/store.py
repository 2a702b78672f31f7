# SPDX-License-Identifier: Apache-2.0
"""When feeds were last heard of, and what was told of their silence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final

from sqlalchemy import BigInteger, DateTime, text
from sqlmodel import Field, col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from libs.contracts import FindingState
from libs.persistence import PoolConnection
from services.inventory.rhythm.domain import Found, Place, Watched
from services.inventory.store import Base

_TIME: Final = DateTime(timezone=True)


class HeardRow(Base, table=True):
    """When a partition of the feed topic last brought something of a feed."""

    __tablename__ = "feed_heard"

    feed: str = Field(primary_key=True)
    partition: int = Field(primary_key=True)
    heard_at: datetime = Field(sa_type=_TIME)


class FindingRow(Base, table=True):
    """A feed as it is watched for one body: since when, and what was told last, when."""

    __tablename__ = "feed_finding"

    feed: str = Field(primary_key=True)
    body: str = Field(primary_key=True)
    since: datetime | None = Field(default=None, sa_type=_TIME)
    told: str | None = None
    told_at: datetime | None = Field(default=None, sa_type=_TIME)
    revision: int = Field(default=0, sa_type=BigInteger, sa_column_kwargs={"server_default": text("0")})


# a source that was asked for its changes and had none was heard of as well
_HEARD: Final = """
SELECT feed, max(heard_at) AS heard_at FROM (
  SELECT feed, heard_at FROM feed_heard UNION ALL SELECT feed, pulled_at FROM netbox_pull WHERE pulled_at IS NOT NULL
) AS told GROUP BY feed
"""
# the lock lets several processes judge one after another
_LOCK: Final = "SELECT pg_advisory_xact_lock(hashtext('feed findings'))"
_WATCHED: Final = "SELECT feed, body, since, told, revision FROM feed_finding"
_KEEP: Final = """
INSERT INTO feed_finding (feed, body, since, told, told_at, revision) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (feed, body) DO UPDATE SET since = excluded.since, told = excluded.told,
  told_at = coalesce(excluded.told_at, feed_finding.told_at), revision = excluded.revision
"""


async def heard(connection: PoolConnection) -> dict[str, datetime]:
    """When each feed was last heard of; a feed that never was is not in it."""
    return {row["feed"]: row["heard_at"] for row in await connection.fetch(_HEARD)}


async def watched(connection: PoolConnection) -> dict[Place, Watched]:
    """How every feed is watched, held against others who judge until the transaction ends."""
    await connection.execute(_LOCK)
    return {
        Place(row["feed"], row["body"]): Watched(
            row["since"], FindingState(row["told"]) if row["told"] else None, row["revision"]
        )
        for row in await connection.fetch(_WATCHED)
    }


async def keep(connection: PoolConnection, found: Iterable[Found], now: datetime) -> None:
    """Set down what changed."""
    rows = [
        (*one.place, one.watched.since, one.watched.told, now if one.is_news else None, one.watched.revision)
        for one in found
    ]
    await connection.executemany(_KEEP, rows)


async def heard_in(session: AsyncSession) -> Mapping[str, datetime]:
    """As `heard`, in a session."""
    rows = await (await session.connection()).execute(text(_HEARD))
    return {row.feed: row.heard_at for row in rows}


async def silences(session: AsyncSession) -> Mapping[str, datetime]:
    """The feeds that are silent, for any body in the session's scope, and since when that was told."""
    query = select(FindingRow.feed, FindingRow.told_at).where(col(FindingRow.told) == FindingState.NOT_MET)
    return {feed: told_at for feed, told_at in (await session.exec(query)).all() if told_at is not None}
