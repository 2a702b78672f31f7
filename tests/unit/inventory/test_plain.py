# SPDX-License-Identifier: Apache-2.0
"""The plain feed format: what it takes, and where it says that something is wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest

from libs.catalogue import text
from libs.contracts import FeedItem, Profile
from services.inventory.doors import Fault, Sent, UnreadableError
from services.inventory.doors.plain import MAX_ITEMS, read

ITEM = {"body": "mayor", "feed": "cmdb", "source_key": "A-1", "source_version": 1, "facts": {"record_count": 3}}


def sent(profile: Profile, content: Any) -> Sent:
    return Sent(content if isinstance(content, bytes) else json.dumps(content).encode(), profile.feed_by_id["cmdb"])


def faults(profile: Profile, content: Any) -> tuple[Fault, ...]:
    with pytest.raises(UnreadableError) as raised:
        read(sent(profile, content))
    return raised.value.faults


def test_items_come_as_they_stand(profile: Profile) -> None:
    items = [ITEM, {**ITEM, "source_key": "A-2", "operation": "retire"}, ITEM]

    delivery = read(sent(profile, {"items": items}))
    assert delivery.items == tuple(FeedItem.model_validate(item) for item in items)
    assert delivery.passed_over == 0


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"source_version": -1}, "/source_version"),
        ({"source_version": 2**63}, "/source_version"),
        ({"source_version": None}, "/source_version"),
        ({"source_key": ""}, "/source_key"),
        ({"source_key": "a\x00"}, "/source_key"),
        ({"body": "Mayor/1"}, "/body"),
        ({"kind": "car"}, "/kind"),
        ({"operation": "delete"}, "/operation"),
        ({"zone": "moon"}, "/zone"),
        ({"naem": "x"}, "/naem"),
        ({"facts": {"record_count": {"a": 1}}}, "/facts/record_count"),
        ({"facts": {"Record Count": 1}}, "/facts/Record Count"),
        ({"facts": {f"f{n}": 1 for n in range(65)}}, "/facts"),
        ({"relations": [{"type": "owns", "source_key": "B"}]}, "/relations/0/type"),
        ({"relations": [{"type": "stores"}]}, "/relations/0/source_key"),
        ({"declared": {"confidentiality": "?"}}, "/declared/confidentiality"),
        ({"observed_at": "2026-04-01T00:00:00"}, "/observed_at"),
    ],
)
def test_a_field_that_is_wrong_is_pointed_at(profile: Profile, fields: dict[str, Any], pointer: str) -> None:
    (fault,) = faults(profile, {"items": [{**ITEM, **fields}]})

    assert fault.field == f"/items/0{pointer}"
    assert all(text(fault.key, language, **fault.args) for language in ("ja", "en"))


def test_every_item_that_is_wrong_is_told_at_once(profile: Profile) -> None:
    wrong = {**ITEM, "kind": "car", "zone": "moon"}

    found = faults(profile, {"items": [wrong, ITEM, wrong]})
    assert [fault.field for fault in found] == ["/items/0/kind", "/items/0/zone", "/items/2/kind", "/items/2/zone"]


def test_another_feed_than_the_one_of_the_address_is_refused(profile: Profile) -> None:
    (fault,) = faults(profile, {"items": [ITEM, {**ITEM, "feed": "ledger"}]})

    assert (fault.field, fault.key, fault.args) == ("/items/1/feed", "inventory.other_feed", {"feed": "cmdb"})


@pytest.mark.parametrize(
    ("content", "pointer"),
    [
        ({}, "/items"),
        ({"items": []}, "/items"),
        ({"items": [ITEM] * (MAX_ITEMS + 1)}, "/items"),
        ({"items": [ITEM], "more": 1}, "/more"),
        ({"items": ITEM}, "/items"),
        ([ITEM], ""),
    ],
)
def test_items_stand_in_a_list_of_their_own(profile: Profile, content: Any, pointer: str) -> None:
    assert [fault.field for fault in faults(profile, content)] == [pointer]


def test_as_many_items_as_may_be_are_taken(profile: Profile) -> None:
    assert len(read(sent(profile, {"items": [ITEM] * MAX_ITEMS})).items) == MAX_ITEMS


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[" * 100_000, b'{"items": [{]}'])
def test_what_is_no_json_is_malformed(profile: Profile, content: bytes) -> None:
    with pytest.raises(UnreadableError) as raised:
        read(sent(profile, content))
    assert raised.value.malformed


def test_nothing_that_was_sent_is_in_what_is_told(profile: Profile) -> None:
    found = faults(profile, {"items": [{**ITEM, "zone": "秘密の値", "facts": {"record_count": ["秘密の値", 1]}}]})

    assert len(found) == 2
    assert "秘密" not in repr(found)
