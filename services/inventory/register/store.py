# SPDX-License-Identifier: Apache-2.0
"""What is read of the register: as it is or was, between two moments, by its relations, and by words."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple, TypeAlias
from uuid import UUID

from pydantic_core import from_json
from sqlalchemy import ColumnElement, Select, Subquery, Text, and_, case, not_, or_, true, tuple_
from sqlalchemy import select as select_columns
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import aliased
from sqlmodel import cast, col, func, literal, select
from sqlmodel.ext.asyncio.session import AsyncSession

from libs.contracts import AssetKind, AssetStatus
from libs.persistence import driver_of
from services.inventory.domain import State
from services.inventory.register.domain import Recorded, Telling, What
from services.inventory.register.searching import BETWEEN
from services.inventory.store import AssetRow, FindableRow, RelationRow, RevisionRow

Assets: TypeAlias = type[AssetRow]
"""The rows that are read: the table's, or those of a moment."""

_LIKE: Final = re.compile(r"[\\%_]")
_ESCAPED: Final = r"\\\g<0>"


class Wanted(NamedTuple):
    """What a list is narrowed to; `name` is a part of it, in any case."""

    kind: AssetKind | None = None
    status: AssetStatus | None = None
    name: str | None = None


class Listed(NamedTuple):
    """An asset of a page: its state as JSON is read once, and never made into a model."""

    asset_id: UUID
    revision: int
    updated_at: datetime
    state: State


class Difference(NamedTuple):
    """An asset as it was at the first of two moments and at the second; None: it was not there."""

    asset_id: UUID
    before: State | None
    after: State | None


class Found(NamedTuple):
    """What a search found, and how well its name fits: 0 is the best."""

    row: Listed
    rank: int


class Place(NamedTuple):
    """Where a page of what was found ended."""

    rank: int
    asset_id: UUID


def as_of(moment: datetime | None) -> Assets:
    """The assets as they were at a moment, by the revisions recorded up to then; None is now.

    An asset that has moved to a body out of scope is there as its own body's history leaves it: retired.
    """
    if moment is None:
        return AssetRow
    row = RevisionRow
    last = _last(moment)
    found = select(
        last.c.asset_id,
        last.c.body,
        last.c.revision,
        last.c.recorded_at.label("updated_at"),
        last.c.state,
        *(last.c.state[name].astext.label(name) for name in ("kind", "name", "status")),
        last.c.state["relations"].label("relations"),
    ).subquery(f"{row.__tablename__}_as_of")
    return aliased(AssetRow, found, adapt_on_names=True)


def _last(moment: datetime) -> Subquery:
    row = RevisionRow
    asset_id = col(row.asset_id)
    until = select(row).where(col(row.recorded_at) <= moment).ext(distinct_on(asset_id))
    return until.order_by(asset_id, col(row.revision).desc()).subquery()


async def asset_at(session: AsyncSession, asset_id: UUID, row: Assets) -> AssetRow | None:
    """An asset in the session's scope, as one of the rows that are read."""
    return (await session.exec(select(row).where(col(row.asset_id) == asset_id))).first()


_LISTED: Final = "asset_id, revision, updated_at, state::text"
_WANTED: Final = """asset_id > coalesce($2, '00000000-0000-0000-0000-000000000000'::uuid)
  AND ($3::text IS NULL OR kind = $3) AND ($4::text IS NULL OR status = $4) AND ($5::text IS NULL OR name ILIKE $5)
ORDER BY asset_id LIMIT $1"""

_PAGE: Final = f"SELECT {_LISTED} FROM asset WHERE {_WANTED}"  # noqa: S608 - made of constants
_PAGE_OF_BODIES: Final = f"""
SELECT {_LISTED} FROM asset WHERE asset_id IN (
  SELECT asset_id FROM unnest($6::text[]) AS scope (of_body)
  CROSS JOIN LATERAL (SELECT asset_id FROM asset WHERE body = of_body AND {_WANTED}) AS of_each
  ORDER BY asset_id LIMIT $1)
ORDER BY asset_id
"""  # noqa: S608 - made of constants
"""Of each body its own page, for which there is an index, and of those the first: of a small body not all others' assets are read."""
_PAGE_AS_OF: Final = f"""
SELECT {_LISTED} FROM (
  SELECT DISTINCT ON (asset_id) asset_id, revision, recorded_at AS updated_at, state,
    state->>'kind' AS kind, state->>'status' AS status, state->>'name' AS name
  FROM asset_revision WHERE recorded_at <= $6 ORDER BY asset_id, revision DESC) AS asset
WHERE {_WANTED}
"""  # noqa: S608 - made of constants


async def page(
    session: AsyncSession,
    bodies: Collection[str] | None,
    moment: datetime | None,
    wanted: Wanted,
    *,
    after: UUID | None,
    limit: int,
) -> Sequence[Listed]:
    """A page of assets as they were at a moment, by id, from `after` on; `bodies` are the session's, None if those are all."""
    connection = await driver_of(session)
    name = None if wanted.name is None else f"%{_LIKE.sub(_ESCAPED, wanted.name)}%"
    arguments = (limit, after, wanted.kind, wanted.status, name)
    if moment is not None:
        rows = await connection.fetch(_PAGE_AS_OF, *arguments, moment)
    elif bodies is not None:
        rows = await connection.fetch(_PAGE_OF_BODIES, *arguments, sorted(bodies))
    else:
        rows = await connection.fetch(_PAGE, *arguments)
    return [_read(*row) for row in rows]


def _listed(row: Assets) -> tuple[ColumnElement[Any], ...]:
    return col(row.asset_id), col(row.revision), col(row.updated_at), cast(row.state, Text)


def _read(asset_id: UUID, revision: int, updated_at: datetime, state: str) -> Listed:
    return Listed(asset_id, revision, updated_at, from_json(state))


async def counts(session: AsyncSession, row: Assets) -> Sequence[tuple[str, str | None, str | None, int]]:
    """How many assets there are by body, kind and status."""
    columns = (col(row.body), col(row.kind), col(row.status))
    return (await session.exec(select(*columns, func.count()).group_by(*columns).order_by(*columns))).all()


async def related_to(session: AsyncSession, asset_id: UUID, row: Assets, limit: int) -> Sequence[AssetRow]:
    """The assets in the session's scope that have a relation to this one."""
    names_it = col(row.relations).contains([{"asset_id": str(asset_id)}])
    pointing = select(RelationRow.asset_id).where(col(RelationRow.target_id) == asset_id)
    query = select(row).where(col(row.asset_id).in_(pointing), names_it)
    return (await session.exec(query.order_by(col(row.asset_id)).limit(limit))).all()


async def named(session: AsyncSession, asset_ids: Iterable[UUID], row: Assets) -> Mapping[UUID, AssetRow]:
    """Those of the assets that are in the session's scope."""
    rows = await session.exec(select(row).where(col(row.asset_id).in_(set(asset_ids))))
    return {one.asset_id: one for one in rows}


async def pointing_at(session: AsyncSession, asset_id: UUID, *, after: UUID | None, limit: int) -> Sequence[UUID]:
    """A page of the assets in the session's scope that have, or had, a relation to this one, by id."""
    row = RelationRow
    there = select(RevisionRow.asset_id).where(col(RevisionRow.asset_id) == col(row.asset_id)).exists()
    query = select(row.asset_id).where(col(row.target_id) == asset_id, there)
    if after is not None:
        query = query.where(col(row.asset_id) > after)
    return (await session.exec(query.order_by(col(row.asset_id)).limit(limit))).all()


async def tellings(session: AsyncSession, asset_ids: Collection[UUID]) -> AsyncIterator[tuple[UUID, Telling]]:
    """What every revision of the assets says of their relations, asset by asset and in order, as they come in."""
    row = RevisionRow
    state = col(row.state)
    query = (
        select_columns(
            row.asset_id,
            row.revision,
            row.recorded_at,
            row.body,
            state["relations"],
            state["status"].astext,
            row.change,
        )
        .where(col(row.asset_id).in_(asset_ids))
        .order_by(col(row.asset_id), col(row.revision))
    )
    async for asset_id, revision, recorded_at, body, relations, status, change in await session.stream(query):
        active = status == AssetStatus.ACTIVE
        told = [(one["type"], one["asset_id"]) for one in relations]
        yield asset_id, Telling(revision, recorded_at, body, told, active, change)


async def differing(
    session: AsyncSession,
    since: datetime,
    until: datetime,
    kinds: Collection[What],
    wanted: Wanted,
    *,
    after: UUID | None,
    limit: int,
) -> Sequence[Difference]:
    """A page, by id, of the assets that two moments differ in; what is wanted of them is so at one of the two."""
    row = RevisionRow
    between = select(row.asset_id).where(col(row.recorded_at) > since, col(row.recorded_at) <= until).distinct()
    if after is not None:
        between = between.where(col(row.asset_id) > after)
    touched = between.subquery("touched")
    before, now = (_state_at(touched, moment).lateral(name) for moment, name in ((since, "before"), (until, "now")))
    differs = _differs(before.c.state, now.c.state)
    query: Select[Any] = (
        select_columns(touched.c.asset_id, before.c.state, now.c.state)
        .select_from(touched.join(before, true(), isouter=True).join(now, true(), isouter=True))
        .where(or_(*(differs[kind] for kind in kinds)), or_(*(_narrowed(one.c.state, wanted) for one in (before, now))))
        .order_by(touched.c.asset_id)
        .limit(limit)
    )
    return [Difference(*found) for found in await session.exec(query)]


def _state_at(touched: Subquery, moment: datetime) -> Any:
    row = RevisionRow
    same = (col(row.asset_id) == touched.c.asset_id, col(row.recorded_at) <= moment)
    return select(row.state).where(*same).order_by(col(row.revision).desc()).limit(1)


def _differs(before: ColumnElement[Any], now: ColumnElement[Any]) -> Mapping[What, ColumnElement[bool]]:
    was, is_ = (func.coalesce(one["status"].astext == AssetStatus.ACTIVE, False) for one in (before, now))
    return {
        What.CAME: and_(is_, not_(was)),
        What.WENT: and_(was, not_(is_)),
        What.CHANGED: and_(was, is_, before != now),
    }


def _narrowed(state: ColumnElement[Any], wanted: Wanted) -> ColumnElement[bool]:
    conditions: list[ColumnElement[bool]] = [true()]
    if wanted.kind is not None:
        conditions.append(state["kind"].astext == wanted.kind)
    if wanted.name:
        conditions.append(state["name"].astext.icontains(wanted.name, autoescape=True))
    return and_(*conditions)


async def between(
    session: AsyncSession, asset_ids: Collection[UUID], since: datetime, until: datetime
) -> AsyncIterator[tuple[UUID, Recorded]]:
    """The revisions of the assets after one moment and up to another, asset by asset and in order, as they come in."""
    row = RevisionRow
    time = (col(row.recorded_at) > since, col(row.recorded_at) <= until)
    query = (
        select_columns(row.asset_id, row.revision, row.recorded_at, row.state, row.change)
        .where(col(row.asset_id).in_(asset_ids), *time)
        .order_by(col(row.asset_id), col(row.revision))
    )
    async for asset_id, *recorded in await session.stream(query):
        yield asset_id, Recorded(*recorded)


async def found(
    session: AsyncSession, words: Sequence[str], wanted: Wanted, *, after: Place | None, limit: int
) -> Sequence[Found]:
    """A page of the assets whose texts hold all the words: those called so, those whose name begins so, all others; each by id.

    Every text in scope is read: that is one narrow table, and to put a page in order all that is found must be known.
    """
    row = FindableRow
    text, phrase = col(row.text), "".join(words)
    rank = case((func.starts_with(text, phrase + BETWEEN), 0), (func.starts_with(text, phrase), 1), else_=2)
    query = select(row.asset_id, rank.label("rank")).where(*(func.strpos(text, word) > 0 for word in words))
    if wanted.kind is not None:
        query = query.where(col(row.kind) == wanted.kind)
    if wanted.status is not None:
        query = query.where(col(row.active) == (wanted.status == AssetStatus.ACTIVE))
    if after is not None:
        query = query.where(tuple_(rank, col(row.asset_id)) > tuple_(literal(after.rank), literal(after.asset_id)))
    best = query.order_by("rank", col(row.asset_id)).limit(limit).subquery("best")
    rows = select_columns(best.c.rank, *_listed(AssetRow)).join(best, best.c.asset_id == col(AssetRow.asset_id))
    return [Found(_read(*one), rank) for rank, *one in await session.exec(rows.order_by(best.c.rank, best.c.asset_id))]
