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
from libs.standards import Case, NetworkGraph, Standard, StandardDocument, compile_standard
from libs.standards.graph import GraphOverride, OverrideEdit
from tests.graphs import Told, told

IDS = tuple("abcdefgh")
BODIES = ("mayor", "election")
DIMENSIONS = tuple(Dimension)
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


def naive(
    standard: Standard, register: Mapping[str, Asset], overrides: Mapping[tuple[str, str, int], GraphOverride]
) -> dict[str, tuple[Any, ...]]:
    """Body, levels with what the body may see of origin and rule, and obligations, by trying every neighbour again and
    again until nothing gets better."""
    own: dict[str, list[tuple[int, Any]]] = {}
    for asset_id, asset in register.items():
        derived = standard.derive(Case(asset.kind, asset.zone, asset.facts))
        own[asset_id] = []
        for index, dimension in enumerate(DIMENSIONS):
            declared = getattr(asset.declared, dimension)
            scale = SCALES[dimension]
            rank = scale.index(declared) if declared in scale else -1
            is_declared = rank > derived.ranks[index]
            best = max(rank, derived.ranks[index])
            why: Any = "declared" if is_declared else derived.rules[index].id
            if (override := overrides.get((asset_id, asset.body, index))) is not None:
                best, why = override.rank, override.ref
            said = declared if rank >= 0 else None
            own[asset_id].append((best, why, (said, scale[derived.ranks[index]])))
    found: dict[str, list[Any]] = {asset_id: [] for asset_id in register}
    for index in range(3):
        labels = {asset_id: (-own[asset_id][index][0], 0, asset_id, "", "") for asset_id in register}
        better = True
        while better:
            better = False
            for owner, asset in register.items():
                for relation in asset.relations:
                    target, flow = relation.asset_id, FLOWS[relation.type][index]
                    if target not in register:
                        continue
                    ways = {"to_owner": [(target, owner)], "to_target": [(owner, target)], "none": []}
                    ways["both"] = ways["to_owner"] + ways["to_target"]
                    for source, sink in ways[flow]:
                        offer = (labels[source][0], labels[source][1] + 1, labels[source][2], source, relation.type)
                        if (sink, register[sink].body, index) not in overrides and offer < labels[sink]:
                            labels[sink], better = offer, True
        for asset_id, (rank, _, origin, *_) in labels.items():
            way, at = [], asset_id
            while at := labels[at][3]:
                way.append(register[at].body)
            foreign = next((body for body in way if body != register[asset_id].body), None)
            seen = ("", "") if foreign else (origin, own[origin][index][1])
            found[asset_id].append((SCALES[DIMENSIONS[index]][-rank], *seen, foreign, own[asset_id][index][2]))
    return {
        asset_id: (
            register[asset_id].body,
            *reasons,
            standard.binding(
                Case(register[asset_id].kind, register[asset_id].zone, register[asset_id].facts),
                tuple(SCALES[name].index(reason[0]) for name, reason in zip(SCALES, reasons, strict=True)),  # type: ignore[arg-type]
            ).obligations,
        )
        for asset_id, reasons in found.items()
    }  # fmt: skip


@given(batches=changes)
def test_each_change_leaves_what_an_evaluation_from_scratch_finds(
    standard: Standard, batches: Sequence[tuple[Sequence[Asset], Sequence[OverrideEdit]]]
) -> None:
    graph = NetworkGraph(standard)
    register: dict[str, Asset] = {}
    overrides: dict[tuple[str, str, int], GraphOverride] = {}
    shown: dict[str, Told] = {}
    before: dict[str, tuple[Any, ...]] = {}
    for batch, edits in batches:
        verdicts = {verdict.asset.asset_id: verdict for verdict in told(graph, batch, edits)}
        for asset_id, body, dimension, override in edits:
            key = (asset_id, body, DIMENSIONS.index(dimension))
            overrides.pop(key, None)
            if override is not None:
                overrides[key] = override
        for asset in batch:
            if asset.status is AssetStatus.RETIRED:
                register.pop(asset.asset_id, None)
            else:
                register[asset.asset_id] = asset
        after = naive(standard, register, overrides)

        assert {name for name, verdict in verdicts.items() if verdict.changed} == {
            name for name in before.keys() | after.keys() if before.get(name) != after.get(name)
        }
        unchanged = {name for name, verdict in verdicts.items() if not verdict.changed}
        assert unchanged <= {asset.asset_id for asset in batch} <= verdicts.keys()
        shown |= verdicts
        for name, found in after.items():
            _agrees(shown[name], found, register)
        before = after
    assert len(graph) == len(register)


def _agrees(verdict: Told, found: tuple[Any, ...], register: Mapping[str, Asset]) -> None:
    assert verdict.levels is not None
    assert verdict.obligations == found[-1]
    asset_id, body = verdict.asset.asset_id, verdict.asset.body
    for dimension, (level, origin, why, foreign, by_itself) in zip(DIMENSIONS, found[1:-1], strict=True):
        explanation = verdict.explanations[dimension]
        assert getattr(verdict.levels, dimension) == explanation.level == level
        assert (explanation.declared, explanation.derived) == by_itself
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
            # the way last told may lead past what is retired by now: another way from the same origin is no change
            assert {register[step].body for step in source.path if step in register} == {body}
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
