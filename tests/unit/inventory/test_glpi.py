# SPDX-License-Identifier: Apache-2.0
"""Inventories of glpi-agent: the machine by which it is known again, its virtual machines, and what a partial one leaves open."""

from __future__ import annotations

import json
from typing import Any

import pytest

from libs.contracts import Feed, FeedItem
from services.inventory.doors import DOORS, Delivery, Sent, UnreadableError
from tests.unit.inventory.feeds import FEEDS, SAMPLES

FEED = FEEDS["glpi"]


def sample(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((SAMPLES / "glpi" / f"{name}.json").read_text(encoding="utf-8"))
    return found


def read(inventory: Any, feed: Feed = FEED) -> Delivery:
    content = inventory if isinstance(inventory, bytes) else json.dumps(inventory).encode()
    return DOORS["glpi"].read(Sent(content, feed, version=9))


def machine(inventory: Any) -> FeedItem:
    return read(inventory).items[0]


def test_a_machine_is_known_again_by_serial_uuid_and_addresses() -> None:
    item, renamed = machine(sample("inventory")), machine(sample("renamed"))

    assert item.source_key != renamed.source_key
    assert {name: item.facts[name] for name in ("serial", "uuid", "mac_addresses")} == {
        "serial": "ADR640-000113",
        "uuid": "9d2c7f10-5a41-4c6e-8f0b-2f9e1c33a113",
        "mac_addresses": ["02:00:5e:00:01:13", "02:00:5e:00:02:13"],
    }
    assert all(item.facts[name] == renamed.facts[name] for name in ("serial", "uuid", "mac_addresses"))
    assert (item.body, item.kind, item.name, item.source_version) == ("mayor", "system", "aoh-pc-0113", 9)
    # of interfaces that are wires, not of bridges, which every host has alike
    assert item.facts["ip_addresses"] == ["192.0.2.113", "2001:db8::113"]


def test_virtual_machines_run_on_their_host_and_containers_are_passed_over() -> None:
    delivery = read(sample("inventory"))

    assert [(one.source_key, one.relations[0].type, one.relations[0].source_key) for one in delivery.items[1:]] == [
        (f"vm:3f0c64d2-7a11-4d0a-9b5e-6d1d5a0e000{number}", "runs_on", "aoh-pc-0113-2026-01-15-09-12-44")
        for number in (1, 2)
    ]
    assert delivery.passed_over == 1


def test_nothing_of_the_people_and_programs_on_a_machine_is_kept() -> None:
    told = "".join(item.model_dump_json() for item in read(sample("inventory")).items)
    assert "operator" not in told
    assert "libvirt-daemon" not in told


def test_a_partial_inventory_leaves_open_what_it_does_not_speak_of() -> None:
    item = machine(sample("partial"))

    assert item.facts["platform"] == "Ubuntu 26.04 LTS"
    assert set(item.kept) == {"facts.mac_addresses", "facts.ip_addresses", "facts.storage_serials", "facts.encrypted"}
    assert machine({**sample("partial"), "partial": False}).kept == ()


def test_what_a_partial_inventory_speaks_of_is_so_also_where_it_is_nothing() -> None:
    partial = sample("partial")
    partial["content"]["networks"] = []

    item = machine(partial)
    assert "mac_addresses" not in item.facts
    assert "facts.mac_addresses" not in item.kept


def test_a_switch_is_a_network() -> None:
    item = machine(sample("switch"))
    assert (item.kind, item.name, item.facts["serial"]) == ("network", "aoh-sw-core", "ADSW48-0007")


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [(["Yes", "Yes"], True), (["Yes", "No"], False), (["Yes", None], None), ([], None)],
)
def test_encrypted_only_where_every_storage_says_so(statuses: list[str | None], expected: bool | None) -> None:
    inventory = sample("inventory")
    inventory["content"]["storages"] = [{"encrypt_status": one} if one else {} for one in statuses]
    assert machine(inventory).facts.get("encrypted") is expected


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"deviceid": ""}, "/deviceid"),
        ({"content": []}, "/content"),
        ({"partial": "half"}, "/partial"),
        ({"tag": "hospital"}, "/tag"),
        ({"tag": None}, "/tag"),
    ],
)
def test_what_is_wrong_is_pointed_at(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(UnreadableError) as raised:
        read({**sample("switch"), **changes})
    assert [fault.field for fault in raised.value.faults] == [field]


def test_a_feed_of_one_body_needs_no_tag() -> None:
    alone = FEED.model_copy(update={"bodies": frozenset({"education"})})
    assert read({**sample("switch"), "tag": None}, alone).items[0].body == "education"


def test_what_is_no_json_is_malformed() -> None:
    with pytest.raises(UnreadableError) as raised:
        read(b"<?xml version='1.0'?>")
    assert raised.value.malformed
