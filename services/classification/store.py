# SPDX-License-Identifier: Apache-2.0
"""The read model in PostgreSQL: the last levels and obligations of every asset, as the events said them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, NamedTuple, TypeAlias
from uuid import UUID

from sqlalchemy import BigInteger, DateTime, Index, String, Subquery, and_, case, cast, or_, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, distinct_on
from sqlalchemy.orm import aliased
from sqlmodel import Field, col, func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from libs.contracts import AssetKind, Dimension, FindingState, Zone
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

Base = model_base()


class ClassificationRow(Base, table=True):
    """An asset under one body: its levels, its explanations as JSON to show, and the ids of its obligations.

    Levels stand here by their codes: ranks would be another standard's after it has been replaced. `levels_revision` and `duties_revision` are those of the last event of either topic. A retired asset keeps its row,
    with no levels, so that an older event that comes again is known to be old.
    """

    __tablename__ = "asset_classification"
    __table_args__ = (
        Index("ix_asset_classification_asset", "asset_id"),
        Index("ix_asset_classification_in_force", "in_force", postgresql_using="gin"),
    )

    body: str = Field(primary_key=True)
    asset_id: UUID = Field(primary_key=True)
    network: str
    name: str
    kind: str
    zone: str | None = None
    section: str | None = None
    asset_revision: int = Field(sa_type=BigInteger)
    standard: str | None = None
    levels_revision: int = Field(default=0, sa_type=BigInteger, sa_column_kwargs={"server_default": text("0")})
    confidentiality: str | None = None
    integrity: str | None = None
    availability: str | None = None
    explanations: dict[str, Any] | None = Field(default=None, sa_type=JSONB)
    duties_revision: int = Field(default=0, sa_type=BigInteger, sa_column_kwargs={"server_default": text("0")})
    in_force: list[str] = Field(
        default_factory=list,
        sa_type=ARRAY(String),
        nullable=False,
        sa_column_kwargs={"server_default": text("'{}'::character varying[]")},
    )


class HistoryRow(Base, table=True):
    """What one event told of an asset, of its levels (none: retired) or of its obligations, kept as it was told then."""

    __tablename__ = "asset_classification_history"

    body: str = Field(primary_key=True)
    asset_id: UUID = Field(primary_key=True)
    told: str = Field(primary_key=True)
    revision: int = Field(primary_key=True, sa_type=BigInteger)
    at: datetime = Field(sa_type=DateTime(timezone=True))
    network: str
    name: str
    kind: str
    zone: str | None = None
    section: str | None = None
    asset_revision: int = Field(sa_type=BigInteger)
    standard: str | None = None
    confidentiality: str | None = None
    integrity: str | None = None
    availability: str | None = None
    explanations: dict[str, Any] | None = Field(default=None, sa_type=JSONB)
    in_force: list[str] | None = Field(default=None, sa_type=ARRAY(String))


class FindingRow(Base, table=True):
    """Whether an obligation that carries a check is seen to be met at an asset, and since when; those never told of are unknown."""

    __tablename__ = "asset_finding"
    __table_args__ = (Index("ix_asset_finding_state", "state", "obligation", "asset_id"),)

    body: str = Field(primary_key=True)
    asset_id: UUID = Field(primary_key=True)
    obligation: str = Field(primary_key=True)
    state: str
    since: datetime = Field(sa_type=DateTime(timezone=True))
    revision: int = Field(sa_type=BigInteger)


class StandardVersionRow(Base, table=True):
    """A standard as it was published; `document` is the whole of it as JSON text, for JSONB would not keep the order of its entries.

    Standards are of networks, not of bodies: who may see which is the API's to say, so there is no row-level security.
    """

    __tablename__ = "standard_version"

    name: str = Field(primary_key=True)
    version: str = Field(primary_key=True)
    network: str | None = None
    base: str | None = None
    title: dict[str, Any] = Field(sa_type=JSONB, nullable=False)
    effective_from: datetime = Field(sa_type=DateTime(timezone=True))
    digest: str
    document: str
    files: dict[str, Any] = Field(sa_type=JSONB, nullable=False)
    published_by: str
    published_at: datetime = Field(sa_type=DateTime(timezone=True))


class StandardActivationRow(Base, table=True):
    """That a version was activated at a place, and the whole of what it said: the last of a place holds there."""

    __tablename__ = "standard_activation"

    place: str = Field(primary_key=True)
    revision: int = Field(primary_key=True)
    name: str
    version: str
    network: str | None = None
    base: str | None = None
    digest: str
    document: str
    published_by: str | None = None
    activated_by: str
    activated_at: datetime = Field(sa_type=DateTime(timezone=True))


class StandardAppliedRow(Base, table=True):
    """How far a partition said last that it is with what was activated at a place."""

    __tablename__ = "standard_applied"

    place: str = Field(primary_key=True)
    partition: int = Field(primary_key=True)
    activation: int
    partitions: int
    evaluated: int = Field(sa_type=BigInteger)
    told: int = Field(sa_type=BigInteger)
    total: int = Field(sa_type=BigInteger)


class OverrideRow(Base, table=True):
    """An override with who asked, decided and ended it. Of one asset, body and dimension one at most is asked, and one approved."""

    __tablename__ = "asset_override"
    __table_args__ = (
        Index("ix_asset_override_asked_at", "asked_at", "override_id"),
        Index("ix_asset_override_open", "expires_at", postgresql_where=text("state IN ('asked', 'approved')")),
        *(
            Index(
                f"ux_asset_override_{state}",
                "body",
                "asset_id",
                "dimension",
                unique=True,
                postgresql_where=text(f"state = '{state}'"),
            )
            for state in ("asked", "approved")
        ),
    )

    override_id: UUID = Field(primary_key=True)
    body: str
    network: str
    asset_id: UUID
    dimension: str
    level: str
    reason: str
    asked_by: str
    asked_at: datetime = Field(sa_type=DateTime(timezone=True))
    state: str
    decided_by: str | None = None
    decided_at: datetime | None = Field(default=None, sa_type=DateTime(timezone=True))
    decision_note: str | None = None
    ended_by: str | None = None
    ended_at: datetime | None = Field(default=None, sa_type=DateTime(timezone=True))
    end_note: str | None = None
    expires_at: datetime = Field(sa_type=DateTime(timezone=True))
    revision: int


class OffsetRow(OffsetsTable, Base, table=True):
    pass


class OutboxRow(OutboxTable, Base, table=True):
    pass


class ParkedKeyRow(ParkedKeyTable, Base, table=True):
    pass


class Shown(NamedTuple):
    """What one event shows of an asset, in the order of the staging table's columns; a column of the other topic is None."""

    body: str
    asset_id: str
    network: str
    name: str
    kind: str
    zone: str | None
    section: str | None
    asset_revision: int
    standard: str | None
    revision: int
    at: datetime
    confidentiality: str | None = None
    integrity: str | None = None
    availability: str | None = None
    explanations: str | None = None
    in_force: list[str] | None = None


class ShownFinding(NamedTuple):
    """What one event shows of a finding."""

    body: str
    asset_id: str
    obligation: str
    state: str
    since: datetime
    revision: int


_STAGING: Final = StagingTable(
    "classification_batch",
    {
        "body": "text",
        "asset_id": "uuid",
        "network": "text",
        "name": "text",
        "kind": "text",
        "zone": "text",
        "section": "text",
        "asset_revision": "bigint",
        "standard": "text",
        "revision": "bigint",
        "at": "timestamptz",
        "confidentiality": "text",
        "integrity": "text",
        "availability": "text",
        "explanations": "text",
        "in_force": "text[]",
    },
)

_LEVELS: Final = "levels"
_DUTIES: Final = "obligations"
_NEWEST: Final = """
(SELECT DISTINCT ON (body, asset_id) * FROM pg_temp.classification_batch ORDER BY body, asset_id, revision DESC) AS newest
"""
_ASSET: Final = "body, asset_id, network, name, kind, zone, section, asset_revision, standard"
_REFRESHED: Final = ", ".join(
    # the topics are read each at its own pace
    f"{column} = CASE WHEN excluded.asset_revision >= shown.asset_revision THEN excluded.{column} ELSE shown.{column} END"
    for column in ("name", "kind", "zone", "section", "asset_revision")
)

_MERGE_LEVELS: Final = f"""
INSERT INTO asset_classification AS shown
  ({_ASSET}, levels_revision, confidentiality, integrity, availability, explanations)
SELECT {_ASSET}, revision, confidentiality, integrity, availability, explanations::jsonb
FROM {_NEWEST}
ON CONFLICT (body, asset_id) DO UPDATE SET {_REFRESHED},
  standard = CASE WHEN excluded.levels_revision >= shown.duties_revision THEN excluded.standard ELSE shown.standard END,
  levels_revision = excluded.levels_revision, confidentiality = excluded.confidentiality,
  integrity = excluded.integrity, availability = excluded.availability, explanations = excluded.explanations
WHERE shown.levels_revision < excluded.levels_revision
"""  # noqa: S608 - made of constants

_MERGE_DUTIES: Final = f"""
INSERT INTO asset_classification AS shown ({_ASSET}, duties_revision, in_force)
SELECT {_ASSET}, revision, in_force FROM {_NEWEST}
ON CONFLICT (body, asset_id) DO UPDATE SET {_REFRESHED},
  standard = CASE WHEN excluded.duties_revision >= shown.levels_revision THEN excluded.standard ELSE shown.standard END,
  duties_revision = excluded.duties_revision, in_force = excluded.in_force
WHERE shown.duties_revision < excluded.duties_revision
"""  # noqa: S608 - made of constants

_MERGE_ASSETS: Final = f"""
INSERT INTO asset_classification AS shown (body, asset_id, network, name, kind, zone, section, asset_revision)
SELECT body, asset_id, network, name, kind, zone, section, asset_revision FROM {_NEWEST}
ON CONFLICT (body, asset_id) DO UPDATE SET
  name = excluded.name, kind = excluded.kind, zone = excluded.zone, section = excluded.section,
  asset_revision = excluded.asset_revision
WHERE shown.asset_revision < excluded.asset_revision
  AND (shown.name, shown.kind, shown.zone, shown.section)
    IS DISTINCT FROM (excluded.name, excluded.kind, excluded.zone, excluded.section)
"""  # noqa: S608 - made of constants

_REMEMBER: Final = f"""
INSERT INTO asset_classification_history
  (told, {_ASSET}, revision, at, confidentiality, integrity, availability, explanations, in_force)
SELECT $1, {_ASSET}, revision, at, confidentiality, integrity, availability, explanations::jsonb, in_force
FROM pg_temp.classification_batch
ON CONFLICT DO NOTHING
"""  # noqa: S608 - made of constants

_MERGE_FINDINGS: Final = """
INSERT INTO asset_finding AS shown (body, asset_id, obligation, state, since, revision)
SELECT * FROM unnest($1::text[], $2::uuid[], $3::text[], $4::text[], $5::timestamptz[], $6::bigint[])
ON CONFLICT (body, asset_id, obligation) DO UPDATE SET
  state = excluded.state, since = excluded.since, revision = excluded.revision
WHERE shown.revision < excluded.revision
"""


async def show_levels(connection: PoolConnection, bodies: Iterable[str], rows: Sequence[Shown]) -> None:
    """Take a batch of classification events over: all into the history, and of several of one asset the last as what holds now.

    An older revision, or one seen before, changes nothing.
    """
    await _merge(connection, bodies, rows, _MERGE_LEVELS, told=_LEVELS)


async def show_duties(connection: PoolConnection, bodies: Iterable[str], rows: Sequence[Shown]) -> None:
    """As `show_levels`, of obligation events."""
    await _merge(connection, bodies, rows, _MERGE_DUTIES, told=_DUTIES)


async def show_assets(connection: PoolConnection, bodies: Iterable[str], rows: Sequence[Shown]) -> None:
    """As `show_levels`, of what inventory says of assets: an asset that is only renamed is in no other event."""
    await _merge(connection, bodies, rows, _MERGE_ASSETS)


async def show_findings(connection: PoolConnection, bodies: Iterable[str], rows: Sequence[ShownFinding]) -> None:
    """As `show_levels`, of findings."""
    newest: dict[tuple[str, str, str], ShownFinding] = {}
    for row in rows:
        known = newest.get(row[:3])
        if known is None or known.revision < row.revision:
            newest[row[:3]] = row
    if newest:
        await connection.execute("SELECT set_config('daicho.bodies', $1, true)", setting_of(bodies))
        await connection.execute(_MERGE_FINDINGS, *map(list, zip(*newest.values(), strict=True)))


async def _merge(
    connection: PoolConnection, bodies: Iterable[str], rows: Sequence[Shown], statement: str, told: str | None = None
) -> None:
    if not rows:
        return
    await connection.execute("SELECT set_config('daicho.bodies', $1, true)", setting_of(bodies))
    await copy_staging(connection, _STAGING, rows)
    await connection.execute(statement)
    if told is not None:
        await connection.execute(_REMEMBER, told)
    # a transaction may show several batches
    await connection.execute("TRUNCATE pg_temp.classification_batch")


Classifications: TypeAlias = type[ClassificationRow]
"""The rows that are read: the table's, or those of a moment."""


def as_of(moment: datetime | None) -> Classifications:
    """What held at a moment, by the events up to then; None is now.

    An asset is called there as the last of them called it: a name alone is no change of levels.
    """
    if moment is None:
        return ClassificationRow
    levels, duties = _last_told(_LEVELS, moment), _last_told(_DUTIES, moment)
    same = and_(duties.c.body == levels.c.body, duties.c.asset_id == levels.c.asset_id)
    latest = [
        case((duties.c.revision > levels.c.revision, duties.c[name]), else_=levels.c[name]).label(name)
        for name in ("network", "name", "kind", "zone", "section", "asset_revision", "standard")
    ]
    own = [levels.c[name] for name in ("body", "asset_id", *Dimension, "explanations")]
    revisions = [
        levels.c.revision.label("levels_revision"),
        func.coalesce(duties.c.revision, 0).label("duties_revision"),
        func.coalesce(duties.c.in_force, cast([], ARRAY(String))).label("in_force"),
    ]
    found = select(*own, *latest, *revisions).select_from(levels.outerjoin(duties, same)).subquery()
    return aliased(ClassificationRow, found, adapt_on_names=True)


def _last_told(told: str, moment: datetime) -> Subquery:
    row = HistoryRow
    key = (col(row.body), col(row.asset_id))
    until = (col(row.told) == told, col(row.at) <= moment)
    return select(row).where(*until).ext(distinct_on(*key)).order_by(*key, col(row.revision).desc()).subquery()


@dataclass(frozen=True)
class Wanted:
    """What a list is narrowed to: `levels` has those wanted per dimension, `duties` by network those of which one is to be in force, `unmet` an obligation that is seen not to be met."""

    body: str | None = None
    kind: AssetKind | None = None
    zone: Zone | None = None
    duties: Mapping[str, Collection[str]] | None = None
    unmet: str | None = None
    levels: Mapping[Dimension, Collection[str]] = field(default_factory=dict)


async def page(
    session: AsyncSession, row: Classifications, wanted: Wanted, *, after: UUID | None, limit: int
) -> Sequence[ClassificationRow]:
    """A page of assets in force, by id, from `after` on."""
    query = select(row).where(col(row.confidentiality).is_not(None)).order_by(col(row.asset_id)).limit(limit)
    for column, value in ((col(row.body), wanted.body), (col(row.kind), wanted.kind), (col(row.zone), wanted.zone)):
        if value is not None:
            query = query.where(column == value)
    for dimension, codes in wanted.levels.items():
        query = query.where(getattr(row, dimension.value).in_(codes))
    if wanted.duties is not None:
        here = [
            and_(col(row.network) == network, col(row.in_force).overlap(list(duties)))
            for network, duties in wanted.duties.items()
        ]
        query = query.where(or_(*here))
    if wanted.unmet is not None:
        seen = (col(FindingRow.state) == FindingState.NOT_MET, col(FindingRow.obligation) == wanted.unmet)
        same = (col(FindingRow.body) == col(row.body), col(FindingRow.asset_id) == col(row.asset_id))
        query = query.where(select(FindingRow.obligation).where(*seen, *same).exists())
    if after is not None:
        query = query.where(col(row.asset_id) > after)
    return (await session.exec(query)).all()


async def findings_of(session: AsyncSession, body: str, asset_id: UUID) -> Sequence[FindingRow]:
    """What is seen of the obligations in force of an asset of a body."""
    row = FindingRow
    here = (col(row.body) == body, col(row.asset_id) == asset_id, col(row.state) != FindingState.LIFTED)
    return (await session.exec(select(row).where(*here))).all()


async def finding_counts(session: AsyncSession) -> Sequence[tuple[str, str, int]]:
    """How many findings each body has in each state."""
    body, state = col(FindingRow.body), col(FindingRow.state)
    query = select(body, state, func.count()).where(state != FindingState.LIFTED).group_by(body, state)
    return (await session.exec(query)).all()


async def classification_of(
    session: AsyncSession, asset_id: UUID, row: Classifications = ClassificationRow
) -> ClassificationRow | None:
    """An asset in force in the session's scope."""
    found = select(row).where(col(row.asset_id) == asset_id, col(row.confidentiality).is_not(None))
    return (await session.exec(found)).first()


async def classifications_of(session: AsyncSession, asset_ids: Iterable[UUID]) -> Mapping[UUID, ClassificationRow]:
    """Those of the assets that are in force in the session's scope."""
    row = ClassificationRow
    found = select(row).where(col(row.asset_id).in_(set(asset_ids)), col(row.confidentiality).is_not(None))
    return {one.asset_id: one for one in await session.exec(found)}


async def level_counts(
    session: AsyncSession, row: Classifications, dimension: Dimension
) -> Sequence[tuple[str, str, int]]:
    """How many assets each body has at each level of a dimension."""
    body, level = col(row.body), getattr(row, dimension.value)
    query = select(body, level, func.count()).where(level.is_not(None)).group_by(body, level)
    return (await session.exec(query)).all()


async def duty_counts(session: AsyncSession, row: Classifications) -> Sequence[tuple[str, int]]:
    """How many obligations are in force for each body, over all its assets."""
    body = col(row.body)
    total = func.sum(func.cardinality(col(row.in_force)))
    return (await session.exec(select(body, total).group_by(body).order_by(body))).all()
