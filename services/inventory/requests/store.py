# SPDX-License-Identifier: Apache-2.0
"""What people ask for in the inventory's database, with who decided and why."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, DateTime, Index
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, col, select, tuple_
from sqlmodel.ext.asyncio.session import AsyncSession

from services.inventory.store import Base


class RequestState(StrEnum):
    """Only what is asked is open; the others are for good."""

    ASKED = "asked"
    APPROVED = "approved"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"


class ActRequestRow(Base, table=True):
    """An act that one person asks for: `given` as they sent it, `rested_on` what the asset had then in the fields that it touches."""

    __tablename__ = "act_request"
    __table_args__ = (
        Index("ix_act_request_asked_at", "asked_at", "request_id"),
        Index("ix_act_request_asset_id", "asset_id"),
    )

    request_id: UUID = Field(primary_key=True)
    body: str
    asset_id: UUID
    act: str
    given: dict[str, Any] = Field(sa_type=JSONB)
    rested_on: dict[str, Any] = Field(sa_type=JSONB)
    asked_by: str
    asked_at: datetime = Field(sa_type=DateTime(timezone=True))
    state: str
    decided_by: str | None = None
    decided_at: datetime | None = Field(default=None, sa_type=DateTime(timezone=True))
    note: str | None = None
    revision: int = Field(sa_type=BigInteger)


async def find(session: AsyncSession, request_id: UUID, *, to_change: bool = False) -> ActRequestRow | None:
    """A request in the session's scope; `to_change` holds it until the transaction ends."""
    return await session.get(ActRequestRow, request_id, with_for_update=to_change)


async def page(
    session: AsyncSession,
    *,
    body: str | None,
    asset_id: UUID | None,
    state: RequestState | None,
    after: UUID | None,
    limit: int,
) -> Sequence[ActRequestRow]:
    """The newest first, from the one asked before `after` on."""
    row = ActRequestRow
    place = tuple_(col(row.asked_at), col(row.request_id))
    query = select(row).order_by(col(row.asked_at).desc(), col(row.request_id).desc()).limit(limit)
    for column, wanted in ((col(row.body), body), (col(row.asset_id), asset_id), (col(row.state), state)):
        if wanted is not None:
            query = query.where(column == wanted)
    if after is not None:
        last = select(row.asked_at, row.request_id).where(col(row.request_id) == after).scalar_subquery()
        query = query.where(place < last)
    return (await session.exec(query)).all()
