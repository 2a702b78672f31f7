# SPDX-License-Identifier: Apache-2.0
"""The topic table (design §4): the one source of topics, their settings and who may do what with them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from libs.contracts.commands import FeedItemSubmitted, FeedSnapshotMarked
from libs.contracts.envelope import CloudEvent
from libs.contracts.events import (
    AssetChanged,
    ClassificationChanged,
    ConsumerResumed,
    DeadLettered,
    DeadLetterReleased,
    FeedFindingChanged,
    FindingChanged,
    ObligationsChanged,
    OverrideChanged,
    StandardActivated,
    StandardApplied,
    StandardPublished,
)
from libs.contracts.words import Contract

DAY_MS: Final = 24 * 60 * 60 * 1000
MAX_VALUE_BYTES: Final = 256 * 1024
"""Largest value that a consumer takes; above it a message is a dead letter (`too-large`)."""
MAX_RECORD_BYTES: Final = 1024 * 1024
"""Largest record that the broker takes on a topic other than the dead letters'."""


class Principal(StrEnum):
    """A service's or client's account on the bus."""

    INVENTORY = "inventory"
    CLASSIFICATION = "classification"
    FEED = "feed"
    READER = "reader"


@dataclass(frozen=True)
class Topic:
    """One row of the table. `retention_ms` None keeps for ever; `partitions` None follows the instance's number."""

    name: str
    key: str
    messages: tuple[type[CloudEvent[Contract]], ...]
    writers: frozenset[Principal]
    readers: frozenset[Principal]
    compacted: bool = False
    retention_ms: int | None = None
    partitions: int | None = None
    max_record_bytes: int = MAX_RECORD_BYTES
    description: str = field(default="", compare=False)


_SERVICES = frozenset({Principal.INVENTORY, Principal.CLASSIFICATION})
_SOURCES = frozenset({Principal.FEED})
_EVERYONE = _SERVICES | {Principal.READER}

FEED: Final = Topic(
    name="daicho.feed.v1",
    key="network/body/feed/source key",
    messages=(FeedItemSubmitted, FeedSnapshotMarked),
    writers=frozenset({Principal.INVENTORY, Principal.FEED}),
    readers=frozenset({Principal.INVENTORY}),
    retention_ms=14 * DAY_MS,
    description="Asset states as their sources tell them, from the doors or from a CMDB directly.",
)
ASSETS: Final = Topic(
    name="daicho.assets.v1",
    key="network/body/asset id",
    messages=(AssetChanged,),
    writers=frozenset({Principal.INVENTORY}),
    readers=_EVERYONE,
    compacted=True,
    description="The register: every asset's last revision.",
)
CLASSIFICATIONS: Final = Topic(
    name="daicho.classifications.v1",
    key="network/body/asset id",
    messages=(ClassificationChanged,),
    writers=frozenset({Principal.CLASSIFICATION}),
    readers=_EVERYONE,
    compacted=True,
    description="Effective levels with the reason for each.",
)
OBLIGATIONS: Final = Topic(
    name="daicho.obligations.v1",
    key="network/body/asset id",
    messages=(ObligationsChanged,),
    writers=frozenset({Principal.CLASSIFICATION}),
    readers=_EVERYONE,
    compacted=True,
    description="Obligations in force, and which began or ceased to bind.",
)
CONTROL: Final = Topic(
    name="daicho.control.v1",
    key="body/kind/id",
    messages=(StandardPublished, StandardActivated, StandardApplied, OverrideChanged),
    writers=frozenset({Principal.CLASSIFICATION}),
    readers=_EVERYONE,
    compacted=True,
    partitions=1,
    max_record_bytes=4 * MAX_RECORD_BYTES,
    description="Standards, profiles and overrides: never behind data.",
)
FINDINGS: Final = Topic(
    name="daicho.findings.v1",
    key="network/body/finding id",
    messages=(FindingChanged, FeedFindingChanged),
    writers=_SERVICES,
    readers=_EVERYONE,
    compacted=True,
    description="Which obligations are seen to be met, and which not; which feeds are silent.",
)
DEADLETTERS: Final = Topic(
    name="daicho.deadletter.v1",
    key="key of the parked message",
    messages=(DeadLettered, DeadLetterReleased, ConsumerResumed),
    writers=_SERVICES,
    readers=_SERVICES,
    max_record_bytes=2 * MAX_RECORD_BYTES,
    description="What could not be taken, whole, with the reason; kept until released.",
)


def source_topics(names: Iterable[str]) -> tuple[Topic, ...]:
    """Topics of sources that are read as they are, such as those that Debezium writes: theirs to make and to keep, ours to read."""
    return tuple(
        Topic(name=name, key="the source's", messages=(), writers=_SOURCES, readers=frozenset({Principal.INVENTORY}))
        for name in names
    )


TOPICS: Final = (FEED, ASSETS, CLASSIFICATIONS, OBLIGATIONS, FINDINGS, CONTROL, DEADLETTERS)
