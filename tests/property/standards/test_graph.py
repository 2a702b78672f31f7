# SPDX-License-Identifier: Apache-2.0
"""The incremental graph against a plain evaluation from scratch, over random graphs and random changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.contracts import Asset, AssetStatus, DeclaredLevels, Dimension, OverrideRef, Relation, RelationType
from libs.standards import NetworkGraph, Standard, StandardDocument, compile_standard
from libs.standards.graph import GraphOverride, OverrideEdit
from tests.graphs import Told, told
from tests.naive import DIMENSIONS, Found, Naive

IDS = tuple("abcdefgh")
BODIES = ("mayor", "election")
SCALES = {"confidentiality": ["1", "2", "3"], "integrity": ["1", "2"], "availability": ["1", "2"]}
FLOWS = {
    RelationType.STORES: ("to_owner", "to_owner", "none"),
    RelationType.RUNS_ON: ("to_target", "to_target", "to_target"),
    RelationType.CONNECTS: ("both", "none", "none"),
    RelationType.HOUSED_IN: ("none", "none", "to_target"),
}


def words(name: str) -> dict[str, str]:
    return {"ja": name, "en": name}


def rule(number: int, dimension: str, level: str, when: str) -> dict[str, Any]:
    basis = {"source": "project default"}
    return {
        "id": f"R-{number:02}",
        "dimension": dimension,
        "level": level,
        "when": when,
        "text": words(when),
        "basis": basis,
    }


def duty(number: int, when: str) -> dict[str, Any]:
    texts = {"title": words("t"), "action": words("a"), "evidence": words("e")}
    return {
        "id": f"D-{number:02}",
        "part": "technical",
        "audience": "staff",
        "when": when,
        "basis": {"source": "x"},
        **texts,
    }


@pytest.fixture(scope="module")
def standard() -> Standard:
    level = {"name": words("l"), "definition": words("d")}
    document = {
        "name": "tiny",
        "version": "2026.1",
        "effective_from": "2026-04-01T00:00:00+09:00",
        "title": words("tiny"),
        "scales": {name: [{"code": code, **level} for code in codes] for name, codes in SCALES.items()},
        "mappings": {},
        "facts": {"grade": {"type": "integer", "name": words("g"), "meaning": words("g")}},
        "rules": [
            rule(1, "confidentiality", "1", "true"),
            rule(2, "confidentiality", "2", "grade != null && grade >= 1"),
            rule(3, "confidentiality", "2", "grade != null && grade == 2"),
            rule(4, "confidentiality", "3", "grade != null && grade >= 3"),
            rule(5, "integrity", "1", "true"),
            rule(6, "integrity", "2", "grade != null && grade >= 2"),
            rule(7, "availability", "1", "true"),
            rule(8, "availability", "2", "grade == 1"),
        ],
        "inheritance": [
            {"relation": kind, **dict(zip(SCALES, flows, strict=True)), "text": words("i")}
            for kind, flows in FLOWS.items()
        ],
        "obligations": [
            duty(1, "true"),
            duty(2, "confidentiality >= C2"),
            duty(3, "confidentiality >= C3 && integrity >= I2"),
            duty(4, "availability >= A2"),
        ],
    }
    return compile_standard(StandardDocument.model_validate(document))


relations = st.lists(st.tuples(st.sampled_from(tuple(FLOWS)), st.sampled_from(IDS)), max_size=4, unique=True)
assets = st.builds(
    lambda asset_id, body, grade, declared, related, retired: Asset(
        asset_id=asset_id,
        body=body,
        network="mayor",
        kind="system",
        name=asset_id,
        status=AssetStatus.RETIRED if retired else AssetStatus.ACTIVE,
        facts={} if grade is None else {"grade": grade},
        declared=DeclaredLevels(confidentiality=declared),
        relations=tuple(Relation(type=kind, asset_id=target) for kind, target in related),
    ),
    asset_id=st.sampled_from(IDS),
    body=st.sampled_from(BODIES),
    grade=st.none() | st.integers(0, 3),
    declared=st.none() | st.sampled_from(["1", "2", "3", "9"]),
    related=relations,
    retired=st.integers(0, 4).map(lambda drawn: drawn == 0),
)
override_edits = st.builds(
    lambda asset_id, body, dimension, rank, name: OverrideEdit(
        asset_id,
        body,
        dimension,
        None
        if rank is None
        else GraphOverride(
            min(rank, len(SCALES[dimension]) - 1),
            OverrideRef(override_id=name, reason="r", approved_by="b", expires_at=datetime(2027, 1, 1, tzinfo=UTC)),
        ),
    ),
    asset_id=st.sampled_from(IDS),
    body=st.sampled_from(BODIES),
    dimension=st.sampled_from(DIMENSIONS),
    rank=st.none() | st.integers(0, 2),
    name=st.sampled_from("xy"),
)
changes = st.lists(
    st.tuples(st.lists(assets, max_size=4), st.lists(override_edits, max_size=3)), min_size=1, max_size=12
)
batches = st.lists(st.lists(assets, min_size=1, max_size=4), min_size=1, max_size=12)


@given(batches=changes)
def test_each_change_leaves_what_an_evaluation_from_scratch_finds(
    standard: Standard, batches: Sequence[tuple[Sequence[Asset], Sequence[OverrideEdit]]]
) -> None:
    graph, naive = NetworkGraph(standard), Naive(standard.document)
    register: dict[str, Asset] = {}
    overrides: dict[tuple[str, str, Dimension], tuple[str, OverrideRef]] = {}
    shown: dict[str, tuple[Told, Mapping[str, str]]] = {}
    before: dict[str, Found] = {}
    for batch, edits in batches:
        verdicts = {verdict.asset.asset_id: verdict for verdict in told(graph, batch, edits)}
        for asset_id, body, dimension, override in edits:
            overrides.pop((asset_id, body, dimension), None)
            if override is not None:
                overrides[asset_id, body, dimension] = (SCALES[dimension][override.rank], override.ref)
        for asset in batch:
            if asset.status is AssetStatus.RETIRED:
                register.pop(asset.asset_id, None)
            else:
                register[asset.asset_id] = asset
        after = naive.evaluate(register.values(), overrides)

        assert {name for name, verdict in verdicts.items() if verdict.changed} == {
            name for name in before.keys() | after.keys() if before.get(name) != after.get(name)
        }
        unchanged = {name for name, verdict in verdicts.items() if not verdict.changed}
        assert unchanged <= {asset.asset_id for asset in batch} <= verdicts.keys()
        # the way last told stands as it was: another way from the same origin is no change, also when it has led past others since
        bodies = {name: asset.body for name, asset in register.items()}
        shown |= {name: (verdict, bodies) for name, verdict in verdicts.items()}
        for name, found in after.items():
            _agrees(*shown[name], found)
        before = after
    assert len(graph) == len(register)


def _agrees(verdict: Told, bodies: Mapping[str, str], found: Found) -> None:
    """`bodies` has whose each asset was when the verdict was told."""
    assert verdict.levels is not None
    assert verdict.obligations == found.obligations
    asset_id, body = verdict.asset.asset_id, verdict.asset.body
    for dimension, (level, origin, why, foreign, declared, derived) in zip(DIMENSIONS, found.levels, strict=True):
        explanation = verdict.explanations[dimension]
        assert getattr(verdict.levels, dimension) == explanation.level == level
        assert (explanation.declared, explanation.derived) == (declared, derived)
        if origin == asset_id:
            if isinstance(why, OverrideRef):
                assert (explanation.origin, explanation.override) == ("override", why)
                continue
            assert explanation.origin == ("declared" if why == "declared" else "derived")
            assert explanation.inherited_from is None
            continue
        source = explanation.inherited_from
        assert explanation.origin == "inherited"
        assert source is not None
        if foreign is not None:
            assert (source.asset_id, source.path, explanation.rule, explanation.text) == (None, (), None, None)
            assert source.body == foreign
        else:
            assert source.asset_id == origin == source.path[-1]
            assert {bodies[step] for step in source.path} == {body}
            assert explanation.rule == (None if why == "declared" or isinstance(why, OverrideRef) else why)
            assert explanation.override == (why if isinstance(why, OverrideRef) else None)


@given(batches=batches, order=st.randoms(use_true_random=False))
def test_the_order_in_which_assets_become_known_does_not_matter(
    standard: Standard, batches: Sequence[Sequence[Asset]], order: Any
) -> None:
    latest = {asset.asset_id: asset for batch in batches for asset in batch}
    shuffled = list(latest.values())
    order.shuffle(shuffled)
    together, one_by_one = NetworkGraph(standard), NetworkGraph(standard)

    at_once = {verdict.asset.asset_id: verdict for verdict in told(together, list(latest.values()))}
    in_turn: dict[str, Told] = {}
    for asset in shuffled:
        in_turn |= {verdict.asset.asset_id: verdict for verdict in told(one_by_one, [asset])}
    for asset_id, asset in latest.items():
        if asset.status is AssetStatus.ACTIVE:
            in_turn |= {verdict.asset.asset_id: verdict for verdict in told(one_by_one, [asset])}
            assert at_once[asset_id].levels == in_turn[asset_id].levels
            assert at_once[asset_id].explanations == in_turn[asset_id].explanations
            assert at_once[asset_id].obligations == in_turn[asset_id].obligations


def test_a_cycle_does_not_hold_itself_up_after_its_only_source_is_gone(standard: Standard) -> None:
    def system(asset_id: str, to: str) -> Asset:
        related = (Relation(type=RelationType.CONNECTS, asset_id=to),)
        return Asset(
            asset_id=asset_id, body="mayor", network="mayor", kind="system", name=asset_id, facts={}, relations=related
        )

    source = system("s", "a").model_copy(update={"facts": {"grade": 3}})
    graph = NetworkGraph(standard)
    raised = told(graph, [system("a", "b"), system("b", "c"), system("c", "a"), source])
    assert {verdict.levels.confidentiality for verdict in raised if verdict.levels} == {"3"}

    lowered = told(graph, [source.model_copy(update={"status": AssetStatus.RETIRED})])

    assert {verdict.asset.asset_id: verdict.levels and verdict.levels.confidentiality for verdict in lowered} == {
        "s": None, "a": "1", "b": "1", "c": "1",
    }  # fmt: skip


def copies(asset_id: str, *sources: str, body: str = "mayor", grade: int = 0) -> Asset:
    """An asset that takes the levels of `sources`."""
    return Asset(
        asset_id=asset_id,
        body=body,
        network="mayor",
        kind="media",
        name=asset_id,
        facts={"grade": grade},
        relations=tuple(Relation(type=RelationType.STORES, asset_id=source) for source in sources),
    )


def test_a_better_way_further_up_is_told_to_all_that_hang_on_it(standard: Standard) -> None:
    """The level, its distance and its origin stay; but the way no longer leads past another body's asset."""
    graph = NetworkGraph(standard)
    told(graph, [copies("x", grade=3), copies("n", "x", body="election"), copies("y", "m", "n"), copies("z", "y")])

    after = {verdict.asset.asset_id: verdict for verdict in told(graph, [copies("m", "x")])}

    assert after.keys() == {"m", "y", "z"}
    source = after["z"].explanations[Dimension.CONFIDENTIALITY].inherited_from
    assert source is not None
    assert (source.body, source.asset_id, source.path) == ("mayor", "x", ("y", "m", "x"))


def test_what_changes_only_out_of_sight_of_a_body_is_not_told_to_it(standard: Standard) -> None:
    """First another reason for the same level of the other body's asset, then another asset of it that is the origin."""
    declared = DeclaredLevels(confidentiality="3", integrity="2")
    graph = NetworkGraph(standard)
    hidden = copies("x", body="election", grade=3)
    told(graph, [hidden, copies("y", "x")])

    another_reason = told(graph, [copies("x", body="election").model_copy(update={"declared": declared})])
    another_origin = told(graph, [copies("x", "w", body="election"), copies("w", body="election", grade=3)])

    assert [verdict.asset.asset_id for verdict in another_reason] == ["x"]
    assert {verdict.asset.asset_id for verdict in another_origin} == {"x", "w"}


def test_another_way_from_the_same_origin_is_no_change(standard: Standard) -> None:
    graph = NetworkGraph(standard)
    told(graph, [copies("x", grade=3), copies("l", "x"), copies("m", "x"), copies("y", "l", "m")])

    after = told(graph, [copies("l")])

    assert {verdict.asset.asset_id for verdict in after} == {"l"}


def test_an_asset_that_moves_to_another_body_is_told_again(standard: Standard) -> None:
    graph = NetworkGraph(standard)
    told(graph, [copies("y")])

    [moved] = told(graph, [copies("y", body="election")])

    assert moved.changed
