# SPDX-License-Identifier: Apache-2.0
"""The read model in PostgreSQL: the last levels and obligations of every asset, as the events said them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from sqlalchemy import BigInteger, DateTime, Index, String, and_, or_, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
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
        "confidentiality": "text",
        "integrity": "text",
        "availability": "text",
        "explanations": "text",
        "in_force": "text[]",
    },
)

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
FROM pg_temp.classification_batch
ON CONFLICT (body, asset_id) DO UPDATE SET {_REFRESHED},
  standard = CASE WHEN excluded.levels_revision >= shown.duties_revision THEN excluded.standard ELSE shown.standard END,
  levels_revision = excluded.levels_revision, confidentiality = excluded.confidentiality,
  integrity = excluded.integrity, availability = excluded.availability, explanations = excluded.explanations
WHERE shown.levels_revision < excluded.levels_revision
"""  # noqa: S608 - made of constants

_MERGE_DUTIES: Final = f"""
INSERT INTO asset_classification AS shown ({_ASSET}, duties_revision, in_force)
SELECT {_ASSET}, revision, in_force FROM pg_temp.classification_batch
ON CONFLICT (body, asset_id) DO UPDATE SET {_REFRESHED},
  standard = CASE WHEN excluded.duties_revision >= shown.levels_revision THEN excluded.standard ELSE shown.standard END,
  duties_revision = excluded.duties_revision, in_force = excluded.in_force
WHERE shown.duties_revision < excluded.duties_revision
"""  # noqa: S608 - made of constants

_MERGE_ASSETS: Final = """
INSERT INTO asset_classification AS shown (body, asset_id, network, name, kind, zone, section, asset_revision)
SELECT body, asset_id, network, name, kind, zone, section, asset_revision FROM pg_temp.classification_batch
ON CONFLICT (body, asset_id) DO UPDATE SET
  name = excluded.name, kind = excluded.kind, zone = excluded.zone, section = excluded.section,
  asset_revision = excluded.asset_revision
WHERE shown.asset_revision < excluded.asset_revision
  AND (shown.name, shown.kind, shown.zone, shown.section)
    IS DISTINCT FROM (excluded.name, excluded.kind, excluded.zone, excluded.section)
"""


_MERGE_FINDINGS: Final = """
INSERT INTO asset_finding AS shown (body, asset_id, obligation, state, since, revision)
SELECT * FROM unnest($1::text[], $2::uuid[], $3::text[], $4::text[], $5::timestamptz[], $6::bigint[])
ON CONFLICT (body, asset_id, obligation) DO UPDATE SET
  state = excluded.state, since = excluded.since, revision = excluded.revision
WHERE shown.revision < excluded.revision
"""


async def show_levels(connection: PoolConnection, bodies: Iterable[str], rows: Sequence[Shown]) -> None:
    """Take a batch of classification events over, of several of one asset the last; an older revision changes nothing."""
    await _merge(connection, bodies, rows, _MERGE_LEVELS)


async def show_duties(connection: PoolConnection, bodies: Iterable[str], rows: Sequence[Shown]) -> None:
    """As `show_levels`, of obligation events."""
    await _merge(connection, bodies, rows, _MERGE_DUTIES)


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


async def _merge(connection: PoolConnection, bodies: Iterable[str], rows: Sequence[Shown], statement: str) -> None:
    newest: dict[tuple[str, str], Shown] = {}
    for row in rows:
        known = newest.get((row.body, row.asset_id))
        if known is None or known.revision < row.revision:
            newest[row.body, row.asset_id] = row
    if not newest:
        return
    await connection.execute("SELECT set_config('daicho.bodies', $1, true)", setting_of(bodies))
    await copy_staging(connection, _STAGING, newest.values())
    await connection.execute(statement)
    # a transaction may show several batches
    await connection.execute("TRUNCATE pg_temp.classification_batch")


@dataclass(frozen=True)
class Wanted:
    """What a list is narrowed to: `levels` has those wanted per dimension, `duties` by network those of which one is to be in force, `unmet` an obligation that is seen not to be met."""

    body: str | None = None
    kind: AssetKind | None = None
    zone: Zone | None = None
    duties: Mapping[str, Collection[str]] | None = None
    unmet: str | None = None
    levels: Mapping[Dimension, Collection[str]] = field(default_factory=dict)


async def page(session: AsyncSession, wanted: Wanted, *, after: UUID | None, limit: int) -> Sequence[ClassificationRow]:
    """A page of assets in force, by id, from `after` on."""
    row = ClassificationRow
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


async def classification_of(session: AsyncSession, asset_id: UUID) -> ClassificationRow | None:
    """An asset in force in the session's scope."""
    row = ClassificationRow
    found = select(row).where(col(row.asset_id) == asset_id, col(row.confidentiality).is_not(None))
    return (await session.exec(found)).first()


async def classifications_of(session: AsyncSession, asset_ids: Iterable[UUID]) -> Mapping[UUID, ClassificationRow]:
    """Those of the assets that are in force in the session's scope."""
    row = ClassificationRow
    found = select(row).where(col(row.asset_id).in_(set(asset_ids)), col(row.confidentiality).is_not(None))
    return {one.asset_id: one for one in await session.exec(found)}


async def level_counts(session: AsyncSession, dimension: Dimension) -> Sequence[tuple[str, str, int]]:
    """How many assets each body has at each level of a dimension."""
    body, level = col(ClassificationRow.body), getattr(ClassificationRow, dimension.value)
    query = select(body, level, func.count()).where(level.is_not(None)).group_by(body, level)
    return (await session.exec(query)).all()


async def duty_counts(session: AsyncSession) -> Sequence[tuple[str, int]]:
    """How many obligations are in force for each body, over all its assets."""
    body = col(ClassificationRow.body)
    total = func.sum(func.cardinality(col(ClassificationRow.in_force)))
    return (await session.exec(select(body, total).group_by(body).order_by(body))).all()
