# SPDX-License-Identifier: Apache-2.0
"""Snapshots over HTTP: a feed begins and ends one; people see what came of it, and decide where it would retire too much."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlmodel.ext.asyncio.session import AsyncSession

from libs.contracts import ProblemType, Profile, SnapshotMark, SnapshotState
from libs.contracts.words import SessionId, ShortText, Slug
from libs.persistence import Sessions
from libs.security import FieldError, Identity, ProblemError, Role, authenticated
from libs.security.preconditions import check_match, required
from services.inventory.calls import Again, Editor, Feeder, IfMatch, Limit, Reader, Traceparent, with_etag
from services.inventory.doors.entering import feed_of
from services.inventory.idempotency import Attempt
from services.inventory.intake import Intake
from services.inventory.snapshots import store
from services.inventory.snapshots.domain import beginning, bodies_on, ending, giving_up, new_session, snapshot_of
from services.inventory.snapshots.store import SnapshotRow
from services.inventory.store import AssetRow
from services.inventory.worker import Clock

_REMAIN: Final = (SnapshotState.WAITING, SnapshotState.RETIRING)

Either = Annotated[Identity, Depends(authenticated(Role.READER, Role.FEEDER))]
Items = Annotated[int, Field(ge=0, le=2**53)]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid")


class SnapshotAsked(_Request):
    """`bodies`: whose assets the snapshot will have all of; None: of all for which the feed speaks."""

    bodies: Annotated[tuple[Slug, ...], Field(min_length=1, max_length=1000)] | None = None


class SnapshotPart(BaseModel):
    """A snapshot's part on one network, and the bodies there for which it was begun, ended or given up."""

    snapshot_id: UUID
    network: Slug
    bodies: tuple[Slug, ...]


class SnapshotMarked(BaseModel):
    """Tell each item with `session` as its `snapshot`, then end the session. It has a part on each network of its bodies."""

    session: SessionId
    snapshots: tuple[SnapshotPart, ...]


class SnapshotEnd(_Request):
    """`items`: of each body of the snapshot, how many assets (different source keys) were told of in the session; 0 where there are none."""

    items: Annotated[dict[Slug, Items], Field(min_length=1, max_length=1000)]


class SnapshotAbort(_Request):
    """Why it is given up."""

    reason: ShortText | None = None


class SnapshotShown(BaseModel):
    """A snapshot of a feed on one network, and how it stands.

    `sent` is how many items its feed says that it told, `accepted` how many came. Of the feed's assets in its scope, `known` were there and
    `missing` were not in it; `remaining` of those would still be retired, for their feed has not told of them since, and `retired` are.
    `end_reason` is the feed's own where it gave it up, `decision_reason` the person's.
    """

    snapshot_id: UUID
    feed: Slug
    network: Slug
    session: SessionId
    bodies: tuple[Slug, ...]
    state: SnapshotState
    begun_at: datetime
    ended_at: datetime | None
    end_reason: str | None
    sent: int | None
    accepted: int | None
    known: int | None
    missing: int | None
    remaining: int
    retired: int
    decided_by: str | None
    decided_at: datetime | None
    decision_reason: str | None
    revision: int


class SnapshotPage(BaseModel):
    """The newest first; give `next` as `after` for the page that follows."""

    items: tuple[SnapshotShown, ...]
    next: UUID | None


class MissingAsset(BaseModel):
    """An asset that the snapshot did not have. `told_by`: other feeds that still tell of it, so that it may stay (`-hand-`: a person added it);
    `name` and `kind` None where it is another body's by now."""

    source_key: str
    asset_id: UUID
    body: Slug
    name: str | None
    kind: str | None
    told_by: tuple[str, ...]


class MissingPage(BaseModel):
    """By source key; give `next` as `after` for the page that follows."""

    items: tuple[MissingAsset, ...]
    next: str | None


class DecisionReason(_Request):
    """Why a person decides so."""

    reason: ShortText


class SnapshotApi:
    """The routes, over what they need."""

    def __init__(self, sessions: Sessions, intake: Intake, profile: Profile, clock: Clock) -> None:
        self._sessions = sessions
        self._intake = intake
        self._profile = profile
        self._bodies = frozenset(profile.body_by_id)
        self._clock = clock

    def router(self) -> APIRouter:
        router = APIRouter(prefix="/v1", tags=["snapshots"])
        router.post("/feeds/{feed}/snapshots", status_code=202)(self.begin)
        router.post("/feeds/{feed}/snapshots/{session}/end", status_code=202)(self.end)
        router.post("/feeds/{feed}/snapshots/{session}/abort", status_code=202)(self.abort)
        router.get("/snapshots")(self.snapshots)
        router.get("/snapshots/{snapshot_id}")(self.snapshot)
        router.get("/snapshots/{snapshot_id}/missing")(self.missing)
        router.post("/snapshots/{snapshot_id}/approve")(self.approve)
        router.post("/snapshots/{snapshot_id}/refuse")(self.refuse)
        return router

    async def begin(
        self, feed: Slug, asked: SnapshotAsked, caller: Feeder, traceparent: Traceparent = None
    ) -> SnapshotMarked:
        """Begin to tell all that a feed has. One of the same bodies that is under way is overtaken, and retires nothing."""
        declared = feed_of(self._profile, feed, caller)
        self._check_bodies(feed, asked.bodies or sorted(declared.bodies), declared.bodies, caller)
        session, bodies = new_session(), asked.bodies or declared.bodies
        marks = beginning(self._profile, feed, session, bodies)
        await self._intake.mark(marks, traceparent)
        return self._marked(session, marks, bodies)

    async def end(
        self, feed: Slug, session: SessionId, given: SnapshotEnd, caller: Feeder, traceparent: Traceparent = None
    ) -> SnapshotMarked:
        """End a snapshot: what the feed told of before, inside its scope, and not since the beginning, is retired.

        It is not where other than so many items came, where it is more than the feed's share (then it waits for a person), or where
        the session never began; `GET /v1/snapshots?session=…` says so.
        """
        declared = feed_of(self._profile, feed, caller)
        self._check_bodies(feed, given.items, declared.bodies, caller)
        marks = ending(self._profile, feed, session, given.items)
        await self._intake.mark(marks, traceparent)
        return self._marked(session, marks, given.items)

    async def abort(
        self, feed: Slug, session: SessionId, given: SnapshotAbort, caller: Feeder, traceparent: Traceparent = None
    ) -> SnapshotMarked:
        """Give a snapshot up: what was told in it stands, and nothing is retired."""
        declared = feed_of(self._profile, feed, caller)
        bodies = sorted(body for body in declared.bodies if caller.may_feed(feed, body))
        if not bodies:
            raise ProblemError(ProblemType.FORBIDDEN, "inventory.not_your_body", feed=feed)
        marks = giving_up(self._profile, feed, session, bodies, given.reason)
        await self._intake.mark(marks, traceparent)
        return self._marked(session, marks, bodies)

    async def snapshots(
        self,
        caller: Either,
        feed: Slug | None = None,
        session: SessionId | None = None,
        state: SnapshotState | None = None,
        after: UUID | None = None,
        limit: Limit = 100,
    ) -> SnapshotPage:
        """Snapshots all of whose bodies the caller may read; a feeder who is no reader sees those of its own feeds."""
        scope = caller.scope(self._bodies)
        async with self._sessions.session(scope) as database:
            rows = await store.page(
                database,
                scope,
                feeds=_feeds_of(caller),
                feed=feed,
                name=session,
                state=state,
                after=after,
                limit=limit + 1,
            )
            shown = await _shown(database, rows[:limit])
        return SnapshotPage(items=tuple(shown), next=rows[limit - 1].snapshot_id if len(rows) > limit else None)

    async def snapshot(self, snapshot_id: UUID, caller: Either, response: Response) -> SnapshotShown:
        """One snapshot; `ETag` is what `If-Match` of a decision asks for."""
        scope = caller.scope(self._bodies)
        async with self._sessions.session(scope) as database:
            row = _there(await store.find(database, snapshot_id, scope))
            if (feeds := _feeds_of(caller)) is not None and row.feed not in feeds:
                _there(None)
            (shown,) = await _shown(database, [row])
        return with_etag(shown, response)

    async def missing(
        self,
        snapshot_id: UUID,
        caller: Reader,
        after: Annotated[str | None, Query(max_length=200)] = None,
        limit: Limit = 100,
    ) -> MissingPage:
        """What the snapshot did not have and would retire, or is retiring."""
        scope = caller.scope(self._bodies)
        async with self._sessions.session(scope) as database:
            row = _there(await store.find(database, snapshot_id, scope))
            rows = await store.still_missing(database, row, after=after, limit=limit + 1)
            told_by = await store.others_telling(database, row.feed, [asset.asset_id for _, asset in rows if asset])
        items = tuple(_missing(one, asset, told_by) for one, asset in rows[:limit])
        return MissingPage(items=items, next=items[-1].source_key if len(rows) > limit else None)

    async def approve(
        self,
        snapshot_id: UUID,
        given: DecisionReason,
        caller: Editor,
        response: Response,
        attempt: Again,
        if_match: IfMatch = None,
    ) -> SnapshotShown:
        """Let a snapshot that waits retire what it did not have and its feed has not told of since; it is done within seconds."""
        return await self._decide(snapshot_id, given, caller, response, attempt, if_match, SnapshotState.RETIRING)

    async def refuse(
        self,
        snapshot_id: UUID,
        given: DecisionReason,
        caller: Editor,
        response: Response,
        attempt: Again,
        if_match: IfMatch = None,
    ) -> SnapshotShown:
        """Let a snapshot that waits retire nothing."""
        return await self._decide(snapshot_id, given, caller, response, attempt, if_match, SnapshotState.REFUSED)

    async def _decide(
        self,
        snapshot_id: UUID,
        given: DecisionReason,
        caller: Identity,
        response: Response,
        attempt: Attempt,
        if_match: str | None,
        state: SnapshotState,
    ) -> SnapshotShown:
        expected, scope, now = required(if_match), caller.scope(self._bodies), self._clock()
        async with self._sessions.session(scope) as database:
            row = _there(await store.find(database, snapshot_id, scope, to_change=True))
            answered = await attempt.answered(database, caller, row.bodies[0], now)
            if answered is not None:
                return with_etag(SnapshotShown.model_validate(answered), response)
            check_match(expected, row.revision)
            if row.state != SnapshotState.WAITING:
                raise ProblemError(ProblemType.CONFLICT, "inventory.snapshot.not_waiting")
            row.state, row.revision = state, row.revision + 1
            row.decided_by, row.decided_at, row.decision_reason = caller.subject, now, given.reason
            database.add(row)
            if state is SnapshotState.REFUSED:
                await store.forget_missing(database, snapshot_id)
            (shown,) = await _shown(database, [row])
            attempt.keep(database, shown.model_dump(mode="json"))
        return with_etag(shown, response)

    def _check_bodies(self, feed: str, named: Iterable[str], declared: Collection[str], caller: Identity) -> None:
        strangers = [
            FieldError(f"/bodies/{body}", "inventory.not_your_body", feed=feed)
            for body in named
            if body not in declared or not caller.may_feed(feed, body)
        ]
        if strangers:
            raise ProblemError(ProblemType.FORBIDDEN, "inventory.snapshot.bodies", feed=feed, errors=strangers)

    def _marked(self, session: str, marks: Iterable[SnapshotMark], bodies: Collection[str]) -> SnapshotMarked:
        parts = [
            SnapshotPart(
                snapshot_id=snapshot_of(self._profile, mark).snapshot_id,
                network=mark.network,
                bodies=tuple(sorted(bodies_on(self._profile, mark.network, bodies))),
            )
            for mark in marks
        ]
        return SnapshotMarked(session=session, snapshots=tuple(parts))


def _feeds_of(caller: Identity) -> Collection[str] | None:
    """The feeds to which a caller is kept that may not read the register."""
    return None if caller.has(Role.READER) else caller.feeds


async def _shown(database: AsyncSession, rows: Iterable[SnapshotRow]) -> list[SnapshotShown]:
    rows = list(rows)
    remaining = await store.how_many_missing(database, [row.snapshot_id for row in rows if row.state in _REMAIN])
    return [
        SnapshotShown.model_validate({**row.model_dump(), "remaining": remaining.get(row.snapshot_id, 0)})
        for row in rows
    ]


def _missing(one: store.MissingRow, asset: AssetRow | None, told_by: Mapping[UUID, Iterable[str]]) -> MissingAsset:
    return MissingAsset(
        source_key=one.source_key,
        asset_id=one.asset_id,
        body=one.body,
        name=asset.name if asset else None,
        kind=asset.kind if asset else None,
        told_by=tuple(told_by.get(asset.asset_id, ()) if asset else ()),
    )


def _there(row: SnapshotRow | None) -> SnapshotRow:
    if row is None:
        raise ProblemError(ProblemType.NOT_FOUND, "inventory.snapshot.not_found")
    return row
