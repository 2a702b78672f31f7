# SPDX-License-Identifier: Apache-2.0
"""Records of disposal in the inventory's database, which refuses to change or delete one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import DateTime, Index, UnaryExpression, exists
from sqlalchemy.dialects.postgresql import ARRAY
from sqlmodel import Field, String, col, or_, select, tuple_
from sqlmodel.ext.asyncio.session import AsyncSession

from libs.contracts import AssetKind, AssetStatus
from services.inventory.merges.store import merged_into
from services.inventory.store import AssetRow, Base, SourceLinkRow

_MEDIUM: Final = col(AssetRow.state)["facts"]["medium"].astext


class DisposalRow(Base, table=True):
    """How the medium of an asset was disposed of; `zone`, `confidentiality` and `leased` are the asset's at that time."""

    __tablename__ = "disposal"
    __table_args__ = (
        Index("ix_disposal_asset_id", "asset_id"),
        Index("ix_disposal_recorded_at", "recorded_at", "disposal_id"),
        Index("ux_disposal_corrects", "corrects", unique=True),
    )

    disposal_id: UUID = Field(primary_key=True)
    body: str
    asset_id: UUID
    medium: str
    methods: list[str] = Field(sa_type=ARRAY(String))
    disposed_on: date
    done_by: str
    approved_by: str
    witnessed_by: str | None = None
    certificate: str | None = None
    note: str | None = None
    corrects: UUID | None = None
    zone: str | None = None
    confidentiality: str | None = None
    leased: bool
    recorded_by: str
    recorded_at: datetime = Field(sa_type=DateTime(timezone=True))
    confirmed_by: str | None = None


async def records_of(session: AsyncSession, asset_id: UUID) -> Sequence[DisposalRow]:
    """Those of an asset, and of what was merged into it, the newest first."""
    query = select(DisposalRow).where(col(DisposalRow.asset_id).in_(merged_into(asset_id)))
    return (await session.exec(query.order_by(*_newest_first()))).all()


async def recorded_of(session: AsyncSession, asset_id: UUID) -> bool:
    """Whether there is a record of the asset's disposal."""
    return bool(await records_of(session, asset_id))


async def record(session: AsyncSession, disposal_id: UUID) -> DisposalRow | None:
    return await session.get(DisposalRow, disposal_id)


async def correction_of(session: AsyncSession, disposal_id: UUID) -> UUID | None:
    """The record that corrects another."""
    query = select(DisposalRow.disposal_id).where(col(DisposalRow.corrects) == disposal_id)
    return (await session.exec(query)).first()


async def page(
    session: AsyncSession, *, body: str | None, after: UUID | None, limit: int
) -> Sequence[tuple[DisposalRow, UUID | None]]:
    """The newest first, from the one before `after` on; each with the record that corrects it."""
    correcting = select(DisposalRow.disposal_id, DisposalRow.corrects).subquery()
    query = (
        select(DisposalRow, correcting.c.disposal_id)
        .outerjoin(correcting, correcting.c.corrects == col(DisposalRow.disposal_id))
        .order_by(*_newest_first())
        .limit(limit)
    )
    if body is not None:
        query = query.where(col(DisposalRow.body) == body)
    if after is not None:
        one = DisposalRow
        last = select(one.recorded_at, one.disposal_id).where(col(one.disposal_id) == after).scalar_subquery()
        query = query.where(tuple_(col(one.recorded_at), col(one.disposal_id)) < last)
    return (await session.exec(query)).all()


async def missing(session: AsyncSession, *, body: str | None, after: UUID | None, limit: int) -> Sequence[AssetRow]:
    """A page by id of retired assets that have a medium and no record of its disposal; not those merged into others."""
    asset_id = col(AssetRow.asset_id)
    query = select(AssetRow).where(
        col(AssetRow.status) == AssetStatus.RETIRED,
        or_(col(AssetRow.kind) == AssetKind.MEDIA, _MEDIUM != ""),
        ~exists().where(col(DisposalRow.asset_id) == asset_id),
        exists().where(col(SourceLinkRow.asset_id) == asset_id),
    )
    if body is not None:
        query = query.where(col(AssetRow.body) == body)
    if after is not None:
        query = query.where(asset_id > after)
    return (await session.exec(query.order_by(asset_id).limit(limit))).all()


def _newest_first() -> tuple[UnaryExpression[Any], UnaryExpression[Any]]:
    return col(DisposalRow.recorded_at).desc(), col(DisposalRow.disposal_id).desc()
