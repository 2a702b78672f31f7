# SPDX-License-Identifier: Apache-2.0
"""What stands between the doors and `daicho.feed.v1`: an item is accepted when the broker has it, and not before."""

from __future__ import annotations

import asyncio
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final, NamedTuple, TypeAlias

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import to_json

from libs.bus import KafkaSettings, NetworkPartitioner
from libs.bus.waiting import within
from libs.contracts import (
    FeedItem,
    FeedItemSubmitted,
    FeedSnapshotMarked,
    ProblemType,
    Profile,
    SnapshotMark,
    kafka_headers,
    make_key,
    source_urn,
)
from libs.contracts.topics import FEED, MAX_VALUE_BYTES
from libs.observability import ProbeResult, child_of
from libs.security import FieldError, ProblemError
from services.inventory.backpressure import SOON, Bounds, Gate
from services.inventory.snapshots.domain import OF_NO_BODY, key_of_mark
from services.inventory.worker import Clock

FeedEvent: TypeAlias = FeedItemSubmitted | FeedSnapshotMarked

PATIENCE: Final = 10.0
"""Seconds in which the broker must have taken a delivery."""
_STOP_PATIENCE: Final = 3.0

_log = structlog.get_logger(__name__)


class Ticket(NamedTuple):
    """Where an accepted item stands, and which it is. A receipt's id is made of it, so that nothing need be kept for it."""

    partition: int
    offset: int
    body: str
    feed: str
    source_key: str
    source_version: int

    def text(self) -> str:
        """The id."""
        return urlsafe_b64encode(to_json(self)).decode().rstrip("=")

    @classmethod
    def read(cls, text: str) -> Ticket:
        """Raises ValueError for an id that was never given."""
        try:
            return _TICKET.validate_json(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        except (ValidationError, ValueError) as error:
            raise ValueError("no receipt has this id") from error


_TICKET: Final = TypeAdapter(Ticket)


class Receipt(BaseModel):
    """That an item was accepted, and where it stands; `GET /v1/receipts/{id}` tells what became of it."""

    id: str
    topic: str = FEED.name
    partition: int
    offset: int

    @classmethod
    def of(cls, ticket: Ticket) -> Receipt:
        return cls(id=ticket.text(), partition=ticket.partition, offset=ticket.offset)


class Intake:
    """Writes items to the feed topic, over a producer that connects when first needed and anew after an error.

    It is its own `Probe`: well while the broker answers.
    """

    name = "intake"

    def __init__(
        self,
        kafka: KafkaSettings,
        profile: Profile,
        clock: Clock,
        patience: float = PATIENCE,
        gate: Gate | None = None,
    ) -> None:
        self._gate = gate or Gate(Bounds(), clock)
        self._kafka = kafka
        self._profile = profile
        self._clock = clock
        self._patience = patience
        self._producer: AIOKafkaProducer | None = None
        self._connecting = asyncio.Lock()

    async def stop(self) -> None:
        """Close the producer; the next item makes another."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await within(producer.stop(), _STOP_PATIENCE)

    async def check(self) -> ProbeResult:
        try:
            producer = await self._connected()
            await producer.client.fetch_all_metadata()
        except (KafkaError, OSError):
            return ProbeResult(ok=False, code="broker")
        return ProbeResult(ok=True, measures={"waiting": float(self._gate.waiting)})

    async def accept(self, items: Sequence[FeedItem], traceparent: str | None) -> list[Receipt]:
        """Returns when the broker has every item. Raises ProblemError: 422 for an item too large to be read again, with nothing
        written; 429 or 503 with `Retry-After` where they cannot be kept (`Gate`), or where the broker does not take them in time.

        Some may then have been taken: to send them again does no harm, for a version counts once.
        """
        if not items:
            return []
        now = self._clock()
        events = [submission(self._profile, item, now, child_of(traceparent)) for item in items]
        places = await self._put(events)
        return [
            Receipt.of(
                Ticket(place.partition, place.offset, item.body, item.feed, item.source_key, item.source_version)
            )
            for item, place in zip(items, places, strict=True)
        ]

    async def mark(self, marks: Sequence[SnapshotMark], traceparent: str | None) -> None:
        """Write where a feed's snapshot begins or ends, behind all that was accepted before; as `accept`."""
        now = self._clock()
        await self._put([marked(self._profile, mark, now, child_of(traceparent)) for mark in marks])

    async def _put(self, events: Sequence[FeedEvent]) -> list[Any]:
        feed, values = events[0].data.feed, [value_of(event) for event in events]
        _check_sizes(values)
        self._gate.enter(feed, [len(value) for value in values])
        try:
            places = await self._written(events, values)
        except (KafkaError, OSError, TimeoutError) as error:
            _log.warning("feed topic takes nothing", error=type(error).__name__)
            if not isinstance(error, TimeoutError):
                await self.stop()
            raise ProblemError(ProblemType.BUSY, "inventory.broker_busy", headers={"Retry-After": SOON}) from error
        self._gate.backlog.add(feed, [(place.partition, place.offset) for place in places])
        return places

    async def _written(self, events: Sequence[FeedEvent], values: Sequence[bytes]) -> list[Any]:
        sent: list[asyncio.Future[Any]] = []
        async with asyncio.timeout(self._patience):
            try:
                producer = await self._connected()
                for event, value in zip(events, values, strict=True):
                    sent.append(await self._send(producer, event, value))
            finally:
                for event, value in zip(events[len(sent) :], values[len(sent) :], strict=True):
                    self._gate.leave(event.data.feed, len(value))
            # not `gather`, which would take back what is on its way
            await asyncio.wait(sent)
        return [future.result() for future in sent]

    async def _connected(self) -> AIOKafkaProducer:
        async with self._connecting:
            if self._producer is None:
                producer = AIOKafkaProducer(
                    **self._kafka.client(),
                    client_id="inventory-intake",
                    partitioner=NetworkPartitioner(),
                    enable_idempotence=True,
                    max_request_size=FEED.max_record_bytes,
                    request_timeout_ms=int(self._patience * 1000),
                )
                try:
                    await producer.start()
                except BaseException:
                    await within(producer.stop(), _STOP_PATIENCE)
                    raise
                self._producer = producer
            return self._producer

    async def _send(self, producer: AIOKafkaProducer, event: FeedEvent, value: bytes) -> asyncio.Future[Any]:
        key = key_of(event)
        future: asyncio.Future[Any] = await producer.send(FEED.name, key=key, value=value, headers=kafka_headers(event))
        future.add_done_callback(partial(self._arrived, event.data.feed, len(value)))
        return future

    def _arrived(self, feed: str, size: int, future: asyncio.Future[Any]) -> None:
        self._gate.leave(feed, size)
        # the caller may have given up on it: an error that nobody reads is no error
        if not future.cancelled():
            future.exception()


def submission(profile: Profile, item: FeedItem, now: datetime, traceparent: str) -> FeedItemSubmitted:
    """An item of a declared body as it goes to the feed topic."""
    return FeedItemSubmitted(
        id=secrets.token_hex(16),
        source=source_urn(profile.municipality, item.body, item.feed),
        subject=item.source_key,
        time=now,
        body=item.body,
        network=profile.network_of(item.body),
        traceparent=traceparent,
        data=item,
    )


def marked(profile: Profile, mark: SnapshotMark, now: datetime, traceparent: str) -> FeedSnapshotMarked:
    """A snapshot's mark as it goes to the feed topic."""
    return FeedSnapshotMarked(
        id=secrets.token_hex(16),
        source=source_urn(profile.municipality, OF_NO_BODY, mark.feed),
        subject=mark.session,
        time=now,
        network=mark.network,
        traceparent=traceparent,
        data=mark,
    )


def key_of(event: FeedEvent) -> bytes:
    if isinstance(event, FeedSnapshotMarked):
        return key_of_mark(event)
    item = event.data
    return make_key(event.network or "", item.body, item.feed, item.source_key)


def value_of(event: FeedEvent) -> bytes:
    """What an item leaves out is not written."""
    return event.model_dump_json(exclude_none=True).encode()


def _check_sizes(values: Sequence[bytes]) -> None:
    too_large = [
        FieldError(f"/items/{position}", "inventory.item_too_large", limit=MAX_VALUE_BYTES)
        for position, value in enumerate(values)
        if len(value) > MAX_VALUE_BYTES
    ]
    if too_large:
        raise ProblemError(ProblemType.INVALID, "problems.invalid", errors=too_large, count=len(too_large))
