# SPDX-License-Identifier: Apache-2.0
"""The bus, as commands use it. Slow to import: commands do so when they run."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from confluent_kafka import KafkaException
from pydantic import SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from cli.errors import MISUSED, CliError
from cli.language import pick
from cli.rows import Shown
from cli.running import load
from libs.bus import KafkaSettings, TopicMismatchError, apply_topics, partition_of
from libs.contracts import AssetChanged, ClassificationChanged, FindingChanged, ObligationsChanged, Profile, Text
from libs.contracts.topics import ASSETS, CLASSIFICATIONS, FINDINGS, OBLIGATIONS, source_topics
from libs.devstack import load as load_stack


@dataclass(frozen=True)
class Stream:
    """A topic, and the event that stands on it."""

    topic: str
    model: type[Shown]


STREAMS: Final = {
    "obligations": Stream(OBLIGATIONS.name, ObligationsChanged),
    "classifications": Stream(CLASSIFICATIONS.name, ClassificationChanged),
    "findings": Stream(FINDINGS.name, FindingChanged),
    "assets": Stream(ASSETS.name, AssetChanged),
}


class _Cluster(BaseSettings):
    """A cluster that is not the embedded one is named as for a service: `DAICHO_KAFKA__BOOTSTRAP` and so on."""

    model_config = SettingsConfigDict(env_prefix="DAICHO_", env_nested_delimiter="__")

    kafka: KafkaSettings


def account(data: Path, name: str) -> KafkaSettings:
    """How an account signs in to the Kafka of the instance that runs on a folder."""
    stack = load_stack(load(data).data)
    username, password = stack.kafka_account(name)
    return KafkaSettings(bootstrap=stack.kafka_bootstrap, username=username, password=SecretStr(password))


def administrator(data: Path) -> KafkaSettings:
    """The administrator of the cluster that the environment names, else of the instance on the folder."""
    if "DAICHO_KAFKA__BOOTSTRAP" not in os.environ:
        return account(data, "admin")
    try:
        return _Cluster().kafka
    except ValidationError as error:
        raise CliError("cli.environment", code=MISUSED, detail=error.errors()[0]["msg"]) from None


def apply(settings: KafkaSettings, partitions: int, replication: int, profile: Profile | None = None) -> list[Text]:
    """Make topics and rights what the topic table says, and the rights to the topics that the profile's feeds are read from; returns
    what had to be changed."""
    foreign = source_topics(topic for feed in profile.feeds for topic in feed.topics) if profile else ()
    try:
        changes = asyncio.run(apply_topics(settings, partitions=partitions, replication=replication, foreign=foreign))
    except TopicMismatchError as error:
        raise CliError("cli.topics", detail=pick(error.text)) from error
    except KafkaException as error:
        raise CliError("cli.kafka", bootstrap=settings.bootstrap, detail=error.args[0].name()) from error
    return [change.text for change in changes]


async def events(stream: Stream, settings: KafkaSettings, prefix: bytes) -> AsyncGenerator[Shown, None]:
    """Every committed event under keys that begin with `prefix` (`network/body/`), from the first that the topic keeps."""
    consumer = AIOKafkaConsumer(
        stream.topic,
        **settings.client(),
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    await consumer.start()
    try:
        _keep_one_partition(consumer, stream.topic, prefix)
        async for record in consumer:
            if record.key and record.key.startswith(prefix) and (event := _event(stream, record.value)):
                yield event
    finally:
        await consumer.stop()


def _keep_one_partition(consumer: AIOKafkaConsumer, topic: str, prefix: bytes) -> None:
    """All that a network has is in one partition: the others need not be read."""
    partitions = consumer.partitions_for_topic(topic)
    if not partitions:
        raise CliError("cli.no_topic", topic=topic)
    consumer.unsubscribe()
    consumer.assign([TopicPartition(topic, partition_of(prefix, len(partitions)))])


def _event(stream: Stream, value: bytes | None) -> Shown | None:
    """None for a tombstone, or for an event of a later version: it is not this command's to tell."""
    try:
        return stream.model.model_validate_json(value or b"")
    except ValidationError:
        return None
