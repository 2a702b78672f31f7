# SPDX-License-Identifier: Apache-2.0
"""Records and subscriptions made by hand: the rules of the bus need no broker."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import pytest
from aiokafka import ConsumerRecord

from libs.bus import Caps, KafkaSettings, Subscription
from libs.observability import Metrics

NOW = datetime(2026, 4, 1, 9, tzinfo=UTC)


def record(
    offset: int = 0,
    value: bytes | None = b"{}",
    key: bytes | None = b"mayor/mayor/a",
    headers: Sequence[tuple[str, bytes]] = (),
) -> ConsumerRecord:
    return ConsumerRecord("daicho.feed.v1", 0, offset, 0, 0, key, value, None, -1, -1, tuple(headers))


@pytest.fixture
def make_record() -> Callable[..., ConsumerRecord]:
    return record


@pytest.fixture
def subscription() -> Subscription:
    return Subscription(
        settings=KafkaSettings(bootstrap="127.0.0.1:1"),
        group="inventory",
        topic="daicho.feed.v1",
        service="inventory",
        municipality="990019",
        instance="one",
        metrics=Metrics(),
        caps=Caps(max_parked_keys=3, max_invalid_ratio=0.5, window=10),
        clock=lambda: NOW,
    )
