# SPDX-License-Identifier: Apache-2.0
"""The instance profile: check digit, and entries that name one another."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from libs.contracts import Feed, Profile, Scope

SAMPLE = Path("samples/city/profile.yaml")


@pytest.fixture
def document() -> dict[str, Any]:
    return yaml.safe_load(SAMPLE.read_text(encoding="utf-8"))


def test_the_sample_city_has_the_nine_bodies_of_the_policy(document: dict[str, Any]) -> None:
    profile = Profile.model_validate(document)

    names = {body.name.ja for body in profile.bodies}
    assert names >= {
        "市長部局", "教育委員会", "選挙管理委員会", "監査委員・監査事務局", "農業委員会事務局",
        "公平委員会", "固定資産評価審査委員会", "上下水道局", "議会事務局",
    }  # fmt: skip
    assert profile.network_of("waterworks") == "waterworks"
    assert profile.network_of("election") == "mayor"


@pytest.mark.parametrize("code", ["131016", "011002", "473821"])
def test_real_local_government_codes_pass(document: dict[str, Any], code: str) -> None:
    assert Profile.model_validate({**document, "municipality": code}).municipality == code


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"municipality": "990018"}, "check digit"),
        ({"municipality": "99001"}, "municipality"),
        ({"networks": [{"id": "mayor", "in_charge": "nobody"}]}, "nobody|not declared"),
        ({"bodies": [{"id": "mayor", "name": {"ja": "市", "en": "c"}, "network": "moon"}]}, "moon"),
        ({"colour": "red"}, "colour"),
        ({"networks": [{"id": "mayor", "in_charge": "mayor", "standard": "mayor"}]}, "mayor is not separated"),
    ],
)
def test_a_mistake_is_named(document: dict[str, Any], change: dict[str, Any], named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        Profile.model_validate({**document, **change})


def test_an_id_that_stands_twice_is_refused(document: dict[str, Any]) -> None:
    document["bodies"].append(document["bodies"][0])

    with pytest.raises(ValidationError, match="bodies: an id stands twice"):
        Profile.model_validate(document)


def pulled(document: dict[str, Any], feed: str, **pull: Any) -> dict[str, Any]:
    for one in document["feeds"]:
        if one["id"] == feed:
            one["pull"] = {"url": "https://netbox.city.example/", **pull}
    return document


def test_a_feed_of_netbox_may_say_where_it_is_pulled_from(document: dict[str, Any]) -> None:
    declared = Profile.model_validate(pulled(document, "netbox")).feed_by_id["netbox"].pull

    assert declared is not None
    assert (declared.every, declared.overlap, declared.compare_every) == (60, 600, 86_400)


@pytest.mark.parametrize(
    ("feed", "pull", "named"),
    [
        ("cmdb", {}, "cmdb has the format plain"),
        ("netbox", {"url": "http://netbox.city.example/"}, "https"),
        ("netbox", {"url": "https://user:secret@netbox.city.example/"}, "take user, password"),
        ("netbox", {"url": "https://netbox.city.example/?x=1"}, "query"),
        ("netbox", {"url": "file:///etc/passwd"}, "https"),
        ("netbox", {"every": 1}, "every"),
        ("netbox", {"token": "secret"}, "token"),
    ],
)
def test_a_mistake_in_where_a_feed_is_pulled_from_is_named(
    document: dict[str, Any], feed: str, pull: dict[str, Any], named: str
) -> None:
    with pytest.raises(ValidationError, match=named):
        Profile.model_validate(pulled(document, feed, **pull))


@pytest.mark.parametrize(
    ("feed", "named"),
    [
        ({"format": "mapped"}, "name the file of its `mapping`"),
        ({"format": "debezium", "topics": ["a.b"]}, "name the file of its `mapping`"),
        ({"format": "debezium", "mapping": "a.yaml"}, "names its `topics`"),
        ({"format": "glpi", "topics": ["a.b"]}, "names its `topics`"),
        ({"format": "plain", "mapping": "a.yaml"}, "reads no mapping"),
        ({"format": "debezium", "mapping": "a.yaml", "topics": ["daicho.feed.v1"]}, "this register's own"),
        ({"format": "debezium", "mapping": "a.yaml", "topics": ["a.b", "a.b"]}, "a topic stands twice"),
    ],
)
def test_a_feed_names_what_it_is_read_by_and_from(document: dict[str, Any], feed: dict[str, Any], named: str) -> None:
    document["feeds"].append({"id": "own", "name": {"ja": "独", "en": "own"}, "bodies": ["mayor"], **feed})

    with pytest.raises(ValidationError, match=named):
        Profile.model_validate(document)


def test_the_feeds_of_the_samples_fit(document: dict[str, Any]) -> None:
    document["feeds"] += yaml.safe_load(Path("samples/cmdb/feeds.yaml").read_text(encoding="utf-8"))
    assert Profile.model_validate(document).feed_by_id["equipment-db"].topics == ("aohama.public.equipment",)


def declared(document: dict[str, Any], **fields: Any) -> Feed:
    entry = {"id": "cmdb", "name": {"ja": "構成管理", "en": "CMDB"}, "bodies": ["mayor", "election"], **fields}
    return Profile.model_validate({**document, "feeds": [entry]}).feed_by_id["cmdb"]


def test_a_feed_that_declares_no_more_than_its_bodies_has_no_match_keys_and_no_authority(
    document: dict[str, Any],
) -> None:
    feed = declared(document)

    assert (feed.scope, feed.authority, feed.match, feed.every) == (None, frozenset(), (), None)
    assert (feed.rank, feed.retire_at_most) == (100, 0.1)


def test_what_a_feed_declares_is_read_as_it_stands_in_the_profile(document: dict[str, Any]) -> None:
    feed = declared(
        document,
        scope={"kinds": ["system"], "zones": ["lgwan"], "bodies": ["election"]},
        authority=["zone", "facts", "facts.serial", "relations.runs_on", "existence", "declared.integrity"],
        rank=1,
        match=[{"serial": "facts.serial"}, {"host": "name", "site": "facts.site"}],
        every="P1D",
        retire_at_most=0.05,
    )

    assert feed.scope == Scope(kinds={"system"}, zones={"lgwan"}, bodies={"election"})
    assert feed.match[1] == {"host": "name", "site": "facts.site"}
    assert feed.every == timedelta(days=1)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"authority": ["colour"]}, "authority"),
        ({"authority": ["relations.likes"]}, "authority"),
        ({"rank": 0}, "rank"),
        ({"match": [{}]}, "match"),
        ({"match": [{"serial": "facts"}]}, "match"),
        ({"scope": {"bodies": ["audit"]}}, "may not speak for .*audit"),
        ({"every": 3600}, "ISO 8601"),
        ({"every": "daily"}, "ISO 8601"),
        ({"every": "PT0S"}, "greater than"),
        ({"retire_at_most": 1.5}, "retire_at_most"),
    ],
)
def test_a_mistake_in_what_a_feed_declares_is_named(
    document: dict[str, Any], fields: dict[str, Any], named: str
) -> None:
    with pytest.raises(ValidationError, match=named):
        declared(document, **fields)
