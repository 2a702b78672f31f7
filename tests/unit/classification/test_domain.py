# SPDX-License-Identifier: Apache-2.0
"""What is published of a change, and what is not."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from libs.contracts import ClassificationChanged, ObligationsChanged
from libs.contracts.topics import CLASSIFICATIONS, OBLIGATIONS
from libs.standards import Standard, StandardsInForce, compile_standard
from services.classification.domain import Message
from tests.classifiers import ToldClassifier

NOW = datetime(2026, 4, 1, tzinfo=UTC)
RESIDENTS = {"data_kinds": ["resident"], "personal_data": True, "record_count": 91234}


@pytest.fixture
def classifier(standard: Standard) -> ToldClassifier:
    return ToldClassifier(StandardsInForce(standard), "990019", lambda: NOW)


def levels(messages: Sequence[Message]) -> dict[str, ClassificationChanged]:
    found = [
        ClassificationChanged.model_validate_json(one.value) for one in messages if one.topic == CLASSIFICATIONS.name
    ]
    return {event.subject: event for event in found}


def duties(messages: Sequence[Message]) -> dict[str, ObligationsChanged]:
    found = [ObligationsChanged.model_validate_json(one.value) for one in messages if one.topic == OBLIGATIONS.name]
    return {event.subject: event for event in found}


class TestTake:
    def test_a_new_asset_has_levels_and_obligations(self, classifier: ToldClassifier, changed: Any) -> None:
        messages = classifier.take_events([changed("roll", facts=RESIDENTS, zone="mynumber", trace=7)])

        event, duty = levels(messages)["roll"], duties(messages)["roll"]
        assert event.data.before is None
        assert event.data.after is not None
        assert event.data.after.confidentiality == "3B"
        assert event.data.explanations["confidentiality"].rule == "CR-11"
        assert (event.revision, duty.revision) == (1, 1)
        assert (event.id, duty.id) == ("roll:1:c", "roll:1:o")
        assert event.traceparent == duty.traceparent == f"00-{7:032x}-{1:016x}-01"
        assert duty.data.in_force == tuple(one.id for one in duty.data.imposed)
        assert "H-07" in duty.data.in_force
        assert duty.data.lifted == ()

    def test_what_changes_nothing_publishes_nothing(self, classifier: ToldClassifier, changed: Any) -> None:
        classifier.take_events([changed("roll", facts=RESIDENTS)])

        assert classifier.take_events([changed("roll", facts={**RESIDENTS, "location": ""})]) == []

    def test_what_the_ledger_declares_is_told_also_where_something_else_binds(
        self, classifier: ToldClassifier, changed: Any
    ) -> None:
        stores = [("stores", "roll")]
        classifier.take_events([changed("roll", facts=RESIDENTS), changed("system", kind="system", relations=stores)])

        messages = classifier.take_events(
            [changed("system", kind="system", relations=stores, declared={"confidentiality": "3C"})]
        )

        event = levels(messages)["system"]
        assert event.data.before == event.data.after
        explanation = event.data.explanations["confidentiality"]
        assert (explanation.origin, explanation.level, explanation.declared) == ("inherited", "3B", "3C")
        assert duties(messages) == {}

    def test_a_separated_network_has_a_standard_of_its_own(self, standard: Standard, changed: Any) -> None:
        own = compile_standard(
            standard.document.model_copy(
                update={
                    "name": "base-waterworks",
                    "obligations": tuple(one for one in standard.document.obligations if one.id != "H-07"),
                }
            )
        )
        classifier = ToldClassifier(StandardsInForce(standard, {"waterworks": own}), "990019", lambda: NOW)
        theirs = {"body": "waterworks", "network": "waterworks"}

        messages = classifier.take_events(
            [
                changed("roll", facts=RESIDENTS, zone="mynumber"),
                changed("meters", facts=RESIDENTS, zone="mynumber", **theirs),
            ]
        )

        at_the_mayors, at_the_waterworks = duties(messages)["roll"], duties(messages)["meters"]
        assert at_the_mayors.standardversion == standard.version
        assert at_the_waterworks.standardversion == own.version != standard.version
        assert set(at_the_mayors.data.in_force) - set(at_the_waterworks.data.in_force) == {"H-07"}

    def test_a_revision_seen_before_is_passed_over(self, classifier: ToldClassifier, changed: Any) -> None:
        first, second = changed("roll", facts=RESIDENTS), changed("roll", facts={"published": True})
        classifier.take_events([first, second])

        assert classifier.take_events([first]) == []

    def test_a_downgrade_lifts(self, classifier: ToldClassifier, changed: Any) -> None:
        classifier.take_events([changed("roll", facts=RESIDENTS)])

        messages = classifier.take_events([changed("roll", facts={"published": True})])

        event, duty = levels(messages)["roll"], duties(messages)["roll"]
        assert event.data.before is not None
        assert event.data.before.confidentiality == "3B"
        assert event.data.after is not None
        assert event.data.after.confidentiality == "1"
        assert "H-07" in {one.id for one in duty.data.lifted}
        assert not {one.id for one in duty.data.lifted} & set(duty.data.in_force)

    def test_a_retired_asset_is_freed_of_everything(self, classifier: ToldClassifier, changed: Any) -> None:
        imposed = duties(classifier.take_events([changed("roll", facts=RESIDENTS)]))["roll"].data.in_force

        messages = classifier.take_events([changed("roll", facts=RESIDENTS, retired=True)])

        assert levels(messages)["roll"].data.after is None
        assert levels(messages)["roll"].data.explanations == {}
        assert duties(messages)["roll"].data.in_force == ()
        assert tuple(one.id for one in duties(messages)["roll"].data.lifted) == imposed

    def test_an_asset_retired_before_it_was_known_is_never_mentioned(
        self, classifier: ToldClassifier, changed: Any
    ) -> None:
        assert classifier.take_events([changed("roll", retired=True)]) == []

    def test_levels_go_up_the_relations(self, classifier: ToldClassifier, changed: Any) -> None:
        stores = [("stores", "roll")]
        before = classifier.take_events([changed("system", kind="system", relations=stores)])
        after = classifier.take_events([changed("roll", facts=RESIDENTS)])

        assert levels(before)["system"].data.explanations["confidentiality"].origin == "derived"
        explanation = levels(after)["system"].data.explanations["confidentiality"]
        assert (explanation.origin, explanation.rule, explanation.level) == ("inherited", "CR-11", "3B")
        assert explanation.inherited_from is not None
        assert explanation.inherited_from.path == ("roll",)

    def test_no_event_of_a_body_names_an_asset_of_another(self, classifier: ToldClassifier, changed: Any) -> None:
        messages = classifier.take_events([
            changed("server", kind="system", name="共用サーバ"),
            changed("secret-roll", body="election", name="選挙人名簿", facts={"data_kinds": ["election"], "personal_data": True}),
            changed("system", body="election", kind="system", relations=[("stores", "secret-roll"), ("runs_on", "server")]),
        ])  # fmt: skip

        for message in messages:
            if message.key.startswith(b"mayor/mayor/"):
                assert b"secret-roll" not in message.value
                assert "選挙人名簿".encode() not in message.value
        explanation = levels(messages)["server"].data.explanations["confidentiality"]
        assert explanation.level == "3B"
        assert explanation.inherited_from is not None
        assert (explanation.inherited_from.body, explanation.inherited_from.asset_id) == ("election", None)
        assert explanation.rule is None

    @pytest.mark.parametrize("at_once", [True, False])
    def test_an_asset_that_moves_is_freed_under_its_old_key_and_bound_under_the_new(
        self, classifier: ToldClassifier, changed: Any, *, at_once: bool
    ) -> None:
        classifier.take_events([changed("roll", facts=RESIDENTS)])
        leaves, arrives = (
            changed("roll", facts=RESIDENTS, retired=True),
            changed("roll", facts=RESIDENTS, body="election"),
        )

        messages = (
            classifier.take_events([leaves, arrives])
            if at_once
            else [*classifier.take_events([leaves]), *classifier.take_events([arrives])]
        )

        last = {
            one.key: ObligationsChanged.model_validate_json(one.value)
            for one in messages
            if one.topic == OBLIGATIONS.name
        }
        assert last[b"mayor/mayor/roll"].data.in_force == ()
        assert "H-07" in last[b"mayor/election/roll"].data.in_force

    def test_what_comes_late_under_the_key_before_a_move_does_not_undo_it(
        self, classifier: ToldClassifier, changed: Any
    ) -> None:
        holds = changed("system", kind="system", relations=[("stores", "roll")])
        classifier.take_events([changed("roll", facts=RESIDENTS), holds])
        leaves, arrives = changed("roll", retired=True), changed("roll", facts=RESIDENTS, body="election")
        classifier.take_events([arrives])

        late = classifier.take_events([leaves])
        downgraded = classifier.take_events([changed("roll", body="election", facts={"published": True})])

        assert {one.key for one in late} == {b"mayor/mayor/roll"}
        assert levels(late)["roll"].data.after is None
        assert {one.key for one in downgraded} == {b"mayor/election/roll", b"mayor/mayor/system"}


class TestRecall:
    def test_a_new_life_goes_on_where_the_last_one_ended(self, standard: Standard, changed: Any) -> None:
        events = [changed("roll", facts=RESIDENTS), changed("system", kind="system", relations=[("stores", "roll")])]
        first, second = (
            ToldClassifier(StandardsInForce(standard), "990019", lambda: NOW),
            ToldClassifier(StandardsInForce(standard), "990019", lambda: NOW),
        )

        assert second.begin_again(events, first.take_events(events)) == []
        gone = second.take_events([changed("roll", facts=RESIDENTS, retired=True)])
        assert levels(gone)["system"].revision == 2

    def test_what_was_cut_off_between_is_made_up_for(self, standard: Standard, changed: Any) -> None:
        events = [changed("roll", facts=RESIDENTS), changed("other", facts=RESIDENTS)]
        first, second = (
            ToldClassifier(StandardsInForce(standard), "990019", lambda: NOW),
            ToldClassifier(StandardsInForce(standard), "990019", lambda: NOW),
        )
        published = first.take_events(events[:1])

        assert set(levels(second.begin_again(events, published))) == {"other"}


def test_headers_say_what_the_envelope_says(classifier: ToldClassifier, changed: Any) -> None:
    from libs.contracts import kafka_headers

    for message in classifier.take_events([changed("roll", facts=RESIDENTS, zone="mynumber", section="市民課")]):
        model = ClassificationChanged if message.topic == CLASSIFICATIONS.name else ObligationsChanged
        event = model.model_validate_json(message.value)
        assert sorted(message.headers) == sorted(kafka_headers(event))
        again = model.model_validate_json(event.model_dump_json())
        assert again == event
