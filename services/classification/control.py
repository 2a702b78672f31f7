# SPDX-License-Identifier: Apache-2.0
"""Puts the standard in force on `daicho.control.v1`, for consumers that want the text of an obligation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from aiokafka import AIOKafkaProducer, TopicPartition

from libs.bus import KafkaSettings
from libs.bus.partition_log import open_log
from libs.contracts import DutyRef, StandardPublished, kafka_headers, make_key, source_urn
from libs.contracts.topics import CONTROL
from libs.standards import Standard
from services.classification.domain import SERVICE, Clock

_NO_BODY = "-"


async def publish_standard(
    kafka: KafkaSettings, standard: Standard, municipality: str, clock: Clock
) -> Mapping[str, DutyRef]:
    """Publish the standard unless the last one published under its name is the same.

    Returns every duty that the log still knows of earlier standards, by id, as the last of them had it.
    """
    name = standard.document.name
    key = make_key(_NO_BODY, "standard", name)
    before = await _published_under(kafka, key)
    if not before or before[-1].data.digest != standard.digest:
        revision = (before[-1].revision or 0) + 1 if before else 1
        await _publish(kafka, key, _event(standard, municipality, clock, revision))
    return duties_of(before)


def duties_of(published: Iterable[StandardPublished]) -> Mapping[str, DutyRef]:
    """Every duty of several standards, by id; where they differ, as the last one has it."""
    duties = (duty for event in published for duty in event.data.duties)
    return {duty.id: DutyRef(id=duty.id, part=duty.part, audience=duty.audience, title=duty.title) for duty in duties}


def _event(standard: Standard, municipality: str, clock: Clock, revision: int) -> StandardPublished:
    name = standard.document.name
    return StandardPublished(
        id=f"standard/{name}:{revision}",
        source=source_urn(municipality, _NO_BODY, SERVICE),
        subject=name,
        time=clock(),
        revision=revision,
        standardversion=standard.version,
        data=standard.published(),
    )


async def _publish(kafka: KafkaSettings, key: bytes, event: StandardPublished) -> None:
    producer = AIOKafkaProducer(**kafka.client(), enable_idempotence=True, max_request_size=CONTROL.max_record_bytes)
    async with producer:
        value = event.model_dump_json(exclude_none=True).encode()
        await producer.send_and_wait(CONTROL.name, key=key, value=value, headers=kafka_headers(event), partition=0)


async def _published_under(kafka: KafkaSettings, key: bytes) -> list[StandardPublished]:
    """What is left of the standards under a key, in order: compaction keeps the last one for ever, others for a time."""
    found: list[StandardPublished] = []
    async with open_log(kafka, f"{SERVICE}-standards") as log:
        async for records in log.read(TopicPartition(CONTROL.name, 0)):
            ours = (record.value for record in records if record.key == key and record.value is not None)
            found += [StandardPublished.model_validate_json(value) for value in ours]
    return found
