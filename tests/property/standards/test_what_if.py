# SPDX-License-Identifier: Apache-2.0
"""What-if against two plain evaluations from scratch, over random registers, standards and changes of facts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from libs.contracts import Asset, AssetStatus, DeclaredLevels, Dimension, Relation, RelationType
from libs.standards import Case, Standard, StandardDocument, compile_standard
from libs.standards.what_if import FactChanges, compare

IDS = tuple("abcdefgh")
DIMENSIONS = tuple(Dimension)
RELATIONS = (RelationType.STORES, RelationType.RUNS_ON, RelationType.CONNECTS)


def words(name: str) -> dict[str, str]:
    return {"ja": name, "en": name}


class Shape(NamedTuple):
    """What standards differ in: the codes of 機密性, from which grade the rules hold, how levels travel, which duties there are."""

    codes: str
    thresholds: tuple[int, int]
    flows: tuple[str, ...]
    duties: tuple[tuple[int, str], ...]


DUTIES = (
    (1, "true"),
    (2, "confidentiality >= C2"),
    (3, "confidentiality >= C3 && integrity >= I2"),
    (4, "grade == 1"),
)
PARTS = ("technical", "human", "review", "physical")
shapes = st.builds(
    Shape,
    codes=st.sampled_from(["123", "1234", "0123", "1293"]),
    thresholds=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    flows=st.tuples(*[st.sampled_from(["to_owner", "to_target", "both", "none"])] * len(RELATIONS)),
    duties=st.lists(st.sampled_from(DUTIES), unique=True).map(tuple),
)

pairs = st.tuples(shapes, shapes) | st.tuples(shapes, shapes).map(
    lambda pair: (pair[0], pair[1]._replace(codes=pair[0].codes, flows=pair[0].flows))
)
"""What holds and a candidate; most candidates have the scales and the inheritance of what holds."""


@lru_cache
def standard(shape: Shape) -> Standard:
    scales = {"confidentiality": shape.codes, "integrity": "12", "availability": "1A"}
    levels = {"confidentiality": ["2", "3"], "integrity": ["2"], "availability": ["A"]}
    rules = [(name, codes[0], "true") for name, codes in scales.items()]
    rules += [
        (name, level, f"grade != null && grade >= {shape.thresholds[at]}")
        for name, found in levels.items()
        for at, level in enumerate(found)
    ]
    document: dict[str, Any] = {
        "name": "tiny",
        "version": "2026.1",
        "effective_from": "2026-04-01T00:00:00+09:00",
        "title": words("tiny"),
        "scales": {
            name: [{"code": code, "name": words(code), "definition": words(code)} for code in codes]
            for name, codes in scales.items()
        },
        "mappings": {},
        "facts": {"grade": {"type": "integer", "name": words("g"), "meaning": words("g")}},
        "rules": [
            {
                "id": f"R-{number:02}",
                "dimension": dimension,
                "level": level,
                "when": when,
                "text": words(when),
                "basis": {"source": "project default"},
            }
            for number, (dimension, level, when) in enumerate(rules)
        ],
        "inheritance": [
            {"relation": kind, **dict.fromkeys(scales, flow), "text": words("i")}
            for kind, flow in zip(RELATIONS, shape.flows, strict=True)
        ],
        "obligations": [
            {
                "id": f"D-{number:02}",
                "part": PARTS[number - 1],
                "audience": "staff",
                "when": when,
                "basis": {"source": "x"},
                **dict.fromkeys(("title", "action", "evidence"), words("t")),
            }
            for number, when in shape.duties
        ],
    }
    return compile_standard(StandardDocument.model_validate(document))


def _asset(
    asset_id: str, place: tuple[str, str], grade: int | None, declared: str | None, related: Any, retired: bool
) -> Asset:
    network, body = place
    return Asset(
        asset_id=asset_id,
        body=body,
        network=network,
        kind="system",
        name=asset_id,
        status=AssetStatus.RETIRED if retired else AssetStatus.ACTIVE,
        facts={} if grade is None else {"grade": grade},
        declared=DeclaredLevels(confidentiality=declared),
        relations=tuple(Relation(type=kind, asset_id=target) for kind, target in related),
    )


assets = st.builds(
    _asset,
    asset_id=st.sampled_from(IDS),
    place=st.sampled_from([("mayor", "mayor"), ("mayor", "fire"), ("school", "school")]),
    grade=st.none() | st.integers(0, 3),
    declared=st.none() | st.sampled_from("239"),
    related=st.lists(st.tuples(st.sampled_from(RELATIONS), st.sampled_from(IDS)), max_size=4, unique=True),
    retired=st.integers(0, 5).map(lambda drawn: drawn == 0),
)
registers = st.lists(assets, max_size=8, unique_by=lambda asset: asset.asset_id)
fact_changes = st.dictionaries(st.sampled_from(IDS), st.fixed_dictionaries({"grade": st.none() | st.integers(0, 3)}))

Found = dict[str, tuple[list[int], tuple[str, ...]]]


def naive(shape: Shape, register: Sequence[Asset], changes: Mapping[str, FactChanges]) -> Found:
    """Ranks and obligations, by raising each asset to its neighbours' levels again and again until nothing gets higher."""
    in_use = standard(shape)
    members = {asset.asset_id: asset for asset in register if asset.status is not AssetStatus.RETIRED}
    facts = {
        name: {key: value for key, value in {**asset.facts, **changes.get(name, {})}.items() if value is not None}
        for name, asset in members.items()
    }
    ranks: dict[str, list[int]] = {}
    for name, asset in members.items():
        derived = list(in_use.derive(Case(asset.kind, asset.zone, facts[name])).ranks)
        declared = asset.declared.confidentiality
        ranks[name] = [max(derived[0], shape.codes.find(declared) if declared else -1), *derived[1:]]
    ways = set[tuple[str, str]]()
    for owner, asset in members.items():
        for relation in asset.relations:
            target, flow = relation.asset_id, shape.flows[RELATIONS.index(relation.type)]
            if target in members and members[target].network == asset.network:
                ways |= {(target, owner)} if flow in ("to_owner", "both") else set()
                ways |= {(owner, target)} if flow in ("to_target", "both") else set()
    for _ in members:
        for source, sink in ways:
            ranks[sink] = [max(pair) for pair in zip(ranks[source], ranks[sink], strict=True)]
    return {
        name: (
            own,
            in_use.binding(
                Case(members[name].kind, members[name].zone, facts[name]), (own[0], own[1], own[2])
            ).obligations,
        )
        for name, own in ranks.items()
    }


@given(register=registers, pair=pairs, changes=fact_changes)
def test_it_finds_what_two_evaluations_from_scratch_differ_in(
    register: Sequence[Asset], pair: tuple[Shape, Shape], changes: Mapping[str, FactChanges]
) -> None:
    now, candidate = pair
    before, after = naive(now, register, {}), naive(candidate, register, changes)
    body = {asset.asset_id: asset.body for asset in register}
    comparison = compare(register, standard(now), standard(candidate), changes)

    expected = [name for name in sorted(before, key=lambda name: (body[name], name)) if before[name] != after[name]]
    assert [one.asset.asset_id for one in comparison.differences] == expected
    for one in comparison.differences:
        (was, had), (would, gets) = before[one.asset.asset_id], after[one.asset.asset_id]
        rises = [new - old for old, new in zip(was, would, strict=True)]
        assert one.raised == tuple(name for name, rise in zip(DIMENSIONS, rises, strict=True) if rise > 0)
        assert one.lowered == tuple(name for name, rise in zip(DIMENSIONS, rises, strict=True) if rise < 0)
        assert (one.before.confidentiality, one.after.confidentiality) == (
            now.codes[was[0]],
            candidate.codes[would[0]],
        )
        assert set(one.imposed) == set(gets) - set(had)
        assert set(one.lifted) == set(had) - set(gets)
    assert comparison.assets == len(before)


@given(register=registers, pair=pairs, changes=fact_changes)
def test_the_counts_are_those_of_what_is_listed(
    register: Sequence[Asset], pair: tuple[Shape, Shape], changes: Mapping[str, FactChanges]
) -> None:
    now, candidate = pair
    comparison = compare(register, standard(now), standard(candidate), changes)
    for counts in comparison.bodies:
        own = comparison.of_body(counts.body)
        assert own.bodies == (counts,)
        assert counts.assets == own.assets >= counts.changed == len(own.differences)
        for dimension in DIMENSIONS:
            assert counts.raised[dimension] == sum(dimension in one.raised for one in own.differences)
            assert counts.lowered[dimension] == sum(dimension in one.lowered for one in own.differences)
        assert sum(counts.imposed.values()) == sum(len(one.imposed) for one in own.differences)
        assert sum(counts.lifted.values()) == sum(len(one.lifted) for one in own.differences)
    assert sum(len(comparison.of_body(counts.body).differences) for counts in comparison.bodies) == len(
        comparison.differences
    )


@given(register=registers, shape=shapes)
def test_a_standard_changes_nothing_of_itself(register: Sequence[Asset], shape: Shape) -> None:
    assert compare(register, standard(shape), standard(shape)).differences == ()


@given(register=registers, now=shapes, candidate=shapes, data=st.data())
def test_the_order_of_the_assets_does_not_matter(
    register: Sequence[Asset], now: Shape, candidate: Shape, data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(register))
    assert compare(register, standard(now), standard(candidate)) == compare(
        shuffled, standard(now), standard(candidate)
    )
