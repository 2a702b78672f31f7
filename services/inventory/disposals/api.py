# SPDX-License-Identifier: Apache-2.0
"""Records of disposal over HTTP: added, corrected by further ones, listed; and the retired assets that have none."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import BaseModel

from libs.contracts import ProblemType, Profile
from libs.contracts.words import Slug
from libs.persistence import Sessions
from libs.security import ProblemError
from services.inventory.calls import Again, Editor, IfMatch, Limit, Reader
from services.inventory.disposals import store
from services.inventory.disposals.answers import Disposal, disposal
from services.inventory.disposals.domain import DisposalAct, Method, table
from services.inventory.register.answers import RegisteredAsset, registered, there
from services.inventory.requests.answers import ActRequest
from services.inventory.requests.desk import WAITS, Desk
from services.inventory.store import asset_of


class DisposalPage(BaseModel):
    """The newest first. Give `next` as `after` for the page that follows; None on the last one."""

    items: tuple[Disposal, ...]
    next: UUID | None


class UndisposedPage(BaseModel):
    """Give `next` as `after` for the page that follows; None on the last one."""

    items: tuple[RegisteredAsset, ...]
    next: UUID | None


class DisposalApi:
    """The routes, over what they need."""

    def __init__(self, sessions: Sessions, profile: Profile, desk: Desk) -> None:
        self._sessions = sessions
        self._bodies = frozenset(profile.body_by_id)
        self._desk = desk

    def router(self) -> APIRouter:
        router = APIRouter(prefix="/v1", tags=["disposals"])
        router.get("/disposal-methods")(self.methods)
        router.get("/disposals")(self.disposals)
        router.get("/disposals/missing")(self.missing)
        router.get("/disposals/{disposal_id}")(self.disposal)
        router.get("/assets/{asset_id}/disposals")(self.disposals_of)
        router.post("/assets/{asset_id}/disposals", status_code=201, responses=WAITS)(self.dispose)
        return router

    async def methods(self, caller: Reader) -> tuple[Method, ...]:
        """The ways of disposal, each with the media for which it does."""
        return table().methods

    async def dispose(
        self,
        asset_id: UUID,
        given: DisposalAct,
        caller: Editor,
        response: Response,
        attempt: Again,
        if_match: IfMatch = None,
    ) -> Disposal | ActRequest:
        """Record how the asset's medium was disposed of; `remarks` say where that falls short. It is never changed: a further record corrects it."""
        answer = await self._desk.do(given, Disposal, caller, response, attempt, asset_id=asset_id, if_match=if_match)
        if isinstance(answer, Disposal):
            response.headers["Location"] = f"/v1/disposals/{answer.disposal_id}"
        return answer

    async def disposals(
        self, caller: Reader, body: Slug | None = None, after: UUID | None = None, limit: Limit = 100
    ) -> DisposalPage:
        """Records of disposal, with those that correct them."""
        async with self._sessions.session(caller.scope(self._bodies)) as session:
            rows = await store.page(session, body=body, after=after, limit=limit + 1)
        items = tuple(disposal(row, corrected_by) for row, corrected_by in rows[:limit])
        return DisposalPage(items=items, next=items[-1].disposal_id if len(rows) > limit else None)

    async def missing(
        self, caller: Reader, body: Slug | None = None, after: UUID | None = None, limit: Limit = 100
    ) -> UndisposedPage:
        """Retired assets with a medium, whoever retired them, whose disposal is not on record."""
        async with self._sessions.session(caller.scope(self._bodies)) as session:
            rows = await store.missing(session, body=body, after=after, limit=limit + 1)
        items = tuple(map(registered, rows[:limit]))
        return UndisposedPage(items=items, next=rows[limit - 1].asset_id if len(rows) > limit else None)

    async def disposal(self, disposal_id: UUID, caller: Reader) -> Disposal:
        """One record."""
        async with self._sessions.session(caller.scope(self._bodies)) as session:
            row = await store.record(session, disposal_id)
            if row is None:
                raise ProblemError(ProblemType.NOT_FOUND, "inventory.disposal.not_found")
            corrected_by = await store.correction_of(session, disposal_id)
        return disposal(row, corrected_by)

    async def disposals_of(self, asset_id: UUID, caller: Reader) -> tuple[Disposal, ...]:
        """The records of an asset, and of those merged into it, the newest first."""
        async with self._sessions.session(caller.scope(self._bodies)) as session:
            there(await asset_of(session, asset_id))
            rows = await store.records_of(session, asset_id)
        corrected = {row.corrects: row.disposal_id for row in rows if row.corrects is not None}
        return tuple(disposal(row, corrected.get(row.disposal_id)) for row in rows)
