# SPDX-License-Identifier: Apache-2.0
"""The feeds over HTTP: how often each is to be heard of, when it last was, and since when it is silent."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel

from libs.contracts import Profile, Text
from libs.contracts.words import Slug
from libs.persistence import Sessions
from libs.security import Identity, Role, authenticated
from services.inventory.rhythm import store

Reader = Annotated[Identity, Depends(authenticated(Role.READER, Role.OPERATOR))]


class FeedShown(BaseModel):
    """A feed, and those of its bodies that the caller may read. `every` is an ISO 8601 duration; `silent_since` None while it is heard of as
    often as that, or declares nothing."""

    feed: Slug
    name: Text
    format: str
    bodies: tuple[Slug, ...]
    every: timedelta | None
    heard_at: datetime | None
    silent_since: datetime | None


class RhythmApi:
    """The route, over what it needs."""

    def __init__(self, sessions: Sessions, profile: Profile) -> None:
        self._sessions = sessions
        self._profile = profile

    def router(self) -> APIRouter:
        router = APIRouter(prefix="/v1", tags=["feeds"])
        router.get("/feeds")(self.feeds)
        return router

    async def feeds(self, caller: Reader, silent: bool | None = None) -> tuple[FeedShown, ...]:
        """The feeds that speak for any body that the caller may read; with `silent` only those that are, or are not."""
        scope = caller.scope(self._profile.body_by_id)
        async with self._sessions.session(scope) as session:
            heard, silences = await store.heard_in(session), await store.silences(session)
        return tuple(
            FeedShown(
                feed=feed.id,
                name=feed.name,
                format=feed.format,
                bodies=tuple(sorted(feed.bodies & scope)),
                every=feed.every,
                heard_at=heard.get(feed.id),
                silent_since=silences.get(feed.id),
            )
            for feed in self._profile.feeds
            if feed.bodies & scope and silent in (None, feed.id in silences)
        )
