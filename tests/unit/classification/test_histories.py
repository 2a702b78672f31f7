# SPDX-License-Identifier: Apache-2.0
"""Random histories of a network: however they are cut into batches and lives, they end in the same levels and duties."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.contracts import (
    Asset,
    AssetChange,
    AssetChanged,
    AssetStatus,
    Change,
    ClassificationChanged,
    DutyRef,
    Levels,
    ObligationsChanged,
    Relation,
    kafka_headers,
)
from libs.contracts.topics import CLASSIFICATIONS
from libs.standards import NetworkGraph, Standard, StandardsInForce, compile_standard
from services.classification.domain import Message
from tests.classifiers import ToldClassifier
from tests.graphs import told

NOW = datetime(2026, 4, 1, tzinfo=UTC)
IDS = ("a", "b", "c", "d")
BODIES = ("mayor", "election")
FACTS: Sequence[dict[str, Any]] = (
    {},
    {"published": True},
    {"data_kinds": ["resident"], "personal_data": True, "record_count": 91234},
)

WITHDRAWN = "H-07"

Last = Mapping[bytes, tuple[Levels | None, tuple[str, ...]]]


@st.composite
def histories(draw: st.DrawFn) -> list[AssetChanged]:
    """Changes as inventory publishes them: who moves to another body is retired under the old key first."""
    states: dict[str, Asset] = {}
    revisions = dict.fromkeys(IDS, 0)
    events: list[AssetChanged] = []

    def publish(asset: Asset) -> None:
        revisions[asset.asset_id] += 1
        events.append(event(asset, revisions[asset.asset_id], len(events) + 1))
        states[asset.asset_id] = asset

    for _ in range(draw(st.integers(1, 14))):
        asset_id = draw(st.sampled_from(IDS))
        targets = draw(st.lists(st.sampled_from(IDS), max_size=2, unique=True))
        asset = Asset(
            asset_id=asset_id,
            body=draw(st.sampled_from(BODIES)),
            network="mayor",
            kind=draw(st.sampled_from(("information", "system"))),
            name=f"台帳 {asset_id}",
            section=draw(st.sampled_from((None, "市民課"))),
            zone=draw(st.sampled_from((None, "lgwan", "mynumber"))),
            status=draw(st.sampled_from(("active", "active", "retired"))),
            facts=draw(st.sampled_from(FACTS)),
            relations=tuple(Relation(type="stores", asset_id=target) for target in targets if target != asset_id),
        )
        known = states.get(asset_id)
        if known is not None and known.body != asset.body:
            if known.status is AssetStatus.ACTIVE:
                publish(known.model_copy(update={"status": AssetStatus.RETIRED}))
            if asset.status is AssetStatus.RETIRED:
                continue
        publish(asset)
    return events


def event(asset: Asset, revision: int, trace: int) -> AssetChanged:
    return AssetChanged(
        id=f"{asset.asset_id}:{revision}",
        source=f"urn:daicho:990019:{asset.body}:inventory",
        subject=asset.asset_id,
        time=NOW,
        body=asset.body,
        network=asset.network,
        revision=revision,
        traceparent=f"00-{trace:032x}-{1:016x}-01",
        data=AssetChange(before=None, after=asset, change=Change()),
    )


def batches(events: Sequence[AssetChanged], cuts: Iterable[int]) -> list[Sequence[AssetChanged]]:
    places = sorted({0, *(cut % (len(events) + 1) for cut in cuts), len(events)})
    return [events[begin:end] for begin, end in pairwise(places)]


def new_life(
    standard: Standard, published: Iterable[Message], withdrawn: Mapping[str, DutyRef] | None = None
) -> ToldClassifier:
    classifier = ToldClassifier(StandardsInForce(standard), "990019", lambda: NOW, withdrawn)
    classifier.recall(published)
    return classifier


def last_of(messages: Iterable[Message]) -> Last:
    """What a consumer that keeps the last event per key knows; what it knows as gone is left out."""
    levels: dict[bytes, Levels | None] = {}
    in_force: dict[bytes, tuple[str, ...]] = {}
    for message in messages:
        if message.topic == CLASSIFICATIONS.name:
            levels[message.key] = ClassificationChanged.model_validate_json(message.value).data.after
        else:
            in_force[message.key] = ObligationsChanged.model_validate_json(message.value).data.in_force
    known = {key: (levels.get(key), in_force.get(key, ())) for key in levels.keys() | in_force.keys()}
    return {key: one for key, one in known.items() if one != (None, ())}


def evaluated(standard: Standard, events: Iterable[AssetChanged]) -> Last:
    """The same from the register as it is at the end, evaluated once."""
    register = {one.data.after.asset_id: one.data.after for one in events}
    return {
        f"mayor/{verdict.asset.body}/{verdict.asset.asset_id}".encode(): (verdict.levels, verdict.obligations)
        for verdict in told(NetworkGraph(standard), register.values())
        if verdict.levels is not None
    }


@given(events=histories(), cuts=st.lists(st.integers(0, 40), max_size=6), deaths=st.sets(st.integers(0, 6)))
def test_batches_and_restarts_make_no_difference(
    standard: Standard, events: list[AssetChanged], cuts: list[int], deaths: set[int]
) -> None:
    messages: list[Message] = []
    classifier = new_life(standard, ())
    done: list[AssetChanged] = []
    for number, batch in enumerate(batches(events, cuts)):
        if number in deaths:
            classifier = new_life(standard, messages)
            assert classifier.begin_again(done) == []
        messages += classifier.take_events(batch)
        done += batch
        assert classifier.take_events(batch) == []

    assert last_of(messages) == evaluated(standard, events)


@given(events=histories(), cuts=st.lists(st.integers(0, 40), max_size=6))
def test_every_event_follows_from_the_one_before(
    standard: Standard, events: list[AssetChanged], cuts: list[int]
) -> None:
    classifier = new_life(standard, ())
    levels: dict[bytes, ClassificationChanged] = {}
    duties: dict[bytes, ObligationsChanged] = {}
    told: dict[bytes, list[int]] = {}
    for message in (one for batch in batches(events, cuts) for one in classifier.take_events(batch)):
        if message.topic == CLASSIFICATIONS.name:
            check_levels(levels.get(message.key), changed := ClassificationChanged.model_validate_json(message.value))
            levels[message.key] = changed
            revision = changed.revision
        else:
            check_duties(duties.get(message.key), imposed := ObligationsChanged.model_validate_json(message.value))
            duties[message.key] = imposed
            revision = imposed.revision
        told.setdefault(message.key, []).append(revision or 0)
    for revisions in told.values():
        assert sorted(set(revisions)) == list(range(1, len(set(revisions)) + 1))
        assert revisions == sorted(revisions)


def check_levels(before: ClassificationChanged | None, now: ClassificationChanged) -> None:
    assert now.data.before == (before.data.after if before else None)
    told = (None, {}) if before is None else (before.data.after, before.data.explanations)
    assert (now.data.after, now.data.explanations) != told
    levels = now.data.after.model_dump() if now.data.after else {}
    assert {dimension.value: one.level for dimension, one in now.data.explanations.items()} == levels


def check_duties(before: ObligationsChanged | None, now: ObligationsChanged) -> None:
    had = set(before.data.in_force) if before else set()
    assert {duty.id for duty in now.data.imposed} == set(now.data.in_force) - had
    assert {duty.id for duty in now.data.lifted} == had - set(now.data.in_force)
    assert now.data.imposed or now.data.lifted


@given(events=histories())
def test_what_is_written_is_what_the_models_would_write(standard: Standard, events: list[AssetChanged]) -> None:
    classifier = new_life(standard, ())
    for message in (one for change in events for one in classifier.take_events([change])):
        model = ClassificationChanged if message.topic == CLASSIFICATIONS.name else ObligationsChanged
        read = model.model_validate_json(message.value)
        assert json.loads(message.value) == json.loads(read.model_dump_json(exclude_unset=True))
        assert sorted(message.headers) == sorted(kafka_headers(read))
        assert message.key == f"{read.network}/{read.body}/{read.subject}".encode()
        assert read.id == f"{read.subject}:{read.revision}:{'c' if model is ClassificationChanged else 'o'}"


@pytest.mark.parametrize("text_is_known", [True, False])
@given(events=histories())
def test_a_standard_that_withdraws_a_duty_lifts_it_and_nothing_else(
    standard: Standard, events: list[AssetChanged], *, text_is_known: bool
) -> None:
    document = standard.document
    rest = tuple(duty for duty in document.obligations if duty.id != WITHDRAWN)
    later = compile_standard(document.model_copy(update={"version": "2099.1", "obligations": rest}), standard.day)
    known = {WITHDRAWN: standard.duty_ref(WITHDRAWN)} if text_is_known else {}
    messages = new_life(standard, ()).take_events(events)

    differences = new_life(later, messages, known).begin_again(events)

    assert last_of([*messages, *differences]) == evaluated(later, events)
    for message in differences:
        change = ObligationsChanged.model_validate_json(message.value)
        assert change.data.lifted == tuple(known.values())
        assert change.data.imposed == ()
        assert change.standardversion == later.version
