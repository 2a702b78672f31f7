# SPDX-License-Identifier: Apache-2.0
"""`daicho.control.v1`: the standards in force, put there for consumers that want the text of an obligation, and overrides, heard there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import structlog
from aiokafka import AIOKafkaProducer, TopicPartition

from libs.bus import ConsumerRecord, Follower, KafkaSettings, Rejected, decode
from libs.bus.deadletters import is_of
from libs.bus.partition_log import open_log
from libs.contracts import DutyRef, OverrideChanged, StandardPublished, kafka_headers, make_key, source_urn
from libs.contracts.topics import CONTROL
from libs.standards import Standard, StandardsInForce
from services.classification.domain import SERVICE, Clock

PLACE: Final = TopicPartition(CONTROL.name, 0)
_NO_BODY: Final = "-"
_KIND: Final = "standard"

_log = structlog.get_logger(__name__)


class HeardOverrides:
    """Overrides as they are heard of, in their order, by every handler of the process; the oldest first."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self.events: list[OverrideChanged] = []
        self.follower = Follower(kafka, PLACE, f"{SERVICE}-overrides", self._hear)

    def _hear(self, records: Sequence[ConsumerRecord]) -> None:
        self.events += overrides_in(records)


def overrides_in(records: Iterable[ConsumerRecord]) -> Iterator[OverrideChanged]:
    """Those among the records of the topic. One that cannot be read is logged and passed over: only this service writes them."""
    for record in records:
        if is_of(record, OverrideChanged):
            try:
                yield decode(OverrideChanged, record)
            except Rejected as error:
                _log.error("an override cannot be read", offset=record.offset, reason=error.reason, field=error.field)


async def publish_standards(
    kafka: KafkaSettings, standards: StandardsInForce, municipality: str, clock: Clock
) -> Mapping[str, DutyRef]:
    """Publish each standard unless the last one published under its name is the same.

    Returns every duty that the log still knows of earlier standards, by id, as the last of them had it.
    """
    published = await _published(kafka)
    for standard in standards:
        name = standard.document.name
        last = next((event for event in reversed(published) if event.subject == name), None)
        if last is None or last.data.digest != standard.digest:
            revision = (last.revision or 0) + 1 if last else 1
            await _publish(kafka, _event(standard, municipality, clock, revision))
    return duties_of(published)


def duties_of(published: Iterable[StandardPublished]) -> Mapping[str, DutyRef]:
    """Every duty of several standards, by id; where they differ, as the last one has it."""
    duties = (duty for event in published for duty in event.data.duties)
    return {duty.id: DutyRef(id=duty.id, part=duty.part, audience=duty.audience, title=duty.title) for duty in duties}


def _event(standard: Standard, municipality: str, clock: Clock, revision: int) -> StandardPublished:
    name = standard.document.name
    return StandardPublished(
        id=f"{_KIND}/{name}:{revision}",
        source=source_urn(municipality, _NO_BODY, SERVICE),
        subject=name,
        time=clock(),
        revision=revision,
        standardversion=standard.version,
        data=standard.published(),
    )


async def _publish(kafka: KafkaSettings, event: StandardPublished) -> None:
    key = make_key(_NO_BODY, _KIND, event.data.name)
    producer = AIOKafkaProducer(**kafka.client(), enable_idempotence=True, max_request_size=CONTROL.max_record_bytes)
    async with producer:
        value = event.model_dump_json(exclude_none=True).encode()
        await producer.send_and_wait(CONTROL.name, key=key, value=value, headers=kafka_headers(event), partition=0)


async def _published(kafka: KafkaSettings) -> list[StandardPublished]:
    """What is left of the standards, in order: compaction keeps the last one of each name for ever, others for a time."""
    kind = make_key(_NO_BODY, _KIND, "")
    found: list[StandardPublished] = []
    async with open_log(kafka, f"{SERVICE}-standards") as log:
        async for records in log.read(PLACE):
            ours = (record.value for record in records if (record.key or b"").startswith(kind) and record.value)
            found += [StandardPublished.model_validate_json(value) for value in ours]
    return found
