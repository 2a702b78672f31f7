# SPDX-License-Identifier: Apache-2.0
"""Snapshots in the inventory's database: how each stands, what its feed has told since it began, and what it did not have."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

import asyncpg
from sqlalchemy import BigInteger, DateTime, Index, String, delete, text, tuple_
from sqlalchemy.dialects.postgresql import ARRAY
from sqlmodel import Field, col, func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from libs.contracts import SnapshotState
from libs.persistence import PoolConnection
from services.inventory.composition import PERSON
from services.inventory.snapshots.domain import Ended, Extent, Listening, Mention, Place, Snapshot
from services.inventory.store import AssetRow, Base, SourceLinkRow

_TIME: Final = DateTime(timezone=True)


class SnapshotRow(Base, table=True):
    """A session's part on one network. It holds numbers and bodies, and no asset: who may read it is for the routes to say.

    `sent` is how many items its feed says that it told, `accepted` how many came; of the assets that it is about `known` were there before
    and `missing` were not in it; `retired` is how many of those are retired by now.
    """

    __tablename__ = "feed_snapshot"
    __table_args__ = (
        Index(
            "ix_feed_snapshot_listening",
            "feed",
            "network",
            postgresql_where=text("state IN ('open', 'waiting', 'retiring')"),
        ),
        Index("ix_feed_snapshot_begun_at", "begun_at", "snapshot_id"),
    )

    snapshot_id: UUID = Field(primary_key=True)
    feed: str
    network: str
    session: str
    bodies: list[str] = Field(sa_type=ARRAY(String))
    state: str
    begun_at: datetime = Field(sa_type=_TIME)
    ended_at: datetime | None = Field(default=None, sa_type=_TIME)
    end_reason: str | None = None
    sent: int | None = Field(default=None, sa_type=BigInteger)
    accepted: int | None = Field(default=None, sa_type=BigInteger)
    known: int | None = Field(default=None, sa_type=BigInteger)
    missing: int | None = Field(default=None, sa_type=BigInteger)
    retired: int = Field(default=0, sa_type=BigInteger, sa_column_kwargs={"server_default": text("0")})
    decided_by: str | None = None
    decided_at: datetime | None = Field(default=None, sa_type=_TIME)
    decision_reason: str | None = None
    revision: int = Field(sa_type=BigInteger)


class Begun(NamedTuple):
    """How a snapshot that has begun stands."""

    state: SnapshotState
    begun_at: datetime
    bodies: tuple[str, ...]


class MentionRow(Base, table=True):
    """A source key that its feed has told of since an open snapshot began, `in_session` as a part of it."""

    __tablename__ = "snapshot_mention"

    snapshot_id: UUID = Field(primary_key=True)
    source_key: str = Field(primary_key=True)
    in_session: bool


class MissingRow(Base, table=True):
    """An asset that a snapshot did not have, and that its feed has not told of since: it is to be retired, at once or when a person agrees."""

    __tablename__ = "snapshot_missing"

    snapshot_id: UUID = Field(primary_key=True)
    source_key: str = Field(primary_key=True)
    body: str
    asset_id: UUID


# the feeds' rows are one for each partition, so that two tasks do not wait for each other
_HEAR: Final = """
WITH heard AS (
  INSERT INTO feed_heard (feed, partition, heard_at) SELECT feed, $2, $3 FROM unnest($1::text[]) AS feed
  ON CONFLICT (feed, partition) DO UPDATE SET heard_at = excluded.heard_at
)
SELECT snapshot_id, feed, network, session, bodies, state = 'open' AS is_open FROM feed_snapshot
WHERE feed = ANY ($1) AND network = ANY ($4) AND state IN ('open', 'waiting', 'retiring')
"""
_MENTION: Final = """
INSERT INTO snapshot_mention (snapshot_id, source_key, in_session) SELECT * FROM unnest($1::uuid[], $2::text[], $3::boolean[])
ON CONFLICT (snapshot_id, source_key) DO UPDATE SET in_session = true
WHERE excluded.in_session AND NOT snapshot_mention.in_session
"""
_NO_LONGER_MISSING: Final = """
DELETE FROM snapshot_missing USING unnest($1::uuid[], $2::text[]) AS told (snapshot_id, source_key)
WHERE snapshot_missing.snapshot_id = told.snapshot_id AND snapshot_missing.source_key = told.source_key
"""

# what is of no use any more goes in the statement that closes
_CLOSE: Final = """
WITH closed AS (
  UPDATE feed_snapshot SET state = $1, ended_at = coalesce(ended_at, $2), end_reason = $3, revision = revision + 1
  WHERE {which} RETURNING snapshot_id
), unmentioned AS (
  DELETE FROM snapshot_mention USING closed WHERE snapshot_mention.snapshot_id = closed.snapshot_id
)
DELETE FROM snapshot_missing USING closed WHERE snapshot_missing.snapshot_id = closed.snapshot_id
"""
_ABORT: Final = _CLOSE.format(which="snapshot_id = $4 AND state = 'open'")
_OVERTAKE_OPEN: Final = _CLOSE.format(which="feed = $4 AND network = $5 AND bodies && $6::varchar[] AND state = 'open'")
_OVERTAKE_WAITING: Final = _CLOSE.format(
    which="feed = $4 AND network = $5 AND bodies <@ $6::varchar[] AND state = 'waiting' AND snapshot_id <> $7"
)
_EXPIRE: Final = _CLOSE.format(which="state = 'open' AND network = $4 AND begun_at < $5")
_FORGOTTEN: Final = "SELECT DISTINCT network FROM feed_snapshot WHERE state = 'open' AND begun_at < $1"

_BEGIN: Final = """
INSERT INTO feed_snapshot (snapshot_id, feed, network, session, bodies, state, begun_at, revision)
VALUES ($1, $2, $3, $4, $5, 'open', $6, 1)
"""
_NEVER_BEGUN: Final = """
INSERT INTO feed_snapshot (snapshot_id, feed, network, session, bodies, state, begun_at, ended_at, sent, accepted, revision)
VALUES ($1, $2, $3, $4, $5, 'incomplete', $6, $6, $7, 0, 1)
"""
_BEGUN: Final = "SELECT state, begun_at, bodies FROM feed_snapshot WHERE snapshot_id = $1 FOR UPDATE"
_ACCEPTED: Final = "SELECT count(*) FROM snapshot_mention WHERE snapshot_id = $1 AND in_session"
_END: Final = """
WITH unmentioned AS (DELETE FROM snapshot_mention WHERE snapshot_id = $1)
UPDATE feed_snapshot SET state = $2, ended_at = $3, sent = $4, accepted = $5, known = $6, missing = $7, revision = revision + 1
WHERE snapshot_id = $1
"""

_OF_TOLD: Final = """
WITH told AS (
  SELECT link.source_key, link.asset_id, mention.source_key IS NULL AS missing,
    asset.state->>'network' AS network, asset.body, asset.kind, asset.state->>'zone' AS zone,
    link.told->>'body' AS told_body, link.told->>'kind' AS told_kind, link.told->>'zone' AS told_zone
  FROM source_link link JOIN asset USING (asset_id)
  LEFT JOIN snapshot_mention mention ON mention.snapshot_id = $1 AND mention.source_key = link.source_key
  WHERE link.feed = $2 AND NOT link.gone AND link.told IS NOT NULL
) {act}
"""
"""All that a feed tells of, each with its place, and whether a snapshot has no mention of it."""
_COUNT: Final = _OF_TOLD.format(
    act="""
SELECT network, body, kind, zone, told_body, told_kind, told_zone, count(*) AS known, count(*) FILTER (WHERE missing) AS missing
FROM told GROUP BY network, body, kind, zone, told_body, told_kind, told_zone
"""
)
_NOTE_MISSING: Final = _OF_TOLD.format(
    act="""
INSERT INTO snapshot_missing (snapshot_id, source_key, body, asset_id)
SELECT $1, source_key, told.body, asset_id FROM told
JOIN unnest($3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[])
  AS place (network, body, kind, zone, told_body, told_kind, told_zone)
ON (told.network, told.body, told.kind, told.told_body, told.told_kind)
   = (place.network, place.body, place.kind, place.told_body, place.told_kind)
  AND told.zone IS NOT DISTINCT FROM place.zone AND told.told_zone IS NOT DISTINCT FROM place.told_zone
WHERE missing
"""
)
_TAKE_MISSING: Final = _OF_TOLD.format(
    act="""
, taken AS (
  DELETE FROM snapshot_missing WHERE (snapshot_id, source_key) IN (
    SELECT snapshot_id, source_key FROM snapshot_missing WHERE snapshot_id = $1 ORDER BY source_key LIMIT $3
  ) RETURNING source_key
)
SELECT source_key, network, body, kind, zone, told_body, told_kind, told_zone FROM taken JOIN told USING (source_key)
"""
)

_RETIRING: Final = (
    "SELECT snapshot_id, feed, network, session, bodies FROM feed_snapshot WHERE state = 'retiring' ORDER BY begun_at"
)
_IS_RETIRING: Final = "SELECT true FROM feed_snapshot WHERE snapshot_id = $1 AND state = 'retiring' FOR UPDATE"
_RETIRED: Final = """
UPDATE feed_snapshot SET retired = retired + $2, (state, revision) = (
  SELECT CASE WHEN count(*) = 0 THEN 'done' ELSE 'retiring' END, CASE WHEN count(*) = 0 THEN revision + 1 ELSE revision END
  FROM (SELECT FROM snapshot_missing WHERE snapshot_id = $1 LIMIT 1) AS more
) WHERE snapshot_id = $1 RETURNING state = 'retiring'
"""
_WAITING: Final = "SELECT feed, count(*) AS snapshots FROM feed_snapshot WHERE state = 'waiting' GROUP BY feed"


async def hear(
    connection: PoolConnection, feeds: Collection[str], networks: Collection[str], partition: int, now: datetime
) -> list[Listening]:
    """Take note that the feeds were heard of; which snapshots are to know what they tell on these networks."""
    rows = await connection.fetch(_HEAR, sorted(feeds), partition, now, sorted(networks))
    return [Listening(_snapshot(row), row["is_open"]) for row in rows]


async def mention(connection: PoolConnection, listening: Iterable[Listening], found: Iterable[Mention]) -> None:
    """Let the snapshots know what was told of: one that is open counts it, and any other does not retire it any more."""
    is_open = {one.snapshot.snapshot_id: one.is_open for one in listening}
    newest: dict[tuple[UUID, str], bool] = {}
    for one in found:
        place = (one.snapshot_id, one.source_key)
        newest[place] = one.in_session or newest.get(place, False)
    counted = [(*place, in_session) for place, in_session in newest.items() if is_open[place[0]]]
    if counted:
        await connection.execute(_MENTION, *zip(*counted, strict=True))
    if told := [place for place in newest if not is_open[place[0]]]:
        await connection.execute(_NO_LONGER_MISSING, *zip(*told, strict=True))


async def begun(connection: PoolConnection, snapshot_id: UUID) -> Begun | None:
    """How a snapshot stands, held until the transaction ends; None where it never began."""
    row = await connection.fetchrow(_BEGUN, snapshot_id)
    return None if row is None else Begun(SnapshotState(row["state"]), row["begun_at"], tuple(row["bodies"]))


async def begin(connection: PoolConnection, one: Snapshot, now: datetime) -> None:
    """Begin a snapshot; one of the same feed and network that is under way, of any of its bodies, is overtaken."""
    await connection.execute(
        _OVERTAKE_OPEN, SnapshotState.OVERTAKEN, now, None, one.feed, one.network, list(one.bodies)
    )
    await connection.execute(_BEGIN, *one, now)


async def never_begun(connection: PoolConnection, one: Snapshot, sent: int, now: datetime) -> None:
    """Keep an end for which there was no beginning."""
    await connection.execute(_NEVER_BEGUN, *one, now, sent)


async def abort(connection: PoolConnection, snapshot_id: UUID, now: datetime, reason: str | None) -> None:
    await connection.execute(_ABORT, SnapshotState.ABORTED, now, reason, snapshot_id)


async def forgotten(connection: PoolConnection, before: datetime) -> list[str]:
    """The networks that have snapshots which have begun before a time, and have no end."""
    return [row["network"] for row in await connection.fetch(_FORGOTTEN, before)]


async def expire(connection: PoolConnection, network: str, before: datetime, now: datetime) -> None:
    """Close those of a network, which is held."""
    await connection.execute(_EXPIRE, SnapshotState.EXPIRED, now, None, network, before)


async def accepted(connection: PoolConnection, snapshot_id: UUID) -> int:
    """How many assets were told of as a part of a snapshot, and accepted."""
    count: int = await connection.fetchval(_ACCEPTED, snapshot_id)
    return count


async def note_missing(connection: PoolConnection, one: Snapshot, extent: Extent, ended: Ended) -> Ended:
    """Set down what a snapshot did not have of what the feed still tells of, inside its extent; with the numbers."""
    rows = await connection.fetch(_COUNT, one.snapshot_id, one.feed)
    covered = [row for row in rows if extent.covers(Place(*row[:7]))]
    known, missing = sum(row["known"] for row in covered), sum(row["missing"] for row in covered)
    if missing:
        places = zip(*(row[:7] for row in covered if row["missing"]), strict=True)
        await connection.execute(_NOTE_MISSING, one.snapshot_id, one.feed, *places)
    return ended._replace(known=known, missing=missing)


async def end(connection: PoolConnection, snapshot_id: UUID, state: SnapshotState, ended: Ended, now: datetime) -> None:
    """Set down how a snapshot has ended."""
    await connection.execute(_END, snapshot_id, state, now, ended.sent, ended.accepted, ended.known, ended.missing)


async def overtake(connection: PoolConnection, by: Snapshot, now: datetime) -> None:
    """Earlier snapshots of no other bodies, that wait for a person, have nothing to say any more."""
    place = (by.feed, by.network, list(by.bodies), by.snapshot_id)
    await connection.execute(_OVERTAKE_WAITING, SnapshotState.OVERTAKEN, now, None, *place)


async def retiring(connection: PoolConnection) -> list[Snapshot]:
    """The snapshots that have something to retire."""
    return [_snapshot(row) for row in await connection.fetch(_RETIRING)]


async def take_missing(connection: PoolConnection, snapshot: Snapshot, extent: Extent, most: int) -> list[str] | None:
    """Up to `most` source keys that the snapshot did not have, and that its feed still tells of inside the extent; they are not given again.

    None where it is not to retire any more. The snapshot is held until the transaction ends.
    """
    if not await connection.fetchval(_IS_RETIRING, snapshot.snapshot_id):
        return None
    rows = await connection.fetch(_TAKE_MISSING, snapshot.snapshot_id, snapshot.feed, most)
    return [row["source_key"] for row in rows if extent.covers(Place(*row[1:]))]


async def retired(connection: PoolConnection, snapshot_id: UUID, count: int) -> bool:
    """Count what was retired; whether there is more to retire."""
    more: bool = await connection.fetchval(_RETIRED, snapshot_id, count)
    return more


async def waiting(connection: PoolConnection) -> dict[str, int]:
    """How many snapshots wait for a person, by feed."""
    return {row["feed"]: row["snapshots"] for row in await connection.fetch(_WAITING)}


async def page(
    session: AsyncSession,
    scope: Collection[str],
    *,
    feeds: Collection[str] | None,
    feed: str | None,
    name: str | None,
    state: SnapshotState | None,
    after: UUID | None,
    limit: int,
) -> Sequence[SnapshotRow]:
    """The newest first, of those whose bodies are all in `scope`, of `feeds` only where they are given; `name` is a session's."""
    query = select(SnapshotRow).where(col(SnapshotRow.bodies).contained_by(sorted(scope)))
    for column, wanted in ((SnapshotRow.feed, feed), (SnapshotRow.session, name), (SnapshotRow.state, state)):
        if wanted is not None:
            query = query.where(col(column) == wanted)
    if feeds is not None:
        query = query.where(col(SnapshotRow.feed).in_(feeds))
    order = tuple_(col(SnapshotRow.begun_at), col(SnapshotRow.snapshot_id))
    if after is not None:
        last = select(SnapshotRow.begun_at, SnapshotRow.snapshot_id).where(col(SnapshotRow.snapshot_id) == after)
        query = query.where(order < last.scalar_subquery())
    newest = (col(SnapshotRow.begun_at).desc(), col(SnapshotRow.snapshot_id).desc())
    return (await session.exec(query.order_by(*newest).limit(limit))).all()


async def find(
    session: AsyncSession, snapshot_id: UUID, scope: Collection[str], *, to_change: bool = False
) -> SnapshotRow | None:
    """A snapshot whose bodies are all in `scope`; `to_change` holds it until the transaction ends."""
    row = await session.get(SnapshotRow, snapshot_id, with_for_update=to_change, populate_existing=to_change)
    return row if row is not None and set(row.bodies) <= set(scope) else None


async def still_missing(
    session: AsyncSession, snapshot: SnapshotRow, *, after: str | None, limit: int
) -> Sequence[tuple[MissingRow, AssetRow | None]]:
    """A page by source key of what a snapshot did not have and would retire, in the session's scope."""
    query = (
        select(MissingRow, AssetRow)
        .join(
            SourceLinkRow,
            (col(SourceLinkRow.feed) == snapshot.feed) & (col(SourceLinkRow.source_key) == MissingRow.source_key),
        )
        .join(AssetRow, col(AssetRow.asset_id) == col(SourceLinkRow.asset_id), isouter=True)
        .where(col(MissingRow.snapshot_id) == snapshot.snapshot_id, ~col(SourceLinkRow.gone))
        .order_by(col(MissingRow.source_key))
        .limit(limit)
    )
    if after is not None:
        query = query.where(col(MissingRow.source_key) > after)
    return (await session.exec(query)).all()


async def how_many_missing(session: AsyncSession, snapshot_ids: Collection[UUID]) -> dict[UUID, int]:
    """Of each snapshot how many assets it did not have and would still retire, in the session's scope."""
    query = select(MissingRow.snapshot_id, func.count()).where(col(MissingRow.snapshot_id).in_(snapshot_ids))
    return dict((await session.exec(query.group_by(col(MissingRow.snapshot_id)))).all())


async def forget_missing(session: AsyncSession, snapshot_id: UUID) -> None:
    """What a snapshot did not have is not to be retired."""
    await session.exec(delete(MissingRow).where(col(MissingRow.snapshot_id) == snapshot_id))


async def others_telling(session: AsyncSession, feed: str, asset_ids: Collection[UUID]) -> dict[UUID, list[str]]:
    """By asset, the other feeds that still tell of it; people's edits keep nothing in the register."""
    query = select(SourceLinkRow.asset_id, SourceLinkRow.feed).where(
        col(SourceLinkRow.asset_id).in_(asset_ids),
        col(SourceLinkRow.feed).not_in((feed, PERSON)),
        ~col(SourceLinkRow.gone),
    )
    found: dict[UUID, list[str]] = {}
    for asset_id, other in (await session.exec(query.order_by(col(SourceLinkRow.feed)).distinct())).all():
        found.setdefault(asset_id, []).append(other)
    return found


def _snapshot(row: asyncpg.Record) -> Snapshot:
    return Snapshot(row["snapshot_id"], row["feed"], row["network"], row["session"], tuple(row["bodies"]))
