# SPDX-License-Identifier: Apache-2.0
"""What a door refuses before it accepts it, and for how long."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from libs.contracts import ProblemType
from libs.security import ProblemError
from services.inventory.backpressure import LATER, SOON, Backlog, Bounds, Gate

NOW = datetime(2026, 4, 1, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def refusal(gate: Gate, feed: str, sizes: list[int]) -> tuple[ProblemType, int, str]:
    with pytest.raises(ProblemError) as refused:
        gate.enter(feed, sizes)
    return refused.value.problem, refused.value.status_code, (refused.value.headers or {})["Retry-After"]


def test_no_feed_takes_more_than_its_share_of_what_is_on_its_way(clock: Clock) -> None:
    gate = Gate(Bounds(waiting_items=10, feed_share=0.5), clock)
    gate.enter("a", [1] * 5)

    assert refusal(gate, "a", [1]) == (ProblemType.TOO_MANY, 429, SOON)
    gate.enter("b", [1] * 5)
    assert refusal(gate, "c", [1]) == (ProblemType.BUSY, 503, SOON)

    gate.leave("a", 1)
    gate.enter("c", [1])
    assert gate.waiting == 10


def test_bytes_count_as_items_do(clock: Clock) -> None:
    gate = Gate(Bounds(waiting_bytes=1000, feed_share=0.5), clock)
    gate.enter("a", [500])

    assert refusal(gate, "a", [1]) == (ProblemType.TOO_MANY, 429, SOON)
    assert refusal(gate, "b", [501])[1] == 503
    gate.enter("b", [400, 100])


def test_what_is_refused_is_not_counted(clock: Clock) -> None:
    gate = Gate(Bounds(waiting_items=4, feed_share=1), clock)
    for _ in range(3):
        refusal(gate, "a", [1] * 5)
    gate.enter("a", [1] * 4)


def test_a_feed_waits_for_the_worker_and_others_do_not(clock: Clock) -> None:
    gate = Gate(Bounds(unhandled_of_feed=3), clock)
    gate.backlog.add("a", [(0, 10), (1, 7), (0, 11)])

    assert refusal(gate, "a", [1]) == (ProblemType.TOO_MANY, 429, LATER)
    gate.enter("b", [1])
    gate.backlog.handled(1, 8)
    gate.enter("a", [1])


def test_nothing_is_taken_while_the_worker_is_too_far_behind(clock: Clock) -> None:
    gate = Gate(Bounds(behind_seconds=60), clock)
    clock.now += timedelta(seconds=60)
    gate.enter("a", [1])
    clock.now += timedelta(seconds=1)
    assert refusal(gate, "a", [1]) == (ProblemType.BUSY, 503, LATER)

    gate.worker_at(clock.now)
    gate.enter("a", [1])


def test_a_delivery_is_handled_when_its_last_item_is() -> None:
    backlog = Backlog()
    backlog.add("a", [(0, 1), (0, 3)])
    backlog.add("b", [(0, 2)])

    backlog.handled(0, 3)
    assert (backlog.of("a"), backlog.of("b")) == (2, 1)
    backlog.handled(0, 4)
    assert (backlog.of("a"), backlog.of("b")) == (0, 0)
