# SPDX-License-Identifier: Apache-2.0
"""The pulls over HTTP: how they stand, and a person's wish for one now."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from libs.contracts import ProblemType, Profile
from libs.contracts.words import COUNTED, Slug
from libs.persistence import Sessions
from libs.security import Identity, ProblemError, Role, authenticated
from services.inventory.netbox_pull import store
from services.inventory.netbox_pull.domain import Asked, State
from services.inventory.worker import Clock

_MOST: Final = 2**31 - 1
Operator = Annotated[Identity, Depends(authenticated(Role.OPERATOR))]


class PullRequest(BaseModel):
    """`compare`: read all that the source has as well. `retire_up_to`: compare, and retire up to so many that it has no more, whatever their
    share; give the number that waits, so that no more go than you have looked at."""

    model_config = ConfigDict(extra="forbid")

    compare: Annotated[bool, Field(strict=True)] = False
    retire_up_to: Annotated[int, Field(ge=0, le=_MOST), COUNTED] | None = None


class PullState(BaseModel):
    """How a feed's pulls stand. `newest_change` is the time of the newest change that was read, by the source's own clock; `held` is how many
    assets the source has no more that wait for a person; `failure` is the code of what went wrong last, at `failed_at`, None where nothing did; `asked_at` is
    None once what a person asked for is done."""

    feed: Slug
    newest_change: datetime | None
    pulled_at: datetime | None
    compared_at: datetime | None
    held: int
    failure: str | None
    failed_at: datetime | None
    asked_at: datetime | None

    @classmethod
    def of(cls, feed: str, state: State) -> PullState:
        return cls(
            feed=feed,
            newest_change=state.progress.newest if state.progress else None,
            pulled_at=state.pulled_at,
            compared_at=state.compared_at,
            held=state.held,
            failure=state.failure,
            failed_at=state.failed_at,
            asked_at=state.asked.at if state.asked else None,
        )


class PullApi:
    """The routes, over what they need."""

    def __init__(self, sessions: Sessions, profile: Profile, clock: Clock) -> None:
        self._sessions = sessions
        self._feeds = profile.feed_by_id
        self._clock = clock

    def router(self) -> APIRouter:
        router = APIRouter(prefix="/v1", tags=["feeds"])
        router.get("/feeds/{feed}/pull")(self.state)
        router.post("/feeds/{feed}/pull", status_code=202)(self.ask)
        return router

    async def state(self, feed: Slug, caller: Operator) -> PullState:
        """How the pulls of a feed stand, for an operator of all the bodies for which it speaks."""
        self._check(feed, caller)
        async with self._sessions.session(()) as session:
            return PullState.of(feed, await store.find(session, feed))

    async def ask(self, feed: Slug, wanted: PullRequest, caller: Operator) -> PullState:
        """Ask for a pull now. It is done within seconds where the source answers; `asked_at` of the state tells when."""
        self._check(feed, caller)
        compare = wanted.compare or wanted.retire_up_to is not None
        asked = Asked(self._clock(), caller.subject, compare, wanted.retire_up_to)
        async with self._sessions.session(()) as session:
            await store.ask(session, feed, asked)
            return PullState.of(feed, await store.find(session, feed))

    def _check(self, feed: str, caller: Identity) -> None:
        declared = self._feeds.get(feed)
        if declared is None or not all(caller.may_read(body) for body in declared.bodies):
            raise ProblemError(ProblemType.FORBIDDEN, "inventory.pull_not_yours", feed=feed)
        if declared.pull is None:
            raise ProblemError(ProblemType.NOT_FOUND, "inventory.no_pull", feed=feed)
