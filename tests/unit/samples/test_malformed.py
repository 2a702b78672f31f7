# SPDX-License-Identifier: Apache-2.0
"""Malformed messages: each is wrong in the way that its reason says, and in no other that comes before it."""

import json
from collections import Counter
from itertools import islice

import pytest
from pydantic import ValidationError

from libs.contracts import FeedItemSubmitted, Reason, make_key, parse_key
from libs.contracts.topics import MAX_RECORD_BYTES, MAX_VALUE_BYTES
from samples.assets import city
from samples.generate import Line, malformed
from samples.line import TYPE
from samples.malformed import KEY_PREFIX
from samples.vocabulary import profile

LEDGERS = city(1, 300)
LINES = list(malformed(4000, 11, LEDGERS))
OF_THE_BYTES = {Reason.NOT_UTF8, Reason.NOT_JSON, Reason.TOO_DEEP, Reason.TOO_LARGE, Reason.EMPTY}
OF_THE_ENVELOPE = {Reason.UNKNOWN_TYPE, Reason.UNKNOWN_VERSION, Reason.SCHEMA}
OF_THE_PROFILE = {
    Reason.UNKNOWN_BODY,
    Reason.UNKNOWN_FEED,
    Reason.FEED_NOT_AUTHORISED,
    Reason.WRONG_NETWORK,
    Reason.OTHER_NETWORK_RELATION,
    Reason.KEY_MISMATCH,
}


def of(*reasons: Reason) -> list[Line]:
    return [line for line in LINES if line.reason in reasons]


def valid(line: Line) -> bool:
    try:
        FeedItemSubmitted.model_validate_json(line.raw)
    except ValidationError:
        return False
    return True


def test_every_kind_is_among_the_first_and_in_its_share() -> None:
    few = {line.reason for line in islice(LINES, 40)}
    assert few == OF_THE_BYTES | OF_THE_ENVELOPE | OF_THE_PROFILE
    counted = Counter(line.reason for line in LINES)
    assert counted[Reason.SCHEMA] > counted[Reason.NOT_JSON] > counted[Reason.TOO_DEEP] > counted[Reason.TOO_LARGE] >= 3


def test_relations_to_another_network_need_ledgers_that_are_in_the_register() -> None:
    assert Reason.OTHER_NETWORK_RELATION not in {line.reason for line in malformed(2000, 1)}


def test_the_same_seed_gives_the_same_lines_one_at_a_time() -> None:
    assert list(islice(malformed(10**9, 11, LEDGERS), 500)) == LINES[:500]
    assert list(malformed(500, 12, LEDGERS)) != LINES[:500]


def test_a_key_is_its_line_s_own_or_parks_nothing() -> None:
    parked = [line.key for line in LINES if line.key is not None and is_key(line.key)]
    assert len(set(parked)) == len(parked)
    assert all(KEY_PREFIX in key for key in parked)
    assert 0.1 < 1 - len(parked) / len(LINES) < 0.4
    assert None in {line.key for line in LINES}


def is_key(key: str) -> bool:
    try:
        parse_key(key.encode())
    except ValueError:
        return False
    return True


def test_not_utf8() -> None:
    for line in of(Reason.NOT_UTF8):
        with pytest.raises(UnicodeDecodeError):
            line.raw.decode()


def test_not_json() -> None:
    for line in of(Reason.NOT_JSON):
        with pytest.raises(json.JSONDecodeError):
            json.loads(line.raw.decode())


def test_too_deep() -> None:
    for line in of(Reason.TOO_DEEP):
        text = line.raw.decode()
        assert max(text.count("["), text.count("{")) >= 10_000
        assert len(line.raw) < MAX_VALUE_BYTES
        assert (text.count("["), text.count("{")) == (text.count("]"), text.count("}"))


def test_too_large_for_a_consumer_but_not_for_the_broker() -> None:
    for line in LINES:
        assert (len(line.raw) > MAX_VALUE_BYTES) == (line.reason is Reason.TOO_LARGE)
        assert len(line.raw) < MAX_RECORD_BYTES * 0.95
        assert (line.raw == b"") == (line.reason is Reason.EMPTY)


def test_type_and_version() -> None:
    for line in of(Reason.UNKNOWN_TYPE, Reason.UNKNOWN_VERSION):
        kind = json.loads(line.raw)["type"]
        assert kind != TYPE
        assert kind.startswith("daicho.feed.item.v") == (line.reason is Reason.UNKNOWN_VERSION)
    assert all(json.loads(line.raw)["type"] == TYPE for line in of(Reason.SCHEMA))


def test_schema() -> None:
    assert not [line for line in of(Reason.SCHEMA) if valid(line)]


def test_what_only_the_profile_tells_is_well_formed() -> None:
    for line in of(*OF_THE_PROFILE):
        item = FeedItemSubmitted.model_validate_json(line.raw).data
        right_key = make_key(*parse_key(line.key.encode())[:2], item.feed, item.source_key).decode()
        assert (line.key == right_key) == (line.reason is not Reason.KEY_MISMATCH)
        assert (item.body in profile().body_by_id) == (line.reason is not Reason.UNKNOWN_BODY)
        assert (item.feed in profile().feed_by_id) == (line.reason is not Reason.UNKNOWN_FEED)
        if line.reason not in (Reason.UNKNOWN_BODY, Reason.UNKNOWN_FEED):
            may = item.body in profile().feed_by_id[item.feed].bodies
            assert may == (line.reason is not Reason.FEED_NOT_AUTHORISED)
            right_network = parse_key(line.key.encode()).network == profile().network_of(item.body)
            assert right_network == (line.reason is not Reason.WRONG_NETWORK)


def test_a_relation_to_another_network_names_an_asset_of_a_ledger() -> None:
    bodies = {item["source_key"]: body for body, items in LEDGERS.items.items() for item in items}
    for line in of(Reason.OTHER_NETWORK_RELATION):
        item = FeedItemSubmitted.model_validate_json(line.raw).data
        (relation,) = item.relations
        assert relation.feed == "ledger"
        assert profile().network_of(bodies[relation.source_key]) != profile().network_of(item.body)
