# SPDX-License-Identifier: Apache-2.0
"""Items of any content in any order: what the revisions that they make have in common."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import yaml
from hypothesis import given
from hypothesis import strategies as st

from libs.contracts import (
    Asset,
    AssetChange,
    AssetChanged,
    Change,
    FeedItem,
    Profile,
    kafka_headers,
    make_key,
    source_urn,
)
from libs.contracts.words import DeclaredLevels
from services.inventory.domain import Decision, Outcome, Refused, Register, Scribe

PROFILE = Profile.model_validate(
    yaml.safe_load((Path(__file__).parents[3] / "samples/city/profile.yaml").read_text(encoding="utf-8"))
)
NOW = datetime(2026, 4, 1, 9, 30, 0, 123456, tzinfo=UTC)
BODIES = ("mayor", "election", "waterworks")

text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20)
facts = st.dictionaries(
    st.from_regex(r"\A[a-z][a-z0-9_]{0,10}\Z"),
    st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | text
    | st.lists(text, max_size=3),
    max_size=4,
)
levels = st.builds(
    DeclaredLevels,
    confidentiality=st.none() | st.sampled_from(["1", "2", "3A"]),
    integrity=st.none() | st.sampled_from(["1", "2"]),
)


@st.composite
def items(draw: st.DrawFn, keys: Sequence[str] = ("A", "B"), bodies: Sequence[str] = BODIES) -> FeedItem:
    related = draw(st.lists(st.tuples(st.sampled_from(["stores", "runs_on"]), st.sampled_from(["A", "B", "C"]))))
    return FeedItem.model_validate(
        {
            "body": draw(st.sampled_from(bodies)),
            "feed": "cmdb",
            "source_key": draw(st.sampled_from(keys)),
            "source_version": draw(st.integers(0, 6)),
            "operation": draw(st.sampled_from(["upsert", "upsert", "upsert", "retire"])),
            "kind": draw(st.sampled_from(["system", "information"])),
            "name": draw(st.none() | text),
            "section": draw(st.none() | text),
            "zone": draw(st.none() | st.sampled_from(["lgwan", "internet"])),
            "facts": draw(facts),
            "declared": draw(levels),
            "relations": [{"type": kind, "source_key": key} for kind, key in related],
            "reason": draw(st.none() | text),
        }
    )


def folded(told: Sequence[FeedItem]) -> tuple[Register, list[Decision]]:
    register, decisions = Register(PROFILE), []
    for item in told:
        try:
            decisions.append(register.take(item))
        except Refused:
            continue
    return register, decisions


@given(st.lists(items(), max_size=12))
def test_an_outcome_says_whether_there_is_an_event_and_no_event_is_without_a_change(told: list[FeedItem]) -> None:
    _, decisions = folded(told)
    for decision in decisions:
        assert (decision.outcome is Outcome.APPLIED) == bool(decision.revisions)
        for revision in decision.revisions:
            assert json.dumps(revision.before, sort_keys=True) != json.dumps(revision.after, sort_keys=True)


@given(st.lists(items(), max_size=12))
def test_no_relation_in_the_register_is_known_to_lead_to_another_network(told: list[FeedItem]) -> None:
    register = Register(PROFILE)
    network_of: dict[str, str] = {}
    for item in told:
        try:
            decision = register.take(item)
        except Refused:
            continue
        for revision in decision.revisions:
            if revision.after["status"] == "active":
                here = network_of[revision.after["asset_id"]] = revision.after["network"]
                targets = {one["asset_id"] for one in revision.after["relations"]}
                assert {network_of.get(target, here) for target in targets} <= {here}


@given(st.lists(items(), min_size=1, max_size=6), st.booleans())
def test_what_the_scribe_writes_is_what_the_models_would(told: list[FeedItem], traced: bool) -> None:
    traceparent = "00-" + "a" * 32 + "-" + "b" * 16 + "-01" if traced else None
    _, decisions = folded(told)
    for revision in (one for decision in decisions for one in decision.revisions):
        written = Scribe(PROFILE.municipality, NOW).write(revision, traceparent)

        event = AssetChanged.model_validate_json(written.value)
        after = Asset.model_validate(revision.after)
        assert event == AssetChanged(
            id=f"{after.asset_id}:{revision.revision}",
            source=source_urn(PROFILE.municipality, after.body, "inventory"),
            subject=after.asset_id,
            time=NOW,
            body=after.body,
            network=after.network,
            revision=revision.revision,
            traceparent=traceparent,
            data=AssetChange(
                before=Asset.model_validate(revision.before) if revision.before else None,
                after=after,
                change=Change.model_validate(revision.change),
            ),
        )
        assert written.key == make_key(after.network, after.body, after.asset_id)
        assert [(name, value.encode()) for name, value in json.loads(written.headers)] == kafka_headers(event)
        assert json.loads(written.state) == json.loads(written.value)["data"]["after"]
        assert json.loads(written.change) == json.loads(written.value)["data"]["change"]
