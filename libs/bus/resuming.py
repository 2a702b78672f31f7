# SPDX-License-Identifier: Apache-2.0
"""A task that a cap has stopped goes on when a person says so: an event on the dead letters' topic, heard by whoever owns the partition."""

from __future__ import annotations

import asyncio
import uuid

import structlog
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from libs.bus.consuming import partitions_of, start_consumer, stop_consumer
from libs.bus.deadletters import is_of
from libs.bus.failures import backoff, describe
from libs.bus.records import ConsumerRecord, Output
from libs.bus.subscription import Clock, Subscription
from libs.bus.task import POLL_MS
from libs.contracts import ConsumerResumed, Resumption, kafka_headers, make_key, source_urn
from libs.contracts.topics import DEADLETTERS

_log = structlog.get_logger(__name__)


def resumption_output(resumption: Resumption, municipality: str, service: str, clock: Clock) -> Output:
    """The message by which a person lets a stopped task go on."""
    place = (resumption.topic, str(resumption.partition))
    event = ConsumerResumed(
        id=str(uuid.uuid4()),
        source=source_urn(municipality, "-", service),
        subject="/".join(place),
        time=clock(),
        data=resumption,
    )
    key = make_key("-", "-", resumption.consumer, *place)
    return Output(DEADLETTERS.name, key, event.model_dump_json().encode(), kafka_headers(event))


class Resumed:
    """Waits for a resumption of one stopped task that is told from now on; `run` returns when it has come."""

    def __init__(self, subscription: Subscription, source: TopicPartition) -> None:
        self._subscription = subscription
        self._source = source

    async def run(self) -> None:
        """Whatever fails, it listens again."""
        failures = 0
        while True:
            try:
                return await self._listen()
            except (KafkaError, OSError) as error:
                _log.warning("listens for a resumption again", consumer=self._subscription.group, **describe(error))
                await asyncio.sleep(backoff(failures))
                failures += 1

    async def _listen(self) -> None:
        group = self._subscription.group
        consumer = await start_consumer(self._subscription.settings, f"{group}-resumed-{self._source.partition}")
        try:
            places = [
                TopicPartition(DEADLETTERS.name, number) for number in await partitions_of(consumer, DEADLETTERS.name)
            ]
            consumer.assign(places)
            await consumer.seek_to_end(*places)
            while True:
                found = await consumer.getmany(timeout_ms=POLL_MS)
                if any(self._is_it(record) for records in found.values() for record in records):
                    return
        finally:
            await stop_consumer(consumer)

    def _is_it(self, record: ConsumerRecord) -> bool:
        if not is_of(record, ConsumerResumed):
            return False
        told = ConsumerResumed.model_validate_json(record.value or b"").data
        return (told.consumer, told.topic, told.partition) == (self._subscription.group, *self._source)
