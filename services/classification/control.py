# SPDX-License-Identifier: Apache-2.0
"""Puts the standard in force on `daicho.control.v1`, for consumers that want the text of an obligation."""

from __future__ import annotations

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from libs.bus import KafkaSettings
from libs.contracts import StandardPublished, kafka_headers, make_key, source_urn
from libs.contracts.topics import CONTROL
from libs.standards import Standard
from services.classification.domain import SERVICE, Clock

_NO_BODY = "-"


async def publish_standard(kafka: KafkaSettings, standard: Standard, municipality: str, clock: Clock) -> bool:
    """Publish the standard unless the last one published under its name is the same; returns whether it did."""
    name = standard.document.name
    key = make_key(_NO_BODY, "standard", name)
    last = await _last_under(kafka, key)
    if last is not None and last.data.digest == standard.digest:
        return False
    revision = 1 if last is None else (last.revision or 0) + 1
    event = StandardPublished(
        id=f"standard/{name}:{revision}",
        source=source_urn(municipality, _NO_BODY, SERVICE),
        subject=name,
        time=clock(),
        revision=revision,
        standardversion=standard.version,
        data=standard.published(),
    )
    producer = AIOKafkaProducer(**kafka.client(), enable_idempotence=True, max_request_size=CONTROL.max_record_bytes)
    async with producer:
        value = event.model_dump_json(exclude_none=True).encode()
        await producer.send_and_wait(CONTROL.name, key=key, value=value, headers=kafka_headers(event), partition=0)
    return True


async def _last_under(kafka: KafkaSettings, key: bytes) -> StandardPublished | None:
    partition = TopicPartition(CONTROL.name, 0)
    last: StandardPublished | None = None
    async with AIOKafkaConsumer(**kafka.client(), isolation_level="read_committed", fetch_max_wait_ms=50) as consumer:
        consumer.assign([partition])
        end = (await consumer.end_offsets([partition]))[partition]
        await consumer.seek_to_beginning(partition)
        while await consumer.position(partition) < end:
            for record in (await consumer.getmany(partition, timeout_ms=500)).get(partition, []):
                if record.key == key and record.value is not None:
                    last = StandardPublished.model_validate_json(record.value)
    return last
