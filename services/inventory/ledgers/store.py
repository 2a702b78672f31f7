# SPDX-License-Identifier: Apache-2.0
"""What an export reads of the register: a feed's assets of one body by their numbers, and the numbers that their relations name."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from libs.contracts import AssetStatus
from services.inventory.domain import Known, Source
from services.inventory.store import AssetRow, RevisionRow, SourceLinkRow


async def assets_of(
    session: AsyncSession, feed: str, body: str, *, after: str, limit: int, retired: bool
) -> Sequence[tuple[Source, Known]]:
    """A page by number, from `after` on."""
    link = SourceLinkRow
    query = (
        select(link.source_key, link.source_version, AssetRow)
        .join(AssetRow, col(AssetRow.asset_id) == col(link.asset_id))
        .where(col(link.feed) == feed, col(link.source_key) > after, col(link.body) == body, col(AssetRow.body) == body)
        .order_by(col(link.source_key))
        .limit(limit)
    )
    if not retired:
        query = query.where(col(AssetRow.status) == AssetStatus.ACTIVE)
    rows = (await session.exec(query)).all()
    return [
        (Source(feed, source_key), Known(str(row.asset_id), version, row.revision, row.state))
        for source_key, version, row in rows
    ]


async def told_numbers(session: AsyncSession, feed: str, asset_ids: Collection[str]) -> dict[str, set[str]]:
    """Under which numbers a feed has told of assets, by asset id: by their histories, which are found by id."""
    if not asset_ids:
        return {}
    number: Any = col(RevisionRow.change)["source_key"].astext
    told = select(RevisionRow.asset_id, number).where(
        col(RevisionRow.asset_id).in_(asset_ids), col(RevisionRow.change)["feed"].astext == feed
    )
    found: dict[str, set[str]] = {}
    for asset_id, source_key in (await session.exec(told.distinct())).all():
        found.setdefault(str(asset_id), set()).add(source_key)
    return found
