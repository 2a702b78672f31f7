# SPDX-License-Identifier: Apache-2.0
"""The decision table of matching (tests/data/inventory/matching.yaml), and what it cannot say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from libs.contracts import FeedItem, Profile, asset_id
from services.inventory.domain import Decision, Register
from services.inventory.matching import compare, contradicts, digests, keys_of

ROOT = Path(__file__).parents[3]
TABLE = yaml.safe_load((ROOT / "tests/data/inventory/matching.yaml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def city(profile: Profile) -> Profile:
    feeds = [{"id": feed, "name": {"ja": feed, "en": feed}, **declared} for feed, declared in TABLE["feeds"].items()]
    document = {**profile.model_dump(mode="json", exclude={"feeds"}), "feeds": feeds}
    return Profile.model_validate(document)


def told(entry: dict[str, Any], **default: Any) -> FeedItem:
    given = {"body": "mayor", "kind": "system", "version": 1, "key": "N-9", **default, **entry}
    given["source_key"], given["source_version"] = given.pop("key"), given.pop("version")
    return FeedItem.model_validate(given)


def decided(city: Profile, case: dict[str, Any]) -> tuple[Register, Decision]:
    register = Register(city)
    for entry in case["register"]:
        assert not register.take(told(entry, feed="ledger")).candidates
    return register, register.take(told(case["item"], feed="netbox"))


def id_of(city: Profile, source: str) -> str:
    feed, _, key = source.partition("/")
    return asset_id(city.municipality, feed, key)


@pytest.mark.parametrize("case", TABLE["cases"], ids=[case["case"] for case in TABLE["cases"]])
def test_the_table_holds(city: Profile, case: dict[str, Any]) -> None:
    assert ("joins" in case) != ("new" in case), "one of the two is to be told"
    _, decision = decided(city, case)

    own = asset_id(city.municipality, decision.link.feed, decision.link.source_key)
    assert decision.link.asset_id == (id_of(city, case["joins"]) if "joins" in case else own)
    assert {one.other_id for one in decision.candidates} == {id_of(city, one) for one in case.get("candidates", ())}
    assert {one.told_apart for one in decision.candidates} <= {case.get("told_apart", False)}


def test_a_candidate_says_which_keys_agree_and_which_do_not(city: Profile) -> None:
    (case,) = [case for case in TABLE["cases"] if case["case"].startswith("優先するキーが食い違う")]
    _, decision = decided(city, case)

    (candidate,) = decision.candidates
    assert [(one.names, one.agrees, one.here, one.there) for one in candidate.evidence] == [
        (("serial",), False, (("fj22222223",),), (("fj11111112",),)),
        (("host", "site"), True, (("web01", "honcho"),), (("web01", "honcho"),)),
    ]


def test_a_source_that_gets_a_key_later_stays_with_its_asset_and_is_put_before_a_person(city: Profile) -> None:
    register = Register(city)
    ledger = register.take(told({"key": "L-1", "facts": {"serial": "FJ12345678"}}, feed="ledger"))
    own = register.take(told({}, feed="netbox"))

    changed = register.take(told({"version": 2, "facts": {"serial": "FJ12345678"}}, feed="netbox"))
    assert changed.link.asset_id == own.link.asset_id != ledger.link.asset_id
    assert [one.other_id for one in changed.candidates] == [ledger.link.asset_id]
    again = register.take(told({"version": 3, "name": "改名", "facts": {"serial": "FJ12345678"}}, feed="netbox"))
    assert not again.candidates


def test_relations_follow_a_source_to_the_asset_that_it_joins(city: Profile) -> None:
    register = Register(city)
    names_it = [{"type": "runs_on", "feed": "netbox", "source_key": "N-9"}]
    owner = register.take(told({"key": "L-2", "relations": names_it}, feed="ledger"))
    server = register.take(told({"key": "L-1", "facts": {"serial": "FJ12345678"}}, feed="ledger"))
    assert owner.held.state is not None
    assert owner.held.state["relations"][0]["asset_id"] == id_of(city, "netbox/N-9")

    joined = register.take(told({"facts": {"serial": "FJ12345678"}}, feed="netbox"))
    assert joined.link.asset_id == server.link.asset_id
    *_, follows = joined.revisions
    assert follows.after["asset_id"] == owner.link.asset_id
    assert follows.after["relations"] == [{"type": "runs_on", "asset_id": server.link.asset_id}]
    assert follows.change == {
        "reason": "matched",
        "merged_from": id_of(city, "netbox/N-9"),
        "merged_into": server.link.asset_id,
    }


def test_digests_tell_networks_and_names_apart(city: Profile) -> None:
    feed = city.feed_by_id["netbox"]
    serial = keys_of(feed, "N-1", {"facts": {"serial": "FJ12345678"}})
    tag = keys_of(feed, "N-1", {"facts": {"asset_tag": "FJ12345678"}})

    assert len(digests("mayor", serial) | digests("waterworks", serial) | digests("mayor", tag)) == 3
    assert compare(serial, [tag]) == ()
    assert contradicts(compare(serial, [tag]))
    assert not keys_of(feed, "N-1", {"facts": {"serial": True, "asset_tag": ["", "—" * 3]}})
