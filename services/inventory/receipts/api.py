# SPDX-License-Identifier: Apache-2.0
"""Receipts over HTTP: a feed asks what became of an item that was accepted."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from fastapi import APIRouter, Path
from pydantic import BaseModel
from sqlmodel.ext.asyncio.session import AsyncSession

from libs.bus import letter_id
from libs.contracts import ProblemType, Profile, Reason
from libs.contracts.topics import FEED
from libs.persistence import Sessions
from libs.security import ProblemError
from services.inventory import store
from services.inventory.calls import Feeder
from services.inventory.dead_letters.store import LetterRow, LetterState, last_of
from services.inventory.intake import Ticket
from services.inventory.receipts.store import IGNORED, PUT_ASIDE, UNCHANGED, noted
from services.inventory.worker import GROUP


class ItemOutcome(BaseModel):
    """What became of an accepted item.

    `pending`: not decided yet. `applied`: it made `revision`. `unchanged`: it says what the register has already.
    `ignored`: it came too late, a newer version is known. `parked`: put aside for `reason` (in `field`), until a person decides.
    `released`: a person sent it back, and it is on its way, or was corrected so that it counts as another item. `discarded`: a person
    gave it up.
    """

    status: Literal["pending", "applied", "unchanged", "ignored", "parked", "released", "discarded"]
    revision: int | None = None
    reason: Reason | None = None
    field: str | None = None


PENDING: Final = ItemOutcome(status="pending")


class ReceiptApi:
    """The route, over what it needs."""

    def __init__(self, sessions: Sessions, profile: Profile) -> None:
        self._sessions = sessions
        self._bodies = frozenset(profile.body_by_id)

    def router(self) -> APIRouter:
        router = APIRouter(prefix="/v1/receipts", tags=["receipts"])
        router.get("/{receipt_id}")(self.receipt)
        return router

    async def receipt(self, receipt_id: Annotated[str, Path(max_length=2000)], caller: Feeder) -> ItemOutcome:
        """What became of an accepted item."""
        try:
            ticket = Ticket.read(receipt_id)
        except ValueError:
            raise ProblemError(ProblemType.NOT_FOUND, "inventory.receipt_not_found") from None
        if ticket.body not in self._bodies or not caller.may_feed(ticket.feed, ticket.body):
            raise ProblemError(ProblemType.NOT_FOUND, "inventory.receipt_not_found")
        async with self._sessions.session(caller.scope(self._bodies)) as session:
            return await self._outcome(session, ticket)

    async def _outcome(self, session: AsyncSession, ticket: Ticket) -> ItemOutcome:
        if await store.next_offset(session, GROUP, FEED.name, ticket.partition) <= ticket.offset:
            return PENDING
        letter = await last_of(session, letter_id(GROUP, FEED.name, ticket.partition, ticket.offset))
        if letter is not None:
            return _of_letter(letter)
        code = await noted(session, ticket.partition, ticket.offset)
        if code is None:
            raise ProblemError(ProblemType.NOT_FOUND, "inventory.receipt_not_found")
        # put aside a moment ago: the letter is on its way to those who read
        return PENDING if code == PUT_ASIDE else _of_code(code)


def _of_letter(letter: LetterRow) -> ItemOutcome:
    if letter.state == LetterState.PARKED:
        return ItemOutcome(status="parked", reason=Reason(letter.reason), field=letter.field)
    if letter.state == LetterState.DISCARDED:
        return ItemOutcome(status="discarded")
    return ItemOutcome(status="released") if letter.outcome is None else _of_code(letter.outcome)


def _of_code(code: int) -> ItemOutcome:
    if code in (UNCHANGED, IGNORED):
        return ItemOutcome(status="unchanged" if code == UNCHANGED else "ignored")
    return ItemOutcome(status="applied", revision=code)
