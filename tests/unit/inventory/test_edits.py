# SPDX-License-Identifier: Apache-2.0
"""What a person's edit sets and tells, which acts wait for a second person, and what a request rests on."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from libs.contracts import Profile, asset_id
from services.inventory.acts import Act, By, changed_since, resting_on, waits
from services.inventory.composition import BY_HAND, PERSON
from services.inventory.domain import Link, Register, Source, first_known_as
from services.inventory.edits.domain import (
    Addition,
    Edit,
    Retirement,
    TakingBack,
    added,
    edit_of,
    edited,
    edits_in,
    relations_told,
    standing,
    taken_back,
    told_by,
)

NOW = datetime(2026, 4, 1, 9, tzinfo=UTC)
BY = By("tanaka", NOW)
TARGET = "6f1f9e0e-5d0a-4a3e-9a57-0d8a1f4f2b11"
ASSET = asset_id("990019", "cmdb", "C-1")
NEW = Link(PERSON, f"{ASSET}/1", ASSET, source_version=-1)


def edit(**fields: Any) -> Edit:
    return Edit.model_validate({"reason": "確認した", **fields})


class TestFields:
    def test_what_is_left_out_is_not_set_and_null_takes_away(self) -> None:
        given = edit(
            name="税務システム",
            section=None,
            facts={"rto_hours": 4, "owner": None},
            declared={"integrity": "2", "availability": None},
            relations={"stores": [TARGET], "runs_on": None},
        )
        assert given.fields() == {
            "name": "税務システム",
            "section": None,
            "facts.rto_hours": 4,
            "facts.owner": None,
            "declared.integrity": "2",
            "declared.availability": None,
            "relations.stores": [TARGET],
            "relations.runs_on": None,
        }

    @pytest.mark.parametrize(
        "fields",
        [
            {"body": "fire"},
            {"facts": None},
            {"facts": {"Rto": 1}},
            {"facts": {"x": float("nan")}},
            {"declared": {"secrecy": "1"}},
            {"relations": {"likes": [TARGET]}},
            {"relations": {"stores": ["C-1"]}},
            {"kind": "server"},
            {"name": "a\x00b"},
            {"reason": ""},
        ],
    )
    def test_what_is_no_field_is_refused(self, fields: dict[str, Any]) -> None:
        with pytest.raises(ValidationError):
            edit(**fields)


class TestTelling:
    def test_each_field_keeps_who_set_it_when_and_why(self) -> None:
        first = edited(NEW, {"name": "甲", "facts.model": None}, BY, "現物を確認")
        both = edited(first, {"name": "乙"}, By("suzuki", NOW.replace(hour=10), "sato"), "改称")

        assert (first.source_version, both.source_version) == (0, 1)
        found = edits_in(told_by(both))
        assert found["facts.model"]._asdict() == {
            "value": None,
            "by": "tanaka",
            "at": "2026-04-01T09:00:00.000000+00:00",
            "reason": "現物を確認",
            "approved_by": None,
        }
        assert (found["name"].value, found["name"].by, found["name"].approved_by) == ("乙", "suzuki", "sato")

    def test_relations_of_a_type_are_set_whole_and_none_is_an_edit_too(self) -> None:
        sources = [Source("cmdb", "I-1"), Source("cmdb", "I-1"), Source("netbox", "N-1")]
        link = edited(NEW, {"relations.stores": sources, "relations.runs_on": []}, BY, "配置換え")

        assert told_by(link)["relations"] == [
            ["stores", "cmdb", "I-1"],
            ["stores", "netbox", "N-1"],
            ["runs_on", "", ""],
        ]
        found = edits_in(told_by(edited(link, {"relations.stores": [Source("cmdb", "I-2")]}, BY, "訂正")))
        assert {field: one.value for field, one in found.items()} == {
            "relations.stores": [Source("cmdb", "I-2")],
            "relations.runs_on": [],
        }

    def test_taken_back_field_by_field_nothing_is_left_to_tell(self) -> None:
        link = edited(NEW, {"name": "甲", "declared.integrity": "2", "relations.stores": []}, BY, "仮")

        link = taken_back(link, ["declared.integrity", "facts.unknown"])
        assert edits_in(told_by(link)).keys() == {"name", "relations.stores"}
        link = taken_back(link, ["name", "relations.stores"])
        assert (link.told, link.source_version) == (None, 2)

    def test_an_assets_own_edits_are_gone_on_with_and_those_of_others_are_not(self) -> None:
        others = Link(PERSON, "other/1", ASSET, 3)
        assert edit_of(ASSET, [others, NEW]) == NEW
        fresh = edit_of(ASSET, [others])
        assert fresh.source_key.startswith(f"{ASSET}/")
        assert (fresh.feed, fresh.asset_id, fresh.source_version) == (PERSON, ASSET, -1)

    def test_of_several_edits_of_a_field_the_newest_stands(self) -> None:
        older = told_by(edited(NEW, {"name": "旧", "zone": "lgwan"}, BY, "一"))
        newer = told_by(edited(NEW, {"name": "新"}, By("suzuki", NOW.replace(hour=10)), "二"))
        for order in ([older, newer], [newer, older]):
            assert {field: one.value for field, one in standing(order).items()} == {"name": "新", "zone": "lgwan"}


class TestAdded:
    def test_it_is_in_the_register_with_what_was_given(self, profile: Profile) -> None:
        given = Addition.model_validate(
            {
                "body": "mayor",
                "kind": "document",
                "name": "設計書",
                "facts": {"medium": "paper"},
                "declared": {"confidentiality": "3C"},
                "relations": {"describes": [TARGET]},
                "reason": "台帳に載っていない",
            }
        )
        register = Register(profile)
        content = given.content(relations_told("describes", [Source(BY_HAND, TARGET)]))
        (revision,) = register.tell([added(ASSET, content)], BY.change(given.reason)).revisions

        assert revision.before is None
        assert revision.change == {"actor": "tanaka", "reason": "台帳に載っていない"}
        assert revision.after == {
            "asset_id": ASSET,
            "body": "mayor",
            "network": "mayor",
            "kind": "document",
            "name": "設計書",
            "status": "active",
            "facts": {"medium": "paper"},
            "declared": {"confidentiality": "3C"},
            "relations": [{"type": "describes", "asset_id": TARGET}],
        }

    def test_its_id_is_its_key(self) -> None:
        assert first_known_as("990019", Source(BY_HAND, TARGET)) == TARGET
        assert first_known_as("990019", Source("cmdb", "C-1")) == ASSET


class TestFourEyes:
    @pytest.mark.parametrize(
        ("four_eyes", "act", "expected"),
        [
            ({"retire"}, Retirement(reason="廃棄"), True),
            ({"edit"}, Retirement(reason="廃棄"), False),
            ({"edit"}, edit(name="甲"), True),
            ({"edit.declared"}, edit(declared={"integrity": "1"}), True),
            ({"edit.declared.integrity"}, edit(declared={"integrity": None}), True),
            ({"edit.declared.integrity"}, edit(declared={"availability": "1"}), False),
            ({"edit.declared"}, edit(name="甲", declared={"integrity": "1"}), True),
            ({"edit.declared"}, edit(name="甲"), False),
            ({"edit.facts.serial"}, edit(facts={"serial_2": "x"}), False),
            ({"edit.zone"}, TakingBack(fields=("zone",), reason="誤り"), True),
            (set(), edit(zone="lgwan"), False),
        ],
    )
    def test_what_the_profile_names_waits(self, four_eyes: set[str], act: Act, expected: bool) -> None:
        assert waits(four_eyes, act) is expected

    def test_a_request_rests_on_what_it_touches_and_no_more(self) -> None:
        state = {"body": "mayor", "status": "active", "name": "甲", "facts": {"a": 1, "b": 2}, "declared": {}}
        state["relations"] = [{"type": "stores", "asset_id": TARGET}]
        act = edit(facts={"a": 5}, relations={"stores": []}, zone="lgwan")

        rested = resting_on(state, act)
        assert rested == {
            "body": "mayor",
            "status": "active",
            "zone": None,
            "facts.a": 1,
            "relations.stores": [TARGET],
        }
        assert changed_since(rested, {**state, "name": "乙", "facts": {"a": 1, "b": 9}}) == ()
        assert changed_since(rested, {**state, "facts": {"a": 2}, "status": "retired"}) == ("status", "facts.a")
        assert changed_since(rested, None) == tuple(rested)
        assert resting_on(None, act) == {}


@pytest.mark.parametrize("act", ["merge", "edit.body", "edit.facts.", "retire.now", "EDIT", "edit.relations.likes"])
def test_a_profile_names_only_what_people_do(profile: Profile, act: str) -> None:
    with pytest.raises(ValidationError, match="four_eyes"):
        Profile.model_validate({**profile.model_dump(mode="json"), "four_eyes": [act]})


def test_a_profile_without_any_lets_everyone_act_alone(profile: Profile) -> None:
    assert profile.four_eyes == frozenset()
