# SPDX-License-Identifier: Apache-2.0
"""What items make of the register, and how its revisions are written down."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from libs.contracts import (
    AssetChanged,
    FeedItem,
    FeedItemSubmitted,
    Profile,
    Reason,
    asset_id,
    kafka_headers,
    make_key,
    source_urn,
)
from services.inventory.domain import (
    MOVED,
    Held,
    Link,
    Outcome,
    Part,
    Refused,
    Register,
    Scribe,
    Source,
    Target,
    check_authority,
)

NOW = datetime(2026, 4, 1, 9, 30, 15, 250000, tzinfo=UTC)
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
EVERYTHING: dict[str, Any] = {
    "kind": "system",
    "name": '税"情報"\\システム\n',
    "section": "税務課",
    "zone": "mynumber",
    "facts": {"personal_data": True, "record_count": 91234, "ratio": 0.5, "data_kinds": ["tax"], "remarks": '"\u2028'},
    "declared": {"confidentiality": "3B", "availability": "2"},
    "relations": [{"type": "stores", "source_key": "A-2"}, {"type": "runs_on", "source_key": "A-1", "feed": "netbox"}],
    "reason": "年次の見直し",
}

NEIGHBOURS = {"relations": [{"type": "connects", "source_key": "B-1"}, {"type": "stores", "source_key": "W-1"}]}


def item(version: int = 1, **fields: Any) -> FeedItem:
    base = {"body": "mayor", "feed": "cmdb", "source_key": "A-1", "source_version": version, "name": f"資産{version}"}
    return FeedItem.model_validate({**base, **fields})


def gone(version: int, **fields: Any) -> FeedItem:
    return item(version, operation="retire", **fields)


@pytest.fixture
def register(empty_register: Callable[[], Register]) -> Register:
    return empty_register()


class TestTake:
    def test_a_new_asset_has_its_first_revision(self, register: Register) -> None:
        decision = register.take(item(5, **EVERYTHING))

        assert decision.outcome is Outcome.APPLIED
        (revision,) = decision.revisions
        assert (revision.revision, revision.before) == (1, None)
        assert revision.after == {
            "asset_id": asset_id("990019", "cmdb", "A-1"),
            "body": "mayor",
            "network": "mayor",
            "kind": "system",
            "name": EVERYTHING["name"],
            "section": "税務課",
            "zone": "mynumber",
            "status": "active",
            "facts": EVERYTHING["facts"],
            "declared": {"confidentiality": "3B", "availability": "2"},
            "relations": [
                {"type": "runs_on", "asset_id": asset_id("990019", "netbox", "A-1")},
                {"type": "stores", "asset_id": asset_id("990019", "cmdb", "A-2")},
            ],
        }
        assert revision.change == {
            "feed": "cmdb",
            "source_key": "A-1",
            "source_version": 5,
            "reason": "年次の見直し",
        }
        assert decision.held == Held(1, revision.after)
        assert (decision.link.asset_id, decision.link.source_version) == (revision.after["asset_id"], 5)

    def test_an_item_is_the_whole_asset(self, register: Register) -> None:
        register.take(item(1, **EVERYTHING))

        (revision,) = register.take(item(2, name=None)).revisions
        assert revision.before is not None
        assert (revision.revision, revision.before["facts"]) == (2, EVERYTHING["facts"])
        assert revision.after["name"] == "A-1"
        assert revision.after["facts"] == {}
        assert not revision.after.keys() & {"zone", "section"}

    def test_the_same_again_changes_nothing(self, register: Register) -> None:
        first = register.take(item(1, **EVERYTHING))

        again = register.take(item(1, **EVERYTHING))
        assert (again.outcome, again.revisions, again.held) == (Outcome.UNCHANGED, (), first.held)
        assert not again.news

    def test_a_newer_version_that_says_the_same_is_remembered(self, register: Register) -> None:
        register.take(item(1, name="庁内LAN"))

        decision = register.take(item(9, name="庁内LAN"))
        assert (decision.outcome, decision.revisions) == (Outcome.UNCHANGED, ())
        assert (decision.link.source_version, decision.held.revision) == (9, 1)
        assert register.take(item(8)).outcome is Outcome.IGNORED

    def test_an_older_version_that_comes_later_is_ignored(self, register: Register) -> None:
        newest = register.take(item(3))

        late = register.take(item(2))
        assert (late.outcome, late.revisions, late.link) == (Outcome.IGNORED, (), newest.link)
        assert register.take(gone(2)).outcome is Outcome.IGNORED

    def test_of_one_version_the_later_is_taken(self, register: Register) -> None:
        register.take(item(3, name="前"))

        decision = register.take(item(3, name="後"))
        assert decision.outcome is Outcome.APPLIED
        assert decision.revisions[0].after["name"] == "後"

    def test_true_is_not_one(self, register: Register) -> None:
        register.take(item(1, name="同じ", facts={"personal_data": 1}))

        assert register.take(item(2, name="同じ", facts={"personal_data": True})).outcome is Outcome.APPLIED

    def test_order_and_repetition_of_relations_say_nothing(self, register: Register) -> None:
        one, other = ({"type": kind, "source_key": "B"} for kind in ("stores", "connects"))
        register.take(item(1, name="同じ", relations=[one, other]))

        assert register.take(item(2, name="同じ", relations=[other, one, other])).outcome is Outcome.UNCHANGED

    def test_feeds_know_different_assets_by_one_key(self, register: Register) -> None:
        register.take(item(9))

        other = register.take(item(1, feed="ledger"))
        assert other.outcome is Outcome.APPLIED
        assert other.link.asset_id == asset_id("990019", "ledger", "A-1")

    def test_what_an_item_keeps_is_as_the_same_source_told_it(self, register: Register) -> None:
        told = item(1, zone="lgwan", facts={"serial": "S-1", "old": 1}, **NEIGHBOURS)
        first = register.take(told).held.state
        assert first is not None

        kept = item(2, name="新", facts={"new": 2}, kept=["zone", "facts.serial", "relations.connects"])
        assert {source.source_key for source in register.named([kept])} == {"B-1"}
        state = register.take(kept).held.state
        assert state is not None
        assert (state["name"], state["zone"], state["facts"]) == ("新", "lgwan", {"serial": "S-1", "new": 2})
        assert [one["type"] for one in state["relations"]] == ["connects"]


class TestRetire:
    def test_a_retired_asset_keeps_what_was_known(self, register: Register) -> None:
        register.take(item(1, **EVERYTHING))

        (revision,) = register.take(gone(2)).revisions
        assert revision.before is not None
        assert (revision.revision, revision.after) == (2, {**revision.before, "status": "retired"})
        assert revision.after["facts"] == EVERYTHING["facts"]

    @pytest.mark.parametrize("order", [(item(4), gone(4)), (gone(4), item(4))])
    def test_it_wins_over_an_upsert_of_the_same_version(self, register: Register, order: list[FeedItem]) -> None:
        register.take(item(1))
        for one in order:
            state = register.take(one).held.state

        assert state is not None
        assert state["status"] == "retired"

    def test_twice_is_once(self, register: Register) -> None:
        register.take(item(1))
        register.take(gone(2))

        again = register.take(gone(3))
        assert (again.outcome, again.link.source_version, again.held.revision) == (Outcome.UNCHANGED, 3, 2)

    def test_an_asset_may_return(self, register: Register) -> None:
        register.take(item(1))
        register.take(gone(2))

        (revision,) = register.take(item(3)).revisions
        assert (revision.revision, revision.after["status"]) == (3, "active")
        assert revision.before is not None
        assert revision.before["status"] == "retired"

    def test_of_an_unknown_asset_is_remembered_against_what_is_older(self, register: Register) -> None:
        decision = register.take(gone(5))
        assert (decision.outcome, decision.revisions) == (Outcome.UNCHANGED, ())
        assert decision.link == Link("cmdb", "A-1", asset_id("990019", "cmdb", "A-1"), 5, told=None, gone=True)
        assert decision.held.state is None

        assert register.take(item(4)).outcome is Outcome.IGNORED
        assert register.take(item(5)).outcome is Outcome.IGNORED
        assert register.take(item(6)).held.revision == 1

    def test_a_person_retires_and_the_source_may_tell_anew(self, profile: Profile, register: Register) -> None:
        known = register.take(item(7)).link

        links, revisions = register.retire(known.asset_id, {"actor": "officer", "reason": "撤去"})
        (revision,) = revisions
        assert (revision.revision, revision.after["status"]) == (2, "retired")
        assert revision.change == {"actor": "officer", "reason": "撤去"}
        assert links == (known._replace(gone=True),)
        assert register.retire(known.asset_id, {"actor": "officer", "reason": "再び"}).revisions == ()
        held = {known.asset_id: register.held(known.asset_id)}
        later = Register(profile, Part({Source("cmdb", "A-1"): links[0]}, held))
        assert later.take(item(7)).outcome is Outcome.IGNORED
        assert later.take(item(8)).revisions[0].revision == 3


class TestMove:
    def test_an_asset_leaves_one_body_and_is_new_to_the_other(self, register: Register) -> None:
        before = register.take(item(1)).held
        assert before.state is not None

        decision = register.take(item(2, body="education"))
        leaves, arrives = decision.revisions
        assert (leaves.revision, leaves.before) == (2, before.state)
        assert (leaves.after["body"], leaves.after["status"]) == ("mayor", "retired")
        assert leaves.change["reason"] == MOVED
        # nothing of what the body it leaves knew goes to the other
        assert (arrives.revision, arrives.before) == (3, None)
        assert (arrives.after["body"], arrives.after["network"]) == ("education", "education")
        assert (arrives.after["status"], arrives.after["asset_id"]) == ("active", before.state["asset_id"])
        assert "reason" not in arrives.change
        assert (decision.held.revision, decision.held.state) == (3, arrives.after)

    def test_what_left_stays_gone_when_it_was_retired_before(self, register: Register) -> None:
        register.take(item(1))
        register.take(gone(2))

        (arrives,) = register.take(item(3, body="fire")).revisions
        assert (arrives.revision, arrives.before, arrives.after["body"]) == (3, None, "fire")

    def test_a_retirement_told_for_another_body_retires_where_the_asset_is(self, register: Register) -> None:
        register.take(item(1))

        (revision,) = register.take(gone(2, body="fire")).revisions
        assert (revision.after["body"], revision.after["status"]) == ("mayor", "retired")


class TestRelations:
    @pytest.mark.parametrize("feed", ["cmdb", "ledger"])
    def test_to_another_network_refuses_the_item(self, register: Register, feed: str) -> None:
        register.take(item(1, feed=feed, source_key="W-1", body="waterworks"))

        with pytest.raises(Refused) as raised:
            register.take(item(1, feed=feed, **NEIGHBOURS))
        assert (raised.value.reason, raised.value.field) == (
            Reason.OTHER_NETWORK_RELATION,
            "data.relations.1.source_key",
        )
        # and nothing of it stays
        assert register.take(item(1, feed=feed)).held.revision == 1

    def test_to_another_network_is_left_out_of_equipment_records(self, register: Register) -> None:
        register.take(item(1, feed="netbox", source_key="W-1", body="waterworks"))

        (revision,) = register.take(item(1, feed="netbox", **NEIGHBOURS)).revisions
        assert revision.after["relations"] == [{"type": "connects", "asset_id": asset_id("990019", "netbox", "B-1")}]
        assert revision.change["reason"] == Reason.OTHER_NETWORK_RELATION

    def test_to_another_body_of_the_network_is_kept(self, register: Register) -> None:
        register.take(item(1, source_key="W-1", body="election"))

        assert len(register.take(item(1, **NEIGHBOURS)).revisions[0].after["relations"]) == 2

    def test_what_only_relations_name_is_known_by_its_own_id(self, profile: Profile) -> None:
        merged = Target("00000000-0000-4000-8000-00000000000a", "mayor")
        register = Register(profile, Part(targets={Source("cmdb", "W-1"): merged}))

        relations = register.take(item(1, **NEIGHBOURS)).revisions[0].after["relations"]
        assert {"type": "stores", "asset_id": merged.asset_id} in relations

    def test_what_only_relations_name_may_be_on_another_network(self, profile: Profile) -> None:
        register = Register(
            profile, Part(targets={Source("cmdb", "W-1"): Target(asset_id("990019", "cmdb", "W-1"), "hospital")})
        )

        with pytest.raises(Refused):
            register.take(item(1, **NEIGHBOURS))


class TestScribe:
    @pytest.mark.parametrize("traceparent", [None, TRACE])
    @pytest.mark.parametrize("fields", [{}, EVERYTHING, {"body": "waterworks"}])
    def test_it_writes_what_the_model_says(
        self, register: Register, fields: dict[str, Any], traceparent: str | None
    ) -> None:
        decisions = [register.take(one) for one in (item(1), item(2, **fields), gone(3, reason="廃棄"))]
        revisions = [revision for decision in decisions for revision in decision.revisions]
        scribe = Scribe("990019", NOW)

        assert len(revisions) == (4 if "body" in fields else 3)
        for revision in revisions:
            written = scribe.write(revision, traceparent)
            model = AssetChanged(
                id=f"{written.asset_id}:{revision.revision}",
                source=source_urn("990019", revision.after["body"], "inventory"),
                subject=written.asset_id,
                time=NOW,
                body=revision.after["body"],
                network=revision.after["network"],
                revision=revision.revision,
                traceparent=traceparent,
                data={"before": revision.before, "after": revision.after, "change": revision.change},
            )
            assert AssetChanged.model_validate_json(written.value) == model
            assert without_null(json.loads(written.value)) == without_null(model.model_dump(mode="json")) | {
                "time": NOW.isoformat()
            }
            assert [(name, value.encode()) for name, value in json.loads(written.headers)] == kafka_headers(model)
            assert written.key == make_key(revision.after["network"], revision.after["body"], written.asset_id)
            assert (json.loads(written.state), json.loads(written.change)) == (revision.after, revision.change)

    def test_a_revision_always_gives_the_same_bytes(self, register: Register) -> None:
        (revision,) = register.take(item(1, **EVERYTHING)).revisions

        assert Scribe("990019", NOW).write(revision, TRACE) == Scribe("990019", NOW).write(revision, TRACE)


def without_null(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: without_null(one) for name, one in value.items() if one is not None}
    return [without_null(one) for one in value] if isinstance(value, list) else value


class TestAuthority:
    KEY = b"mayor/mayor/cmdb/A-1"

    def submitted(self, one: FeedItem, **attributes: Any) -> FeedItemSubmitted:
        base = {"id": "1", "source": "urn:daicho:990019:mayor:cmdb", "subject": one.source_key, "time": NOW}
        return FeedItemSubmitted.model_validate({**base, **attributes, "data": one})

    @pytest.mark.parametrize("attributes", [{}, {"body": "mayor", "network": "mayor"}])
    def test_what_the_profile_declares_may_enter(self, profile: Profile, attributes: dict[str, Any]) -> None:
        check_authority(profile, self.submitted(item(), **attributes), self.KEY)

    @pytest.mark.parametrize(
        ("fields", "attributes", "key", "reason", "field"),
        [
            ({"body": "nobody"}, {}, KEY, Reason.UNKNOWN_BODY, "data.body"),
            ({"feed": "fax"}, {}, KEY, Reason.UNKNOWN_FEED, "data.feed"),
            ({"body": "hospital"}, {}, KEY, Reason.FEED_NOT_AUTHORISED, "data.body"),
            ({}, {"network": "education"}, KEY, Reason.WRONG_NETWORK, "network"),
            ({}, {"body": "fire"}, KEY, Reason.KEY_MISMATCH, "body"),
            ({}, {"subject": "A-2"}, KEY, Reason.KEY_MISMATCH, "subject"),
            ({}, {}, None, Reason.KEY_MISMATCH, "key"),
            ({}, {}, b"\xff\xff", Reason.KEY_MISMATCH, "key"),
            ({}, {}, b"mayor", Reason.KEY_MISMATCH, "key"),
            ({}, {}, b"mayor/mayor/cmdb/A-2", Reason.KEY_MISMATCH, "key"),
            ({}, {}, b"mayor/fire/cmdb/A-1", Reason.KEY_MISMATCH, "key"),
            ({}, {}, b"education/mayor/cmdb/A-1", Reason.WRONG_NETWORK, "key"),
            ({"body": "education"}, {}, KEY, Reason.WRONG_NETWORK, "key"),
        ],
    )
    def test_what_it_does_not_declare_may_not(
        self,
        profile: Profile,
        fields: dict[str, Any],
        attributes: dict[str, Any],
        key: bytes | None,
        reason: Reason,
        field: str,
    ) -> None:
        with pytest.raises(Refused) as raised:
            check_authority(profile, self.submitted(item(**fields), **attributes), key)
        assert (raised.value.reason, raised.value.field) == (reason, field)
