# SPDX-License-Identifier: Apache-2.0
"""The register in PostgreSQL: its tables, what is read of it, and the one write by which a batch enters it."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain, count, islice, repeat
from typing import Any, Final
from uuid import UUID, uuid5

import asyncpg
from pydantic_core import from_json, to_json
from sqlalchemy import BigInteger, Computed, DateTime, Index, false, text
from sqlalchemy.dialects.postgresql import ARRAY, JSON, JSONB
from sqlmodel import Field, col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from libs.bus.outbox import CHANNEL
from libs.contracts import Profile
from libs.contracts.topics import ASSETS
from libs.persistence import (
    OffsetsTable,
    OutboxTable,
    ParkedKeyTable,
    PoolConnection,
    StagingTable,
    WrittenJson,
    copy_staging,
    model_base,
)
from libs.persistence.scope import setting_of
from services.inventory.composition import Content
from services.inventory.domain import (
    Candidate,
    Held,
    Link,
    Move,
    Part,
    Readings,
    Register,
    Revision,
    Scribe,
    Source,
    State,
    Target,
    Written,
)
from services.inventory.items import Item
from services.inventory.register.searching import findable, reads_the_same

Base = model_base()

PROPOSED: Final = "proposed"
"""State of a merge candidate that waits for a person."""


def _in_state(name: str, arrow: str = "->>") -> list[Computed]:
    return [Computed(f"state {arrow} '{name}'::text", persisted=True)]


class AssetRow(Base, table=True):
    """The last revision of each asset: its `state`, and of that what is searched for."""

    __tablename__ = "asset"
    __table_args__ = (
        Index("ix_asset_body", "body", "asset_id"),
        Index("ix_asset_retired", "asset_id", postgresql_where=text("status = 'retired'")),
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
    """Every revision of every asset; of one that moved, each body sees its own part.

    Rows are written in the order of time, so that a range index (BRIN) leads to those between two moments and costs next to nothing.
    """

    __tablename__ = "asset_revision"
    __table_args__ = (Index("ix_asset_revision_recorded_at", "recorded_at", postgresql_using="brin"),)

    asset_id: UUID = Field(primary_key=True)
    revision: int = Field(primary_key=True, sa_type=BigInteger)
    body: str
    recorded_at: datetime = Field(sa_type=DateTime(timezone=True))
    state: State = Field(sa_type=JSONB)
    change: dict[str, Any] = Field(sa_type=JSONB)


class SourceLinkRow(Base, table=True):
    """Which asset a feed means by a source key, the newest version that it told, and what that said.

    A merge of two assets moves the link. There is a link without an asset where a feed retired what it never told of.
    """

    __tablename__ = "source_link"
    __table_args__ = (Index("ix_source_link_asset_id", "asset_id"),)

    feed: str = Field(primary_key=True)
    source_key: str = Field(primary_key=True)
    asset_id: UUID
    body: str
    source_version: int = Field(sa_type=BigInteger)
    told: Content | None = Field(default=None, sa_type=JSON)
    gone: bool = Field(default=False, sa_column_kwargs={"server_default": false()})
    keys: list[int] = Field(
        default_factory=list, sa_type=ARRAY(BigInteger), nullable=False, sa_column_kwargs={"server_default": "{}"}
    )


class MatchKeyRow(Base, table=True):
    """A digest of a match key's value, and a source that told it once: where to look, for what is found is compared."""

    __tablename__ = "match_key"

    key: int = Field(primary_key=True, sa_type=BigInteger)
    feed: str = Field(primary_key=True)
    source_key: str = Field(primary_key=True)


class RelationRow(Base, table=True):
    """An asset that had, or has, a relation to another: where to look, for `asset` says whether it still has.

    Equality is all that row-level security lets an index do, so it is a table of its own.
    """

    __tablename__ = "asset_relation"

    target_id: UUID = Field(primary_key=True)
    asset_id: UUID = Field(primary_key=True)


class FindableRow(Base, table=True):
    """What an asset is found by when it is searched for: a narrow row of its own, for all of them are read.

    Row-level security lets no index serve a search for a part of a text, and an index of its parts would cost more than the register's
    own rows (docs/decisions/0010).
    """

    __tablename__ = "asset_findable"

    asset_id: UUID = Field(primary_key=True)
    body: str
    kind: str
    active: bool
    text: str


class CandidateRow(Base, table=True):
    """Two assets that may be one. Its id is made of theirs, so that what was refused once is not proposed again."""

    __tablename__ = "merge_candidate"
    __table_args__ = (Index("ix_merge_candidate_state", "state", "candidate_id"),)

    candidate_id: UUID = Field(primary_key=True)
    body: str
    other_body: str
    asset_id: UUID
    other_id: UUID
    feed: str
    source_key: str
    evidence: list[dict[str, Any]] = Field(sa_type=JSONB)
    told_apart: bool
    proposed_at: datetime = Field(sa_type=DateTime(timezone=True))
    state: str
    revision: int = Field(sa_type=BigInteger)
    decided_by: str | None = None
    decided_at: datetime | None = Field(default=None, sa_type=DateTime(timezone=True))
    note: str | None = None


class MergeRow(Base, table=True):
    """That a person let sources tell of another asset: two assets merged, or one split. It can be undone."""

    __tablename__ = "asset_merge"
    __table_args__ = (Index("ix_asset_merge_from_id", "from_id"), Index("ix_asset_merge_into_id", "into_id"))

    merge_id: UUID = Field(primary_key=True)
    body: str
    other_body: str
    kind: str
    from_id: UUID
    into_id: UUID
    sources: list[list[str]] = Field(sa_type=JSONB)
    candidate_id: UUID | None = None
    done_by: str
    done_at: datetime = Field(sa_type=DateTime(timezone=True))
    note: str | None = None
    revision: int = Field(sa_type=BigInteger)
    undone_by: str | None = None
    undone_at: datetime | None = Field(default=None, sa_type=DateTime(timezone=True))
    undo_note: str | None = None


class OffsetRow(OffsetsTable, Base, table=True):
    pass


class OutboxRow(OutboxTable, Base, table=True):
    pass


class ParkedKeyRow(ParkedKeyTable, Base, table=True):
    pass


@dataclass
class Batch:
    """What is to be written in one go: revisions in their order, each with its traceparent; of each source the newest link, and its body.

    `keys` are match keys that sources have told, `relations` those that assets have come to have, both ways of looking up; `findable` has
    those that are to be found by other texts than before.
    """

    recorded_at: datetime
    scribe: Scribe
    revisions: list[tuple[Revision, str | None]] = field(default_factory=list)
    links: dict[Source, tuple[Link, str]] = field(default_factory=dict)
    keys: set[tuple[int, str, str]] = field(default_factory=set)
    relations: set[tuple[str, str]] = field(default_factory=set)
    findable: dict[str, State] = field(default_factory=dict)
    candidates: dict[UUID, CandidateRow] = field(default_factory=dict)


def add(batch: Batch, revisions: Iterable[Revision], traceparent: str | None = None) -> None:
    """Let the batch write revisions down."""
    for revision in revisions:
        before, after = revision.before, revision.after
        batch.revisions.append((revision, traceparent))
        if before is None or before["relations"] != after["relations"]:
            batch.relations.update((one["asset_id"], after["asset_id"]) for one in after["relations"])
        if before is None or not reads_the_same(before, after):
            batch.findable[after["asset_id"]] = after


def propose(batch: Batch, register: Register, candidate: Candidate) -> None:
    """Let the batch put a candidate before a person, unless these two were proposed before."""
    pair = sorted((candidate.asset_id, candidate.other_id))
    states = [register.held(one).state for one in (candidate.asset_id, candidate.other_id)]
    row = CandidateRow(
        candidate_id=uuid5(UUID(pair[0]), pair[1]),
        body=states[0]["body"] if states[0] else None,
        other_body=states[1]["body"] if states[1] else None,
        asset_id=UUID(candidate.asset_id),
        other_id=UUID(candidate.other_id),
        feed=candidate.source.feed,
        source_key=candidate.source.source_key,
        evidence=[one._asdict() for one in candidate.evidence],
        told_apart=candidate.told_apart,
        proposed_at=batch.recorded_at,
        state=PROPOSED,
        revision=1,
    )
    batch.candidates[row.candidate_id] = row


_ENTER: Final = """
SELECT set_config('daicho.bodies', $1, true), (SELECT count(pg_advisory_xact_lock(lock)) FROM unnest($2::bigint[]) AS lock)
"""

_PART: Final = """
SELECT link.feed, link.source_key, asset_id, link.source_version, link.told::text, link.gone, link.keys, asset.revision, asset.state::text
FROM (SELECT DISTINCT asset_id FROM {origin}) AS wanted
LEFT JOIN source_link link USING (asset_id)
LEFT JOIN asset USING (asset_id)
"""
"""Whole assets, each with all its links, and also where it has none. JSON is read as text: SQLModel's sessions decode it otherwise than the pool does."""

_LINK_OF: Final = """
LATERAL (
    SELECT asset_id FROM source_link one
    WHERE one.feed = {source}.feed AND one.source_key = {source}.source_key OFFSET 0
) AS linked
"""
"""OFFSET 0 keeps the order: what is asked for leads to the register, by index. A plan made while tables were small may go the other way,
and compares each row with each: a batch of 10,000 then took a minute.
"""
_TOLD_OF: Final = "LATERAL (SELECT feed, source_key FROM match_key one WHERE one.key = asked.key OFFSET 0) AS told"
_KNOWN: Final = _PART.format(
    origin=", ".join(["unnest($1::text[], $2::text[]) AS asked (feed, source_key)", _LINK_OF.format(source="asked")])
)
_FOUND: Final = _PART.format(
    origin=", ".join(["unnest($1::bigint[]) AS asked (key)", _TOLD_OF, _LINK_OF.format(source="told")])
)
_CONCERNED: Final = _PART.format(
    origin="(SELECT unnest($1::uuid[]) AS asset_id UNION ALL"
    " SELECT asset_id FROM unnest($1::uuid[]) AS asked (target_id) JOIN asset_relation USING (target_id)) AS concerned"
)

_ASSETS: Final = _PART.format(origin="unnest($1::uuid[]) AS asked (asset_id)")

_WAITING: Final = """
SELECT target_id, asset_id, asset.revision, asset.state::text
FROM unnest($1::uuid[]) AS asked (target_id) JOIN asset_relation USING (target_id) JOIN asset USING (asset_id)
"""

_TARGETS: Final = """
SELECT link.feed, link.source_key, link.asset_id, asset.state->>'network' AS network
FROM unnest($1::text[], $2::text[]) AS asked (feed, source_key)
JOIN source_link link USING (feed, source_key)
LEFT JOIN asset ON asset.asset_id = link.asset_id
"""

_REVISION: Final = {"last": "boolean", "asset_id": "uuid", "revision": "bigint", "state": "text", "change": "text"}
_LINK: Final = {
    "feed": "text", "source_key": "text", "told_of": "uuid", "source_version": "bigint", "told": "text", "gone": "boolean",
    "keys": "text", "body": "text",
}  # fmt: skip
_KEY: Final = {"key": "bigint", "key_feed": "text", "key_source_key": "text"}
_RELATION: Final = {"target_id": "uuid", "related_id": "uuid"}
_FINDABLE: Final = {
    "found_id": "uuid", "found_body": "text", "found_kind": "text", "found_active": "boolean", "found_text": "text",
}  # fmt: skip
_STAGING: Final = StagingTable(
    "inventory_batch", {"write": "bigint", **_REVISION, **_LINK, **_KEY, **_RELATION, **_FINDABLE}
)
"""A row has what may stand side by side, each part NULL where there are no more of its kind: a COPY costs far less than arrays do in Python."""

_writes: Final = count(1)
"""A transaction may write several batches, and the staging table keeps the rows of all until it ends."""

# the casts from text cost less than asyncpg's codec for jsonb does in Python
_MERGE: Final = """
WITH batch AS MATERIALIZED (
  SELECT asset_id, revision, last, state::jsonb AS state, change::jsonb AS change
  FROM pg_temp.inventory_batch WHERE write = $4 AND asset_id IS NOT NULL
), register AS (
  INSERT INTO asset (asset_id, body, revision, updated_at, state)
  SELECT asset_id, state->>'body', revision, $1, state FROM batch WHERE last
  ON CONFLICT (asset_id) DO UPDATE SET
    body = excluded.body, revision = excluded.revision, updated_at = excluded.updated_at, state = excluded.state
), history AS (
  INSERT INTO asset_revision (asset_id, revision, body, recorded_at, state, change)
  SELECT asset_id, revision, state->>'body', $1, state, change FROM batch
), links AS (
  INSERT INTO source_link (feed, source_key, asset_id, source_version, told, gone, keys, body)
  SELECT feed, source_key, told_of, source_version, told::json, gone, keys::bigint[], body
  FROM pg_temp.inventory_batch WHERE write = $4 AND feed IS NOT NULL
  ON CONFLICT (feed, source_key) DO UPDATE SET
    asset_id = excluded.asset_id, source_version = excluded.source_version, told = excluded.told, gone = excluded.gone,
    keys = excluded.keys, body = excluded.body
), keys AS (
  INSERT INTO match_key (key, feed, source_key)
  SELECT key, key_feed, key_source_key FROM pg_temp.inventory_batch WHERE write = $4 AND key IS NOT NULL
  ON CONFLICT DO NOTHING
), relations AS (
  INSERT INTO asset_relation (target_id, asset_id)
  SELECT target_id, related_id FROM pg_temp.inventory_batch WHERE write = $4 AND target_id IS NOT NULL
  ON CONFLICT DO NOTHING
), findable AS (
  INSERT INTO asset_findable (asset_id, body, kind, active, text)
  SELECT found_id, found_body, found_kind, found_active, found_text FROM pg_temp.inventory_batch
  WHERE write = $4 AND found_id IS NOT NULL
  ON CONFLICT (asset_id) DO UPDATE SET
    body = excluded.body, kind = excluded.kind, active = excluded.active, text = excluded.text
), candidates AS (
  INSERT INTO merge_candidate SELECT * FROM jsonb_populate_recordset(NULL::merge_candidate, $5::text::jsonb) ON CONFLICT DO NOTHING
)
SELECT pg_notify($2, '') WHERE $3
"""
_OUTBOX: Final = ("topic", "key", "value", "headers")


async def enter(connection: PoolConnection, bodies: Iterable[str], networks: Collection[str]) -> None:
    """Set the transaction's scope to `bodies`, and hold `networks` until it ends.

    What writes to one network does so one after another, and so its outbox is in the order of the commits. The networks are taken in
    one order, so that two who want several do not wait for each other.
    """
    await connection.fetchrow(_ENTER, setting_of(bodies), sorted(map(_lock_of, networks)))


async def known_under(connection: PoolConnection, sources: Collection[Source]) -> Part:
    """What the register has of the assets behind the source keys."""
    return _part(await connection.fetch(_KNOWN, *_columns(sources)))


async def found_by(connection: PoolConnection, keys: Collection[int]) -> Part:
    """What the register has of assets that match keys with these digests were told of."""
    return _part(await connection.fetch(_FOUND, list(keys))) if keys else Part()


async def of_assets(connection: PoolConnection, asset_ids: Collection[str]) -> Part:
    """What the register has of these assets."""
    return _part(await connection.fetch(_ASSETS, list(asset_ids)))


async def concerned(connection: PoolConnection, asset_ids: Collection[str]) -> Part:
    """What the register has of these assets, and of those that have relations to them."""
    return _part(await connection.fetch(_CONCERNED, list(asset_ids)))


async def waiting_for(connection: PoolConnection, asset_ids: Collection[str]) -> Part:
    """The assets that have relations to ids under which nothing is known yet."""
    if not asset_ids:
        return Part()
    rows = await connection.fetch(_WAITING, list(asset_ids))
    waiting: dict[str, set[str]] = {}
    for row in rows:
        waiting.setdefault(str(row["target_id"]), set()).add(str(row["asset_id"]))
    return Part(
        assets={str(row["asset_id"]): Held(row["revision"], from_json(row["state"])) for row in rows}, waiting=waiting
    )


async def targets_under(connection: PoolConnection, sources: Collection[Source]) -> dict[Source, Target]:
    """The assets behind source keys that relations name."""
    if not sources:
        return {}
    rows = await connection.fetch(_TARGETS, *_columns(sources))
    return {Source(row["feed"], row["source_key"]): Target(str(row["asset_id"]), row["network"]) for row in rows}


async def register_for(
    connection: PoolConnection, profile: Profile, items: Sequence[Item], known: Part, readings: Readings | None = None
) -> Register:
    """All of the register that the items need to be taken; `known` is what `known_under` has of their sources."""
    register = Register(profile, known, readings)
    register.add(await found_by(connection, register.to_look_up(items)))
    register.add(await waiting_for(connection, register.expected()))
    register.add(Part(targets=await targets_under(connection, register.named(items))))
    return register


async def write(connection: PoolConnection, batch: Batch) -> None:
    """Write a batch to the outbox by COPY, and to register, history and links in one statement, whatever its size; wake the relay.

    The events are made while PostgreSQL takes in those before. Raises asyncpg.SerializationError where another transaction has written
    one of the revisions meanwhile: do it again.
    """
    if not batch.revisions and not batch.links:
        return
    number, written = next(_writes), list[Written]()
    await connection.copy_records_to_table("outbox", records=_sent(batch, written), columns=_OUTBOX)
    await copy_staging(connection, _STAGING, _staged(number, batch, written))
    candidates = to_json([row.model_dump() for row in batch.candidates.values()]).decode()
    try:
        await connection.execute(_MERGE, batch.recorded_at, CHANNEL, bool(written), number, candidates)
    except asyncpg.UniqueViolationError as error:
        # two networks were told of one new asset at the same time: neither held the other's lock
        raise asyncpg.SerializationError("a revision was written meanwhile") from error


def _sent(batch: Batch, written: list[Written]) -> Iterator[tuple[Any, ...]]:
    """Rows of the outbox; what is written for them is kept for the register."""
    for revision, traceparent in batch.revisions:
        one = batch.scribe.write(revision, traceparent)
        written.append(one)
        yield ASSETS.name, one.key, one.value, WrittenJson(one.headers)


async def write_move(
    connection: PoolConnection, profile: Profile, register: Register, move: Move, recorded_at: datetime
) -> None:
    """Write what a person's act makes of the register; raises as `write`."""
    batch = Batch(recorded_at, Scribe(profile.municipality, recorded_at))
    add(batch, move.revisions)
    for asset_id in {link.asset_id for link in move.links}:
        state = register.held(asset_id).state
        for link in register.links_of(asset_id) if state else ():
            batch.links[Source(link.feed, link.source_key)] = (link, state["body"])
    await write(connection, batch)


async def asset_of(session: AsyncSession, asset_id: UUID) -> AssetRow | None:
    """An asset in the session's scope."""
    return await session.get(AssetRow, asset_id)


async def revisions_of(
    session: AsyncSession, asset_id: UUID, *, before: int | None, limit: int, until: datetime | None = None
) -> Sequence[RevisionRow]:
    """The history of an asset up to a moment, the newest first, from below the revision `before` on."""
    query = select(RevisionRow).where(col(RevisionRow.asset_id) == asset_id)
    if until is not None:
        query = query.where(col(RevisionRow.recorded_at) <= until)
    if before is not None:
        query = query.where(col(RevisionRow.revision) < before)
    return (await session.exec(query.order_by(col(RevisionRow.revision).desc()).limit(limit))).all()


async def next_offset(session: AsyncSession, consumer: str, topic: str, partition: int) -> int:
    """How far a consumer has come in a partition."""
    row = await session.get(OffsetRow, (consumer, topic, partition))
    return row.next_offset if row else 0


async def next_offsets(session: AsyncSession, consumer: str, topic: str) -> Mapping[int, int]:
    """How far a consumer has come in each partition of a topic."""
    wanted = (col(OffsetRow.consumer) == consumer, col(OffsetRow.topic) == topic)
    return {row.partition: row.next_offset for row in await session.exec(select(OffsetRow).where(*wanted))}


def _part(rows: Iterable[asyncpg.Record]) -> Part:
    links: dict[Source, Link] = {}
    assets: dict[str, Held] = {}
    for feed, source_key, uuid, source_version, told, gone, keys, revision, state in rows:
        asset_id = str(uuid)
        if feed is not None:
            links[Source(feed, source_key)] = Link(feed, source_key, asset_id, source_version, told, gone, tuple(keys))
        if revision is not None:
            assets[asset_id] = Held(revision, from_json(state))
    return Part(links, assets)


def _columns(sources: Collection[Source]) -> tuple[list[str], list[str]]:
    return [source.feed for source in sources], [source.source_key for source in sources]


def _staged(number: int, batch: Batch, revisions: Sequence[Written]) -> Iterator[tuple[Any, ...]]:
    last = {written.asset_id: written.revision for written in revisions}
    parts: Sequence[tuple[Mapping[str, str], Sequence[tuple[Any, ...]]]] = (
        (
            _REVISION,
            [
                (last[one.asset_id] == one.revision, one.asset_id, one.revision, one.state, one.change)
                for one in revisions
            ],
        ),
        (_LINK, [_row(link, body) for link, body in batch.links.values()]),
        (_KEY, list(batch.keys)),
        (_RELATION, list(batch.relations)),
        (_FINDABLE, [findable(state) for state in batch.findable.values()]),
    )
    side_by_side = zip(*(chain(rows, repeat((None,) * len(columns))) for columns, rows in parts), strict=True)
    for row in islice(side_by_side, max(len(rows) for _, rows in parts)):
        yield (number, *chain.from_iterable(row))


def _row(link: Link, body: str) -> tuple[Any, ...]:
    """A link's part; text costs less than an array."""
    return (*link[:-1], f"{{{','.join(map(str, link.keys))}}}", body)


def _lock_of(network: str) -> int:
    digest = hashlib.sha256(f"inventory network {network}".encode()).digest()
    return int.from_bytes(digest[:8], signed=True)
