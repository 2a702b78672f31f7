# SPDX-License-Identifier: Apache-2.0
"""`daicho.control.v1`: the texts of the standards in force, for consumers; overrides, and standards that are to hold, heard there."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple
from uuid import uuid4

import structlog
from aiokafka import AIOKafkaProducer, TopicPartition

from libs.bus import ConsumerRecord, Follower, KafkaSettings, Lasting, Rejected, decode
from libs.bus.deadletters import is_of
from libs.bus.failures import describe
from libs.bus.partition_log import open_log
from libs.contracts import (
    Applied,
    DutyRef,
    OverrideChanged,
    StandardActivated,
    StandardApplied,
    StandardPublished,
    kafka_headers,
    make_key,
    source_urn,
)
from libs.contracts.topics import ASSETS, CONTROL
from libs.standards import ConditionError, Standard
from services.classification.domain import SERVICE, Clock, Turned
from services.classification.standards.domain import NO_BODY, Activated, activated

PLACE: Final = TopicPartition(CONTROL.name, 0)
_KIND: Final = "standard"
_APPLIED: Final = "applied"
_PAUSE: Final = 1.0

_log = structlog.get_logger(__name__)


class Heard:
    """What is heard on the topic, in its order, by every handler of the process: overrides, and standards that are to hold.

    `events` grows, the oldest first. `activated` has the last activation of each place, and `duties` every duty that the log or this
    process knows of. The text of a standard is published before it is in either, so that no event names what nobody can look up.
    """

    def __init__(
        self, kafka: KafkaSettings, municipality: str, activated: Mapping[str, Activated], duties: Mapping[str, DutyRef]
    ) -> None:
        self.events: list[OverrideChanged | Activated] = []
        self.activated = dict(activated)
        self.duties = dict(duties)
        self.follower = Follower(kafka, PLACE, f"{SERVICE}-control", self._hear)
        self._kafka = kafka
        self._municipality = municipality

    async def _hear(self, records: Sequence[ConsumerRecord]) -> None:
        for event in events_in(records):
            if isinstance(event, Activated) and is_news(event, self.activated):
                await publish_standards(self._kafka, (event.standard,), self._municipality, event.at)
                self.duties |= {duty.id: duty.duty_ref() for duty in event.standard.document.obligations}
                self.activated[event.place] = event
            self.events.append(event)


class Progress(Lasting):
    """Tells on the topic, at most once a second, how far each partition of this process is with what was activated; `run` lasts until
    cancelled.

    `applied` has it by partition and place, as the handlers set it down. It is told apart from their transactions: the topic is never
    behind data, and a transaction that a killed process leaves open would hold up who reads it.
    """

    name = "progress"

    def __init__(self, kafka: KafkaSettings, municipality: str, clock: Clock) -> None:
        super().__init__()
        self.applied: dict[tuple[int, str], InPlace] = {}
        self._told: dict[tuple[int, str], InPlace] = {}
        self._kafka = kafka
        self._municipality = municipality
        self._clock = clock

    async def _live(self) -> None:
        async with AIOKafkaProducer(**self._kafka.client(), enable_idempotence=True) as producer:
            while True:
                partitions = len(await producer.partitions_for(ASSETS.name))
                for place, now in list(self.applied.items()):
                    if self._told.get(place) != now:
                        event = self._event(*place, now, partitions)
                        key = make_key(NO_BODY, _APPLIED, event.subject)
                        value = event.model_dump_json(exclude_none=True).encode()
                        await producer.send_and_wait(
                            CONTROL.name, key=key, value=value, headers=kafka_headers(event), partition=0
                        )
                        self._told[place] = now
                self._failures, self._code = 0, None
                await asyncio.sleep(_PAUSE)

    def _event(self, partition: int, place: str, now: InPlace, partitions: int) -> StandardApplied:
        applied = Applied(
            place=place, activation=now.activation, partition=partition, partitions=partitions, **now.turned._asdict()
        )
        return StandardApplied(
            id=str(uuid4()),
            source=source_urn(self._municipality, NO_BODY, SERVICE),
            subject=f"{partition}/{place}",
            time=self._clock(),
            data=applied,
        )


class InPlace(NamedTuple):
    """How far a partition is with the activation of a place that has this revision."""

    activation: int
    turned: Turned


def is_news(event: Activated, known: Mapping[str, Activated]) -> bool:
    """Whether nothing later is known of its place."""
    return event.place not in known or event.revision > known[event.place].revision


def events_in(records: Iterable[ConsumerRecord]) -> Iterator[OverrideChanged | Activated]:
    """Overrides and activations among the records of the topic. What cannot be read is logged and passed over: only this service writes it."""
    for record in records:
        try:
            if is_of(record, OverrideChanged):
                yield decode(OverrideChanged, record)
            elif is_of(record, StandardActivated):
                yield activated(decode(StandardActivated, record, max_bytes=CONTROL.max_record_bytes))
        except Rejected as error:
            _log.error("a control event cannot be read", offset=record.offset, reason=error.reason, field=error.field)
        except (ValueError, ConditionError) as error:
            _log.error("a standard cannot be used", offset=record.offset, **describe(error))


async def read_control(kafka: KafkaSettings) -> tuple[Mapping[str, Activated], Mapping[str, DutyRef]]:
    """The last activation of each place, and every duty that the log still knows of, by id, as the last standard had it."""
    found: dict[str, Activated] = {}
    published: list[StandardPublished] = []
    async with open_log(kafka, f"{SERVICE}-standards") as log:
        async for records in log.read(PLACE):
            published += _published_in(records)
            for event in events_in(records):
                if isinstance(event, Activated) and is_news(event, found):
                    found[event.place] = event
    return found, duties_of(published)


async def publish_standards(
    kafka: KafkaSettings, standards: Iterable[Standard], municipality: str, time: datetime
) -> None:
    """Publish the text of each standard unless the last one published under its name is the same."""
    published = await _published(kafka)
    for standard in standards:
        name = standard.document.name
        last = next((event for event in reversed(published) if event.subject == name), None)
        if last is None or last.data.digest != standard.digest:
            revision = (last.revision or 0) + 1 if last else 1
            await _publish(kafka, _event(standard, municipality, time, revision))


def duties_of(published: Iterable[StandardPublished]) -> Mapping[str, DutyRef]:
    """Every duty of several standards, by id; where they differ, as the last one has it."""
    duties = (duty for event in published for duty in event.data.duties)
    return {duty.id: DutyRef(id=duty.id, part=duty.part, audience=duty.audience, title=duty.title) for duty in duties}


def _event(standard: Standard, municipality: str, time: datetime, revision: int) -> StandardPublished:
    name = standard.document.name
    return StandardPublished(
        id=f"{_KIND}/{name}:{revision}",
        source=source_urn(municipality, NO_BODY, SERVICE),
        subject=name,
        time=time,
        revision=revision,
        standardversion=standard.version,
        data=standard.published(),
    )


async def _publish(kafka: KafkaSettings, event: StandardPublished) -> None:
    key = make_key(NO_BODY, _KIND, event.data.name)
    producer = AIOKafkaProducer(**kafka.client(), enable_idempotence=True, max_request_size=CONTROL.max_record_bytes)
    async with producer:
        value = event.model_dump_json(exclude_none=True).encode()
        await producer.send_and_wait(CONTROL.name, key=key, value=value, headers=kafka_headers(event), partition=0)


async def _published(kafka: KafkaSettings) -> list[StandardPublished]:
    """What is left of the standards, in order: compaction keeps the last one of each name for ever, others for a time."""
    found: list[StandardPublished] = []
    async with open_log(kafka, f"{SERVICE}-standards") as log:
        async for records in log.read(PLACE):
            found += _published_in(records)
    return found


def _published_in(records: Iterable[ConsumerRecord]) -> Iterator[StandardPublished]:
    kind = make_key(NO_BODY, _KIND, "")
    for record in records:
        if (record.key or b"").startswith(kind) and record.value:
            yield StandardPublished.model_validate_json(record.value)
