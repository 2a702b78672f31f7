# SPDX-License-Identifier: Apache-2.0
"""The dead letters in PostgreSQL: one row for each, with what a person decided about it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Final, Literal, NamedTuple

from pydantic import BaseModel
from sqlalchemy import Boolean, ColumnElement, DateTime, Index, LargeBinary, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import defer
from sqlmodel import Field, and_, case, col, distinct, func, select, tuple_
from sqlmodel.ext.asyncio.session import AsyncSession

from libs.bus import ParkedLetter
from libs.bus.release import Covered
from libs.contracts import DeadLetter, Reason
from libs.persistence import PoolConnection
from services.inventory.store import Base


class LetterState(StrEnum):
    """`parked` waits for a person. The other states say what became of it; a record put aside again has another letter."""

    PARKED = "parked"
    RELEASED = "released"
    CORRECTED = "corrected"
    DISCARDED = "discarded"


DECIDED: Final = "decided"
_WAITING: Final = text("state = 'parked'")


class LetterRow(Base, table=True):
    """A dead letter. `first_id` is that of the letter that the record was in first; `key` is empty where the record had none.

    `outcome` is what became of the record once it was released, as `services.inventory.receipts.store` tells it.
    `letter` is the `DeadLetter` as JSON: in bytes, for names of headers may hold what PostgreSQL's text cannot.
    """

    __tablename__ = "dead_letter"
    __table_args__ = (
        Index("ix_dead_letter_parked_at", "parked_at", "letter_id"),
        Index("ix_dead_letter_first", "first_id"),
        Index(
            "ix_dead_letter_waiting_key",
            "consumer",
            "topic",
            "partition",
            "key",
            "parked_at",
            postgresql_where=_WAITING,
        ),
        Index("ix_dead_letter_waiting", "body", "reason", "parked_at", "letter_id", postgresql_where=_WAITING),
    )

    letter_id: str = Field(primary_key=True)
    first_id: str
    body: str
    consumer: str
    topic: str
    partition: int
    key: bytes = Field(sa_type=LargeBinary)
    parks: bool = Field(sa_type=Boolean)
    feed: str | None = None
    reason: str
    field: str | None = None
    detail: str
    parked_at: datetime = Field(sa_type=DateTime(timezone=True))
    letter: bytes = Field(sa_type=LargeBinary)
    state: str = Field(default=LetterState.PARKED, sa_column_kwargs={"server_default": "parked"})
    decided_by: str | None = None
    decided_at: datetime | None = Field(default=None, sa_type=DateTime(timezone=True))
    decision_reason: str | None = None
    outcome: int | None = None
    correction: dict[str, str] | None = Field(default=None, sa_type=JSONB)

    def parked(self) -> ParkedLetter:
        """The letter as the bus knows it."""
        letter = DeadLetter.model_validate_json(self.letter)
        return ParkedLetter(self.letter_id, self.parked_at, None if letter.key is None else self.key, letter)


class LetterFilter(BaseModel):
    """Which letters are asked for; None asks for all. `decided` is every state but `parked`."""

    state: LetterState | Literal["decided"] | None = None
    reason: Reason | None = None
    body: str | None = None
    feed: str | None = None
    consumer: str | None = None
    topic: str | None = None
    key: str | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        wanted = self.model_dump(exclude_none=True)
        decided = [col(LetterRow.state) != LetterState.PARKED] if wanted.get("state") == DECIDED else []
        if decided:
            del wanted["state"]
        if self.key is not None:
            wanted["key"] = self.key.encode()
        return [*decided, *(col(getattr(LetterRow, name)) == value for name, value in wanted.items())]


class ParkedPlace(NamedTuple):
    """A key whose records one consumer puts aside."""

    consumer: str
    topic: str
    partition: int
    key: bytes


class NewLetter(NamedTuple):
    """A letter to be kept, in the order of the table's columns."""

    letter_id: str
    first_id: str
    body: str
    consumer: str
    topic: str
    partition: int
    key: bytes
    parks: bool
    feed: str | None
    reason: str
    field: str | None
    detail: str
    parked_at: datetime
    letter: bytes


# the outbox may send a letter twice
_KEEP: Final = """
INSERT INTO dead_letter
  (letter_id, first_id, body, consumer, topic, partition, key, parks, feed, reason, field, detail, parked_at, letter)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
ON CONFLICT (letter_id) DO NOTHING
"""

_DECIDE: Final = """
UPDATE dead_letter SET
  state = CASE WHEN letter_id = ANY($8::text[]) THEN 'discarded'
               WHEN $9::jsonb ? letter_id THEN 'corrected' ELSE 'released' END,
  decided_by = $10, decided_at = $11, decision_reason = $12, correction = $9::jsonb -> letter_id
WHERE state = 'parked' AND consumer = $1 AND topic = $2 AND partition = $3 AND key = $4 AND parks = $5
  AND parked_at <= $6 AND letter_id = coalesce($7, letter_id)
"""


async def keep(connection: PoolConnection, letters: Iterable[NewLetter]) -> None:
    """Add letters, in the transaction's scope."""
    await connection.executemany(_KEEP, letters)


async def decide(connection: PoolConnection, key: bytes, covered: Covered, decided_at: datetime) -> None:
    """Record what a release made of the letters that it covers."""
    release, source = covered.release, covered.source
    corrected = {one.letter: {"key": one.key, "value": one.value} for one in release.corrected}
    place = (release.consumer, source.topic, source.partition, key, release.letter is None, covered.through)
    decision = (list(release.discarded), corrected, release.actor, decided_at, release.reason)
    await connection.execute(_DECIDE, *place, release.letter, *decision)


async def page(
    session: AsyncSession,
    wanted: LetterFilter,
    *,
    order: Literal["oldest", "newest"],
    after: str | None,
    limit: int,
) -> Sequence[LetterRow]:
    """A page of letters in the session's scope, from behind the letter `after` on; without the records that they hold."""
    row = LetterRow
    place = tuple_(col(row.parked_at), col(row.letter_id))
    query = (
        select(row).options(defer(col(row.letter)), defer(col(row.correction))).where(*wanted.conditions()).limit(limit)
    )
    if after is not None:
        last = select(row.parked_at, row.letter_id).where(col(row.letter_id) == after).scalar_subquery()
        query = query.where(place > last if order == "oldest" else place < last)
    columns = (col(row.parked_at), col(row.letter_id))
    ordered = columns if order == "oldest" else tuple(column.desc() for column in columns)
    return (await session.exec(query.order_by(*ordered))).all()


async def find(session: AsyncSession, letter_id: str) -> LetterRow | None:
    """A letter in the session's scope."""
    return await session.get(LetterRow, letter_id)


async def last_of(session: AsyncSession, first_id: str) -> LetterRow | None:
    """The last letter of a record, which may have been released and put aside again."""
    query = select(LetterRow).where(col(LetterRow.first_id) == first_id)
    return (await session.exec(query.order_by(col(LetterRow.parked_at).desc()).limit(1))).first()


def _at(place: ParkedPlace) -> ColumnElement[bool]:
    row = LetterRow
    return and_(
        col(row.state) == LetterState.PARKED,
        col(row.consumer) == place.consumer,
        col(row.topic) == place.topic,
        col(row.partition) == place.partition,
        col(row.key) == place.key,
        col(row.parks),
    )


async def parked_at(session: AsyncSession, place: ParkedPlace) -> Sequence[ParkedLetter]:
    """All that waits of a key, oldest first."""
    rows = await session.exec(select(LetterRow).where(_at(place)).order_by(col(LetterRow.parked_at)))
    return [row.parked() for row in rows]


async def behind(session: AsyncSession, row: LetterRow) -> int:
    """How many letters of the same key wait that were put aside after this one."""
    if not row.parks:
        return 0
    place = ParkedPlace(row.consumer, row.topic, row.partition, row.key)
    later = select(func.count()).select_from(LetterRow).where(_at(place), col(LetterRow.parked_at) > row.parked_at)
    return (await session.exec(later)).one()


class WaitingCount(NamedTuple):
    body: str
    reason: str
    letters: int
    oldest_at: datetime


async def waiting(session: AsyncSession) -> Sequence[WaitingCount]:
    """How many letters wait in the session's scope, by body and reason."""
    columns = (col(LetterRow.body), col(LetterRow.reason))
    query = select(*columns, func.count(), func.min(col(LetterRow.parked_at)))
    found = await session.exec(query.where(col(LetterRow.state) == LetterState.PARKED).group_by(*columns))
    return [WaitingCount(*row) for row in found]


class ParkedCount(NamedTuple):
    """What of one partition waits for one consumer."""

    consumer: str
    topic: str
    partition: int
    keys: int
    letters: int
    oldest_at: datetime


async def parked_counts(session: AsyncSession) -> Sequence[ParkedCount]:
    """How many keys are parked in the session's scope, by consumer and partition."""
    row = LetterRow
    columns = (col(row.consumer), col(row.topic), col(row.partition))
    keys = func.count(distinct(case((col(row.parks), col(row.key)))))
    query = select(*columns, keys, func.count(), func.min(col(row.parked_at)))
    found = await session.exec(query.where(col(row.state) == LetterState.PARKED).group_by(*columns).order_by(*columns))
    return [ParkedCount(*one) for one in found]


class ParkedKey(NamedTuple):
    """A parked key, with how many letters wait of it and since when; `reason` is why the first of them was put aside."""

    place: ParkedPlace
    reason: str
    letters: int
    oldest_at: datetime


async def parked_keys(
    session: AsyncSession,
    wanted: LetterFilter,
    *,
    before: datetime | None = None,
    after: tuple[datetime, ParkedPlace] | None = None,
    limit: int,
) -> Sequence[ParkedKey]:
    """Parked keys that have letters as `wanted`, from `before` if asked; the longest parked first, from behind one on."""
    row = LetterRow
    columns = (col(row.consumer), col(row.topic), col(row.partition), col(row.key))
    oldest = func.min(col(row.parked_at))
    # what waits behind another letter tells nothing of the cause
    cause = func.min(case((col(row.reason) != Reason.KEY_PARKED, col(row.reason))))
    query = select(*columns, func.coalesce(cause, Reason.KEY_PARKED), func.count(), oldest)
    query = query.where(col(row.state) == LetterState.PARKED, col(row.parks)).group_by(*columns)
    conditions = wanted.conditions()
    if before is not None:
        conditions.append(col(row.parked_at) <= before)
    if conditions:
        query = query.having(func.bool_or(and_(*conditions)))
    if after is not None:
        query = query.having(tuple_(oldest, *columns) > tuple_(after[0], *after[1]))
    found = await session.exec(query.order_by(oldest, *columns).limit(limit))
    return [ParkedKey(ParkedPlace(*one[:4]), *one[4:]) for one in found]
