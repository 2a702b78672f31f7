# SPDX-License-Identifier: Apache-2.0
"""Where a person's act is done at once, or waits for a second person where the profile asks for one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeVar
from uuid import UUID, uuid4

from fastapi import Response
from pydantic import BaseModel
from sqlmodel.ext.asyncio.session import AsyncSession

from libs.contracts import ProblemType, Profile
from libs.persistence import Sessions
from libs.security import FieldError, Identity, ProblemError
from libs.security.preconditions import check_match, etag_of, required
from services.inventory import store as register_store
from services.inventory.acting import Acting, hold
from services.inventory.acts import Act, By, changed_since, resting_on, waits
from services.inventory.calls import with_etag
from services.inventory.disposals.domain import DisposalAct
from services.inventory.disposals.writing import dispose
from services.inventory.edits import writing
from services.inventory.edits.domain import Addition, Edit, Restoration, Retirement, TakingBack
from services.inventory.idempotency import Attempt
from services.inventory.register.answers import RegisteredAsset, there
from services.inventory.requests.answers import ActRequest, act_request
from services.inventory.requests.store import ActRequestRow, RequestState
from services.inventory.store import AssetRow
from services.inventory.worker import Clock

Answer = TypeVar("Answer", bound=BaseModel)
Doing = Callable[[Acting, Any, By], Awaitable[BaseModel]]

_DOING: Final[Mapping[type[Act], Doing]] = {
    Addition: writing.add,
    Edit: writing.edit,
    TakingBack: writing.take_back,
    Retirement: writing.retire,
    Restoration: writing.restore,
    DisposalAct: dispose,
}
_ACTS: Final = {act.ACT: act for act in _DOING}

WAITS: Final[dict[int | str, dict[str, Any]]] = {
    202: {"model": ActRequest, "description": "Asked for: another person is to approve it"}
}
"""The other answer of a route whose act may wait."""


class Desk:
    """The acts of people on the register. Raises ProblemError where one cannot be done."""

    def __init__(self, sessions: Sessions, profile: Profile, clock: Clock) -> None:
        self._sessions = sessions
        self._profile = profile
        self._bodies = frozenset(profile.body_by_id)
        self._clock = clock

    async def do(
        self,
        act: Act,
        answer: type[Answer],
        caller: Identity,
        response: Response,
        attempt: Attempt,
        *,
        asset_id: UUID,
        if_match: str | None,
    ) -> Answer | ActRequest:
        """An act on an asset that the caller has read, done, or (202) asked for."""
        given, scope, now = required(if_match), caller.scope(self._bodies), self._clock()
        async with self._sessions.session(scope) as session:
            row = there(await register_store.asset_of(session, asset_id))
            answered = await attempt.answered(session, caller, row.body, now)
            if answered is None:
                acting = await self._acting(session, scope, asset_id, row)
                check_match(given, row.revision)
                answered = await self._done_or_asked(acting, act, By(caller.subject, now), row)
                attempt.keep(session, answered)
        return _answer(answered, answer, response)

    async def add(
        self, act: Addition, caller: Identity, response: Response, attempt: Attempt
    ) -> RegisteredAsset | ActRequest:
        """An asset added to a body that the caller may read; as `do`."""
        scope, now = caller.scope(self._bodies), self._clock()
        if act.body not in scope:
            raise ProblemError(
                ProblemType.INVALID,
                "problems.invalid",
                errors=[FieldError("/body", "inventory.edit.not_your_body")],
                count=1,
            )
        async with self._sessions.session(scope) as session:
            answered = await attempt.answered(session, caller, act.body, now)
            if answered is None:
                acting = await self._acting(session, scope, uuid4(), None, act.body)
                answered = await self._done_or_asked(acting, act, By(caller.subject, now), None, act.body)
                attempt.keep(session, answered)
        return _answer(answered, RegisteredAsset, response)

    async def approve(self, session: AsyncSession, caller: Identity, row: ActRequestRow) -> None:
        """Do what a request asks for, in the name of who asked. 409 where the asset has changed in what it rests on."""
        act, scope = _ACTS[row.act].model_validate(row.given), caller.scope(self._bodies)
        asset = await register_store.asset_of(session, row.asset_id)
        acting = await self._acting(session, scope, row.asset_id, asset, row.body)
        changed = changed_since(row.rested_on, asset.state if asset else None)
        if changed:
            errors = [FieldError(f"/{field.replace('.', '/')}", "inventory.request.changed") for field in changed]
            raise ProblemError(ProblemType.CONFLICT, "inventory.request.stale", errors=errors)
        await _DOING[type(act)](acting, act, By(row.asked_by, self._clock(), caller.subject))

    async def _acting(
        self, session: AsyncSession, scope: frozenset[str], asset_id: UUID, row: AssetRow | None, body: str = ""
    ) -> Acting:
        network = row.state["network"] if row else self._profile.network_of(body)
        connection = await hold(session, self._profile, [network], [row] if row else [])
        return Acting(session, connection, self._profile, scope, asset_id)

    async def _done_or_asked(
        self, acting: Acting, act: Act, by: By, row: AssetRow | None, body: str = ""
    ) -> dict[str, Any]:
        if not waits(self._profile.four_eyes, act):
            return (await _DOING[type(act)](acting, act, by)).model_dump(mode="json")
        state = row.state if row else None
        await _try(acting, act, by)
        request = ActRequestRow(
            request_id=uuid4(),
            body=state["body"] if state else body,
            asset_id=acting.asset_id,
            act=act.ACT,
            given=act.model_dump(mode="json", exclude_unset=True),
            rested_on=resting_on(state, act),
            asked_by=by.actor,
            asked_at=by.at,
            state=RequestState.ASKED,
            revision=1,
        )
        acting.session.add(request)
        return act_request(request, state).model_dump(mode="json")


async def _try(acting: Acting, act: Act, by: By) -> None:
    """Do it and take it back, so that nobody is asked to approve what cannot be done."""
    async with acting.session.begin_nested() as trial:
        # the savepoint is made when the session asks for its connection, and what is below writes without asking
        await acting.session.connection()
        await _DOING[type(act)](acting, act, by)
        await trial.rollback()


def _answer(answered: dict[str, Any], answer: type[Answer], response: Response) -> Answer | ActRequest:
    if "request_id" in answered:
        response.status_code = 202
        response.headers["Location"] = f"/v1/requests/{answered['request_id']}"
        return with_etag(ActRequest.model_validate(answered), response)
    if "revision" in answered:
        response.headers["ETag"] = etag_of(answered["revision"])
    return answer.model_validate(answered)
