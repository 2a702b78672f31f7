# SPDX-License-Identifier: Apache-2.0
"""References to documents in the inventory's database; one that is removed is kept, with who removed it and why."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, DateTime, Index
from sqlmodel import Field, col, func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from services.inventory.merges.store import merged_into
from services.inventory.store import Base


class AttachmentRow(Base, table=True):
    """A document by reference, with who added it; `removed_*` are None while it stands."""

    __tablename__ = "attachment"
    __table_args__ = (Index("ix_attachment_asset_id", "asset_id"),)

    attachment_id: UUID = Field(primary_key=True)
    body: str
    asset_id: UUID
    title: str
    kind: str
    uri: str | None = None
    number: str | None = None
    sha256: str | None = None
    note: str | None = None
    added_by: str
    added_at: datetime = Field(sa_type=DateTime(timezone=True))
    removed_by: str | None = None
    removed_at: datetime | None = Field(default=None, sa_type=DateTime(timezone=True))
    reason: str | None = None
    revision: int = Field(sa_type=BigInteger)


async def attachments_of(session: AsyncSession, asset_id: UUID, *, removed: bool = False) -> Sequence[AttachmentRow]:
    """Those of an asset, and of what was merged into it, in the order in which they were added; `removed`: those that were, too."""
    row = AttachmentRow
    query = select(row).where(col(row.asset_id).in_(merged_into(asset_id)))
    if not removed:
        query = query.where(col(row.removed_at).is_(None))
    return (await session.exec(query.order_by(col(row.added_at), col(row.attachment_id)))).all()


async def count_of(session: AsyncSession, asset_id: UUID) -> int:
    """How many stand at an asset itself."""
    row = AttachmentRow
    query = select(func.count()).where(col(row.asset_id) == asset_id, col(row.removed_at).is_(None))
    return (await session.exec(query)).one()


async def find(session: AsyncSession, attachment_id: UUID, *, to_change: bool = False) -> AttachmentRow | None:
    """An attachment in the session's scope; `to_change` holds it until the transaction ends."""
    return await session.get(AttachmentRow, attachment_id, with_for_update=to_change)
