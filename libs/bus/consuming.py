# SPDX-License-Identifier: Apache-2.0
"""Consumers as the bus uses them: of what is committed, at offsets that we keep ourselves."""

from __future__ import annotations

from typing import Any, Final

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import UnknownTopicOrPartitionError

from libs.bus.settings import KafkaSettings
from libs.bus.waiting import within

FETCH_BYTES: Final = 2 * 1024 * 1024
_CLOSE_PATIENCE: Final = 3.0


async def start_consumer(
    settings: KafkaSettings, name: str, *, fetch_bytes: int = FETCH_BYTES, **options: Any
) -> AIOKafkaConsumer:
    """A consumer that reads what is committed, from where it is told to, or from the topic's beginning if that is gone."""
    consumer = AIOKafkaConsumer(
        **settings.client(),
        **{
            "client_id": name,
            "enable_auto_commit": False,
            "auto_offset_reset": "earliest",
            "isolation_level": "read_committed",
            "max_partition_fetch_bytes": fetch_bytes,
            **options,
        },
    )
    try:
        await consumer.start()
    except BaseException:
        await stop_consumer(consumer)
        raise
    return consumer


async def stop_consumer(consumer: AIOKafkaConsumer) -> None:
    """Close it, also where the broker does not answer."""
    await within(consumer.stop(), _CLOSE_PATIENCE)


async def partitions_of(consumer: AIOKafkaConsumer, topic: str) -> list[int]:
    """The partitions of a topic; raises UnknownTopicOrPartitionError where there is none."""
    # `topics()` asks the broker but keeps nothing, and `partitions_for_topic` knows only what is kept
    cluster = await consumer._client.fetch_all_metadata()
    partitions = cluster.partitions_for_topic(topic)
    if not partitions:
        raise UnknownTopicOrPartitionError(topic)
    return sorted(partitions)
