# SPDX-License-Identifier: Apache-2.0
"""Overrides in PostgreSQL, and their events in the outbox of the same transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlmodel import col, select, tuple_
from sqlmodel.ext.asyncio.session import AsyncSession

from libs.bus import Output, enqueue
from libs.contracts import OverrideChange, OverrideState
from libs.persistence import PoolConnection, driver_of
from libs.persistence.scope import setting_of
from services.classification.domain import Message
from services.classification.overrides.domain import Override
from services.classification.store import OverrideRow

_EXPIRE: Final = """
UPDATE asset_override SET state = 'expired', ended_at = expires_at, revision = revision + 1
WHERE state IN ('asked', 'approved') AND expires_at <= $1
RETURNING *
"""


def override_of(row: OverrideRow) -> Override:
    """An override as its row has it."""
    return _override(row.model_dump())


def _override(columns: Mapping[str, Any]) -> Override:
    told = {name: value for name, value in columns.items() if name not in ("body", "network")}
    ids = {"override_id": str(told["override_id"]), "asset_id": str(told["asset_id"])}
    return Override(columns["body"], columns["network"], OverrideChange.model_validate({**told, **ids}))


async def find(session: AsyncSession, override_id: UUID, *, to_change: bool = False) -> OverrideRow | None:
    """An override in the session's scope; `to_change` holds it until the transaction ends."""
    query = select(OverrideRow).where(col(OverrideRow.override_id) == override_id)
    return (await session.exec(query.with_for_update() if to_change else query)).first()


async def at_place(session: AsyncSession, row: OverrideRow, state: OverrideState) -> OverrideRow | None:
    """The override of the same asset, body and dimension that is in a state of which there is one at most."""
    one = OverrideRow
    place = (col(one.body) == row.body, col(one.asset_id) == row.asset_id, col(one.dimension) == row.dimension)
    query = select(one).where(*place, col(one.state) == state).with_for_update()
    return (await session.exec(query)).first()


async def page(
    session: AsyncSession,
    *,
    body: str | None,
    asset_id: UUID | None,
    state: OverrideState | None,
    after: UUID | None,
    limit: int,
) -> Sequence[OverrideRow]:
    """The newest first, from the one asked before `after` on."""
    row = OverrideRow
    place = tuple_(col(row.asked_at), col(row.override_id))
    query = select(row).order_by(col(row.asked_at).desc(), col(row.override_id).desc()).limit(limit)
    for column, wanted in ((col(row.body), body), (col(row.asset_id), asset_id), (col(row.state), state)):
        if wanted is not None:
            query = query.where(column == wanted)
    if after is not None:
        query = query.where(
            place < select(row.asked_at, row.override_id).where(col(row.override_id) == after).scalar_subquery()
        )
    return (await session.exec(query)).all()


async def write(session: AsyncSession, row: OverrideRow, override: Override) -> None:
    """Bring a row to a later revision."""
    row.sqlmodel_update(override.change.model_dump(exclude={"override_id", "asset_id"}))
    session.add(row)
    await session.flush()


async def tell(session: AsyncSession, messages: Iterable[Message]) -> None:
    """Send events once the session's transaction has committed, in this order."""
    await enqueue(await driver_of(session), (Output(*message) for message in messages))


async def expire(connection: PoolConnection, bodies: Iterable[str], now: datetime) -> list[Override]:
    """End what has run out by `now`, in a transaction of the caller's."""
    await connection.execute("SELECT set_config('daicho.bodies', $1, true)", setting_of(bodies))
    return [_override(row) for row in await connection.fetch(_EXPIRE, now)]
