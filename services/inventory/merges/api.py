# SPDX-License-Identifier: Apache-2.0
"""Merges over HTTP: what may be one is put before a person, who merges or keeps apart; a source is split off; any of it is undone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Annotated, Any, NamedTuple
from uuid import UUID, uuid4

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict
from sqlmodel.ext.asyncio.session import AsyncSession

from libs.contracts import ProblemType, Profile
from libs.contracts.keys import asset_id as made_from
from libs.contracts.words import COUNTED, ShortText, Slug, SourceKey
from libs.persistence import PoolConnection, Sessions
from libs.security import Identity, ProblemError
from libs.security.preconditions import check_match, etag_of, required
from services.inventory import store as register_store
from services.inventory.acting import about, hold
from services.inventory.calls import MOST_A_PAGE, Again, Editor, IfMatch, Limit, Reader, with_etag
from services.inventory.composition import PERSON, Authorities, Told
from services.inventory.domain import Register, Source
from services.inventory.merges import store
from services.inventory.merges.domain import CandidateState, MergeKind, Since, heard, move
from services.inventory.register.answers import there
from services.inventory.store import AssetRow, CandidateRow, MergeRow
from services.inventory.worker import Clock


class Evidence(BaseModel):
    """One match key that both assets tell: what it is called, whether any value is the same, and the normalised values on either side."""

    names: tuple[str, ...]
    agrees: bool
    here: tuple[tuple[str, ...], ...]
    there: tuple[tuple[str, ...], ...]


class MergeCandidate(BaseModel):
    """Two assets that may be one: that of `feed` and `source_key`, and another in which its match keys were found.

    `told_apart`: that feed knows the other one, too, under another source key.
    """

    candidate_id: UUID
    asset_id: UUID
    body: Slug
    other_id: UUID
    other_body: Slug
    feed: Slug
    source_key: str
    evidence: tuple[Evidence, ...]
    told_apart: bool
    state: CandidateState
    proposed_at: datetime
    revision: int
    decided_by: str | None
    decided_at: datetime | None
    note: str | None


class CandidatePage(BaseModel):
    """Give `next` as `after` for the page that follows; None on the last one."""

    items: tuple[MergeCandidate, ...]
    next: UUID | None


class SourceName(BaseModel):
    """Under what a feed knows an asset."""

    feed: str
    source_key: str


class Merge(BaseModel):
    """That sources which told of `from_id` tell of `into_id`: all of them (`merged`) or one (`split`)."""

    merge_id: UUID
    kind: MergeKind
    from_id: UUID
    body: Slug
    into_id: UUID
    other_body: Slug
    sources: tuple[SourceName, ...]
    candidate_id: UUID | None
    done_by: str
    done_at: datetime
    note: str | None
    revision: int
    undone_by: str | None
    undone_at: datetime | None
    undo_note: str | None


class MergePage(BaseModel):
    """Give `next` as `after` for the page that follows; None on the last one."""

    items: tuple[Merge, ...]
    next: UUID | None


class AssetSource(BaseModel):
    """What a source last told of an asset; `gone` where it has since told that it is no longer there."""

    feed: str
    source_key: str
    source_version: int
    gone: bool


class FieldOrigin(BaseModel):
    """Whose value stands in a field, by which version, and since when the register has had it; a relation type may have several.

    Of what a person set: who, and why.
    """

    field: str
    feed: str
    source_key: str
    source_version: int
    since: datetime
    edited_by: str | None = None
    reason: str | None = None


class AssetSources(BaseModel):
    """The sources of an asset, and who is heard in each field."""

    sources: tuple[AssetSource, ...]
    fields: tuple[FieldOrigin, ...]


class Asked(BaseModel):
    """Why a person does it."""

    model_config = ConfigDict(extra="forbid")

    note: ShortText | None = None


class MergeAsked(Asked):
    """The asset that stays, and the revision of it that was read."""

    into: UUID
    into_revision: Annotated[int, COUNTED]


class SplitAsked(Asked):
    """The source that is of an asset of its own."""

    feed: Slug
    source_key: SourceKey


class Acceptance(Asked):
    """Which of the two assets stays; the one that was there before if none is named."""

    keep: UUID | None = None


class _Moved(NamedTuple):
    """Sources on their way from one asset to another."""

    kind: MergeKind
    left: AssetRow
    into: str
    other_body: str
    sources: Sequence[Source]


class MergeApi:
    """The routes, over what they need."""

    def __init__(self, sessions: Sessions, profile: Profile, clock: Clock) -> None:
        self._sessions = sessions
        self._profile = profile
        self._authorities = Authorities(profile)
        self._bodies = frozenset(profile.body_by_id)
        self._clock = clock

    def router(self) -> APIRouter:
        router = APIRouter(prefix="/v1", tags=["merges"])
        router.get("/assets/{asset_id}/sources")(self.sources)
        router.post("/assets/{asset_id}/merge", status_code=201)(self.merge)
        router.post("/assets/{asset_id}/split", status_code=201)(self.split)
        router.get("/merge-candidates")(self.candidates)
        router.get("/merge-candidates/{candidate_id}")(self.candidate)
        router.post("/merge-candidates/{candidate_id}/accept", status_code=201)(self.accept)
        router.post("/merge-candidates/{candidate_id}/reject")(self.reject)
        router.get("/merges")(self.merges)
        router.get("/merges/{merge_id}")(self.merge_done)
        router.post("/merges/{merge_id}/undo")(self.undo)
        return router

    async def sources(self, asset_id: UUID, caller: Reader) -> AssetSources:
        """Which feeds tell of the asset, and whose value stands in each field."""
        async with self._sessions.session(caller.scope(self._bodies)) as session:
            there(await register_store.asset_of(session, asset_id))
            links = [
                link for link in await store.links_of(session, asset_id) if link.feed != PERSON or link.told is not None
            ]
            told = [Told(link.feed, link.source_key, link.told, link.gone) for link in links if link.told is not None]
            origins = heard(self._authorities, told)
            since = await _since(session, asset_id, origins)
        versions = {(link.feed, link.source_key): link.source_version for link in links}
        return AssetSources(
            sources=tuple(AssetSource.model_validate(link.model_dump()) for link in links),
            fields=tuple(
                FieldOrigin(
                    field=field,
                    feed=one.feed,
                    source_key=one.source_key,
                    source_version=versions[one.feed, one.source_key],
                    since=since[field],
                    **_edit_of(one, field),
                )
                for field, tellers in origins.items()
                for one in tellers
            ),
        )

    async def candidates(
        self,
        caller: Reader,
        body: Slug | None = None,
        asset_id: UUID | None = None,
        state: CandidateState | None = None,
        after: UUID | None = None,
        limit: Limit = 100,
    ) -> CandidatePage:
        """Assets that may be one, with the evidence for and against; those only whose both bodies the caller may read."""
        scope = caller.scope(self._bodies)
        async with self._sessions.session(scope) as session:
            rows = await store.candidates(
                session, scope, body=body, asset_id=asset_id, state=state, after=after, limit=limit + 1
            )
        more = rows[limit - 1].candidate_id if len(rows) > limit else None
        return CandidatePage(items=tuple(map(_candidate, rows[:limit])), next=more)

    async def candidate(self, candidate_id: UUID, caller: Reader, response: Response) -> MergeCandidate:
        """One candidate; `ETag` is what `If-Match` of a decision asks for."""
        scope = caller.scope(self._bodies)
        async with self._sessions.session(scope) as session:
            row = _candidate_there(await store.candidate(session, scope, candidate_id))
        response.headers["ETag"] = etag_of(row.revision)
        return _candidate(row)

    async def accept(
        self,
        candidate_id: UUID,
        given: Acceptance,
        caller: Editor,
        response: Response,
        attempt: Again,
        if_match: IfMatch = None,
    ) -> Merge:
        """The two are one: merge them. 409 where one of them has been merged or retired meanwhile."""
        scope = caller.scope(self._bodies)
        expected = required(if_match)
        async with self._sessions.session(scope) as session:
            candidate = _candidate_there(await store.candidate(session, scope, candidate_id, to_change=True))
            answered = await attempt.answered(session, caller, candidate.body, self._clock())
            if answered is not None:
                return _answer(Merge.model_validate(answered), response)
            _check_open(candidate, expected)
            kept = given.keep or candidate.other_id
            if kept not in (candidate.asset_id, candidate.other_id):
                raise ProblemError(ProblemType.CONFLICT, "inventory.merge.not_of_the_two")
            lost = candidate.asset_id if kept == candidate.other_id else candidate.other_id
            left, into, connection = await self._held(session, lost, kept)
            _decide(candidate, CandidateState.ACCEPTED, caller, self._clock(), given.note)
            done = _merge(await self._merge(session, connection, left, into, caller, given.note, candidate_id))
            attempt.keep(session, done.model_dump(mode="json"))
        return _answer(done, response)

    async def reject(
        self,
        candidate_id: UUID,
        given: Asked,
        caller: Editor,
        response: Response,
        attempt: Again,
        if_match: IfMatch = None,
    ) -> MergeCandidate:
        """The two are not one; they are not proposed again."""
        scope = caller.scope(self._bodies)
        expected = required(if_match)
        async with self._sessions.session(scope) as session:
            row = _candidate_there(await store.candidate(session, scope, candidate_id, to_change=True))
            answered = await attempt.answered(session, caller, row.body, self._clock())
            if answered is None:
                _check_open(row, expected)
                _decide(row, CandidateState.REJECTED, caller, self._clock(), given.note)
                answered = _candidate(row).model_dump(mode="json")
                attempt.keep(session, answered)
        rejected = MergeCandidate.model_validate(answered)
        response.headers["ETag"] = etag_of(rejected.revision)
        return rejected

    async def merge(
        self,
        asset_id: UUID,
        given: MergeAsked,
        caller: Editor,
        response: Response,
        attempt: Again,
        if_match: IfMatch = None,
    ) -> Merge:
        """Merge the asset into another of its network: what told of it tells of that one, and it is retired with reason `merged`."""
        expected = required(if_match)
        async with self._sessions.session(caller.scope(self._bodies)) as session:
            body = there(await register_store.asset_of(session, asset_id)).body
            answered = await attempt.answered(session, caller, body, self._clock())
            if answered is not None:
                return _answer(Merge.model_validate(answered), response)
            left, into, connection = await self._held(session, asset_id, given.into)
            check_match(expected, left.revision)
            check_match(etag_of(given.into_revision), into.revision)
            done = _merge(await self._merge(session, connection, left, into, caller, given.note))
            attempt.keep(session, done.model_dump(mode="json"))
        return _answer(done, response)

    async def split(
        self,
        asset_id: UUID,
        given: SplitAsked,
        caller: Editor,
        response: Response,
        attempt: Again,
        if_match: IfMatch = None,
    ) -> Merge:
        """Let one source of the asset tell of an asset of its own."""
        expected = required(if_match)
        async with self._sessions.session(caller.scope(self._bodies)) as session:
            left = there(await register_store.asset_of(session, asset_id))
            answered = await attempt.answered(session, caller, left.body, self._clock())
            if answered is not None:
                return _answer(Merge.model_validate(answered), response)
            connection = await self._enter(session, left)
            check_match(expected, left.revision)
            source = Source(given.feed, given.source_key)
            own = made_from(self._profile.municipality, *source)
            register = await about(connection, self._profile, [str(asset_id), own])
            links = register.sources_of(str(asset_id))
            if source not in [Source(link.feed, link.source_key) for link in links]:
                raise ProblemError(ProblemType.NOT_FOUND, "inventory.merge.no_such_source")
            if len(links) == 1:
                raise ProblemError(ProblemType.CONFLICT, "inventory.merge.only_source")
            into = str(uuid4()) if own == str(asset_id) or register.links_of(own) else own
            moved = _Moved(MergeKind.SPLIT, left, into, left.body, [source])
            done = _merge(await self._move(session, connection, register, moved, caller, given.note))
            attempt.keep(session, done.model_dump(mode="json"))
        return _answer(done, response)

    async def merges(
        self, caller: Reader, asset_id: UUID | None = None, after: UUID | None = None, limit: Limit = 100
    ) -> MergePage:
        """Merges and splits, with who did them and who undid them."""
        scope = caller.scope(self._bodies)
        async with self._sessions.session(scope) as session:
            rows = await store.merges(session, scope, asset_id=asset_id, after=after, limit=limit + 1)
        more = rows[limit - 1].merge_id if len(rows) > limit else None
        return MergePage(items=tuple(map(_merge, rows[:limit])), next=more)

    async def merge_done(self, merge_id: UUID, caller: Reader, response: Response) -> Merge:
        """One merge or split; `ETag` is what `If-Match` of undoing it asks for."""
        scope = caller.scope(self._bodies)
        async with self._sessions.session(scope) as session:
            row = _merge_there(await store.merge(session, scope, merge_id))
        return _answer(_merge(row), response)

    async def undo(
        self, merge_id: UUID, given: Asked, caller: Editor, response: Response, attempt: Again, if_match: IfMatch = None
    ) -> Merge:
        """Give the sources back to the asset that they told of: both are again as if nothing had been done, with what was told since.

        409 where the sources have been moved on meanwhile: undo that first.
        """
        expected, scope, now = required(if_match), caller.scope(self._bodies), self._clock()
        async with self._sessions.session(scope) as session:
            row = _merge_there(await store.merge(session, scope, merge_id, to_change=True))
            answered = await attempt.answered(session, caller, row.body, now)
            if answered is not None:
                return _answer(Merge.model_validate(answered), response)
            check_match(expected, row.revision)
            if row.undone_at is not None:
                raise ProblemError(ProblemType.CONFLICT, "inventory.merge.undone_already")
            left, connection = await self._to_undo(session, row)
            register = await about(connection, self._profile, [str(row.from_id), str(row.into_id)])
            sources = [Source(feed, key) for feed, key in row.sources]
            there = {Source(link.feed, link.source_key) for link in register.links_of(str(row.into_id))}
            if not there.issuperset(sources):
                raise ProblemError(ProblemType.CONFLICT, "inventory.merge.moved_on")
            back = move(
                register,
                sources,
                str(row.from_id),
                left=str(left.asset_id),
                kind=MergeKind.UNDONE,
                actor=caller.subject,
            )
            await register_store.write_move(connection, self._profile, register, back, now)
            row.undone_by, row.undone_at, row.revision = caller.subject, now, row.revision + 1
            row.undo_note = given.note
            session.add(row)
            done = _merge(row)
            attempt.keep(session, done.model_dump(mode="json"))
        return _answer(done, response)

    async def _held(self, session: AsyncSession, lost: UUID, kept: UUID) -> tuple[AssetRow, AssetRow, PoolConnection]:
        """Both assets, held against other writers; both must be the caller's, and of one network."""
        left = there(await register_store.asset_of(session, lost))
        into = there(await register_store.asset_of(session, kept))
        if left.asset_id == into.asset_id:
            raise ProblemError(ProblemType.CONFLICT, "inventory.merge.same_asset")
        connection = await self._enter(session, left, into)
        if left.state["network"] != into.state["network"]:
            raise ProblemError(ProblemType.CONFLICT, "inventory.merge.other_network")
        return left, into, connection

    async def _enter(self, session: AsyncSession, *rows: AssetRow) -> PoolConnection:
        return await hold(session, self._profile, {row.state["network"] for row in rows}, rows)

    async def _to_undo(self, session: AsyncSession, row: MergeRow) -> tuple[AssetRow, PoolConnection]:
        left = there(await register_store.asset_of(session, row.into_id))
        return left, await self._enter(session, left)

    async def _merge(
        self,
        session: AsyncSession,
        connection: PoolConnection,
        left: AssetRow,
        into: AssetRow,
        caller: Identity,
        note: str | None,
        candidate_id: UUID | None = None,
    ) -> MergeRow:
        register = await about(connection, self._profile, [str(left.asset_id), str(into.asset_id)])
        if not register.sources_of(str(left.asset_id)) or not register.sources_of(str(into.asset_id)):
            raise ProblemError(ProblemType.CONFLICT, "inventory.merge.gone")
        sources = [Source(link.feed, link.source_key) for link in register.links_of(str(left.asset_id))]
        moved = _Moved(MergeKind.MERGED, left, str(into.asset_id), into.body, sources)
        return await self._move(session, connection, register, moved, caller, note, candidate_id)

    async def _move(
        self,
        session: AsyncSession,
        connection: PoolConnection,
        register: Register,
        moved: _Moved,
        caller: Identity,
        note: str | None,
        candidate_id: UUID | None = None,
    ) -> MergeRow:
        now, left = self._clock(), str(moved.left.asset_id)
        done = move(register, moved.sources, moved.into, left=left, kind=moved.kind, actor=caller.subject)
        await register_store.write_move(connection, self._profile, register, done, now)
        row = MergeRow(
            merge_id=uuid4(),
            kind=moved.kind,
            from_id=moved.left.asset_id,
            body=moved.left.body,
            into_id=UUID(moved.into),
            other_body=moved.other_body,
            sources=[list(source) for source in moved.sources],
            candidate_id=candidate_id,
            done_by=caller.subject,
            done_at=now,
            note=note,
            revision=1,
        )
        session.add(row)
        return row


async def _since(session: AsyncSession, asset_id: UUID, fields: Iterable[str]) -> dict[str, datetime]:
    since, before = Since(fields), None
    while rows := await register_store.revisions_of(session, asset_id, before=before, limit=MOST_A_PAGE):
        if not all(since.look(row.state, row.recorded_at) for row in rows):
            break
        before = rows[-1].revision
    return since.found


def _edit_of(told: Told, field: str) -> dict[str, str]:
    """Who set a field, and why, where a person did."""
    if told.feed != PERSON:
        return {}
    mark = told.content["edits"][field]
    return {"edited_by": mark["by"], "reason": mark["reason"]}


def _check_open(row: CandidateRow, expected: str) -> None:
    check_match(expected, row.revision)
    if row.state != CandidateState.PROPOSED:
        raise ProblemError(ProblemType.CONFLICT, "inventory.merge.decided_already")


def _decide(row: CandidateRow, state: CandidateState, caller: Identity, now: datetime, note: str | None) -> None:
    row.state, row.revision, row.note = state, row.revision + 1, note
    row.decided_by, row.decided_at = caller.subject, now


def _candidate_there(row: CandidateRow | None) -> CandidateRow:
    if row is None:
        raise ProblemError(ProblemType.NOT_FOUND, "inventory.merge.candidate_not_found")
    return row


def _merge_there(row: MergeRow | None) -> MergeRow:
    if row is None:
        raise ProblemError(ProblemType.NOT_FOUND, "inventory.merge.not_found")
    return row


def _candidate(row: CandidateRow) -> MergeCandidate:
    return MergeCandidate.model_validate(row.model_dump())


def _merge(row: MergeRow) -> Merge:
    sources: list[dict[str, Any]] = [{"feed": feed, "source_key": key} for feed, key in row.sources]
    return Merge.model_validate({**row.model_dump(), "sources": sources})


def _answer(merge: Merge, response: Response) -> Merge:
    response.headers["Location"] = f"/v1/merges/{merge.merge_id}"
    return with_etag(merge, response)
