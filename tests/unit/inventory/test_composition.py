# SPDX-License-Identifier: Apache-2.0
"""Whose value stands in a field of an asset that several tell of, people among them; and since when."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from libs.contracts import Profile
from services.inventory.composition import BY_HAND, BY_ID, NOWHERE, PERSON, Authorities, Told, compose
from services.inventory.domain import Link, MoveChanges, Part, Register, Source
from services.inventory.merges.domain import Since

FEEDS = [
    {"id": "netbox", "authority": ["facts", "existence"], "rank": 2},
    {"id": "ledger", "authority": ["name", "facts.rto_hours"], "rank": 1},
    {"id": "cmdb", "rank": 1},
    {"id": "glpi", "rank": 1},
]


@pytest.fixture(scope="module")
def city(profile: Profile) -> Profile:
    feeds = [{"name": {"ja": "名", "en": "name"}, "bodies": ["mayor"], **feed} for feed in FEEDS]
    return Profile.model_validate({**profile.model_dump(mode="json", exclude={"feeds"}), "feeds": feeds})


@pytest.fixture(scope="module")
def authorities(city: Profile) -> Authorities:
    return Authorities(city)


def told(feed: str, *, gone: bool = False, key: str = "K-1", at: int = 1, **content: Any) -> Told:
    """`at` is the day on which a person set all of what they tell."""
    whole = {"body": "mayor", "kind": "system", "facts": {}, "declared": {}, "relations": []}
    if feed != PERSON:
        return Told(feed, key, {**whole, **content}, gone)
    fields = [name for name in content if name not in ("facts", "relations")]
    fields += [f"facts.{name}" for name in content.get("facts", ())]
    fields += [f"relations.{kind}" for kind, _, _ in content.get("relations", ())]
    return Told(feed, key, {**content, "edits": {name: {"at": f"2026-04-{at:02}"} for name in fields}}, gone)


class TestFields:
    @pytest.mark.parametrize(
        ("speakers", "expected"),
        [
            ({"cmdb": 1, "netbox": 2}, 2),
            ({"netbox": 2, "ledger": 3}, 3),
            ({"cmdb": 1, "glpi": 4}, 1),
            ({"netbox": 2, "ledger": 3, PERSON: 9}, 9),
            ({"cmdb": 1, "netbox": None}, 1),
            ({"unheard-of": 7, "glpi": 4}, 4),
        ],
        ids=["the group", "the field itself", "the order of the profile", "a person", "who tells it", "a feed of old"],
    )
    def test_who_is_heard(self, authorities: Authorities, speakers: dict[str, int | None], expected: int) -> None:
        facts = [{} if hours is None else {"rto_hours": hours} for hours in speakers.values()]
        both = [told(feed, facts=one) for feed, one in zip(speakers, facts, strict=True)]

        for order in (both, both[::-1]):
            assert compose(authorities, order).content["facts"] == {"rto_hours": expected}

    def test_a_person_may_take_a_value_away_and_leaves_the_rest(self, authorities: Authorities) -> None:
        content, _, origins = compose(
            authorities,
            [
                told("ledger", name="名簿", section="税務課", facts={"a": 1, "b": 2}),
                told(PERSON, section=None, facts={"a": None}),
            ],
        )
        assert (content["name"], content["facts"]) == ("名簿", {"b": 2})
        assert "section" not in content
        assert [one.feed for one in origins["section"]] == [PERSON]

    def test_what_was_added_by_hand_stands_until_a_feed_tells_it(self, authorities: Authorities) -> None:
        by_hand = told(BY_HAND, key="p", name="手で登録", section="税務課", kind="information")

        content = compose(authorities, [by_hand, told("glpi", name="srv-01")]).content
        assert (content["name"], content["section"], content["kind"]) == ("srv-01", "税務課", "system")

    def test_of_two_edits_the_newer_one_stands_field_by_field(self, authorities: Authorities) -> None:
        stores = [["stores", "cmdb", "I-1"]]
        older = told(PERSON, key="a/1", at=3, name="旧", section="納税課", relations=[["stores", "cmdb", "I-2"]])
        newer = told(PERSON, key="b/1", at=4, name="新", relations=stores)

        for order in ([older, newer], [newer, older]):
            content = compose(authorities, [told("cmdb"), *order]).content
            assert (content["name"], content["section"]) == ("新", "納税課")
            assert content["relations"] == [("stores", "cmdb", "I-1")]

    def test_a_person_may_take_away_the_relations_of_a_type(self, authorities: Authorities) -> None:
        feed = told("cmdb", relations=[["stores", "cmdb", "I-1"], ["runs_on", "cmdb", "S-1"]])

        content, _, origins = compose(authorities, [feed, told(PERSON, relations=[["stores", BY_ID, NOWHERE]])])
        assert content["relations"] == [("runs_on", "cmdb", "S-1")]
        assert [one.feed for one in origins["relations.stores"]] == [PERSON]

    def test_without_a_name_an_asset_has_the_key_of_a_feed(self, authorities: Authorities) -> None:
        assert compose(authorities, [told(PERSON, key="p"), told("cmdb", key="C-1")]).content["name"] == "C-1"

    def test_relations_that_equals_tell_add_up_and_each_type_stands_alone(self, authorities: Authorities) -> None:
        stores, runs_on = [["stores", "cmdb", "I-1"]], [["runs_on", BY_ID, "some-id"], ["stores", "glpi", "I-2"]]

        content, _, origins = compose(authorities, [told("cmdb", relations=stores), told("glpi", relations=runs_on)])
        assert content["relations"] == [
            ("runs_on", "", "some-id"),
            ("stores", "cmdb", "I-1"),
            ("stores", "glpi", "I-2"),
        ]
        assert [one.feed for one in origins["relations.stores"]] == ["cmdb", "glpi"]


class TestExistence:
    @pytest.mark.parametrize(
        ("gone", "there"),
        [
            ({"cmdb": False, "ledger": True}, True),
            ({"cmdb": True, "ledger": True}, False),
            ({"netbox": True, "ledger": False}, False),
            ({"netbox": False, "ledger": True}, True),
            ({"cmdb": True, PERSON: False}, False),
            ({BY_HAND: False, PERSON: False}, True),
            ({BY_HAND: False, "cmdb": True}, True),
            ({BY_HAND: False, "netbox": True}, False),
        ],
        ids=[
            "one is left",
            "none is left",
            "the authority is gone",
            "the authority is left",
            "an edit alone",
            "added by hand",
            "added by hand, and one that no longer tells",
            "added by hand, and the authority is gone",
        ],
    )
    def test_whether_an_asset_is_there(self, authorities: Authorities, gone: dict[str, bool], there: bool) -> None:
        assert compose(authorities, [told(feed, gone=one) for feed, one in gone.items()]).active is there

    def test_what_is_gone_is_not_heard_but_of_what_is_retired_all_is_kept(self, authorities: Authorities) -> None:
        left = told("cmdb", facts={"b": 2})
        gone = told("ledger", gone=True, name="台帳名", facts={"a": 1})

        assert compose(authorities, [left, gone]).content["facts"] == {"b": 2}
        retired = compose(authorities, [Told("cmdb", "K-1", left.content, gone=True), gone])
        assert (retired.content["facts"], retired.content["name"]) == ({"a": 1, "b": 2}, "台帳名")


def test_a_relation_by_id_leads_to_that_id(city: Profile) -> None:
    known = Link(
        "cmdb",
        "C-1",
        "own-id",
        1,
        '{"body":"mayor","kind":"system","facts":{},"declared":{},"relations":[["stores","","x"]]}',
    )
    register = Register(city, Part({Source("cmdb", "C-1"): known}))

    (revision,) = register.move([Source("cmdb", "C-1")], "new-id", MoveChanges({}, {}, {})).revisions
    assert revision.after["relations"] == [{"type": "stores", "asset_id": "x"}]


def test_a_value_stands_since_the_first_of_the_revisions_that_have_it_without_a_break() -> None:
    def state(model: str, **more: Any) -> dict[str, Any]:
        return {"facts": {"model": model}, "relations": [{"type": "stores", "asset_id": "a"}], **more}

    def day(number: int) -> datetime:
        return datetime(2026, 4, number, tzinfo=UTC)

    since = Since(["facts.model", "zone", "relations.stores"])
    history = [(state("A", zone="lgwan"), 4), (state("A"), 3), (state("B"), 2), (state("A"), 1)]
    looked = [since.look(one, day(number)) for one, number in history]

    assert since.found == {"facts.model": day(3), "zone": day(4), "relations.stores": day(1)}
    assert looked == [True, True, True, True]
