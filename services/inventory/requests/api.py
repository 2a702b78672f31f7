# SPDX-License-Identifier: Apache-2.0
"""Requests over HTTP: what waits for a second person, and what that person makes of it."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict

from libs.contracts import ProblemType, Profile
from libs.contracts.words import ShortText, Slug
from libs.persistence import Sessions
from libs.security import Identity, ProblemError
from libs.security.preconditions import check_match, required
from services.inventory.calls import Again, Editor, IfMatch, Limit, Reader, with_etag
from services.inventory.idempotency import Attempt
from services.inventory.register.store import named
from services.inventory.requests import store
from services.inventory.requests.answers import ActRequest, act_request
from services.inventory.requests.desk import Desk
from services.inventory.requests.store import ActRequestRow, RequestState
from services.inventory.store import AssetRow, asset_of
from services.inventory.worker import Clock


class Note(BaseModel):
    """Why a person decides as they do."""

    model_config = ConfigDict(extra="forbid")

    note: ShortText | None = None


class Refusal(BaseModel):
    """As `Note`; who asked is owed a reason."""

    model_config = ConfigDict(extra="forbid")

    note: ShortText


class ActRequestPage(BaseModel):
    """The newest first. Give `next` as `after` for the page that follows; None on the last one."""

    items: tuple[ActRequest, ...]
    next: UUID | None


class RequestApi:
    """The routes, over what they need."""

    def __init__(self, sessions: Sessions, profile: Profile, desk: Desk, clock: Clock) -> None:
        self._sessions = sessions
        self._bodies = frozenset(profile.body_by_id)
        self._desk = desk
        self._clock = clock

    def router(self) -> APIRouter:
        router = APIRouter(prefix="/v1", tags=["requests"])
        router.get("/requests")(self.requests)
        router.get("/requests/{request_id}")(self.request)
        router.post("/requests/{request_id}/approve")(self.approve)
        router.post("/requests/{request_id}/refuse")(self.refuse)
        router.post("/requests/{request_id}/withdraw")(self.withdraw)
        return router

    async def requests(
        self,
        caller: Reader,
        body: Slug | None = None,
        asset_id: UUID | None = None,
        state: RequestState | None = None,
        after: UUID | None = None,
        limit: Limit = 100,
    ) -> ActRequestPage:
        """What was asked for, with who decided and why."""
        async with self._sessions.session(caller.scope(self._bodies)) as session:
            rows = await store.page(session, body=body, asset_id=asset_id, state=state, after=after, limit=limit + 1)
            assets = await named(session, (row.asset_id for row in rows), AssetRow)
        items = tuple(
            act_request(row, asset.state if (asset := assets.get(row.asset_id)) else None) for row in rows[:limit]
        )
        return ActRequestPage(items=items, next=items[-1].request_id if len(rows) > limit else None)

    async def request(self, request_id: UUID, caller: Reader, response: Response) -> ActRequest:
        """One request; `ETag` is what `If-Match` of a decision asks for."""
        async with self._sessions.session(caller.scope(self._bodies)) as session:
            row = _there(await store.find(session, request_id))
            asset = await asset_of(session, row.asset_id)
        return with_etag(act_request(row, asset.state if asset else None), response)

    async def approve(
        self,
        request_id: UUID,
        given: Note,
        caller: Editor,
        response: Response,
        attempt: Again,
        if_match: IfMatch = None,
    ) -> ActRequest:
        """Approve it, as another person than the one who asked, and so do it. 409 where the asset has changed in what it rests on."""
        return await self._decide(RequestState.APPROVED, request_id, given.note, caller, response, attempt, if_match)

    async def refuse(
        self,
        request_id: UUID,
        given: Refusal,
        caller: Editor,
        response: Response,
        attempt: Again,
        if_match: IfMatch = None,
    ) -> ActRequest:
        """Refuse it, with a reason, as another person than the one who asked."""
        return await self._decide(RequestState.REFUSED, request_id, given.note, caller, response, attempt, if_match)

    async def withdraw(
        self,
        request_id: UUID,
        given: Note,
        caller: Editor,
        response: Response,
        attempt: Again,
        if_match: IfMatch = None,
    ) -> ActRequest:
        """Withdraw it, as the person who asked."""
        return await self._decide(RequestState.WITHDRAWN, request_id, given.note, caller, response, attempt, if_match)

    async def _decide(
        self,
        state: RequestState,
        request_id: UUID,
        note: str | None,
        caller: Identity,
        response: Response,
        attempt: Attempt,
        if_match: str | None,
    ) -> ActRequest:
        expected, now = required(if_match), self._clock()
        async with self._sessions.session(caller.scope(self._bodies)) as session:
            row = _there(await store.find(session, request_id, to_change=True))
            answered = await attempt.answered(session, caller, row.body, now)
            if answered is None:
                check_match(expected, row.revision)
                _check_decider(row, state, caller)
                if state is RequestState.APPROVED:
                    await self._desk.approve(session, caller, row)
                row.state, row.revision, row.note = state, row.revision + 1, note
                row.decided_by, row.decided_at = caller.subject, now
                session.add(row)
                answered = act_request(row, None).model_dump(mode="json")
                attempt.keep(session, answered)
        return with_etag(ActRequest.model_validate(answered), response)


def _check_decider(row: ActRequestRow, state: RequestState, caller: Identity) -> None:
    if row.state != RequestState.ASKED:
        raise ProblemError(ProblemType.CONFLICT, "inventory.request.decided_already")
    own = row.asked_by == caller.subject
    if own and state is not RequestState.WITHDRAWN:
        raise ProblemError(ProblemType.FORBIDDEN, "inventory.request.own")
    if not own and state is RequestState.WITHDRAWN:
        raise ProblemError(ProblemType.FORBIDDEN, "inventory.request.not_own")


def _there(row: ActRequestRow | None) -> ActRequestRow:
    if row is None:
        raise ProblemError(ProblemType.NOT_FOUND, "inventory.request.not_found")
    return row
