# SPDX-License-Identifier: Apache-2.0
"""Overrides over HTTP: asked by one person, approved or refused by another, withdrawn, and listed with who did what."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import Annotated, Final
from uuid import UUID, uuid4

from fastapi import APIRouter, Depends, Header, Query, Response
from pydantic import BaseModel, ConfigDict
from sqlalchemy.exc import IntegrityError
from sqlmodel.ext.asyncio.session import AsyncSession

from libs.contracts import Dimension, Explanation, OverrideChange, OverrideState, ProblemType, Profile
from libs.contracts.words import LevelCode, Moment, ShortText, Slug
from libs.persistence import Sessions
from libs.security import FieldError, Identity, ProblemError, Role, authenticated
from libs.security.preconditions import check_match, etag_of, required
from libs.standards.overrides import Refusal, refuse_approving, refuse_asking, refuse_deciding, refuse_ending
from services.classification.domain import Clock
from services.classification.overrides import store
from services.classification.overrides.domain import Override, rank_without_override
from services.classification.standards.ruling import Rulings
from services.classification.store import ClassificationRow, OverrideRow, classification_of

MOST_A_PAGE: Final = 500

Reader = Annotated[Identity, Depends(authenticated(Role.READER))]
Editor = Annotated[Identity, Depends(authenticated(Role.EDITOR, Role.SECURITY_OFFICER))]
IfMatch = Annotated[str | None, Header()]

_FIELD: Final[Mapping[Refusal, str]] = {
    Refusal.NO_REASON: "/reason",
    Refusal.NOT_ON_SCALE: "/level",
    Refusal.EXPIRY_PAST: "/expires_at",
    Refusal.EXPIRY_TOO_LATE: "/expires_at",
}
_KEY: Final[Mapping[Refusal, str]] = {
    Refusal.NO_REASON: "classification.override_no_reason",
    Refusal.NOT_ON_SCALE: "classification.level_unknown",
    Refusal.EXPIRY_PAST: "classification.override_expiry_past",
    Refusal.EXPIRY_TOO_LATE: "classification.override_expiry_too_late",
    Refusal.NOT_ASKED: "classification.override_not_asked",
    Refusal.NOT_OPEN: "classification.override_not_open",
    Refusal.OWN_REQUEST: "classification.override_own_request",
    Refusal.NEEDS_HIGHER_ROLE: "classification.override_needs_higher_role",
}
_FORBIDDEN: Final = frozenset({Refusal.OWN_REQUEST, Refusal.NEEDS_HIGHER_ROLE})


class OverrideRequest(BaseModel):
    """That an asset be at `level` in one dimension until `expires_at`, a year from now at most."""

    model_config = ConfigDict(extra="forbid")

    dimension: Dimension
    level: LevelCode
    reason: ShortText
    expires_at: Moment


class Note(BaseModel):
    """Why a person decides as they do."""

    model_config = ConfigDict(extra="forbid")

    note: ShortText | None = None


class Refused(BaseModel):
    """As `Note`; who asked is owed a reason."""

    model_config = ConfigDict(extra="forbid")

    note: ShortText


class RecordedOverride(OverrideChange):
    """An override with whose it is; what it says of who asked, decided and ended it is its history."""

    body: Slug
    network: Slug


class OverridePage(BaseModel):
    """The newest first. Give `next` as `after` for the page that follows; None on the last one."""

    items: tuple[RecordedOverride, ...]
    next: UUID | None


class OverrideApi:
    """The routes, over what they need."""

    def __init__(self, sessions: Sessions, rulings: Rulings, profile: Profile, clock: Clock) -> None:
        self._sessions = sessions
        self._rulings = rulings
        self._municipality = profile.municipality
        self._bodies = frozenset(profile.body_by_id)
        self._clock = clock

    def router(self) -> APIRouter:
        router = APIRouter(prefix="/v1", tags=["overrides"])
        router.post("/classifications/{asset_id}/overrides", status_code=201)(self.ask)
        router.get("/overrides")(self.overrides)
        router.get("/overrides/{override_id}")(self.override)
        router.post("/overrides/{override_id}/approve")(self.approve)
        router.post("/overrides/{override_id}/refuse")(self.refuse)
        router.post("/overrides/{override_id}/withdraw")(self.withdraw)
        return router

    async def ask(
        self, asset_id: UUID, wanted: OverrideRequest, caller: Editor, response: Response
    ) -> RecordedOverride:
        """Ask for an override; it binds once another person has approved it. 409 while one is asked for the same dimension."""
        now = self._clock()
        async with self._sessions.session(caller.scope(self._bodies)) as session:
            asset = asset_there(await classification_of(session, asset_id))
            row = OverrideRow(
                override_id=uuid4(),
                body=asset.body,
                network=asset.network,
                asset_id=asset_id,
                asked_by=caller.subject,
                asked_at=now,
                state=OverrideState.ASKED,
                revision=1,
                **wanted.model_dump(),
            )
            override = store.override_of(row)
            standards = (await self._rulings.within(session)).standards
            standard = standards.of(asset.network)
            known = ", ".join(one.code for one in standard.document.scales[override.change.dimension])
            _check_request(refuse_asking(override.change, standard, now), known)
            session.add(row)
            try:
                await session.flush()
            except IntegrityError:
                raise ProblemError(ProblemType.CONFLICT, "classification.override_asked_already") from None
            await store.tell(session, [override.message(self._municipality, now)])
        response.headers["Location"] = f"/v1/overrides/{override.change.override_id}"
        return _answer(override, response)

    async def overrides(
        self,
        caller: Reader,
        body: Slug | None = None,
        asset_id: UUID | None = None,
        state: OverrideState | None = None,
        after: UUID | None = None,
        limit: Annotated[int, Query(ge=1, le=MOST_A_PAGE)] = 100,
    ) -> OverridePage:
        """Overrides with who asked, decided and ended them and why."""
        check_body(body, caller.scope(self._bodies))
        async with self._sessions.session(caller.scope(self._bodies)) as session:
            rows = await store.page(session, body=body, asset_id=asset_id, state=state, after=after, limit=limit + 1)
        items = tuple(_recorded(store.override_of(row)) for row in rows[:limit])
        return OverridePage(items=items, next=rows[limit - 1].override_id if len(rows) > limit else None)

    async def override(self, override_id: UUID, caller: Reader, response: Response) -> RecordedOverride:
        """One override; `ETag` is what `If-Match` of a decision asks for."""
        async with self._sessions.session(caller.scope(self._bodies)) as session:
            row = _there(await store.find(session, override_id))
        return _answer(store.override_of(row), response)

    async def approve(
        self, override_id: UUID, given: Note, caller: Editor, response: Response, if_match: IfMatch = None
    ) -> RecordedOverride:
        """Approve it, as another person than the one who asked: it binds at once, and an earlier one that it renews is withdrawn.

        Below the level that the asset has without it, only a security officer may.
        """
        now = self._clock()
        async with self._sessions.session(caller.scope(self._bodies)) as session:
            row = await _to_change(session, override_id, if_match)
            override = store.override_of(row)
            _check(await self._refuse_approving(session, override, caller, now))
            renewed = await store.at_place(session, row, OverrideState.APPROVED)
            approved = override.decided(OverrideState.APPROVED, caller.subject, now, given.note)
            messages = [approved.message(self._municipality, now)]
            if renewed is not None:
                ended = store.override_of(renewed).withdrawn(caller.subject, now, None)
                await store.write(session, renewed, ended)
                # told after the one that takes its place, so that no moment is without
                messages.append(ended.message(self._municipality, now))
            await store.write(session, row, approved)
            await store.tell(session, messages)
        return _answer(approved, response)

    async def refuse(
        self, override_id: UUID, given: Refused, caller: Editor, response: Response, if_match: IfMatch = None
    ) -> RecordedOverride:
        """Refuse it, with a reason, as another person than the one who asked."""

        def refused(override: Override, now: datetime) -> Override:
            _check(refuse_deciding(override.change, decider=caller.subject))
            return override.decided(OverrideState.REFUSED, caller.subject, now, given.note)

        return await self._step(override_id, caller, if_match, response, refused)

    async def withdraw(
        self, override_id: UUID, given: Note, caller: Editor, response: Response, if_match: IfMatch = None
    ) -> RecordedOverride:
        """Withdraw it, asked or approved: the level is again what it is without."""

        def withdrawn(override: Override, now: datetime) -> Override:
            _check(refuse_ending(override.change))
            return override.withdrawn(caller.subject, now, given.note)

        return await self._step(override_id, caller, if_match, response, withdrawn)

    async def _step(
        self,
        override_id: UUID,
        caller: Identity,
        if_match: str | None,
        response: Response,
        step: Callable[[Override, datetime], Override],
    ) -> RecordedOverride:
        now = self._clock()
        async with self._sessions.session(caller.scope(self._bodies)) as session:
            row = await _to_change(session, override_id, if_match)
            override = step(store.override_of(row), now)
            await store.write(session, row, override)
            await store.tell(session, [override.message(self._municipality, now)])
        return _answer(override, response)

    async def _refuse_approving(
        self, session: AsyncSession, override: Override, caller: Identity, now: datetime
    ) -> Refusal | None:
        change, standards = override.change, (await self._rulings.within(session)).standards
        standard = standards.of(override.network)
        asset = await classification_of(session, UUID(change.asset_id))
        if asset is None or asset.body != override.body or asset.explanations is None:
            raise ProblemError(ProblemType.CONFLICT, "classification.override_asset_gone")
        explanation = Explanation.model_validate(asset.explanations[change.dimension])
        return refuse_approving(
            change,
            standard,
            now,
            approver=caller.subject,
            otherwise=rank_without_override(standard, change.dimension, explanation),
            higher_role=caller.has(Role.SECURITY_OFFICER),
        )


async def _to_change(session: AsyncSession, override_id: UUID, if_match: str | None) -> OverrideRow:
    given = required(if_match)
    row = _there(await store.find(session, override_id, to_change=True))
    check_match(given, row.revision)
    return row


def _check_request(refusal: Refusal | None, known: str) -> None:
    """`known` are the levels of the scale."""
    if refusal is not None:
        error = FieldError(_FIELD[refusal], _KEY[refusal], known=known)
        raise ProblemError(ProblemType.INVALID, "problems.invalid", errors=[error], count=1)


def _check(refusal: Refusal | None) -> None:
    if refusal is not None:
        problem = ProblemType.FORBIDDEN if refusal in _FORBIDDEN else ProblemType.CONFLICT
        raise ProblemError(problem, _KEY[refusal])


def check_body(body: str | None, scope: Collection[str]) -> None:
    """Raises ProblemError (404) for a body that is not there, or not the caller's to see: no answer must look as if it had nothing."""
    if body is not None and body not in scope:
        raise ProblemError(ProblemType.NOT_FOUND, "classification.body_not_found")


def asset_there(row: ClassificationRow | None) -> ClassificationRow:
    """Raises ProblemError (404) for an asset that is not there, or not the caller's to see."""
    if row is None:
        raise ProblemError(ProblemType.NOT_FOUND, "classification.asset_not_found")
    return row


def _there(row: OverrideRow | None) -> OverrideRow:
    if row is None:
        raise ProblemError(ProblemType.NOT_FOUND, "classification.override_not_found")
    return row


def _recorded(override: Override) -> RecordedOverride:
    return RecordedOverride(body=override.body, network=override.network, **override.change.model_dump())


def _answer(override: Override, response: Response) -> RecordedOverride:
    response.headers["ETag"] = etag_of(override.change.revision)
    return _recorded(override)
