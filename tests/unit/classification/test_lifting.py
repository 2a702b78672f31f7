# SPDX-License-Identifier: Apache-2.0
"""The table of what lifts obligations (`tests/data/standards/lifting.yaml`) as a consumer of the topics sees it, over restarts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from libs.contracts import AssetChanged, ClassificationChanged, Dimension, ObligationsChanged
from libs.contracts.topics import CLASSIFICATIONS, OBLIGATIONS
from libs.standards import Standard, StandardsInForce
from services.classification.domain import Message
from tests.classifiers import ToldClassifier

TABLE = Path(__file__).parents[2] / "data" / "standards" / "lifting.yaml"
CASES = [pytest.param(case["steps"], id=case["case"]) for case in yaml.safe_load(TABLE.read_text(encoding="utf-8"))]
NOW = datetime(2026, 4, 1, tzinfo=UTC)


class Consumer:
    """Keeps the last event of each asset, and of the last step those that came."""

    def __init__(self) -> None:
        self.levels: dict[str, ClassificationChanged] = {}
        self.duties: dict[str, ObligationsChanged] = {}
        self.came: dict[str, ObligationsChanged] = {}

    def hear(self, messages: Sequence[Message]) -> None:
        before = {name: self.revision(name) for name in self.levels}
        self.came = {}
        for message in messages:
            event: ClassificationChanged | ObligationsChanged
            if message.topic == CLASSIFICATIONS.name:
                event = ClassificationChanged.model_validate_json(message.value)
                self.levels[event.subject] = event
            else:
                event = ObligationsChanged.model_validate_json(message.value)
                self.duties[event.subject] = self.came[event.subject] = event
            assert event.revision == before.get(event.subject, 0) + 1

    def last(self) -> Iterator[Message]:
        """The messages by which it knows what it knows, as compaction leaves them."""
        for topic, events in ((CLASSIFICATIONS.name, self.levels), (OBLIGATIONS.name, self.duties)):
            for event in events.values():
                key = f"mayor/mayor/{event.subject}".encode()
                yield Message(topic, key, event.model_dump_json(exclude_unset=True).encode(), [])

    def revision(self, name: str) -> int:
        return max(event.revision or 0 for known in (self.levels, self.duties) if (event := known.get(name)))


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("steps", CASES)
def test_events_tell_what_the_table_tells(
    standard: Standard, changed: Any, steps: Sequence[Mapping[str, Any]], *, restart: bool
) -> None:
    consumer, classifier = Consumer(), ToldClassifier(StandardsInForce(standard), "990019", lambda: NOW)
    events: list[AssetChanged] = []
    for step in steps:
        if restart:
            classifier = restarted(standard, consumer, events)
        batch = [event_of(changed, given) for given in step["assets"]]
        consumer.hear(classifier.take_events(batch))
        events += batch
        for expected in step["expect"]:
            check(consumer, expected, step["step"])


def restarted(standard: Standard, consumer: Consumer, events: Sequence[AssetChanged]) -> ToldClassifier:
    """A new life on what compaction leaves of the topics; it has nothing to say."""
    classifier = ToldClassifier(StandardsInForce(standard), "990019", lambda: NOW)
    assert classifier.begin_again({event.subject: event for event in events}.values(), consumer.last()) == []
    return classifier


def event_of(changed: Any, given: Mapping[str, Any]) -> AssetChanged:
    fields = {name: given[name] for name in ("kind", "name", "zone", "facts", "declared", "retired") if name in given}
    relations = [(relation["type"], relation["to"]) for relation in given.get("relations", ())]
    event: AssetChanged = changed(given["key"], relations=relations, **fields)
    return event


def check(consumer: Consumer, expected: Mapping[str, Any], step: str) -> None:
    """One line of `expect`."""
    name = expected["key"]
    where = f"{step}: {name}"
    levels, duties = consumer.levels[name].data, consumer.duties[name].data
    came = consumer.came.get(name)
    imposed = {duty.id for duty in came.data.imposed} if came else set()
    lifted = {duty.id for duty in came.data.lifted} if came else set()
    for told, value in expected.items():
        match told:
            case "key":
                pass
            case "retired":
                assert (levels.after, duties.levels, duties.in_force) == (None, None, ()), where
            case "levels":
                assert levels.after is not None, where
                assert levels.after.model_dump(include=set(value)) == value, where
            case "origin":
                assert {one: levels.explanations[Dimension(one)].origin for one in value} == value, where
            case "from":
                assert {one: source_of(levels.explanations[Dimension(one)]) for one in value} == value, where
            case "imposed_includes":
                assert set(value) <= imposed, where
            case "lifted_includes":
                assert set(value) <= lifted, where
            case "still_in_force":
                assert set(value) <= set(duties.in_force) - imposed, where
            case "same":
                assert came is None, where
            case _:
                pytest.fail(f"{where}: nothing checks {told}")


def source_of(explanation: Any) -> str | None:
    return explanation.inherited_from.asset_id if explanation.inherited_from else None
