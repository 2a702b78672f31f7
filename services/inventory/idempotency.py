# SPDX-License-Identifier: Apache-2.0
"""A write by a person that may be sent again: the same `Idempotency-Key` and content have the same answer, and one effect.

Source: draft-ietf-httpapi-idempotency-key-header-07. The doors need none: an item's version counts once. The answer is kept in the
transaction of the write, so there is no answer without its effect, and a second request waits until the first is through.
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from typing import Annotated, Any, Final

from fastapi import Header, Request
from sqlalchemy import DateTime, Index, delete
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlmodel import Field, col
from sqlmodel.ext.asyncio.session import AsyncSession

from libs.contracts import ProblemType
from libs.security import Identity, ProblemError
from services.inventory.store import Base

KEPT: Final = timedelta(days=1)
"""How long the same key has the same answer."""


class AnswerRow(Base, table=True):
    """What a caller was answered under a key: `digest` is of what was asked, `answer` of what was told of `body`."""

    __tablename__ = "idempotent_answer"
    __table_args__ = (Index("ix_idempotent_answer_created_at", "created_at"),)

    subject: str = Field(primary_key=True)
    key: str = Field(primary_key=True)
    body: str
    digest: str
    created_at: datetime = Field(sa_type=DateTime(timezone=True))
    answer: dict[str, Any] | None = Field(default=None, sa_type=JSONB)


class Attempt:
    """A request that may be one of several with the same key; without a key it stands for itself. A dependency of its route."""

    def __init__(
        self, request: Request, idempotency_key: Annotated[str | None, Header(min_length=1, max_length=255)] = None
    ) -> None:
        self._request = request
        self._key = idempotency_key
        self._row: AnswerRow | None = None

    async def answered(
        self, session: AsyncSession, caller: Identity, body: str, now: datetime
    ) -> dict[str, Any] | None:
        """What was answered under the key before, or None where the work is to be done and then to be `keep`t.

        To be asked in the transaction that does the work, in the scope of `body`. Raises ProblemError (422) where the key was used
        for something else.
        """
        if self._key is None:
            return None
        place = {"subject": caller.subject, "key": self._key}
        asked = {"body": body, "digest": await self._digest(), "created_at": now}
        await session.exec(delete(AnswerRow).where(col(AnswerRow.created_at) < now - KEPT))
        # waits for another request with the same key, which is under way
        taken = insert(AnswerRow).values(**place, **asked).on_conflict_do_nothing().returning(AnswerRow.key)
        is_first = (await session.exec(taken)).first() is not None
        row = await session.get(AnswerRow, (caller.subject, self._key))
        if is_first:
            self._row = row
            return None
        if row is None or row.digest != asked["digest"]:
            raise ProblemError(ProblemType.INVALID, "inventory.idempotency_key_used")
        return row.answer

    def keep(self, session: AsyncSession, answer: dict[str, Any]) -> None:
        """Keep the answer with the work."""
        if self._row is not None:
            self._row.answer = answer
            session.add(self._row)

    async def _digest(self) -> str:
        asked = (self._request.method, str(self._request.url), self._request.headers.get("if-match", ""))
        return hashlib.sha256("\n".join(asked).encode() + b"\n" + await self._request.body()).hexdigest()
