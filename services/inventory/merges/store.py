# SPDX-License-Identifier: Apache-2.0
"""Merge candidates and merges in the inventory's database."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from uuid import UUID

from sqlalchemy import Select, Uuid, cast, literal
from sqlmodel import col, or_, select
from sqlmodel.ext.asyncio.session import AsyncSession

from services.inventory.merges.domain import CandidateState, MergeKind
from services.inventory.store import CandidateRow, MergeRow, SourceLinkRow


async def candidates(
    session: AsyncSession,
    scope: Collection[str],
    *,
    body: str | None,
    asset_id: UUID | None,
    state: CandidateState | None,
    after: UUID | None,
    limit: int,
) -> Sequence[CandidateRow]:
    """A page by id of candidates both of whose assets are in `scope`, which is the session's."""
    query = select(CandidateRow).where(col(CandidateRow.other_body).in_(scope))
    if body is not None:
        query = query.where(or_(col(CandidateRow.body) == body, col(CandidateRow.other_body) == body))
    if asset_id is not None:
        query = query.where(or_(col(CandidateRow.asset_id) == asset_id, col(CandidateRow.other_id) == asset_id))
    if state is not None:
        query = query.where(col(CandidateRow.state) == state)
    if after is not None:
        query = query.where(col(CandidateRow.candidate_id) > after)
    return (await session.exec(query.order_by(col(CandidateRow.candidate_id)).limit(limit))).all()


async def candidate(
    session: AsyncSession, scope: Collection[str], candidate_id: UUID, *, to_change: bool = False
) -> CandidateRow | None:
    """A candidate both of whose assets are in `scope`; `to_change` holds it until the transaction ends."""
    row = await session.get(CandidateRow, candidate_id, with_for_update=to_change)
    return row if row is not None and row.other_body in scope else None


async def merges(
    session: AsyncSession, scope: Collection[str], *, asset_id: UUID | None, after: UUID | None, limit: int
) -> Sequence[MergeRow]:
    """A page by id of merges and splits both of whose assets are in `scope`, which is the session's."""
    query = select(MergeRow).where(col(MergeRow.other_body).in_(scope))
    if asset_id is not None:
        query = query.where(or_(col(MergeRow.from_id) == asset_id, col(MergeRow.into_id) == asset_id))
    if after is not None:
        query = query.where(col(MergeRow.merge_id) > after)
    return (await session.exec(query.order_by(col(MergeRow.merge_id)).limit(limit))).all()


async def merge(
    session: AsyncSession, scope: Collection[str], merge_id: UUID, *, to_change: bool = False
) -> MergeRow | None:
    """A merge both of whose assets are in `scope`; `to_change` holds it until the transaction ends."""
    row = await session.get(MergeRow, merge_id, with_for_update=to_change)
    return row if row is not None and row.other_body in scope else None


async def links_of(session: AsyncSession, asset_id: UUID) -> Sequence[SourceLinkRow]:
    """What each source tells of an asset, by feed and source key."""
    query = select(SourceLinkRow).where(col(SourceLinkRow.asset_id) == asset_id)
    return (await session.exec(query.order_by(col(SourceLinkRow.feed), col(SourceLinkRow.source_key)))).all()


def merged_into(asset_id: UUID) -> Select[tuple[UUID]]:
    """The ids under which what was recorded of an asset stands: its own, and those of what people have merged into it."""
    ids = select(cast(literal(asset_id), Uuid).label("asset_id")).cte("merged_into", recursive=True)
    row = MergeRow
    merged = select(col(row.from_id)).join(ids, col(row.into_id) == ids.c.asset_id)
    merged = merged.where(col(row.kind) == MergeKind.MERGED, col(row.undone_at).is_(None))
    found = ids.union(merged)
    return select(found.c.asset_id)
