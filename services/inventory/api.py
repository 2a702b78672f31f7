# SPDX-License-Identifier: Apache-2.0
"""The doors over HTTP, and the register to read; a person's retirement of an asset."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, FastAPI, Header, Query, Request, Response
from pydantic import BaseModel, ConfigDict, SecretStr

from libs.bus import Caps, KafkaSettings
from libs.contracts import (
    Asset,
    AssetKind,
    AssetStatus,
    Change,
    EarlierScales,
    Feed,
    FeedItem,
    ProblemType,
    Profile,
)
from libs.contracts.words import RelationType, ShortText, Slug
from libs.observability import Metrics
from libs.observability.metrics import FEED_ITEMS
from libs.persistence import Sessions, driver_of
from libs.security import FieldError, Guard, Identity, ProblemError, Role, TokenVerifier, authenticated
from libs.security import create_app as secured_app
from libs.security.preconditions import check_match, etag_of, required
from services.inventory import lines, store
from services.inventory.dead_letters.api import DeadLetterApi
from services.inventory.domain import Part, Register
from services.inventory.doors import DOORS, NDJSON, Delivery, Sent, UnreadableError
from services.inventory.doors.entering import Version, as_problem, check_form, feed_of, media_type, numbered
from services.inventory.doors.mapping import FeedMapping
from services.inventory.doors.netbox import signature_fits
from services.inventory.idempotency import Attempt
from services.inventory.intake import Intake, Receipt
from services.inventory.ledgers.api import LedgerApi
from services.inventory.ledgers.columns import ColumnsByFeed
from services.inventory.merges.api import MergeApi
from services.inventory.netbox_pull.api import PullApi
from services.inventory.receipts.api import ReceiptApi
from services.inventory.worker import PASSED_OVER, Clock

VERSION: Final = "1"
MOST_A_PAGE: Final = 500

Reader = Annotated[Identity, Depends(authenticated(Role.READER))]
Feeder = Annotated[Identity, Depends(authenticated(Role.FEEDER))]
Editor = Annotated[Identity, Depends(authenticated(Role.EDITOR))]
Limit = Annotated[int, Query(ge=1, le=MOST_A_PAGE)]


class Accepted(BaseModel):
    """What was accepted, in the order sent; `passed_over` counts objects that are no assets of the register."""

    receipts: tuple[Receipt, ...]
    passed_over: int = 0


class RegisteredAsset(Asset):
    """An asset with its revision, and when that was recorded."""

    revision: int
    updated_at: datetime


class AssetPage(BaseModel):
    """Give `next` as `after` for the page that follows; None on the last one."""

    items: tuple[RegisteredAsset, ...]
    next: UUID | None


class RecordedRevision(BaseModel):
    """One revision: the asset as it was from then on, and who or what made it so."""

    revision: int
    recorded_at: datetime
    asset: Asset
    change: Change


class History(BaseModel):
    """The newest first; give `next` as `before` for the page that follows."""

    items: tuple[RecordedRevision, ...]
    next: int | None


class RelatedAsset(BaseModel):
    """A neighbour; `asset` is None where it is not in the register yet, or is another body's."""

    type: RelationType
    direction: Literal["to", "from"]
    asset_id: UUID
    asset: RegisteredAsset | None


class Retirement(BaseModel):
    """Why a person retires an asset."""

    model_config = ConfigDict(extra="forbid")

    reason: ShortText


class Count(BaseModel):
    """How many assets there are of one body, kind and status."""

    body: Slug
    kind: AssetKind
    status: AssetStatus
    assets: int


class SignedByFeed(Guard):
    """Lets a webhook pass only if it is signed with its feed's secret (NetBox, `X-Hook-Signature`)."""

    def __init__(self, profile: Profile, secrets: Mapping[str, SecretStr]) -> None:
        self._feeds = profile.feed_by_id
        self._secrets = secrets

    async def __call__(
        self, feed: Slug, request: Request, x_hook_signature: Annotated[str | None, Header()] = None
    ) -> tuple[Feed, bytes]:
        content = await request.body()
        secret = self._secrets.get(feed)
        known = self._feeds.get(feed)
        if known is None or secret is None or not signature_fits(content, secret.get_secret_value(), x_hook_signature):
            raise ProblemError(ProblemType.SIGNATURE, "inventory.signature")
        return known, content


class Api:
    """The routes, over what they need."""

    def __init__(
        self,
        sessions: Sessions,
        intake: Intake,
        profile: Profile,
        earlier: EarlierScales,
        kafka: KafkaSettings,
        clock: Clock,
        metrics: Metrics,
        *,
        caps: Caps = Caps(),  # noqa: B008 - it is frozen
        columns: ColumnsByFeed | None = None,
        mappings: Mapping[str, FeedMapping] = MappingProxyType({}),
    ) -> None:
        self.receipts = ReceiptApi(sessions, profile)
        self.pulls = PullApi(sessions, profile, clock)
        self.ledgers = LedgerApi(sessions, intake, profile, earlier, columns or ColumnsByFeed(), clock)
        self.merges = MergeApi(sessions, profile, clock)
        self.dead_letters = DeadLetterApi(sessions, profile, kafka, caps, clock, mappings)
        self._mappings = mappings
        self._sessions = sessions
        self._intake = intake
        self._profile = profile
        self._clock = clock
        self._items = metrics.counter(FEED_ITEMS)
        self._bodies = frozenset(profile.body_by_id)

    def router(self, signed: SignedByFeed) -> APIRouter:
        router = APIRouter(prefix="/v1", tags=["inventory"])
        self._add_doors(router, signed)
        router.get("/assets")(self.assets)
        router.get("/assets/{asset_id}")(self.asset)
        router.get("/assets/{asset_id}/history")(self.history)
        router.get("/assets/{asset_id}/relations")(self.relations)
        router.post("/assets/{asset_id}/retire")(self.retire)
        router.get("/summary")(self.summary)
        return router

    def _add_doors(self, router: APIRouter, signed: SignedByFeed) -> None:
        async def netbox(
            request: Request,
            sent: tuple[Feed, bytes] = Depends(signed),
            traceparent: Annotated[str | None, Header()] = None,
        ) -> Accepted:
            """A webhook as NetBox sends it; answered alike, with no receipt, where it is of an object that the register does not keep."""
            feed, content = sent
            return await self._deliver("netbox", request, Sent(content, feed), traceparent)

        routes: dict[str, Callable[..., Any]] = {
            "netbox": netbox,
            "netbox/objects": self.netbox_objects,
            "items": self.items,
            "records": self.records,
            "glpi": self.glpi,
        }
        for door, route in routes.items():
            add = router.post(
                f"/feeds/{{feed}}/{door}",
                status_code=202,
                openapi_extra=_takes(door),
                response_model=Accepted,
                max_body_size=lines.MAX_BYTES if NDJSON in DOORS[door].media else DOORS[door].max_bytes,
            )
            add(route)

    async def items(
        self, feed: Slug, request: Request, caller: Feeder, traceparent: Annotated[str | None, Header()] = None
    ) -> Accepted | Response:
        """Items in the plain feed format: `{"items": […]}`, at most 1,000, all of them or none; or as NDJSON, one a line.

        Lines are taken each for itself and answered in their order, as NDJSON: `{"line": 1, "receipt": {…}}`, or `{"line": 2, "errors": […]}`
        for one that is wrong. 202 where at least one was accepted, 422 where none was.
        """
        declared = feed_of(self._profile, feed, caller)
        if media_type(content_type := request.headers.get("content-type", "")) == NDJSON:
            check_form(declared, DOORS["items"].format, content_type, DOORS["items"].media)
            reader = lines.LineReader(declared, lambda item: _may_speak(item, declared, caller))
            return await lines.take(request, reader, self._intake, traceparent)
        sent = Sent(await lines.body_within(request, DOORS["items"].max_bytes), declared)
        return await self._deliver("items", request, sent, traceparent, caller)

    async def records(
        self,
        feed: Slug,
        request: Request,
        caller: Feeder,
        version: Version = None,
        traceparent: Annotated[str | None, Header()] = None,
    ) -> Accepted:
        """Records of any table, `{"records": [{…}, …]}`, at most 1,000, read by the feed's mapping: all of them or none.

        `version` is of records for which the mapping names none; without it the time counts, in microseconds.
        """
        sent = await self._unnumbered(feed, request, caller, version)
        return await self._deliver("records", request, sent, traceparent, caller)

    async def glpi(
        self,
        feed: Slug,
        request: Request,
        caller: Feeder,
        version: Version = None,
        traceparent: Annotated[str | None, Header()] = None,
    ) -> Accepted:
        """An inventory in GLPI's JSON format, whole or partial: the machine, and the virtual machines that it names; all or none.

        An inventory does not say when it was made: without `version` the time counts, in microseconds.
        """
        sent = await self._unnumbered(feed, request, caller, version)
        return await self._deliver("glpi", request, sent, traceparent, caller)

    async def _unnumbered(self, feed: Slug, request: Request, caller: Identity, version: int | None) -> Sent:
        """What may bear no version, of a feed that a mapping may read."""
        declared = feed_of(self._profile, feed, caller)
        return Sent(await request.body(), declared, numbered(version, self._clock()), self._mappings.get(feed))

    async def netbox_objects(
        self, feed: Slug, request: Request, caller: Feeder, traceparent: Annotated[str | None, Header()] = None
    ) -> Accepted:
        """Objects as NetBox's REST API lists them, `{"object_type": "dcim.device", "objects": […]}`: all of them or none."""
        sent = Sent(await request.body(), feed_of(self._profile, feed, caller))
        return await self._deliver("netbox/objects", request, sent, traceparent, caller)

    async def assets(
        self,
        caller: Reader,
        body: Slug | None = None,
        kind: AssetKind | None = None,
        status: AssetStatus | None = None,
        name: Annotated[str | None, Query(max_length=100)] = None,
        after: UUID | None = None,
        limit: Limit = 100,
    ) -> AssetPage:
        """Assets by id; `name` finds a part of it."""
        async with self._sessions.session(caller.scope(self._bodies)) as session:
            rows = await store.assets(
                session, after=after, limit=limit + 1, body=body, kind=kind, status=status, name=name
            )
        more = len(rows) > limit
        return AssetPage(
            items=tuple(_registered(row) for row in rows[:limit]), next=rows[limit - 1].asset_id if more else None
        )

    async def asset(self, asset_id: UUID, caller: Reader, response: Response) -> RegisteredAsset:
        """One asset; `ETag` is what `If-Match` of a change asks for."""
        async with self._sessions.session(caller.scope(self._bodies)) as session:
            row = _there(await store.asset_of(session, asset_id))
        return _with_etag(_registered(row), response)

    async def history(
        self,
        asset_id: UUID,
        caller: Reader,
        before: Annotated[int | None, Query(ge=1, le=2**63 - 1)] = None,
        limit: Limit = 100,
    ) -> History:
        """Every revision, with who or what made it."""
        async with self._sessions.session(caller.scope(self._bodies)) as session:
            rows = await store.revisions_of(session, asset_id, before=before, limit=limit + 1)
        if not rows:
            _there(None)
        return History(
            items=tuple(_recorded(row) for row in rows[:limit]),
            next=rows[limit - 1].revision if len(rows) > limit else None,
        )

    async def relations(self, asset_id: UUID, caller: Reader, limit: Limit = 100) -> tuple[RelatedAsset, ...]:
        """The asset's neighbours, both ways; those that point at it only as far as they are the caller's to see."""
        async with self._sessions.session(caller.scope(self._bodies)) as session:
            row = _there(await store.asset_of(session, asset_id))
            targets = [(relation["type"], UUID(relation["asset_id"])) for relation in row.relations or ()]
            known = await store.named(session, (target for _, target in targets))
            pointing = await store.related_to(session, asset_id, limit)
        out = [_related(kind, "to", target, known.get(target)) for kind, target in targets]
        into = [
            _related(relation["type"], "from", other.asset_id, other)
            for other in pointing
            for relation in other.relations or ()
            if relation["asset_id"] == str(asset_id)
        ]
        return (*out, *into)

    async def retire(
        self,
        asset_id: UUID,
        retirement: Retirement,
        caller: Editor,
        response: Response,
        attempt: Annotated[Attempt, Depends(Attempt)],
        if_match: Annotated[str | None, Header()] = None,
    ) -> RegisteredAsset:
        """A person retires an asset; it stays in the register with its history. With `Idempotency-Key` it may be sent again."""
        given = required(if_match)
        async with self._sessions.session(caller.scope(self._bodies)) as session:
            row = _there(await store.asset_of(session, asset_id))
            answered = await attempt.answered(session, caller, row.body, self._clock())
            if answered is not None:
                return _with_etag(RegisteredAsset.model_validate(answered), response)
            connection = await driver_of(session)
            await store.enter(connection, caller.scope(self._bodies), [row.state["network"]])
            # again, now that nobody else can change it
            await session.refresh(row)
            check_match(given, row.revision)
            register = Register(self._profile, await store.concerned(connection, [str(asset_id)]))
            register.add(Part(targets=await store.targets_under(connection, register.named())))
            gone = register.retire(str(asset_id), caller.subject, retirement.reason)
            await store.write_move(connection, self._profile, register, gone, self._clock())
            await session.refresh(row)
            attempt.keep(session, _registered(row).model_dump(mode="json"))
        return _with_etag(_registered(row), response)

    async def summary(self, caller: Reader) -> tuple[Count, ...]:
        """Counts by body, kind and status."""
        async with self._sessions.session(caller.scope(self._bodies)) as session:
            rows = await store.counts(session)
        return tuple(Count(body=body, kind=kind, status=status, assets=count) for body, kind, status, count in rows)

    async def _deliver(
        self, door: str, request: Request, sent: Sent, traceparent: str | None, caller: Identity | None = None
    ) -> Accepted:
        """`caller` None: a signature stands for the feed and all its bodies."""
        form, media = DOORS[door].format, DOORS[door].media
        check_form(sent.feed, form, request.headers.get("content-type", ""), media)
        try:
            delivery = DOORS[door].read(sent)
        except UnreadableError as error:
            raise as_problem(error) from None
        self._check_bodies(delivery, sent.feed, caller)
        receipts = await self._intake.accept(delivery.items, traceparent)
        self._items.labels(sent.feed.id, PASSED_OVER).inc(delivery.passed_over)
        return Accepted(receipts=tuple(receipts), passed_over=delivery.passed_over)

    def _check_bodies(self, delivery: Delivery, feed: Feed, caller: Identity | None) -> None:
        strangers = [
            FieldError(f"/items/{position}/body", "inventory.not_your_body", feed=feed.id)
            for position, item in enumerate(delivery.items)
            if not _may_speak(item, feed, caller)
        ]
        if strangers:
            raise ProblemError(ProblemType.FORBIDDEN, "inventory.not_your_body", feed=feed.id, errors=strangers)


def _takes(door: str) -> dict[str, Any]:
    """The body as OpenAPI tells it: a door reads it itself, byte for byte."""
    form = DOORS[door].form.model_json_schema(ref_template="#/components/schemas/{model}")
    # what it is made of has a place in the document already
    form.pop("$defs", None)
    return {
        "requestBody": {
            "required": True,
            "content": {
                media: {"schema": {"type": "string"} if media == NDJSON else form}
                for media in sorted(DOORS[door].media)
            },
        }
    }


def _may_speak(item: FeedItem, feed: Feed, caller: Identity | None) -> bool:
    return item.body in feed.bodies and (caller is None or caller.may_feed(feed.id, item.body))


def _there(row: store.AssetRow | None) -> store.AssetRow:
    if row is None:
        raise ProblemError(ProblemType.NOT_FOUND, "inventory.not_found")
    return row


def _registered(row: store.AssetRow) -> RegisteredAsset:
    return RegisteredAsset.model_validate({**row.state, "revision": row.revision, "updated_at": row.updated_at})


def _with_etag(asset: RegisteredAsset, response: Response) -> RegisteredAsset:
    response.headers["ETag"] = etag_of(asset.revision)
    return asset


def _recorded(row: store.RevisionRow) -> RecordedRevision:
    content: dict[str, Any] = {"revision": row.revision, "recorded_at": row.recorded_at}
    return RecordedRevision.model_validate({**content, "asset": row.state, "change": row.change})


def _related(kind: str, direction: Literal["to", "from"], asset_id: UUID, row: store.AssetRow | None) -> RelatedAsset:
    return RelatedAsset(type=kind, direction=direction, asset_id=asset_id, asset=_registered(row) if row else None)


def create_app(
    verifier: TokenVerifier, api: Api, profile: Profile, secrets: Mapping[str, SecretStr], metrics: Metrics
) -> FastAPI:
    """The service's application, without its health routes; does no I/O."""
    app = secured_app("Daicho inventory", verifier, version=VERSION, metrics=metrics)
    app.include_router(api.router(SignedByFeed(profile, secrets)))
    for part in (api.ledgers, api.receipts, api.pulls, api.merges, api.dead_letters):
        app.include_router(part.router())
    return app
