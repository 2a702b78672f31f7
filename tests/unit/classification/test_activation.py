# SPDX-License-Identifier: Apache-2.0
"""A standard that is activated while another is still being applied: whichever piece it comes after, the newest holds in the end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import product

import pytest

from libs.contracts import AssetChanged, ClassificationChanged, Dimension, ObligationsChanged
from libs.contracts.topics import CLASSIFICATIONS, OBLIGATIONS
from libs.standards import Standard, StandardsInForce, compile_standard
from services.classification import domain
from services.classification.domain import Message
from tests.classifiers import ToldClassifier

NOW = datetime(2026, 4, 1, tzinfo=UTC)
RESIDENTS = {"data_kinds": ["resident"], "personal_data": True}
IDS = ("roll-1", "roll-2")


@pytest.fixture
def first(standard: Standard) -> StandardsInForce:
    return StandardsInForce(standard)


@pytest.fixture
def second(standard: Standard) -> StandardsInForce:
    """Another rule gives residents their level, and an obligation is gone."""
    document = standard.document
    rules = (one.model_copy(update={"id": "CR-98"}) if one.id == "CR-11" else one for one in document.rules)
    obligations = (one for one in document.obligations if one.id != "H-07")
    update = {"version": "2026.2", "rules": tuple(rules), "obligations": tuple(obligations)}
    return StandardsInForce(compile_standard(document.model_copy(update=update)))


def rules_in(messages: Sequence[Message]) -> dict[str, str | None]:
    events = [
        ClassificationChanged.model_validate_json(one.value) for one in messages if one.topic == CLASSIFICATIONS.name
    ]
    return {event.subject: event.data.explanations[Dimension.CONFIDENTIALITY].rule for event in events}


def test_the_newest_holds_in_the_end_wherever_it_breaks_in(
    first: StandardsInForce,
    second: StandardsInForce,
    changed: Callable[..., AssetChanged],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(domain, "PIECE", 1)
    assets = [changed(asset_id, facts=RESIDENTS) for asset_id in IDS]
    for pauses in product(range(4), repeat=2):
        classifier = ToldClassifier(first, "990019", lambda: NOW)
        told = rules_in(classifier.take_events(assets))
        for standards, pause in zip((second, first, second), (*pauses, 0), strict=True):
            classifier.activate(standards)
            for _ in range(pause):
                told |= rules_in(classifier.due())
        while classifier.pending:
            told |= rules_in(classifier.due())
        assert told == dict.fromkeys(IDS, "CR-98"), pauses
        assert classifier.turned == {"mayor": (2, 2, 2)}, pauses
        assert classifier.due() == []


def test_a_duty_that_the_new_one_does_not_know_is_lifted_under_its_name_and_imposed_again_with_its_text(
    first: StandardsInForce, second: StandardsInForce, changed: Callable[..., AssetChanged]
) -> None:
    classifier = ToldClassifier(first, "990019", lambda: NOW)
    classifier.take_events([changed("roll", facts=RESIDENTS)])

    classifier.activate(second)
    (lifted,) = duties(classifier.due())
    classifier.activate(first)
    (imposed,) = duties(classifier.due())

    assert [(one.id, one.title.ja) for one in lifted.data.lifted] == [("H-07", "アクセス権の見直し")]
    assert [one.id for one in imposed.data.imposed] == ["H-07"]
    assert (lifted.standardversion, imposed.standardversion) == ("base/2026.2", "base/2026.1")


def duties(messages: Sequence[Message]) -> list[ObligationsChanged]:
    return [ObligationsChanged.model_validate_json(one.value) for one in messages if one.topic == OBLIGATIONS.name]
