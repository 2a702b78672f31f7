# SPDX-License-Identifier: Apache-2.0
"""The doors over HTTP, and the register to read; a person's retirement of an asset; the dead letters."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from aiokafka.errors import KafkaError, ProducerFenced
from fastapi import APIRouter, Depends, FastAPI, Header, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from libs.bus import KafkaSettings, parked_letters, release_key
from libs.catalogue import text_pair
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
    Reason,
    Text,
    make_key,
    parse_key,
)
from libs.contracts.topics import FEED
from libs.contracts.words import LevelCode, RelationType, ShortText, Slug
from libs.observability import Metrics
from libs.observability.metrics import FEED_ITEMS
from libs.persistence import Sessions, driver_of
from libs.security import FieldError, Guard, Identity, ProblemError, Role, TokenVerifier, authenticated
from libs.security import create_app as secured_app
from libs.security.preconditions import check_match, etag_of, required
from services.inventory import store
from services.inventory.domain import Part, Register, Source
from services.inventory.doors import DOORS, Delivery, Door, Sent, Undecided, UnreadableError
from services.inventory.doors.netbox import signature_fits
from services.inventory.intake import Intake, Receipt, Ticket
from services.inventory.merges.api import MergeApi
from services.inventory.worker import GROUP, PASSED_OVER, Clock

VERSION: Final = "1"
MOST_A_PAGE: Final = 500

Reader = Annotated[Identity, Depends(authenticated(Role.READER))]
Feeder = Annotated[Identity, Depends(authenticated(Role.FEEDER))]
Editor = Annotated[Identity, Depends(authenticated(Role.EDITOR))]
Operator = Annotated[Identity, Depends(authenticated(Role.OPERATOR))]
Limit = Annotated[int, Query(ge=1, le=MOST_A_PAGE)]


class Decision(BaseModel):
    """What a person has to decide: the cell (`/rows/<row>/<column>`) has a level of an earlier scale that may be any of `choices`.

    Until the ledger says which, the asset is declared at the last of them, the highest. `decide` says by what to choose.
    """

    field: str
    choices: tuple[LevelCode, ...]
    detail: Text
    decide: Text


class Accepted(BaseModel):
    """What was accepted, in the order sent; `passed_over` counts objects that are no assets of the register."""

    receipts: tuple[Receipt, ...]
    passed_over: int = 0
    decisions: tuple[Decision, ...] = ()


class ItemOutcome(BaseModel):
    """What became of an accepted item.

    `pending`: not looked at yet. `applied`: this version made `revision`, now or when it was sent before. `parked`: put aside with all of its key, for `reason`, until released.
    `ignored`: an older version, or nothing new.
    """

    status: Literal["pending", "applied", "parked", "ignored"]
    revision: int | None = None
    reason: Reason | None = None


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


class ParkedKey(BaseModel):
    """A key whose records wait for a release."""

    topic: str
    key: str
    reason: Reason
    parked_at: datetime


class DeadLetters(BaseModel):
    """What waits, by reason and by body (`-` where the body is not known), and the keys parked, the longest first."""

    by_reason: Mapping[Reason, int]
    by_body: Mapping[str, Mapping[Reason, int]]
    parked: tuple[ParkedKey, ...]


class KeyToRelease(BaseModel):
    """A parked key, as it stands on its topic."""

    model_config = ConfigDict(extra="forbid")

    topic: Annotated[str, Field(max_length=249)] = FEED.name
    key: Annotated[str, Field(min_length=1, max_length=1000)]


class Released(BaseModel):
    """How many records went back to their topic."""

    records: int


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
    ) -> None:
        self._sessions = sessions
        self._intake = intake
        self._profile = profile
        self._earlier = earlier
        self._kafka = kafka
        self._clock = clock
        self._items = metrics.counter(FEED_ITEMS)
        self._bodies = frozenset(profile.body_by_id)

    def router(self, signed: SignedByFeed) -> APIRouter:
        router = APIRouter(prefix="/v1", tags=["inventory"])
        self._add_doors(router, signed)
        router.get("/receipts/{receipt_id}")(self.receipt)
        router.get("/assets")(self.assets)
        router.get("/assets/{asset_id}")(self.asset)
        router.get("/assets/{asset_id}/history")(self.history)
        router.get("/assets/{asset_id}/relations")(self.relations)
        router.post("/assets/{asset_id}/retire")(self.retire)
        router.get("/summary")(self.summary)
        router.get("/dead-letters")(self.dead_letters)
        router.post("/dead-letters/release", status_code=202)(self.release)
        return router

    def merges(self) -> MergeApi:
        """The routes by which people merge and split assets."""
        return MergeApi(self._sessions, self._profile, self._clock)

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
            "ledger": self.ledger,
        }
        for door, route in routes.items():
            add = router.post(
                f"/feeds/{{feed}}/{door}",
                status_code=202,
                openapi_extra=_takes(door),
                max_body_size=DOORS[door].max_bytes,
            )
            add(route)

    async def items(
        self, feed: Slug, request: Request, caller: Feeder, traceparent: Annotated[str | None, Header()] = None
    ) -> Accepted:
        """Items in the plain feed format, `{"items": […]}`, at most 1,000: all of them or none."""
        sent = Sent(await request.body(), self._feed(feed, caller))
        return await self._deliver("items", request, sent, traceparent, caller)

    async def netbox_objects(
        self, feed: Slug, request: Request, caller: Feeder, traceparent: Annotated[str | None, Header()] = None
    ) -> Accepted:
        """Objects as NetBox's REST API lists them, `{"object_type": "dcim.device", "objects": […]}`: all of them or none."""
        sent = Sent(await request.body(), self._feed(feed, caller))
        return await self._deliver("netbox/objects", request, sent, traceparent, caller)

    async def ledger(
        self,
        feed: Slug,
        body: Slug,
        request: Request,
        caller: Feeder,
        version: Annotated[int | None, Query(ge=0, le=2**63 - 1)] = None,
        traceparent: Annotated[str | None, Header()] = None,
    ) -> Accepted:
        """A ledger of one body as CSV, in UTF-8 or cp932: all rows or none. Without `version` the time counts, in microseconds."""
        declared = self._feed(feed, caller)
        if body not in declared.bodies or not caller.may_feed(feed, body):
            raise ProblemError(ProblemType.FORBIDDEN, "inventory.not_your_body", feed=feed)
        numbered = int(self._clock().timestamp() * 1_000_000) if version is None else version
        sent = Sent(await request.body(), declared, body, numbered, self._earlier)
        return await self._deliver("ledger", request, sent, traceparent, caller)

    async def receipt(self, receipt_id: Annotated[str, Path(max_length=2000)], caller: Feeder) -> ItemOutcome:
        """What became of an accepted item."""
        try:
            ticket = Ticket.read(receipt_id)
        except ValueError:
            raise ProblemError(ProblemType.NOT_FOUND, "inventory.receipt_not_found") from None
        if ticket.body not in self._bodies or not caller.may_feed(ticket.feed, ticket.body):
            raise ProblemError(ProblemType.NOT_FOUND, "inventory.receipt_not_found")
        async with self._sessions.session(caller.scope(self._bodies)) as session:
            if await store.next_offset(session, GROUP, FEED.name, ticket.partition) <= ticket.offset:
                return ItemOutcome(status="pending")
            source = Source(ticket.feed, ticket.source_key)
            revision = await store.revision_by(session, source, ticket.source_version)
            if revision is not None:
                return ItemOutcome(status="applied", revision=revision)
            key = make_key(self._profile.network_of(ticket.body), ticket.body, *source)
            parked = await store.parked_key(session, GROUP, FEED.name, key)
        return ItemOutcome(status="parked", reason=Reason(parked.reason)) if parked else ItemOutcome(status="ignored")

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
        response.headers["ETag"] = etag_of(row.revision)
        return _registered(row)

    async def history(
        self, asset_id: UUID, caller: Reader, before: Annotated[int | None, Query(ge=1)] = None, limit: Limit = 100
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
        if_match: Annotated[str | None, Header()] = None,
    ) -> RegisteredAsset:
        """A person retires an asset; it stays in the register with its history."""
        given = required(if_match)
        async with self._sessions.session(caller.scope(self._bodies)) as session:
            row = _there(await store.asset_of(session, asset_id))
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
        response.headers["ETag"] = etag_of(row.revision)
        return _registered(row)

    async def summary(self, caller: Reader) -> tuple[Count, ...]:
        """Counts by body, kind and status."""
        async with self._sessions.session(caller.scope(self._bodies)) as session:
            rows = await store.counts(session)
        return tuple(Count(body=body, kind=kind, status=status, assets=count) for body, kind, status, count in rows)

    async def dead_letters(self, caller: Operator, limit: Limit = 100) -> DeadLetters:
        """What waits to be released."""
        async with _broker():
            letters = await parked_letters(self._kafka, consumer=GROUP)
        reasons = [
            (body, letter.letter.reason) for letter in letters if caller.may_read(body := self._body_of(letter.key))
        ]
        by_body: dict[str, Counter[Reason]] = {}
        for body, reason in reasons:
            by_body.setdefault(body, Counter())[reason] += 1
        async with self._sessions.session(()) as session:
            parked = await store.parked_keys(session, GROUP, limit)
        return DeadLetters(
            by_reason=Counter(reason for _, reason in reasons),
            by_body=by_body,
            parked=tuple(
                ParkedKey(topic=row.topic, key=row.key.decode(), reason=Reason(row.reason), parked_at=row.parked_at)
                for row in parked
                if caller.may_read(self._body_of(row.key))
            ),
        )

    async def release(self, wanted: KeyToRelease, caller: Operator) -> Released:
        """Send the records of a parked key back to their topic, in their order."""
        key = wanted.key.encode()
        async with self._sessions.session(()) as session:
            row = await store.parked_key(session, GROUP, wanted.topic, key)
        if row is None or not caller.may_read(self._body_of(key)):
            raise ProblemError(ProblemType.NOT_FOUND, "inventory.not_parked")
        async with _broker():
            count = await release_key(
                self._kafka,
                GROUP,
                wanted.topic,
                key,
                caller.subject,
                municipality=self._profile.municipality,
                clock=self._clock,
            )
        return Released(records=count)

    def _body_of(self, key: bytes | None) -> str:
        try:
            body = parse_key(key or b"").body
        except ValueError:
            return "-"
        return body if body in self._bodies else "-"

    def _feed(self, feed: str, caller: Identity) -> Feed:
        known = self._profile.feed_by_id.get(feed)
        if known is None or feed not in caller.feeds:
            raise ProblemError(ProblemType.FORBIDDEN, "inventory.not_your_feed", feed=feed)
        return known

    async def _deliver(
        self, door: str, request: Request, sent: Sent, traceparent: str | None, caller: Identity | None = None
    ) -> Accepted:
        """`caller` None: a signature stands for the feed and all its bodies."""
        _check_door(DOORS[door], sent.feed, request.headers.get("content-type", ""))
        try:
            delivery = DOORS[door].read(sent)
        except UnreadableError as error:
            raise _unreadable(error) from None
        self._check_bodies(delivery, sent.feed, caller)
        receipts = await self._intake.accept(delivery.items, traceparent)
        self._items.labels(sent.feed.id, PASSED_OVER).inc(delivery.passed_over)
        decisions = tuple(map(_decision, delivery.undecided))
        return Accepted(receipts=tuple(receipts), passed_over=delivery.passed_over, decisions=decisions)

    def _check_bodies(self, delivery: Delivery, feed: Feed, caller: Identity | None) -> None:
        strangers = [
            FieldError(f"/items/{position}/body", "inventory.not_your_body", feed=feed.id)
            for position, item in enumerate(delivery.items)
            if not _may_speak(item, feed, caller)
        ]
        if strangers:
            raise ProblemError(ProblemType.FORBIDDEN, "inventory.not_your_body", feed=feed.id, errors=strangers)


@asynccontextmanager
async def _broker() -> AsyncIterator[None]:
    """What the dead letters' topic is asked, told as problems where it cannot be had."""
    try:
        yield
    except ProducerFenced:
        raise ProblemError(ProblemType.CONFLICT, "inventory.released_meanwhile") from None
    except (KafkaError, OSError) as error:
        raise ProblemError(ProblemType.BUSY, "inventory.broker_busy", headers={"Retry-After": "5"}) from error


def _check_door(door: Door, feed: Feed, content_type: str) -> None:
    if feed.format != door.format:
        raise ProblemError(ProblemType.CONFLICT, "inventory.wrong_door", feed=feed.id, format=feed.format)
    if content_type.partition(";")[0].strip().lower() not in door.media:
        raise ProblemError(ProblemType.UNSUPPORTED_MEDIA, "inventory.media", expected=", ".join(sorted(door.media)))


def _takes(door: str) -> dict[str, Any]:
    """The body as OpenAPI tells it: a door reads it itself, byte for byte."""
    kind = "string" if door == "ledger" else "object"
    return {
        "requestBody": {
            "required": True,
            "content": {media: {"schema": {"type": kind}} for media in sorted(DOORS[door].media)},
        }
    }


def _may_speak(item: FeedItem, feed: Feed, caller: Identity | None) -> bool:
    return item.body in feed.bodies and (caller is None or caller.may_feed(feed.id, item.body))


def _unreadable(error: UnreadableError) -> ProblemError:
    errors = [FieldError(fault.field, fault.key, **fault.args) for fault in error.faults]
    status = 400 if error.malformed else None
    return ProblemError(ProblemType.INVALID, "problems.invalid", status=status, errors=errors, count=len(error.faults))


def _decision(undecided: Undecided) -> Decision:
    field, earlier, choices, decide = undecided
    detail = text_pair(
        "inventory.ledger.earlier_level", earlier=earlier, declared=choices[-1], choices=" / ".join(choices)
    )
    return Decision(field=field, choices=choices, detail=detail, decide=decide)


def _there(row: store.AssetRow | None) -> store.AssetRow:
    if row is None:
        raise ProblemError(ProblemType.NOT_FOUND, "inventory.not_found")
    return row


def _registered(row: store.AssetRow) -> RegisteredAsset:
    return RegisteredAsset.model_validate({**row.state, "revision": row.revision, "updated_at": row.updated_at})


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
    app.include_router(api.merges().router())
    return app
