# SPDX-License-Identifier: Apache-2.0
"""The register in PostgreSQL: its tables, what is read of it, and the one write by which a batch enters it."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from typing import Any, Final, NamedTuple
from uuid import UUID

import asyncpg
from sqlalchemy import BigInteger, Computed, DateTime, Index
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, col, func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from libs.bus.outbox import CHANNEL
from libs.contracts import AssetKind, AssetStatus
from libs.contracts.topics import ASSETS
from libs.persistence import (
    OffsetsTable,
    OutboxTable,
    ParkedKeyTable,
    PoolConnection,
    StagingTable,
    copy_staging,
    model_base,
)
from libs.persistence.scope import setting_of
from services.inventory.domain import Known, Source, State, Target, Written

Base = model_base()


def _in_state(name: str, arrow: str = "->>") -> list[Computed]:
    return [Computed(f"state {arrow} '{name}'::text", persisted=True)]


class AssetRow(Base, table=True):
    """The last revision of each asset: its `state`, and of that what is searched for."""

    __tablename__ = "asset"
    __table_args__ = (
        Index("ix_asset_body", "body", "asset_id"),
        Index(
            "ix_asset_relations", "relations", postgresql_using="gin", postgresql_ops={"relations": "jsonb_path_ops"}
        ),
    )

    asset_id: UUID = Field(primary_key=True)
    body: str
    revision: int = Field(sa_type=BigInteger)
    updated_at: datetime = Field(sa_type=DateTime(timezone=True))
    state: State = Field(sa_type=JSONB)
    kind: str | None = Field(default=None, sa_column_args=_in_state("kind"))
    name: str | None = Field(default=None, sa_column_args=_in_state("name"))
    status: str | None = Field(default=None, sa_column_args=_in_state("status"))
    relations: list[dict[str, str]] | None = Field(
        default=None, sa_type=JSONB, sa_column_args=_in_state("relations", "->")
    )


class RevisionRow(Base, table=True):
    """Every revision of every asset; of one that moved, each body sees its own part."""

    __tablename__ = "asset_revision"

    asset_id: UUID = Field(primary_key=True)
    revision: int = Field(primary_key=True, sa_type=BigInteger)
    body: str
    recorded_at: datetime = Field(sa_type=DateTime(timezone=True))
    state: State = Field(sa_type=JSONB)
    change: dict[str, Any] = Field(sa_type=JSONB)


class SourceLinkRow(Base, table=True):
    """Which asset a feed means by a source key, and the newest version that it told.

    A merge of two assets will move the link. There is a link without an asset where a feed retired what it never told of.
    """

    __tablename__ = "source_link"

    feed: str = Field(primary_key=True)
    source_key: str = Field(primary_key=True)
    asset_id: UUID
    body: str
    source_version: int = Field(sa_type=BigInteger)


class OffsetRow(OffsetsTable, Base, table=True):
    pass


class OutboxRow(OutboxTable, Base, table=True):
    pass


class ParkedKeyRow(ParkedKeyTable, Base, table=True):
    pass


class Link(NamedTuple):
    """A row of `source_link`."""

    feed: str
    source_key: str
    asset_id: str
    body: str
    source_version: int


@dataclass
class Batch:
    """What is to be written in one statement: revisions in their order, and the newest link of each source."""

    recorded_at: datetime
    revisions: list[Written] = field(default_factory=list)
    links: dict[Source, Link] = field(default_factory=dict)


_ENTER: Final = """
SELECT set_config('daicho.bodies', $1, true), (SELECT count(pg_advisory_xact_lock(lock)) FROM unnest($2::bigint[]) AS lock)
"""

_KNOWN: Final = """
SELECT link.feed, link.source_key, link.asset_id, link.source_version, asset.revision, asset.state
FROM unnest($1::text[], $2::text[]) AS asked (feed, source_key)
JOIN source_link link USING (feed, source_key)
LEFT JOIN asset ON asset.asset_id = link.asset_id
"""

_TARGETS: Final = """
SELECT link.feed, link.source_key, link.asset_id, asset.state->>'network' AS network
FROM unnest($1::text[], $2::text[]) AS asked (feed, source_key)
JOIN source_link link USING (feed, source_key)
LEFT JOIN asset ON asset.asset_id = link.asset_id
"""

_STAGING: Final = StagingTable(
    "inventory_batch",
    {
        "write": "bigint",
        "seq": "integer",
        "last": "boolean",
        "asset_id": "uuid",
        "revision": "bigint",
        "state": "text",
        "change": "text",
        "key": "bytea",
        "value": "bytea",
        "headers": "text",
    },
)

_writes: Final = count(1)
"""A transaction may write several batches, and the staging table keeps the rows of all until it ends."""

# the casts from text cost less than asyncpg's codec for jsonb does in Python
_MERGE: Final = """
WITH batch AS MATERIALIZED (
  SELECT asset_id, revision, last, state::jsonb AS state, change::jsonb AS change
  FROM pg_temp.inventory_batch WHERE write = $9
), register AS (
  INSERT INTO asset (asset_id, body, revision, updated_at, state)
  SELECT asset_id, state->>'body', revision, $1, state FROM batch WHERE last
  ON CONFLICT (asset_id) DO UPDATE SET
    body = excluded.body, revision = excluded.revision, updated_at = excluded.updated_at, state = excluded.state
), history AS (
  INSERT INTO asset_revision (asset_id, revision, body, recorded_at, state, change)
  SELECT asset_id, revision, state->>'body', $1, state, change FROM batch
), links AS (
  INSERT INTO source_link (feed, source_key, asset_id, body, source_version)
  SELECT * FROM unnest($3::text[], $4::text[], $5::uuid[], $6::text[], $7::bigint[])
  ON CONFLICT (feed, source_key) DO UPDATE SET
    asset_id = excluded.asset_id, body = excluded.body, source_version = excluded.source_version
), sent AS (
  INSERT INTO outbox (topic, key, value, headers)
  SELECT $2, key, value, headers::jsonb FROM pg_temp.inventory_batch WHERE write = $9 ORDER BY seq
  RETURNING id
)
SELECT pg_notify($8, '') WHERE EXISTS (SELECT FROM sent)
"""


async def enter(connection: PoolConnection, bodies: Iterable[str], networks: Collection[str]) -> None:
    """Set the transaction's scope to `bodies`, and hold `networks` until it ends.

    What writes to one network does so one after another, and so its outbox is in the order of the commits. The networks are taken in
    one order, so that two who want several do not wait for each other.
    """
    await connection.fetchrow(_ENTER, setting_of(bodies), sorted(map(_lock_of, networks)))


async def known_under(connection: PoolConnection, sources: Collection[Source]) -> dict[Source, Known]:
    """What the register has under each of the source keys."""
    rows = await connection.fetch(_KNOWN, *_columns(sources))
    return {Source(row["feed"], row["source_key"]): _known(row) for row in rows}


async def targets_under(connection: PoolConnection, sources: Collection[Source]) -> dict[Source, Target]:
    """The assets behind source keys that relations name."""
    if not sources:
        return {}
    rows = await connection.fetch(_TARGETS, *_columns(sources))
    return {Source(row["feed"], row["source_key"]): Target(str(row["asset_id"]), row["network"]) for row in rows}


async def write(connection: PoolConnection, batch: Batch) -> None:
    """Write a batch to register, history, links and outbox, in one statement whatever its size, and wake the relay.

    Raises asyncpg.SerializationError where another transaction has written one of the revisions meanwhile: do it again.
    """
    if not batch.revisions and not batch.links:
        return
    number = next(_writes)
    await copy_staging(connection, _STAGING, _staged(number, batch.revisions))
    links = list(zip(*batch.links.values(), strict=True)) or [()] * len(Link._fields)
    try:
        await connection.execute(_MERGE, batch.recorded_at, ASSETS.name, *links, CHANNEL, number)
    except asyncpg.UniqueViolationError as error:
        # two networks were told of one new asset at the same time: neither held the other's lock
        raise asyncpg.SerializationError("a revision was written meanwhile") from error


async def asset_of(session: AsyncSession, asset_id: UUID) -> AssetRow | None:
    """An asset in the session's scope."""
    return await session.get(AssetRow, asset_id)


async def assets(
    session: AsyncSession,
    *,
    after: UUID | None,
    limit: int,
    body: str | None = None,
    kind: AssetKind | None = None,
    status: AssetStatus | None = None,
    name: str | None = None,
) -> Sequence[AssetRow]:
    """A page of assets by id, from `after` on."""
    query = select(AssetRow).order_by(col(AssetRow.asset_id)).limit(limit)
    for column, wanted in ((col(AssetRow.body), body), (col(AssetRow.kind), kind), (col(AssetRow.status), status)):
        if wanted is not None:
            query = query.where(column == wanted)
    if name:
        query = query.where(col(AssetRow.name).icontains(name, autoescape=True))
    if after is not None:
        query = query.where(col(AssetRow.asset_id) > after)
    return (await session.exec(query)).all()


async def revisions_of(
    session: AsyncSession, asset_id: UUID, *, before: int | None, limit: int
) -> Sequence[RevisionRow]:
    """The history of an asset, the newest first, from below the revision `before` on."""
    query = select(RevisionRow).where(col(RevisionRow.asset_id) == asset_id)
    if before is not None:
        query = query.where(col(RevisionRow.revision) < before)
    return (await session.exec(query.order_by(col(RevisionRow.revision).desc()).limit(limit))).all()


async def related_to(session: AsyncSession, asset_id: UUID, limit: int) -> Sequence[AssetRow]:
    """The assets in the session's scope that have a relation to this one."""
    names_it = col(AssetRow.relations).contains([{"asset_id": str(asset_id)}])
    return (await session.exec(select(AssetRow).where(names_it).order_by(col(AssetRow.asset_id)).limit(limit))).all()


async def named(session: AsyncSession, asset_ids: Iterable[UUID]) -> Mapping[UUID, AssetRow]:
    """Those of the assets that are in the session's scope."""
    rows = await session.exec(select(AssetRow).where(col(AssetRow.asset_id).in_(set(asset_ids))))
    return {row.asset_id: row for row in rows}


async def counts(session: AsyncSession) -> Sequence[tuple[str, str | None, str | None, int]]:
    """How many assets there are by body, kind and status."""
    columns = (col(AssetRow.body), col(AssetRow.kind), col(AssetRow.status))
    return (await session.exec(select(*columns, func.count()).group_by(*columns).order_by(*columns))).all()


async def next_offset(session: AsyncSession, consumer: str, topic: str, partition: int) -> int:
    """How far a consumer has come in a partition."""
    row = await session.get(OffsetRow, (consumer, topic, partition))
    return row.next_offset if row else 0


async def next_offsets(session: AsyncSession, consumer: str, topic: str) -> Mapping[int, int]:
    """How far a consumer has come in each partition of a topic."""
    wanted = (col(OffsetRow.consumer) == consumer, col(OffsetRow.topic) == topic)
    return {row.partition: row.next_offset for row in await session.exec(select(OffsetRow).where(*wanted))}


def known_of(row: AssetRow) -> Known:
    """What a write by a person starts from."""
    return Known(str(row.asset_id), 0, row.revision, row.state)


def _known(row: asyncpg.Record) -> Known:
    return Known(str(row["asset_id"]), row["source_version"], row["revision"] or 0, row["state"])


def _columns(sources: Collection[Source]) -> tuple[list[str], list[str]]:
    return [source.feed for source in sources], [source.source_key for source in sources]


def _staged(number: int, revisions: Sequence[Written]) -> Iterable[tuple[Any, ...]]:
    last = {written.asset_id: written.revision for written in revisions}
    for seq, written in enumerate(revisions):
        yield (number, seq, last[written.asset_id] == written.revision, *written)


def _lock_of(network: str) -> int:
    digest = hashlib.sha256(f"inventory network {network}".encode()).digest()
    return int.from_bytes(digest[:8], signed=True)
