# SPDX-License-Identifier: Apache-2.0
"""Topics, their settings and who may do what with them, made as the topic table says (design §4)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)

from libs.bus.settings import KafkaSettings
from libs.catalogue import text_pair
from libs.contracts import Text
from libs.contracts.topics import TOPICS, Principal, Topic

PARTITIONS: Final = 4
_WAIT: Final = 30.0
_CLUSTER: Final = "kafka-cluster"


@dataclass(frozen=True)
class Change:
    """One thing that was not as the table says, and now is; `text` is for people."""

    text: Text


class TopicMismatchError(Exception):
    """A topic is there with another number of partitions, which cannot be changed: keys would move to other tasks."""

    def __init__(self, topic: str, found: int, wanted: int) -> None:
        self.text = text_pair("bus.partitions_differ", topic=topic, found=found, wanted=wanted)
        super().__init__(self.text.en)


async def apply_topics(
    settings: KafkaSettings,
    topics: Sequence[Topic] = TOPICS,
    *,
    partitions: int = PARTITIONS,
    replication: int = 1,
) -> list[Change]:
    """Make topics, settings and access rights as the table says; returns what was changed, so nothing the second time.

    Needs an administrator's account. Adds and corrects, and removes nothing. Raises TopicMismatchError before it changes anything, or
    confluent_kafka.KafkaException.
    """
    return await asyncio.to_thread(_apply, settings, topics, partitions, replication)


def _apply(settings: KafkaSettings, topics: Sequence[Topic], partitions: int, replication: int) -> list[Change]:
    admin = AdminClient(settings.admin())
    wanted = {topic.name: topic.partitions or partitions for topic in topics}
    found = {
        name: len(described.partitions)
        for name, described in admin.list_topics(timeout=_WAIT).topics.items()
        if name in wanted
    }
    for name, count in found.items():
        if count != wanted[name]:
            raise TopicMismatchError(name, count, wanted[name])
    return [
        *_create(admin, [topic for topic in topics if topic.name not in found], wanted, replication),
        *_configure(admin, [topic for topic in topics if topic.name in found], replication),
        *_authorise(admin, topics),
    ]


def _create(
    admin: AdminClient, topics: Sequence[Topic], partitions: Mapping[str, int], replication: int
) -> Iterator[Change]:
    if not topics:
        return
    new = [
        NewTopic(topic.name, partitions[topic.name], replication, config=_config(topic, replication))
        for topic in topics
    ]
    _wait(admin.create_topics(new, request_timeout=_WAIT).values())
    for topic in topics:
        yield Change(text_pair("bus.topic_created", topic=topic.name, partitions=partitions[topic.name]))


def _configure(admin: AdminClient, topics: Sequence[Topic], replication: int) -> Iterator[Change]:
    if not topics:
        return
    resources = {ConfigResource(ConfigResource.Type.TOPIC, topic.name): topic for topic in topics}
    for resource, future in admin.describe_configs(list(resources), request_timeout=_WAIT).items():
        present = future.result()
        topic = resources[resource]
        differing = {name: value for name, value in _config(topic, replication).items() if present[name].value != value}
        if differing:
            entries = [
                ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
                for name, value in differing.items()
            ]
            change = ConfigResource(ConfigResource.Type.TOPIC, topic.name, incremental_configs=entries)
            _wait(admin.incremental_alter_configs([change], request_timeout=_WAIT).values())
        for name, value in differing.items():
            yield Change(text_pair("bus.setting_changed", topic=topic.name, setting=name, value=value))


def _authorise(admin: AdminClient, topics: Sequence[Topic]) -> Iterator[Change]:
    every = AclBindingFilter(
        ResourceType.ANY, None, ResourcePatternType.ANY, None, None, AclOperation.ANY, AclPermissionType.ANY
    )
    present = {_identity(binding) for binding in admin.describe_acls(every, request_timeout=_WAIT).result()}
    missing = [binding for binding in _bindings(topics) if _identity(binding) not in present]
    if missing:
        _wait(admin.create_acls(missing, request_timeout=_WAIT).values())
    for binding in missing:
        yield Change(
            text_pair(
                "bus.right_given",
                account=binding.principal.removeprefix("User:"),
                operation=binding.operation.name,
                kind=binding.restype.name,
                name=binding.name,
            )
        )


def _bindings(topics: Sequence[Topic]) -> Iterator[AclBinding]:
    """Groups and transactional ids go by prefix: those of a service begin with its account's name."""
    operations = AclOperation
    exact, prefix = ResourcePatternType.LITERAL, ResourcePatternType.PREFIXED
    readers = {principal for topic in topics for principal in topic.readers}
    writers = {principal for topic in topics for principal in topic.writers}
    for topic in topics:
        for principal in sorted(topic.readers | topic.writers):
            yield _binding(principal, operations.DESCRIBE, ResourceType.TOPIC, topic.name, exact)
        for principal in sorted(topic.readers):
            yield _binding(principal, operations.READ, ResourceType.TOPIC, topic.name, exact)
        for principal in sorted(topic.writers):
            yield _binding(principal, operations.WRITE, ResourceType.TOPIC, topic.name, exact)
    for principal in sorted(readers):
        yield _binding(principal, operations.READ, ResourceType.GROUP, principal, prefix)
    for principal in sorted(writers):
        yield _binding(principal, operations.WRITE, ResourceType.TRANSACTIONAL_ID, principal, prefix)
        yield _binding(principal, operations.DESCRIBE, ResourceType.TRANSACTIONAL_ID, principal, prefix)
        yield _binding(principal, operations.IDEMPOTENT_WRITE, ResourceType.BROKER, _CLUSTER, exact)


def _binding(
    principal: Principal, operation: AclOperation, kind: ResourceType, name: str, pattern: ResourcePatternType
) -> AclBinding:
    return AclBinding(kind, str(name), pattern, f"User:{principal}", "*", operation, AclPermissionType.ALLOW)


def _identity(binding: AclBinding) -> tuple[Any, ...]:
    return (
        binding.restype,
        binding.name,
        binding.resource_pattern_type,
        binding.principal,
        binding.host,
        binding.operation,
        binding.permission_type,
    )


def _config(topic: Topic, replication: int) -> dict[str, str]:
    """`max.message.bytes` is of a batch as sent, so a record's own frame must fit in as well."""
    return {
        "cleanup.policy": "compact" if topic.compacted else "delete",
        "retention.ms": str(-1 if topic.retention_ms is None else topic.retention_ms),
        "max.message.bytes": str(topic.max_record_bytes),
        "min.insync.replicas": str(2 if replication > 2 else 1),
    }


def _wait(futures: Iterable[Future[Any]]) -> None:
    for future in futures:
        future.result()
