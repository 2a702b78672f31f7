# SPDX-License-Identifier: Apache-2.0
"""What time alone changes: entries of a standard that begin to hold on a day, or cease to (the ordinance of 2027-07-01)."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from libs.contracts import ObligationsChanged
from libs.contracts.topics import OBLIGATIONS
from libs.standards import Standard, StandardsInForce, compile_standard
from services.classification.domain import Message
from tests.classifiers import ToldClassifier

MIDNIGHT_IN_JAPAN = datetime(2027, 6, 30, 15, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.now = MIDNIGHT_IN_JAPAN - timedelta(seconds=1)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def classifier(standard: Standard, clock: Clock) -> ToldClassifier:
    return ToldClassifier(StandardsInForce(standard), "990019", clock)


def duties(messages: list[Message]) -> dict[str, ObligationsChanged]:
    found = [ObligationsChanged.model_validate_json(one.value) for one in messages if one.topic == OBLIGATIONS.name]
    assert len(found) == len(messages), "no level changes on that day"
    return {event.subject: event for event in found}


def test_an_obligation_begins_at_midnight_in_japan_with_no_event(
    classifier: ToldClassifier, clock: Clock, changed: Any
) -> None:
    existing = {"introduced_on": "2020-04-01"}
    first = classifier.take_events([changed("old", kind="system", facts=existing), changed("new", kind="system")])
    assert not any(b'"T-33"' in message.value for message in first)
    assert classifier.due() == []

    clock.now = MIDNIGHT_IN_JAPAN
    told = duties(classifier.due())

    assert set(told) == {"new"}
    assert [duty.id for duty in told["new"].data.imposed] == ["T-33"]
    assert told["new"].data.lifted == ()
    assert told["new"].revision == 2
    assert classifier.due() == []


def test_a_change_that_comes_first_after_midnight_brings_the_others_along(
    classifier: ToldClassifier, clock: Clock, changed: Any
) -> None:
    classifier.take_events([changed("one", kind="system")])
    clock.now = MIDNIGHT_IN_JAPAN

    told = [event.subject for event in map(_event, classifier.take_events([changed("two", kind="system")])) if event]

    assert told == ["one", "two"]


def test_an_obligation_ceases_too_and_a_restart_finds_the_same(standard: Standard, clock: Clock, changed: Any) -> None:
    ended = standard.document.model_copy(
        update={
            "obligations": tuple(
                one.model_copy(update={"effective_until": date(2027, 7, 1)}) if one.id == "T-01" else one
                for one in standard.document.obligations
            )
        }
    )
    standards = StandardsInForce(compile_standard(ended))
    asset = changed("desk", kind="system", zone="internet")
    lived, restarted = ToldClassifier(standards, "990019", clock), ToldClassifier(standards, "990019", clock)
    before = lived.take_events([asset])
    clock.now = MIDNIGHT_IN_JAPAN

    told = duties(lived.due())["desk"]
    again = [event for event in map(_event, restarted.begin_again([asset], before)) if event]

    assert [duty.id for duty in told.data.lifted] == ["T-01"]
    assert (told.data.in_force, told.data.lifted) == (again[0].data.in_force, again[0].data.lifted)


def _event(message: Message) -> ObligationsChanged | None:
    return ObligationsChanged.model_validate_json(message.value) if message.topic == OBLIGATIONS.name else None
