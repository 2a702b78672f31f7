# SPDX-License-Identifier: Apache-2.0
"""What all tasks of one consumer share, and how each of them says how it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from libs.bus.settings import KafkaSettings
from libs.observability import Metrics

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class Caps:
    """How much a partition may put aside before its task stops: a fault of ours must not drain a topic into the dead letters.

    `max_invalid_ratio` is the share of rejected records among the last `window` or so; it is not looked at before there are as many.
    """

    max_parked_keys: int = 50_000
    max_invalid_ratio: float = 0.8
    window: int = 2_000


@dataclass(frozen=True)
class Limits:
    """Sizes of a batch: records handled in one transaction, and bytes fetched and sent at once.

    Who has caught up takes the next batch `pause_seconds` after the last at the earliest: under a steady stream a transaction costs
    broker and database more than the records in it do. A record that comes alone does not wait.
    """

    max_records: int = 4_000
    fetch_bytes: int = 2 * 1024 * 1024
    send_bytes: int = 512 * 1024
    pause_seconds: float = 0.04


@dataclass(frozen=True, kw_only=True)
class Subscription:
    """A consumer group's reading of one topic.

    `group` is also the consumer's name in dead letters and metrics, and begins transactional ids: ACLs go by that prefix.
    `service` and `municipality` are for the source of the dead letters. `instance` is the name of this process among those of the
    group: one that is started again under the same name has its partitions back at once; two at a time must not share it.
    """

    settings: KafkaSettings
    group: str
    topic: str
    service: str
    municipality: str
    instance: str
    metrics: Metrics
    caps: Caps = field(default_factory=Caps)
    limits: Limits = field(default_factory=Limits)
    clock: Clock = utc_now


class TaskState(StrEnum):
    """`restoring` and `running` are well; `retrying` may mend itself; `stopped` needs a person."""

    STARTING = "starting"
    RESTORING = "restoring"
    RUNNING = "running"
    RETRYING = "retrying"
    FENCED = "fenced"
    STOPPED = "stopped"


@dataclass
class TaskStatus:
    """How the task of a partition is. `reason` is a stable code where it is not well; `lag` counts records not yet handled."""

    topic: str
    partition: int
    state: TaskState = TaskState.STARTING
    reason: str | None = None
    lag: int = 0
    position: int | None = None

    @property
    def well(self) -> bool:
        return self.state not in {TaskState.RETRYING, TaskState.STOPPED}
