# SPDX-License-Identifier: Apache-2.0
"""What an export reads of the register: the assets of one body of which a ledger feed tells, by their numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlmodel import col, not_, or_, select
from sqlmodel.ext.asyncio.session import AsyncSession

from libs.contracts import AssetStatus
from services.inventory.composition import Content
from services.inventory.domain import Held
from services.inventory.store import AssetRow, SourceLinkRow


class Registered(NamedTuple):
    """An asset under its ledger number, and what the ledger itself told of it last."""

    source_key: str
    source_version: int
    told: Content
    asset_id: str
    held: Held


async def assets_of(
    session: AsyncSession, feed: str, body: str, *, after: str, limit: int, retired: bool
) -> Sequence[Registered]:
    """A page by number, from `after` on. What the ledger has said is gone is not there, though another source may still tell of it."""
    link, status = SourceLinkRow, col(AssetRow.status)
    query = (
        select(link.source_key, link.source_version, link.told, AssetRow)
        .join(AssetRow, col(AssetRow.asset_id) == col(link.asset_id))
        .where(col(link.feed) == feed, col(link.source_key) > after, col(link.body) == body, col(AssetRow.body) == body)
        .order_by(col(link.source_key))
        .limit(limit)
    )
    active = status == AssetStatus.ACTIVE
    query = (
        query.where(or_(not_(active), not_(col(link.gone)))) if retired else query.where(active, not_(col(link.gone)))
    )
    return [
        Registered(number, version, told or {}, str(row.asset_id), Held(row.revision, row.state))
        for number, version, told, row in (await session.exec(query)).all()
    ]
