# SPDX-License-Identifier: Apache-2.0
"""What a real NetBox sent, folded into a register, against what that NetBox had in the end."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from libs.contracts import FeedItem, Profile
from services.inventory.domain import Decision, Outcome, Register, State
from services.inventory.doors import Delivery, Sent, UnreadableError
from services.inventory.doors.netbox import MAX_OBJECTS, fields, read_objects, read_webhook, signature_fits

ROOT = Path(__file__).parents[3]
NETBOX = ROOT / "samples/netbox"
UNTOLD = ROOT / "tests/data/inventory/netbox_untold.yaml"
SECRET = "harness-secret-1"
COLLECTIONS = {"devices": "dcim.device", "virtual_machines": "virtualization.virtualmachine"}


class Received(NamedTuple):
    """A webhook as it came."""

    content: bytes
    signature: str

    @property
    def told(self) -> dict[str, Any]:
        return json.loads(self.content)

    @property
    def source_key(self) -> str:
        return f"{self.told['object_type']}:{self.told['data']['id']}"


class Step(NamedTuple):
    """A webhook that spoke of an asset, and what the register made of it."""

    received: Received
    item: FeedItem
    decision: Decision


class Told(NamedTuple):
    """The register after all webhooks."""

    register: Register
    steps: list[Step]
    states: dict[str, State]
    """By source key."""


def opened(name: str) -> Any:
    return json.loads(gzip.decompress((NETBOX / name).read_bytes()))


@pytest.fixture(scope="module")
def webhooks() -> list[Received]:
    lines = gzip.decompress((NETBOX / "webhooks.ndjson.gz").read_bytes()).splitlines()
    recorded = [json.loads(line) for line in lines]
    return [Received(base64.b64decode(one["body"]), dict(one["headers"])["X-Hook-Signature"]) for one in recorded]


def objects_of(profile: Profile, dump: dict[str, Any]) -> Iterator[FeedItem]:
    feed = profile.feed_by_id["netbox"]
    for collection, object_type in COLLECTIONS.items():
        objects = list(dump[collection].values())
        for start in range(0, len(objects), MAX_OBJECTS):
            page = objects[start : start + MAX_OBJECTS]
            content = json.dumps({"object_type": object_type, "objects": page}).encode()
            yield from read_objects(Sent(content, feed)).items


def webhook(profile: Profile, content: bytes) -> Delivery:
    return read_webhook(Sent(content, profile.feed_by_id["netbox"]))


def folded(register: Register, items: Iterator[FeedItem]) -> dict[str, State]:
    states = {item.source_key: register.take(item).held.state for item in items}
    return {key: state for key, state in states.items() if state is not None}


@pytest.fixture(scope="module")
def told(profile: Profile, empty_register: Callable[[], Register], webhooks: list[Received]) -> Told:
    register = empty_register()
    states = folded(register, objects_of(profile, opened("initial.json.gz")))
    steps = []
    for received in webhooks:
        for item in webhook(profile, received.content).items:
            decision = register.take(item)
            steps.append(Step(received, item, decision))
            assert decision.held.state is not None
            states[item.source_key] = decision.held.state
    return Told(register, steps, states)


@pytest.fixture(scope="module")
def expected(profile: Profile, empty_register: Callable[[], Register]) -> dict[str, State]:
    return folded(empty_register(), objects_of(profile, opened("expected.json.gz")))


def flat(state: State) -> dict[str, Any]:
    return {**{k: v for k, v in state.items() if k != "facts"}, **{f"facts.{k}": v for k, v in state["facts"].items()}}


def differences(one: dict[str, State], other: dict[str, State]) -> set[tuple[str, str]]:
    """Which fields of which objects are not alike in both."""
    return {
        (key, field)
        for key in other
        for ours, theirs in [(flat(one[key]), flat(other[key]))]
        for field in ours.keys() | theirs.keys()
        if ours.get(field) != theirs.get(field)
    }


def changed(step: Step) -> set[str]:
    """The fields that the step changed in the register."""
    return {
        field
        for revision in step.decision.revisions
        for before, after in [(flat(revision.before or {"facts": {}}), flat(revision.after))]
        for field in before.keys() | after.keys()
        if before.get(field) != after.get(field)
    }


def names_untold(webhooks: list[Received], because: str) -> list[tuple[str, str | None]]:
    """What another object was called before and after, in webhooks of that kind."""
    kind = {"rack-renamed": ("dcim.rack", "updated"), "contact-deleted": ("tenancy.contact", "deleted")}[because]
    snapshots = [one.told["snapshots"] for one in webhooks if (one.told["object_type"], one.told["event"]) == kind]
    return [(one["prechange"]["name"], (one["postchange"] or {}).get("name")) for one in snapshots]


def test_the_register_has_what_netbox_has_but_for_what_no_webhook_told(
    told: Told, expected: dict[str, State], webhooks: list[Received]
) -> None:
    untold = yaml.safe_load(UNTOLD.read_text(encoding="utf-8"))["untold"]

    assert differences(told.states, expected) == {(one["object"], one["field"]) for one in untold}
    for one in untold:
        ours = flat(told.states[one["object"]]).get(one["field"])
        theirs = flat(expected[one["object"]]).get(one["field"])
        assert (ours, theirs) in names_untold(webhooks, one["because"])


def test_what_netbox_deleted_is_retired_and_nothing_else_is(told: Told) -> None:
    deleted = opened("expected.json.gz")["deleted"]

    retired = {key for key, state in told.states.items() if state["status"] == "retired"}
    assert retired == {f"{COLLECTIONS[collection]}:{number}" for collection, ids in deleted.items() for number in ids}


def test_everything_in_netbox_is_in_the_register(told: Told, expected: dict[str, State]) -> None:
    active = {key for key, state in told.states.items() if state["status"] == "active"}

    assert active == expected.keys()
    assert len(active) == 393


def test_a_full_read_mends_what_no_webhook_told(
    told: Told, expected: dict[str, State], profile: Profile, empty_register: Callable[[], Register]
) -> None:
    register = empty_register()
    folded(register, objects_of(profile, opened("initial.json.gz")))
    for step in told.steps:
        register.take(step.item)

    mended = folded(register, objects_of(profile, opened("expected.json.gz")))
    assert mended == expected
    outcomes = [register.take(item).outcome for item in objects_of(profile, opened("expected.json.gz"))]
    assert set(outcomes) == {Outcome.UNCHANGED}


def test_revisions_of_an_object_rise_by_one(told: Told) -> None:
    revisions: dict[str, int] = {}
    for step in told.steps:
        for revision in step.decision.revisions:
            key = step.item.source_key
            assert revision.revision == revisions.get(key, 1 if revision.before else 0) + 1
            revisions[key] = revision.revision


def test_a_webhook_of_no_change_makes_no_revision(told: Told) -> None:
    def without_time(snapshot: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in snapshot.items() if name != "last_updated"}

    updates = [(step, step.received.told["snapshots"]) for step in told.steps if step.item.operation == "upsert"]
    equal = [
        step
        for step, taken in updates
        if taken["prechange"] and without_time(taken["prechange"]) == without_time(taken["postchange"])
    ]
    made = [step for step in equal if step.decision.revisions]
    assert (len(equal), len(made)) == (19, 1)
    # the object itself did not change, but its rack had been renamed, which this webhook is the first to tell
    assert changed(made[0]) == {"facts.rack"}


def test_a_timestamp_is_no_order_and_last_updated_is(profile: Profile, webhooks: list[Received], told: Told) -> None:
    first, second = webhooks[77], webhooks[78]
    assert first.source_key == second.source_key
    assert first.told["timestamp"] > second.told["timestamp"]

    (earlier,), (later,) = (webhook(profile, one.content).items for one in (first, second))
    assert earlier.source_version < later.source_version
    outcomes = [step.decision.outcome for step in told.steps if step.received in (first, second)]
    assert Outcome.IGNORED not in outcomes


def test_the_two_in_the_other_order_leave_the_same(
    profile: Profile, webhooks: list[Received], empty_register: Callable[[], Register]
) -> None:
    (earlier,), (later,) = (webhook(profile, webhooks[line].content).items for line in (77, 78))
    straight, swapped = empty_register(), empty_register()

    in_order = [straight.take(item) for item in (earlier, later)]
    out_of_order = [swapped.take(item) for item in (later, earlier)]
    assert out_of_order[-1].outcome is Outcome.IGNORED
    assert out_of_order[-1].held.state == in_order[-1].held.state


def test_webhooks_of_what_the_register_does_not_keep_are_passed_over(
    profile: Profile, webhooks: list[Received], told: Told
) -> None:
    deliveries = [webhook(profile, received.content) for received in webhooks]

    assert len(deliveries) == 703
    assert all(len(one.items) + one.passed_over == 1 for one in deliveries)
    passed_over = {one.told["object_type"] for one in webhooks} - fields().object_types
    assert sum(one.passed_over for one in deliveries) == sum(one.told["object_type"] in passed_over for one in webhooks)
    assert sum(len(one.items) for one in deliveries) == len(told.steps)


def test_every_recorded_signature_fits_its_body_and_secret_alone(webhooks: list[Received]) -> None:
    for content, signature in webhooks:
        assert signature_fits(content, SECRET, signature)
        assert not signature_fits(content + b" ", SECRET, signature)
        assert not signature_fits(content, "harness-secret-2", signature)


@pytest.mark.parametrize("signature", [None, "", "0" * 128, "署名"])
def test_no_other_signature_fits(webhooks: list[Received], signature: str | None) -> None:
    assert not signature_fits(webhooks[0].content, SECRET, signature)


@pytest.mark.parametrize(
    ("field", "value", "pointer"),
    [
        ("last_updated", "yesterday", "/data/last_updated"),
        ("last_updated", "2026-01-01T00:00:00", "/data/last_updated"),
        ("last_updated", 3, "/data/last_updated"),
        ("id", True, "/data/id"),
        ("id", None, "/data/id"),
    ],
)
def test_a_field_that_cannot_be_read_is_named(
    profile: Profile, webhooks: list[Received], field: str, value: object, pointer: str
) -> None:
    told = webhooks[0].told
    told["data"][field] = value

    with pytest.raises(UnreadableError) as raised:
        webhook(profile, json.dumps(told).encode())
    assert [fault.field for fault in raised.value.faults] == [pointer]
    assert not raised.value.malformed


@pytest.mark.parametrize(
    ("field", "value", "pointer"),
    [
        ("body", "nobody", "/data/custom_fields/body"),
        ("body", "equity", "/data/custom_fields/body"),  # declared, but not one that the feed speaks for
        ("zone", "moon", "/data/custom_fields/zone"),
        ("record_count", {"value": {"a": 1}}, "/data/custom_fields/record_count"),
    ],
)
def test_a_custom_field_that_cannot_be_read_is_named(
    profile: Profile, webhooks: list[Received], field: str, value: object, pointer: str
) -> None:
    told = webhooks[0].told
    told["data"]["custom_fields"][field] = value

    with pytest.raises(UnreadableError) as raised:
        webhook(profile, json.dumps(told).encode())
    assert [fault.field for fault in raised.value.faults] == [pointer]


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"<html>"])
def test_what_is_no_json_is_malformed(profile: Profile, content: bytes) -> None:
    for read in (read_webhook, read_objects):
        with pytest.raises(UnreadableError) as raised:
            read(Sent(content, profile.feed_by_id["netbox"]))
        assert raised.value.malformed


def test_every_bad_object_of_a_page_is_named_by_its_place(profile: Profile) -> None:
    page = list(opened("initial.json.gz")["devices"].values())[:4]
    page[1]["id"], page[3]["last_updated"] = "one", "never"

    with pytest.raises(UnreadableError) as raised:
        read_objects(
            Sent(json.dumps({"object_type": "dcim.device", "objects": page}).encode(), profile.feed_by_id["netbox"])
        )
    assert [fault.field for fault in raised.value.faults] == ["/objects/1/id", "/objects/3/last_updated"]


def test_long_text_is_shortened_and_a_body_falls_back_on_the_tenant(profile: Profile, webhooks: list[Received]) -> None:
    told = webhooks[0].told
    told["data"]["comments"] = "長" * 5000
    told["data"]["custom_fields"]["body"] = None
    told["data"]["tenant"] = {"slug": "fire"}

    (item,) = webhook(profile, json.dumps(told).encode()).items
    assert item.body == "fire"
    assert isinstance(item.facts["comments"], str)
    assert len(item.facts["comments"]) == 300
    assert item.facts["comments"].endswith("…")


def test_a_virtual_machine_runs_on_its_device(profile: Profile) -> None:
    machine = next(iter(opened("initial.json.gz")["virtual_machines"].values())) | {"device": {"id": 7}}
    content = json.dumps({"object_type": "virtualization.virtualmachine", "objects": [machine]}).encode()

    (item,) = read_objects(Sent(content, profile.feed_by_id["netbox"])).items
    assert [(one.type, one.source_key) for one in item.relations] == [("runs_on", "dcim.device:7")]


def later(content: bytes, seconds: int) -> bytes:
    """The same webhook as another worker sends it: the same request, type, object and event, and another `timestamp`."""
    told = json.loads(content)
    moment = datetime.fromisoformat(told["timestamp"]) + timedelta(seconds=seconds)
    return json.dumps({**told, "timestamp": moment.isoformat()}).encode()


def first_of(webhooks: list[Received], event: str) -> bytes:
    """The first webhook of a device and that event."""
    return next(
        one.content for one in webhooks if (one.told["object_type"], one.told["event"]) == ("dcim.device", event)
    )


def with_field(content: bytes, change: Callable[[dict[str, Any]], object]) -> bytes:
    told = json.loads(content)
    change(told["data"])
    return json.dumps(told).encode()


@pytest.mark.parametrize("event", ["created", "updated", "deleted"])
@pytest.mark.parametrize("seconds", [-20, 0, 20])
def test_the_same_change_told_again_makes_no_revision(
    profile: Profile,
    webhooks: list[Received],
    empty_register: Callable[[], Register],
    event: str,
    seconds: int,
) -> None:
    content, register = first_of(webhooks, event), empty_register()
    before = with_field(content, lambda data: data.update(name="before", last_updated="2026-01-01T00:00:00+09:00"))
    known = json.loads(before) | {"event": "updated"}
    (made,) = webhook(profile, json.dumps(known).encode()).items
    (item,), (again,) = (webhook(profile, one).items for one in (content, later(content, seconds)))

    first, second, third = (register.take(one) for one in (made, item, again))
    assert (first.outcome, second.outcome) == (Outcome.APPLIED, Outcome.APPLIED)
    assert third.outcome in (Outcome.UNCHANGED, Outcome.IGNORED)
    assert third.held.state == second.held.state
    assert third.held.revision == second.held.revision


@pytest.mark.parametrize("seconds", [0, 60])
def test_a_creation_or_update_that_comes_after_its_deletion_brings_nothing_back(
    profile: Profile, webhooks: list[Received], empty_register: Callable[[], Register], seconds: int
) -> None:
    deleted, register = first_of(webhooks, "deleted"), empty_register()
    told = json.loads(deleted)
    late = [later(json.dumps({**told, "event": event}).encode(), seconds) for event in ("created", "updated")]

    (gone,) = webhook(profile, deleted).items
    outcomes = [register.take(gone).outcome, *(register.take(webhook(profile, one).items[0]).outcome for one in late)]
    assert outcomes == [Outcome.UNCHANGED, Outcome.IGNORED, Outcome.IGNORED]


def test_an_update_equal_before_and_after_makes_no_revision_though_its_time_moves(
    profile: Profile, webhooks: list[Received], empty_register: Callable[[], Register]
) -> None:
    content, register = first_of(webhooks, "updated"), empty_register()
    touched = with_field(content, lambda data: data.update(last_updated="2026-11-24T00:00:00+09:00"))

    outcomes = [register.take(webhook(profile, one).items[0]).outcome for one in (content, touched)]
    assert outcomes == [Outcome.APPLIED, Outcome.UNCHANGED]


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data["custom_fields"].update(zone=data["custom_fields"]["zone"]["value"]),
        lambda data: data["custom_fields"].update(
            data_kinds=[one["value"] for one in data["custom_fields"]["data_kinds"]]
        ),
        lambda data: data.update(status=data["status"]["value"]),
        lambda data: data["custom_fields"].pop("remarks"),
        lambda data: data["custom_fields"].pop("record_count"),
        lambda data: data["custom_fields"].update(remarks=""),
        lambda data: data.pop("location") and None,
        lambda data: data.update(description=None),
    ],
    ids=[
        "bare choice",
        "bare choices",
        "bare status",
        "absent",
        "absent number",
        "empty",
        "absent object",
        "null text",
    ],
)
def test_a_choice_bare_or_with_its_label_and_nothing_null_absent_or_empty_are_one(
    profile: Profile, webhooks: list[Received], change: Callable[[dict[str, Any]], object]
) -> None:
    unset = {"location": None, "description": ""}
    content = with_field(first_of(webhooks, "updated"), lambda data: data.update(unset))
    assert json.loads(content)["data"]["custom_fields"]["remarks"] is None

    (whole,), (other,) = (webhook(profile, one).items for one in (content, with_field(content, change)))
    assert other == whole
