# SPDX-License-Identifier: Apache-2.0
"""The stream: in the shares that it promises, told truly line by line, and never two contents of one version."""

import json
from collections import Counter
from datetime import UTC, datetime

import pytest

from libs.contracts import FeedItemSubmitted, make_key
from samples.assets import CMDB, Ledgers, city, network_of
from samples.generate import Expect, Line, changes, expected_register
from samples.malformed import KEY_PREFIX
from samples.stream import PER_MILLE
from samples.vocabulary import profile

SENT = datetime(2026, 4, 1, tzinfo=UTC)
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
ENVELOPE_OF_AN_ITEM = ("body", "feed", "source_key", "source_version", "reason")


@pytest.fixture(scope="module")
def ledgers() -> Ledgers:
    return city(20260401)


@pytest.fixture(scope="module")
def lines(ledgers: Ledgers) -> list[Line]:
    return list(changes(ledgers, 20260401))


def content(item: dict) -> str:
    """What the item says of the asset, without which version it is and why it was sent."""
    return json.dumps({k: v for k, v in item.items() if k not in ENVELOPE_OF_AN_ITEM[2:]}, sort_keys=True)


def test_the_stream_has_the_shares_that_it_promises(lines: list[Line]) -> None:
    assert len(lines) == 20_000
    counted = Counter("malformed" if line.expect is Expect.MALFORMED else line.change for line in lines)
    assert set(counted) == set(PER_MILLE)
    for change, share in PER_MILLE.items():
        assert counted[change] == pytest.approx(share * 20, rel=0.03, abs=60), change


def test_the_same_seed_gives_the_same_lines(ledgers: Ledgers) -> None:
    assert list(changes(ledgers, 5, 800)) == list(changes(ledgers, 5, 800))
    assert list(changes(ledgers, 5, 800)) != list(changes(ledgers, 6, 800))


@pytest.mark.parametrize(("assets", "count"), [(1, 1), (1, 60), (9, 500), (300, 2), (300, 777)])
def test_a_small_city_has_a_stream_too(assets: int, count: int) -> None:
    made = list(changes(city(1, assets), 1, count))
    assert len(made) == count
    assert made[0].change == "new"


def test_every_line_that_is_not_malformed_is_a_message_that_the_contract_takes(lines: list[Line]) -> None:
    for line in lines:
        if line.expect is Expect.MALFORMED:
            continue
        key, value = line.message(SENT, TRACEPARENT)
        event = FeedItemSubmitted.model_validate_json(value)
        item = event.data
        assert item.feed == CMDB
        assert item.body in profile().feed_by_id[CMDB].bodies
        assert (event.subject, event.body, event.traceparent) == (item.source_key, item.body, TRACEPARENT)
        assert key == make_key(profile().network_of(item.body), item.body, item.feed, item.source_key)


def test_a_line_survives_being_written_and_read(lines: list[Line]) -> None:
    assert [Line.from_json(line.to_json()) for line in lines[-3000:]] == lines[-3000:]


def test_a_version_of_a_key_has_one_content_and_one_event_id(lines: list[Line]) -> None:
    events: dict[tuple[str, int], dict] = {}
    for line in lines:
        if line.expect is not Expect.MALFORMED:
            version = (line.item["source_key"], line.item["source_version"])
            assert events.setdefault(version, line.event) == line.event
    assert len({event["id"] for event in events.values()}) == len(events)


def test_each_line_is_what_it_says_it_is(lines: list[Line]) -> None:
    versions: dict[str, int] = {}
    contents: dict[str, str] = {}
    for line in lines:
        if line.expect is Expect.MALFORMED:
            continue
        item, key = line.item, line.item["source_key"]
        known = versions.get(key)
        if line.expect in (Expect.DUPLICATE, Expect.STALE):
            same = item["source_version"] == known
            assert known is not None and (same if line.expect is Expect.DUPLICATE else item["source_version"] < known)
            continue
        assert (known is None) == (line.change == "new")
        assert known is None or item["source_version"] > known
        assert (contents.get(key) == content(item)) == (line.expect is Expect.UNCHANGED)
        versions[key], contents[key] = item["source_version"], content(item)


def test_some_stale_lines_were_never_seen_in_time_and_some_come_after_a_retirement(lines: list[Line]) -> None:
    seen: set[tuple[str, int]] = set()
    retired: set[str] = set()
    late = resurrecting = 0
    for line in lines:
        if line.expect is Expect.MALFORMED:
            continue
        key, version = line.item["source_key"], line.item["source_version"]
        if line.expect is Expect.STALE:
            late += (key, version) not in seen
            resurrecting += key in retired
        elif line.expect is Expect.GOOD:
            (retired.add if line.change == "retired" else retired.discard)(key)
        seen.add((key, version))
    assert late > 300
    assert resurrecting > 10


def weight(item: dict) -> tuple[int, ...]:
    """Each part rises, or stays, when an asset comes to call for more."""
    facts, declared = item["facts"], item.get("declared", {})
    levels = ("1", "2", "3C", "3B", "3A")
    return (
        *(int(facts.get(fact, False)) for fact in ("personal_data", "sensitive_data", "mynumber_data")),
        -int(facts.get("published", False)),
        facts.get("record_count", 0),
        -facts.get("rto_hours", 0),
        len(set(facts.get("data_kinds", ())) - {"public", "policy_draft"}),
        *(levels.index(declared.get(d, "1")) for d in ("confidentiality", "integrity", "availability")),
    )


def test_upgrades_only_raise_downgrades_only_lower_and_relations_come_and_go(lines: list[Line]) -> None:
    now: dict[str, dict] = {}
    for line in lines:
        if line.expect is not Expect.GOOD or line.change == "retired":
            continue
        item = line.item
        before = now.get(item["source_key"])
        now[item["source_key"]] = item
        if before is None:
            continue
        pairs = list(zip(weight(before), weight(item), strict=True))
        added = len(item["relations"]) - len(before["relations"])
        if line.change == "upgrade":
            assert all(old <= new for old, new in pairs), (before, item)
            assert any(old < new for old, new in pairs), (before, item)
        if line.change == "downgrade":
            assert all(old >= new for old, new in pairs), (before, item)
            assert any(old > new for old, new in pairs), (before, item)
        assert added == {"relation-added": 1, "relation-removed": -1}.get(line.change, 0)


def test_relations_stay_on_the_network_and_name_what_is_told_of(ledgers: Ledgers, lines: list[Line]) -> None:
    good = [line.item for line in lines if line.expect is Expect.GOOD]
    networks = {("ledger", i["source_key"]): network_of(i) for items in ledgers.items.values() for i in items}
    networks |= {(CMDB, item["source_key"]): network_of(item) for item in good}
    for item in good:
        for relation in item.get("relations", ()):
            assert networks[(relation.get("feed", CMDB), relation["source_key"])] == network_of(item)


def test_a_malformed_line_has_a_key_that_no_good_one_has(lines: list[Line]) -> None:
    bad = [line for line in lines if line.expect is Expect.MALFORMED]
    keys = {line.key for line in lines if line.expect is not Expect.MALFORMED}
    assert len(bad) == 200
    assert not keys & {line.key for line in bad}
    assert not any(KEY_PREFIX in key for key in keys)


def test_the_expected_register_is_the_highest_version_of_each_key(lines: list[Line]) -> None:
    register = expected_register(lines)
    by_key: dict[str, list[dict]] = {}
    for line in lines:
        if line.expect in (Expect.GOOD, Expect.UNCHANGED):
            by_key.setdefault(line.item["source_key"], []).append(line.item)
    assert register.keys() == by_key.keys()
    for key, (item, retired) in register.items():
        last = by_key[key][-1]
        assert retired == (last.get("operation") == "retire")
        assert item == (by_key[key][-2] if retired else last)
    assert sum(entry.retired for entry in register.values()) > 500


def test_the_order_in_which_keys_are_mixed_does_not_matter_to_the_register(lines: list[Line]) -> None:
    assert expected_register(sorted(lines, key=lambda line: line.key or "")) == expected_register(lines)
