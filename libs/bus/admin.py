# SPDX-License-Identifier: Apache-2.0
"""Topics, their settings and who may do what with them, made as the topic table says (design §4)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from confluent_kafka.admin import (  # type: ignore[attr-defined]  # it exports them without saying so
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
    foreign: Sequence[Topic] = (),
) -> list[Change]:
    """Make topics, settings and access rights as the table says; returns what was changed, so nothing the second time.

    Of `foreign` topics, which are others' to make, only the rights are given, also before they are there.
    Needs an administrator's account. Adds and corrects, and removes nothing. Raises TopicMismatchError before it changes anything, or
    confluent_kafka.KafkaException.
    """
    return await asyncio.to_thread(_apply, settings, topics, partitions, replication, foreign)


def _apply(
    settings: KafkaSettings, topics: Sequence[Topic], partitions: int, replication: int, foreign: Sequence[Topic]
) -> list[Change]:
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
        *_authorise(admin, [*topics, *foreign]),
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
    _await_listed(admin, {topic.name for topic in topics})
    for topic in topics:
        yield Change(text_pair("bus.topic_created", topic=topic.name, partitions=partitions[topic.name]))


def _await_listed(admin: AdminClient, names: set[str]) -> None:
    """The broker says that a topic is made a moment before it lists it: who looks at once would make it again."""
    deadline = time.monotonic() + _WAIT
    while not names <= admin.list_topics(timeout=_WAIT).topics.keys():
        if time.monotonic() > deadline:
            raise TimeoutError(f"the broker does not list {', '.join(sorted(names))}")
        time.sleep(0.02)


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


class _Right(NamedTuple):
    """One account may do one thing with what bears a name, or, `prefixed`, a name that begins so."""

    account: str
    operation: AclOperation
    kind: ResourceType
    name: str
    prefixed: bool = False

    def binding(self) -> AclBinding:
        pattern = ResourcePatternType.PREFIXED if self.prefixed else ResourcePatternType.LITERAL
        allow = AclPermissionType.ALLOW
        return AclBinding(self.kind, self.name, pattern, f"User:{self.account}", "*", self.operation, allow)


def _authorise(admin: AdminClient, topics: Sequence[Topic]) -> Iterator[Change]:
    asked = [(right, _present(admin, right)) for right in _rights(topics)]
    missing = [right for right, present in asked if not present.result()]
    if missing:
        _wait(admin.create_acls([right.binding() for right in missing], request_timeout=_WAIT).values())
    for right in missing:
        yield Change(
            text_pair(
                "bus.right_given",
                account=right.account,
                operation=right.operation.name,
                kind=right.kind.name,
                name=right.name,
            )
        )


def _present(admin: AdminClient, right: _Right) -> Future[list[AclBinding]]:
    """Will tell the bindings that give this very right: one or none."""
    wanted = right.binding()
    same = AclBindingFilter(
        wanted.restype,
        wanted.name,
        wanted.resource_pattern_type,
        wanted.principal,
        wanted.host,
        wanted.operation,
        wanted.permission_type,
    )
    return admin.describe_acls(same, request_timeout=_WAIT)


def _rights(topics: Sequence[Topic]) -> Iterator[_Right]:
    """Groups and transactional ids go by prefix: those of a service begin with its account's name."""
    for topic in topics:
        for account in _names(topic.readers | topic.writers):
            yield _Right(account, AclOperation.DESCRIBE, ResourceType.TOPIC, topic.name)
        for account in _names(topic.readers):
            yield _Right(account, AclOperation.READ, ResourceType.TOPIC, topic.name)
        for account in _names(topic.writers):
            yield _Right(account, AclOperation.WRITE, ResourceType.TOPIC, topic.name)
    for account in _names(principal for topic in topics for principal in topic.readers):
        yield _Right(account, AclOperation.READ, ResourceType.GROUP, account, prefixed=True)
    for account in _names(principal for topic in topics for principal in topic.writers):
        yield _Right(account, AclOperation.WRITE, ResourceType.TRANSACTIONAL_ID, account, prefixed=True)
        yield _Right(account, AclOperation.DESCRIBE, ResourceType.TRANSACTIONAL_ID, account, prefixed=True)
        yield _Right(account, AclOperation.IDEMPOTENT_WRITE, ResourceType.BROKER, _CLUSTER)


def _names(principals: Iterable[Principal]) -> list[str]:
    return sorted({principal.value for principal in principals})


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
