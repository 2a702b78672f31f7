# SPDX-License-Identifier: Apache-2.0
"""What stands between the doors and `daicho.feed.v1`: an item is accepted when the broker has it, and not before."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from typing import Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from pydantic import BaseModel

from libs.bus import KafkaSettings, NetworkPartitioner
from libs.contracts import FeedItem, FeedItemSubmitted, ProblemType, Profile, kafka_headers, make_key, source_urn
from libs.contracts.topics import FEED
from libs.contracts.words import Slug, SourceKey
from libs.observability import ProbeResult, child_of
from libs.security import ProblemError
from services.inventory.worker import Clock

PATIENCE: Final = 10.0
"""Seconds in which the broker must have taken a delivery."""
RETRY_AFTER: Final = "5"


class Receipt(BaseModel):
    """That an item was accepted; `id` is `<partition>-<offset>` of the feed topic, and can be asked for."""

    id: str
    feed: Slug
    source_key: SourceKey
    source_version: int


class Intake:
    """Writes items to the feed topic. It is its own `Probe`: well once it has reached the broker."""

    name = "intake"

    def __init__(self, kafka: KafkaSettings, profile: Profile, clock: Clock) -> None:
        self._profile = profile
        self._clock = clock
        self._well = False
        self._producer = AIOKafkaProducer(
            **kafka.client(),
            partitioner=NetworkPartitioner(),
            enable_idempotence=True,
            max_request_size=FEED.max_record_bytes,
            request_timeout_ms=int(PATIENCE * 1000),
        )

    async def start(self) -> None:
        await self._producer.start()
        self._well = True

    async def stop(self) -> None:
        await self._producer.stop()

    async def check(self) -> ProbeResult:
        return ProbeResult(ok=self._well, code=None if self._well else "broker")

    async def accept(self, items: Sequence[FeedItem], traceparent: str | None) -> list[Receipt]:
        """Returns when the broker has every item. Raises ProblemError (503, `Retry-After`) where it does not take them in time.

        Some may then have been taken: to send them again does no harm, for a version counts once.
        """
        try:
            async with asyncio.timeout(PATIENCE):
                sent = [await self._send(item, child_of(traceparent)) for item in items]
                records = await asyncio.gather(*sent)
        except (KafkaError, TimeoutError) as error:
            self._well = False
            headers = {"Retry-After": RETRY_AFTER}
            raise ProblemError(ProblemType.BUSY, "inventory.broker_busy", headers=headers) from error
        self._well = True
        return [
            Receipt(
                id=f"{record.partition}-{record.offset}",
                feed=item.feed,
                source_key=item.source_key,
                source_version=item.source_version,
            )
            for item, record in zip(items, records, strict=True)
        ]

    async def _send(self, item: FeedItem, traceparent: str) -> asyncio.Future[object]:
        network = self._profile.network_of(item.body)
        event = FeedItemSubmitted(
            id=secrets.token_hex(16),
            source=source_urn(self._profile.municipality, item.body, item.feed),
            subject=item.source_key,
            time=self._clock(),
            body=item.body,
            network=network,
            traceparent=traceparent,
            data=item,
        )
        value = event.model_dump_json(exclude_none=True).encode()
        key = make_key(network, item.body, item.feed, item.source_key)
        future: asyncio.Future[object] = await self._producer.send(
            FEED.name, key=key, value=value, headers=kafka_headers(event)
        )
        return future
