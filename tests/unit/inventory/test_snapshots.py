# SPDX-License-Identifier: Apache-2.0
"""What a snapshot is about, what comes of its end, and what its marks must say."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from libs.contracts import FeedItem, FeedSnapshotMarked, Profile, Reason, SnapshotMark, SnapshotState
from services.inventory.domain import OMITTED, Outcome, Refused, Register, Source
from services.inventory.share import needs_a_person
from services.inventory.snapshots.domain import (
    LASTS,
    Ended,
    Extent,
    Listening,
    Mention,
    Place,
    beginning,
    check_mark,
    ending,
    extent,
    giving_up,
    key_of_mark,
    mentions,
    snapshot_of,
)

NOW = datetime(2026, 4, 1, tzinfo=UTC)
HERE = Place("mayor", "mayor", "system", "lgwan", "mayor", "system", "lgwan")


@pytest.mark.parametrize(
    ("gone", "known", "share", "asks"),
    [
        (0, 0, 0.1, False),
        (0, 5, 0.0, False),
        # one may always go, the last one not
        (1, 3, 0.1, False),
        (2, 3, 0.1, True),
        (1, 1, 0.1, True),
        (5, 5, 0.9, True),
        (10, 100, 0.1, False),
        (11, 100, 0.1, True),
        (29, 100, 0.29, False),
        (1, 100, 0.0, True),
        (5, 5, 1.0, False),
    ],
)
def test_more_than_the_share_asks_for_a_person(gone: int, known: int, share: float, asks: bool) -> None:
    assert needs_a_person(gone, known, share) is asks


@pytest.mark.parametrize(
    ("change", "covered"),
    [
        ({}, True),
        ({"network": "hospital"}, False),
        ({"body": "fire"}, False),
        ({"told_body": "fire"}, False),
        ({"kind": "document"}, False),
        ({"told_kind": "document"}, False),
        ({"zone": "internet"}, False),
        ({"zone": None}, False),
        ({"told_zone": "internet"}, False),
        # a feed that tells no zone leaves it to others
        ({"told_zone": None}, True),
    ],
)
def test_it_covers_what_is_inside_in_the_register_and_for_the_feed_alike(change: dict[str, Any], covered: bool) -> None:
    one = Extent("mayor", frozenset({"mayor", "audit"}), frozenset({"system"}), frozenset({"lgwan"}))
    assert one.covers(HERE._replace(**change)) is covered
    assert Extent("mayor", frozenset({"mayor"})).covers(HERE._replace(zone=None, kind="document"))


@pytest.mark.parametrize(
    ("change", "state"),
    [
        ({}, "done"),
        ({"missing": 1}, "retiring"),
        ({"missing": 2}, "waiting"),
        ({"accepted": 9}, "incomplete"),
        ({"accepted": 11}, "incomplete"),
        ({"begun_at": NOW - LASTS - timedelta(seconds=1), "accepted": 9}, "expired"),
    ],
)
def test_what_comes_of_an_end(change: dict[str, Any], state: str) -> None:
    ended = Ended(NOW, sent=10, accepted=10, known=10)._replace(**change)
    assert ended.comes_to(0.1, NOW) is SnapshotState(state)
    assert ended.is_whole(NOW) is (state not in ("incomplete", "expired"))


def item(source_key: str = "S-1", version: int = 1, **fields: Any) -> FeedItem:
    return FeedItem(body="mayor", feed="cmdb", source_key=source_key, source_version=version, **fields)


def test_any_item_of_the_feed_is_a_mention_and_an_accepted_one_of_the_session_counts(profile: Profile) -> None:
    (mark,) = beginning(profile, "cmdb", "s1", ["mayor"])
    one = snapshot_of(profile, mark)
    listening = [Listening(one, True)]

    def counted(told: FeedItem, network: str = "mayor", *, accepted: bool = True) -> list[Mention]:
        return list(mentions(listening, told, network, accepted=accepted))

    def mention(in_session: bool) -> list[Mention]:
        return [Mention(one.snapshot_id, "S-1", in_session)]

    assert counted(item(snapshot="s1")) == mention(True)
    assert counted(item(snapshot="s1"), accepted=False) == mention(False)
    assert counted(item(snapshot="s2")) == counted(item()) == mention(False)
    assert counted(item(snapshot="s1").model_copy(update={"body": "audit"})) == mention(False)
    assert counted(item(snapshot="s1").model_copy(update={"feed": "ledger"})) == []
    assert counted(item(snapshot="s1"), "hospital") == []


def test_a_session_has_marks_for_each_network_of_its_bodies(profile: Profile) -> None:
    begun = beginning(profile, "cmdb", "s1", ["waterworks", "mayor", "audit"])
    ended = ending(profile, "cmdb", "s1", {"waterworks": 3, "mayor": 4, "audit": 5})
    given_up = giving_up(profile, "cmdb", "s1", ["waterworks", "mayor"], "停電")

    assert [(one.network, one.bodies) for one in begun] == [
        ("mayor", ("audit", "mayor")),
        ("waterworks", ("waterworks",)),
    ]
    assert [(one.network, one.items) for one in ended] == [("mayor", 9), ("waterworks", 3)]
    assert [(one.network, one.reason) for one in given_up] == [("mayor", "停電"), ("waterworks", "停電")]
    parts = [[snapshot_of(profile, one).snapshot_id for one in marks] for marks in (begun, ended, given_up)]
    assert parts[0] == parts[1] == parts[2]
    assert len(set(parts[0])) == 2


def test_what_a_feed_may_retire_bounds_its_snapshots(profile: Profile) -> None:
    (mark,) = [one for one in beginning(profile, "netbox", "s1", ["mayor", "fire"]) if one.network == "mayor"]
    netbox = profile.feed_by_id["netbox"]
    assert netbox.scope is not None
    one = snapshot_of(profile, mark)
    assert extent(netbox, one) == Extent("mayor", frozenset({"mayor", "fire"}), frozenset(netbox.scope.kinds))
    narrow = netbox.model_copy(update={"scope": netbox.scope.model_copy(update={"bodies": frozenset({"fire"})})})
    assert extent(narrow, one).bodies == {"fire"}
    elsewhere = netbox.model_copy(update={"scope": netbox.scope.model_copy(update={"bodies": frozenset({"hospital"})})})
    assert not extent(elsewhere, one).covers(HERE)


def test_a_beginning_that_names_no_bodies_is_of_all_on_the_network(profile: Profile) -> None:
    mark = SnapshotMark(feed="cmdb", network="waterworks", session="s1", step="begin")
    assert snapshot_of(profile, mark).bodies == ("waterworks",)


@pytest.mark.parametrize(
    "wrong",
    [
        {"step": "end"},
        {"step": "begin", "items": 3},
        {"step": "abort", "bodies": ["mayor"]},
        {"step": "begin", "session": "a/b"},
        {"step": "stop"},
        {"step": "begin", "network": "mayor", "bodys": []},
    ],
)
def test_marks_that_say_too_little_or_too_much_are_none(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SnapshotMark.model_validate({"feed": "cmdb", "network": "mayor", "session": "s1", **wrong})


def marked(data: dict[str, Any], **envelope: Any) -> FeedSnapshotMarked:
    mark = {"feed": "cmdb", "network": "mayor", "session": "s1", "step": "begin", **data}
    event = {"id": "1", "source": "urn:daicho:990019:-:cmdb", "subject": "s1", "time": NOW, "data": mark, **envelope}
    return FeedSnapshotMarked.model_validate(event)


@pytest.mark.parametrize(
    ("data", "envelope", "reason", "field"),
    [
        ({"feed": "excel"}, {}, Reason.UNKNOWN_FEED, "data.feed"),
        ({"bodies": ["library"]}, {}, Reason.UNKNOWN_BODY, "data.bodies.0"),
        ({"bodies": ["mayor", "hospital"]}, {}, Reason.FEED_NOT_AUTHORISED, "data.bodies.1"),
        ({"bodies": ["waterworks"]}, {}, Reason.WRONG_NETWORK, "data.bodies.0"),
        ({"network": "hospital"}, {}, Reason.WRONG_NETWORK, "data.network"),
        ({}, {"network": "education"}, Reason.WRONG_NETWORK, "network"),
        ({}, {"subject": "s2"}, Reason.KEY_MISMATCH, "subject"),
    ],
)
def test_a_mark_says_what_the_profile_declares(
    profile: Profile, data: dict[str, Any], envelope: dict[str, Any], reason: Reason, field: str
) -> None:
    event = marked(data, **envelope)
    with pytest.raises(Refused) as refused:
        check_mark(profile, event, key_of_mark(event))
    assert (refused.value.reason, refused.value.field) == (reason, field)


def test_a_mark_stands_under_a_key_of_its_own_session(profile: Profile) -> None:
    event = marked({})
    check_mark(profile, event, b"mayor/-/cmdb/s1")
    for key in (None, b"mayor/mayor/cmdb/s1", b"mayor/-/cmdb/s2"):
        with pytest.raises(Refused):
            check_mark(profile, event, key)


def test_what_a_snapshot_left_out_comes_back_with_the_version_that_it_had(
    empty_register: Callable[[], Register],
) -> None:
    register, source = empty_register(), Source("cmdb", "S-1")
    register.take(item(version=7))
    omitted = register.omit(source, "s1")

    (revision,) = omitted.revisions
    assert revision.after["status"] == "retired"
    assert revision.change == {"feed": "cmdb", "source_key": "S-1", "snapshot": "s1", "reason": OMITTED}
    assert (omitted.link.gone, omitted.news) == (True, True)
    assert register.take(item(version=6)).outcome is Outcome.IGNORED
    assert register.take(item(version=7)).held.state["status"] == "active"  # type: ignore[index]


def test_an_item_of_version_0_may_be_left_out_and_come_back(empty_register: Callable[[], Register]) -> None:
    register = empty_register()
    register.take(item(version=0))
    assert register.omit(Source("cmdb", "S-1"), "s1").revisions
    assert register.take(item(version=0)).outcome is Outcome.APPLIED
