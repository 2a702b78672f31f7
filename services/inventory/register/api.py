# SPDX-License-Identifier: Apache-2.0
"""The register over HTTP: as it is or was at a moment, its history, the differences of two moments, and what is found in it by words."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import AwareDatetime
from pydantic_core import to_json
from sqlmodel.ext.asyncio.session import AsyncSession

from libs.contracts import AssetKind, AssetStatus, ProblemType, Profile
from libs.contracts.words import DeclaredLevels, Slug
from libs.persistence import Sessions
from libs.security import FieldError, Identity, ProblemError
from libs.security.preconditions import etag_of, is_known
from libs.security.problems import language_of
from services.inventory.calls import MOST_A_PAGE, Limit, Reader, with_etag
from services.inventory.register import domain, store, writing
from services.inventory.register.answers import (
    AssetPage,
    Count,
    Difference,
    DifferencePage,
    FoundPage,
    History,
    PastRelation,
    RecordedRevision,
    RegisteredAsset,
    RelatedAsset,
    RelationHistory,
    registered,
    there,
)
from services.inventory.register.domain import Recorded, Span, Spans, Telling, What
from services.inventory.register.searching import words_of
from services.inventory.store import AssetRow, RevisionRow, revisions_of
from services.inventory.worker import Clock

_PLACE: Final = r"^[012]-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"
_NO_NUL: Final = r"^[^\x00]*$"
_NO_LEVELS: Final = dict.fromkeys(DeclaredLevels.model_fields)
_NEITHER: Final = {"section": None, "zone": None}
_MATCHES: Final = ("exact", "prefix", "part")

_BOUNDS: Final[dict[str, Any]] = {"ge": datetime(1, 1, 2, tzinfo=UTC), "le": datetime(9999, 12, 30, tzinfo=UTC)}
"""Moments that are some moment in every zone."""
AsOf = Annotated[
    AwareDatetime | None,
    Query(description="What held at this moment (RFC 3339, with its zone); left out: now.", **_BOUNDS),
]
From = Annotated[
    AwareDatetime, Query(alias="from", description="The earlier moment (RFC 3339, with its zone).", **_BOUNDS)
]
To = Annotated[AwareDatetime | None, Query(alias="to", description="The later one; left out: now.", **_BOUNDS)]
KnownTag = Annotated[str | None, Header(alias="If-None-Match")]
PartOfName = Annotated[str | None, Query(max_length=100, pattern=_NO_NUL)]
Question = Annotated[
    str,
    Query(
        min_length=1, max_length=100, pattern=_NO_NUL, description="Words with spaces between them, all to be found."
    ),
]


class RegisterApi:
    """The routes, over what they need."""

    def __init__(self, sessions: Sessions, profile: Profile, clock: Clock) -> None:
        self._sessions = sessions
        self._bodies = frozenset(profile.body_by_id)
        self._names = {body.id: body.name for body in profile.bodies}
        self._clock = clock

    def router(self) -> APIRouter:
        router = APIRouter(prefix="/v1", tags=["register"])
        router.get("/assets", response_model=AssetPage)(self.assets)
        router.get("/assets/{asset_id}", response_model=RegisteredAsset)(self.asset)
        router.get("/assets/{asset_id}/history")(self.history)
        router.get("/assets/{asset_id}/relations")(self.relations)
        router.get("/assets/{asset_id}/relations/history")(self.relation_history)
        router.get("/differences", response_model=DifferencePage, responses={200: {"content": writing.CONTENT}})(
            self.differences
        )
        router.get("/search", response_model=FoundPage)(self.search)
        router.get("/summary")(self.summary)
        return router

    async def assets(
        self,
        caller: Reader,
        body: Slug | None = None,
        kind: AssetKind | None = None,
        status: AssetStatus | None = None,
        name: PartOfName = None,
        as_of: AsOf = None,
        after: UUID | None = None,
        limit: Limit = 100,
    ) -> Response:
        """Assets by id; `name` finds a part of it. Of an earlier moment an asset that has since moved is its former body's."""
        wanted, scope = store.Wanted(kind, status, name), self._scope(caller, body)
        async with self._sessions.session(scope) as session:
            some = None if scope == self._bodies else scope
            rows = await store.page(session, some, as_of, wanted, after=after, limit=limit + 1)
        more = rows[limit - 1].asset_id if len(rows) > limit else None
        return _written([shown(row) for row in rows[:limit]], more)

    async def asset(
        self, asset_id: UUID, caller: Reader, response: Response, as_of: AsOf = None, known: KnownTag = None
    ) -> RegisteredAsset | Response:
        """One asset; `ETag` is what `If-Match` of a change asks for. 304 where `If-None-Match` names what it still is."""
        async with self._sessions.session(self._scope(caller)) as session:
            row = there(await store.asset_at(session, asset_id, store.as_of(as_of)))
        tag = etag_of(row.revision)
        if is_known(known, tag):
            return Response(status_code=304, headers={"ETag": tag})
        return with_etag(registered(row), response)

    async def history(
        self,
        asset_id: UUID,
        caller: Reader,
        before: Annotated[int | None, Query(ge=1, le=2**63 - 1)] = None,
        as_of: AsOf = None,
        limit: Limit = 100,
    ) -> History:
        """Every revision, up to `as_of`, with who or what made it, why, and what it changed."""
        async with self._sessions.session(self._scope(caller)) as session:
            rows = await revisions_of(session, asset_id, before=before, limit=limit + 1, until=as_of)
        if not rows:
            there(None)
        earlier = [*rows[1:], None]
        return History(
            items=tuple(map(_recorded, rows[:limit], earlier)),
            next=rows[limit - 1].revision if len(rows) > limit else None,
        )

    async def relations(
        self, asset_id: UUID, caller: Reader, as_of: AsOf = None, limit: Limit = 100
    ) -> tuple[RelatedAsset, ...]:
        """The asset's neighbours, both ways; those that point at it only as far as they are the caller's to see."""
        rows = store.as_of(as_of)
        async with self._sessions.session(self._scope(caller)) as session:
            row = there(await store.asset_at(session, asset_id, rows))
            targets = [(relation["type"], UUID(relation["asset_id"])) for relation in row.relations or ()]
            known = await store.named(session, (target for _, target in targets), rows)
            pointing = await store.related_to(session, asset_id, rows, limit)
        out = [_related(kind, "to", target, known.get(target)) for kind, target in targets]
        into = [
            _related(relation["type"], "from", other.asset_id, other)
            for other in pointing
            for relation in other.relations or ()
            if relation["asset_id"] == str(asset_id)
        ]
        return (*out, *into)

    async def relation_history(
        self, asset_id: UUID, caller: Reader, after: UUID | None = None, limit: Limit = 100
    ) -> RelationHistory:
        """Since when and until when the asset was related to others, both ways, and which feeds or persons made it so.

        A relation that was led elsewhere because assets were merged, split or known again ends at the one and begins at the other at that time. It
        lasts while the asset that tells of it is in force. `limit` counts assets that point, or pointed, at this one.
        """
        async with self._sessions.session(self._scope(caller)) as session:
            there(await store.asset_at(session, asset_id, store.as_of(self._clock())))
            pointing = await store.pointing_at(session, asset_id, after=after, limit=limit + 1)
            others = [one for one in pointing[:limit] if one != asset_id]
            told = await _spans(session, others if after else [asset_id, *others])
            spans = [("to", UUID(span.target_id), span) for span in told.pop(asset_id, ())]
            into = str(asset_id)
            spans += [("from", one, span) for one, found in told.items() for span in found if span.target_id == into]
            known = await store.named(session, {other for _, other, _ in spans}, AssetRow)
        items = tuple(_past(direction, other, known.get(other), span) for direction, other, span in spans)
        return RelationHistory(items=items, next=pointing[limit - 1] if len(pointing) > limit else None)

    async def differences(
        self,
        request: Request,
        caller: Reader,
        since: From,
        until: To = None,
        body: Slug | None = None,
        kind: AssetKind | None = None,
        name: PartOfName = None,
        what: What | None = None,
        format: Literal["json", "csv"] = "json",
        after: UUID | None = None,
        limit: Limit = 100,
    ) -> DifferencePage | Response:
        """What the register has come to hold between two moments, no longer holds, or holds otherwise; by which feed or person, and why.

        It compares the assets in force: one that came and went between them is not told. `kind` and `name` are of either moment. An asset that moved
        went from the one body and came to the other; to who reads both, its body changed. `format=csv` gives all of it, a line for each field, from
        `after` on.
        """
        until = until or self._clock()
        if since > until:
            error = FieldError("query:from", "inventory.differences_order")
            raise ProblemError(ProblemType.INVALID, "problems.invalid", errors=[error], count=1)
        reading = Reading(
            self._sessions,
            self._scope(caller, body),
            since,
            until,
            [what] if what else list(What),
            store.Wanted(kind, None, name),
        )
        if format == "json":
            return await reading.page(after, limit)
        language = language_of(request.headers.get("accept-language"))
        headers = {
            "Content-Disposition": f'attachment; filename="{writing.file_name(since, until)}"',
            "Cache-Control": "no-store",
        }
        lines = writing.lines(reading.pages(after), self._names, language)
        return StreamingResponse(lines, media_type=writing.MEDIA, headers=headers)

    async def search(
        self,
        caller: Reader,
        q: Question,
        body: Slug | None = None,
        kind: AssetKind | None = None,
        retired: bool = False,
        after: Annotated[str | None, Query(pattern=_PLACE)] = None,
        limit: Limit = 100,
    ) -> Response:
        """Assets whose name, section or facts hold all words of `q`, wherever in them; with `retired`, also those that are no longer in force.

        Full and half width, capitals, katakana and hiragana, kinds of dash, and spaces count for nothing. First those called so, then those whose
        name begins so, then all others.
        """
        words = words_of(q)
        if not words:
            error = FieldError("query:q", "inventory.search_empty")
            raise ProblemError(ProblemType.INVALID, "problems.invalid", errors=[error], count=1)
        wanted = store.Wanted(kind, None if retired else AssetStatus.ACTIVE)
        async with self._sessions.session(self._scope(caller, body)) as session:
            found = await store.found(session, words, wanted, after=_place(after), limit=limit + 1)
        last = found[limit - 1] if len(found) > limit else None
        items = [{**shown(one.row), "match": _MATCHES[one.rank]} for one in found[:limit]]
        return _written(items, f"{last.rank}-{last.row.asset_id}" if last else None)

    async def summary(self, caller: Reader, as_of: AsOf = None) -> tuple[Count, ...]:
        """Counts by body, kind and status."""
        async with self._sessions.session(self._scope(caller)) as session:
            rows = await store.counts(session, store.as_of(as_of))
        return tuple(Count(body=body, kind=kind, status=status, assets=count) for body, kind, status, count in rows)

    def _scope(self, caller: Identity, body: str | None = None) -> frozenset[str]:
        """The bodies that the caller reads, or the one that is asked for if it is among them."""
        scope = caller.scope(self._bodies)
        return scope if body is None else scope & {body}


class Reading:
    """Differences read page by page, each in a transaction of its own, so that a long answer keeps no other waiting."""

    def __init__(
        self,
        sessions: Sessions,
        scope: Collection[str],
        since: datetime,
        until: datetime,
        kinds: Collection[What],
        wanted: store.Wanted,
    ) -> None:
        self._sessions = sessions
        self._scope = scope
        self._time = (since, until)
        self._kinds = kinds
        self._wanted = wanted

    async def page(self, after: UUID | None, limit: int) -> DifferencePage:
        async with self._sessions.session(self._scope) as session:
            rows = await store.differing(session, *self._time, self._kinds, self._wanted, after=after, limit=limit + 1)
            shown = rows[:limit]
            between: dict[UUID, list[Recorded]] = {}
            async for asset_id, recorded in store.between(session, [row.asset_id for row in shown], *self._time):
                between.setdefault(asset_id, []).append(recorded)
        return DifferencePage(
            items=tuple(_difference(row, between[row.asset_id]) for row in shown),
            next=shown[-1].asset_id if len(rows) > limit else None,
        )

    async def pages(self, after: UUID | None) -> AsyncIterator[DifferencePage]:
        """All of them, from `after` on."""
        more = True
        while more:
            page = await self.page(after, MOST_A_PAGE)
            yield page
            after, more = page.next, page.next is not None


def shown(row: store.Listed) -> dict[str, Any]:
    """What `registered` is as JSON, made without the models, which take several times as long; a test holds it to them."""
    state = row.state
    declared = {**_NO_LEVELS, **state["declared"]}
    return {**_NEITHER, **state, "declared": declared, "revision": row.revision, "updated_at": row.updated_at}


def _written(items: Sequence[Mapping[str, Any]], more: UUID | str | None) -> Response:
    return Response(to_json({"items": items, "next": more}), media_type="application/json")


async def _spans(session: AsyncSession, asset_ids: Collection[UUID]) -> dict[UUID, list[Span]]:
    reading: dict[UUID, Spans] = {}
    async for asset_id, telling in store.tellings(session, asset_ids):
        reading.setdefault(asset_id, Spans()).look(telling)
    return {asset_id: spans.all() for asset_id, spans in reading.items()}


def _recorded(row: RevisionRow, earlier: RevisionRow | None) -> RecordedRevision:
    fields = domain.changes(None if earlier is None else earlier.state, row.state)
    content: dict[str, Any] = {"revision": row.revision, "recorded_at": row.recorded_at, "asset": row.state}
    return RecordedRevision.model_validate(
        {**content, "change": row.change, "fields": [one._asdict() for one in fields]}
    )


def _related(kind: str, direction: Literal["to", "from"], asset_id: UUID, row: AssetRow | None) -> RelatedAsset:
    return RelatedAsset(type=kind, direction=direction, asset_id=asset_id, asset=registered(row) if row else None)


def _past(direction: str, other: UUID, row: AssetRow | None, span: Span) -> PastRelation:
    content: dict[str, Any] = {"type": span.type, "direction": direction, "asset_id": other}
    ends = {"since": _moment(span.since), "until": span.until and _moment(span.until)}
    return PastRelation.model_validate({**content, "name": row.name if row else None, **ends})


def _moment(by: Telling | Recorded) -> Mapping[str, Any]:
    return {"revision": by.revision, "recorded_at": by.recorded_at, "change": by.change}


def _difference(row: store.Difference, between: Sequence[Recorded]) -> Difference:
    fields = [
        {"field": one.field, "before": one.before, "after": one.after, **_moment(one.by)}
        for one in domain.differences(row.before, between)
    ]
    content = {"asset_id": row.asset_id, "what": domain.what(row.before, row.after), "asset": row.after or row.before}
    return Difference.model_validate({**content, "fields": fields})


def _place(after: str | None) -> store.Place | None:
    if after is None:
        return None
    rank, _, asset_id = after.partition("-")
    return store.Place(int(rank), UUID(asset_id))
