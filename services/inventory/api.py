# SPDX-License-Identifier: Apache-2.0
"""The doors over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, FastAPI, Header, Request, Response
from pydantic import BaseModel, SecretStr

from libs.bus import Caps, KafkaSettings
from libs.contracts import (
    EarlierScales,
    Feed,
    FeedItem,
    ProblemType,
    Profile,
)
from libs.contracts.words import Slug
from libs.observability import Metrics
from libs.observability.metrics import FEED_ITEMS
from libs.persistence import Sessions
from libs.security import FieldError, Guard, Identity, ProblemError, TokenVerifier
from libs.security import create_app as secured_app
from services.inventory import lines
from services.inventory.attachments.api import AttachmentApi
from services.inventory.calls import Feeder
from services.inventory.dead_letters.api import DeadLetterApi
from services.inventory.disposals.api import DisposalApi
from services.inventory.doors import DOORS, NDJSON, Delivery, Sent, UnreadableError
from services.inventory.doors.entering import (
    InSession,
    Version,
    as_problem,
    check_form,
    feed_of,
    in_session,
    media_type,
    numbered,
)
from services.inventory.doors.mapping import FeedMapping
from services.inventory.doors.netbox import signature_fits
from services.inventory.edits.api import EditApi
from services.inventory.intake import Intake, Receipt
from services.inventory.ledgers.api import LedgerApi
from services.inventory.ledgers.columns import ColumnsByFeed
from services.inventory.merges.api import MergeApi
from services.inventory.netbox_pull.api import PullApi
from services.inventory.receipts.api import ReceiptApi
from services.inventory.register.api import RegisterApi
from services.inventory.requests.api import RequestApi
from services.inventory.requests.desk import Desk
from services.inventory.rhythm.api import RhythmApi
from services.inventory.snapshots.api import SnapshotApi
from services.inventory.worker import PASSED_OVER, Clock

VERSION: Final = "1"


class Accepted(BaseModel):
    """What was accepted, in the order sent; `passed_over` counts objects that are no assets of the register."""

    receipts: tuple[Receipt, ...]
    passed_over: int = 0


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
        self.snapshots = SnapshotApi(sessions, intake, profile, clock)
        self.rhythm = RhythmApi(sessions, profile)
        self.ledgers = LedgerApi(sessions, intake, profile, earlier, columns or ColumnsByFeed(), clock)
        self.merges = MergeApi(sessions, profile, clock)
        self.register = RegisterApi(sessions, profile, clock)
        desk = Desk(sessions, profile, clock)
        self.edits = EditApi(sessions, profile, desk)
        self.requests = RequestApi(sessions, profile, desk, clock)
        self.disposals = DisposalApi(sessions, profile, desk)
        self.attachments = AttachmentApi(sessions, profile, clock)
        self.dead_letters = DeadLetterApi(sessions, profile, kafka, caps, clock, mappings)
        self._mappings = mappings
        self._intake = intake
        self._profile = profile
        self._clock = clock
        self._items = metrics.counter(FEED_ITEMS)

    def router(self, signed: SignedByFeed) -> APIRouter:
        router = APIRouter(prefix="/v1", tags=["inventory"])
        self._add_doors(router, signed)
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
        self,
        feed: Slug,
        request: Request,
        caller: Feeder,
        snapshot: InSession = None,
        traceparent: Annotated[str | None, Header()] = None,
    ) -> Accepted | Response:
        """Items in the plain feed format: `{"items": […]}`, at most 1,000, all of them or none; or as NDJSON, one a line.

        Lines are taken each for itself and answered in their order, as NDJSON: `{"line": 1, "receipt": {…}}`, or `{"line": 2, "errors": […]}`
        for one that is wrong. 202 where at least one was accepted, 422 where none was.
        """
        declared = feed_of(self._profile, feed, caller)
        if media_type(content_type := request.headers.get("content-type", "")) == NDJSON:
            check_form(declared, DOORS["items"].format, content_type, DOORS["items"].media)
            reader = lines.LineReader(declared, lambda item: _may_speak(item, declared, caller), snapshot)
            return await lines.take(request, reader, self._intake, traceparent)
        content = await lines.body_within(request, DOORS["items"].max_bytes)
        sent = Sent(content, declared, snapshot=snapshot)
        return await self._deliver("items", request, sent, traceparent, caller)

    async def records(
        self,
        feed: Slug,
        request: Request,
        caller: Feeder,
        version: Version = None,
        snapshot: InSession = None,
        traceparent: Annotated[str | None, Header()] = None,
    ) -> Accepted:
        """Records of any table, `{"records": [{…}, …]}`, at most 1,000, read by the feed's mapping: all of them or none.

        `version` is of records for which the mapping names none; without it the time counts, in microseconds.
        """
        sent = await self._unnumbered(feed, request, caller, version)
        return await self._deliver("records", request, sent._replace(snapshot=snapshot), traceparent, caller)

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
        self,
        feed: Slug,
        request: Request,
        caller: Feeder,
        snapshot: InSession = None,
        traceparent: Annotated[str | None, Header()] = None,
    ) -> Accepted:
        """Objects as NetBox's REST API lists them, `{"object_type": "dcim.device", "objects": […]}`: all of them or none."""
        sent = Sent(await request.body(), feed_of(self._profile, feed, caller), snapshot=snapshot)
        return await self._deliver("netbox/objects", request, sent, traceparent, caller)

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
        items = [in_session(item, sent.snapshot) for item in delivery.items]
        receipts = await self._intake.accept(items, traceparent)
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


def create_app(
    verifier: TokenVerifier, api: Api, profile: Profile, secrets: Mapping[str, SecretStr], metrics: Metrics
) -> FastAPI:
    """The service's application, without its health routes; does no I/O."""
    app = secured_app("Daicho inventory", verifier, version=VERSION, metrics=metrics)
    app.include_router(api.router(SignedByFeed(profile, secrets)))
    for part in (
        api.register,
        api.ledgers,
        api.receipts,
        api.pulls,
        api.snapshots,
        api.rhythm,
        api.merges,
        api.dead_letters,
    ):
        app.include_router(part.router())
    for by_hand in (api.edits, api.requests, api.disposals, api.attachments):
        app.include_router(by_hand.router())
    return app
