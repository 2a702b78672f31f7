# SPDX-License-Identifier: Apache-2.0
"""The base standard against decision tables that a city hall can read (`tests/data/standards/`)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from libs.contracts import Asset, AssetStatus, DeclaredLevels, Dimension, Relation, RelationType
from libs.standards import Case, NetworkGraph, Standard
from tests.graphs import Told, told

DATA = Path(__file__).parents[2] / "data" / "standards"


def cases(*files: Path) -> list[Any]:
    entries = [entry for file in files for entry in yaml.safe_load(file.read_text(encoding="utf-8"))]
    return [pytest.param(entry, id=entry["case"]) for entry in entries]


LEVELS, INHERITANCE, LIFTING = (cases(DATA / f"{name}.yaml") for name in ("levels", "inheritance", "lifting"))
OBLIGATIONS = cases(*sorted((DATA / "obligations").glob("*.yaml")))
HIGHEST = {"confidentiality": "3A", "integrity": "2", "availability": "2"}
FOR_ALL = {"confidentiality": ["1", "CR-01"], "integrity": ["1", "IR-01"], "availability": ["1", "AR-01"]}


def derived(base: Standard, case: Mapping[str, Any]) -> dict[str, list[str]]:
    found = base.derive(Case(case["kind"], case.get("zone"), case["facts"]))
    return {
        dimension.value: [base.level(dimension, rank), rule.id]
        for dimension, rank, rule in zip(Dimension, found.ranks, found.rules, strict=True)
    }


def in_force(base: Standard, case: Mapping[str, Any]) -> set[str]:
    c, i, a = (base.rank(dimension, code) for dimension, code in zip(Dimension, case["levels"], strict=True))
    return set(base.binding(Case(case["kind"], case.get("zone"), case["facts"]), (c, i, a)).obligations)


@pytest.mark.parametrize("case", LEVELS)
def test_levels(base: Standard, case: dict[str, Any]) -> None:
    expected = FOR_ALL | {name: case[name] for name in FOR_ALL if name in case}
    assert derived(base, case) == expected


def test_every_rule_gives_a_level_in_some_case(base: Standard) -> None:
    given = {rule for case in LEVELS for _, rule in derived(base, case.values[0]).values()}
    assert {rule.id for rule in base.document.rules} - given == set()


@pytest.mark.parametrize("case", OBLIGATIONS)
def test_obligations(base: Standard, case: dict[str, Any]) -> None:
    found = in_force(base, case)
    assert set(case["in_force"]) - found == set()
    assert set(case["not_in_force"]) & found == set()


def test_every_obligation_is_told_in_force_and_not(base: Standard) -> None:
    told, untold = (
        {duty for case in OBLIGATIONS for duty in case.values[0][name]} for name in ("in_force", "not_in_force")
    )
    obligations = base.document.obligations
    assert {duty.id for duty in obligations} - told == set()
    assert {duty.id for duty in obligations if duty.when != "true"} - untold == set()


def test_the_standard_and_its_tables_are_no_sample(base: Standard) -> None:
    document = base.document
    assert (len(document.rules) >= 60, len(document.obligations) >= 150) == (True, True)
    assert len(LEVELS) + len(OBLIGATIONS) >= 200
    assert sum(duty.when == "true" for duty in document.obligations) <= 5, (
        "what binds everything says nothing of an asset"
    )


@pytest.mark.parametrize("high", ["owner", "target"])
@pytest.mark.parametrize("case", INHERITANCE)
def test_inheritance(base: Standard, case: dict[str, Any], high: str) -> None:
    plain = {"kind": "system", "facts": {}}
    ends = {name: {**plain, "key": name, "name": name} for name in ("owner", "target")}
    ends["owner"]["relations"] = [{"type": case["relation"], "to": "target"}]
    ends[high]["declared"] = HIGHEST
    other = "target" if high == "owner" else "owner"
    verdicts = {verdict.asset.asset_id: verdict for verdict in told(NetworkGraph(base), map(asset, ends.values()))}
    levels = verdicts[other].levels
    assert levels is not None
    assert [*levels.model_dump().values()] == case[other]


def test_every_relation_is_told() -> None:
    assert sorted(case.values[0]["relation"] for case in INHERITANCE) == sorted(RelationType)


@pytest.mark.parametrize("case", LIFTING)
def test_lifting(base: Standard, case: dict[str, Any]) -> None:
    graph = NetworkGraph(base)
    known: dict[str, Told] = {}
    for step in case["steps"]:
        before = {key: set(verdict.obligations) for key, verdict in known.items()}
        known |= {
            verdict.asset.asset_id: verdict for verdict in told(graph, [asset(given) for given in step["assets"]])
        }
        for expected in step["expect"]:
            check(step["step"], expected, known[expected["key"]], before.get(expected["key"], set()))


def test_lifting_ends_where_a_fresh_start_would(base: Standard) -> None:
    for case in LIFTING:
        graph, latest, known = NetworkGraph(base), {}, {}
        for step in case.values[0]["steps"]:
            given = [asset(entry) for entry in step["assets"]]
            latest |= {entry.asset_id: entry for entry in given}
            known |= {verdict.asset.asset_id: verdict for verdict in told(graph, given)}
        for verdict in told(NetworkGraph(base), latest.values()):
            incremental = known[verdict.asset.asset_id]
            assert (incremental.levels, incremental.explanations, incremental.obligations) == (
                verdict.levels,
                verdict.explanations,
                verdict.obligations,
            )


def asset(given: Mapping[str, Any]) -> Asset:
    """A table's asset; its key is its id."""
    known = {"key", "kind", "name", "zone", "facts", "relations", "declared", "retired"}
    assert set(given) <= known
    return Asset(
        asset_id=given["key"],
        body="mayor",
        network="aohama",
        kind=given["kind"],
        name=given["name"],
        zone=given.get("zone"),
        status=AssetStatus.RETIRED if given.get("retired") else AssetStatus.ACTIVE,
        facts=given["facts"],
        declared=DeclaredLevels(**given.get("declared", {})),
        relations=tuple(Relation(type=entry["type"], asset_id=entry["to"]) for entry in given.get("relations", ())),
    )


def check(step: str, expected: dict[str, Any], verdict: Told, before: set[str]) -> None:
    """One line of `expect`. A name that is not known here would be an expectation that nothing checks."""
    where = f"{step}: {expected['key']}"
    now = set(verdict.obligations)
    for name, value in expected.items():
        match name:
            case "key":
                pass
            case "retired":
                assert verdict.levels is None and not now, where
            case "levels":
                assert verdict.levels is not None, where
                assert verdict.levels.model_dump(include=set(value)) == value, where
            case "origin":
                assert {one: verdict.explanations[Dimension(one)].origin for one in value} == value, where
            case "from":
                assert {one: source_of(verdict, one) for one in value} == value, where
            case "imposed_includes":
                assert set(value) <= now - before, where
            case "lifted_includes":
                assert set(value) <= before - now, where
            case "still_in_force":
                assert set(value) <= before & now, where
            case "same":
                assert now == before, where
            case _:
                pytest.fail(f"{where}: nothing checks {name}")


def source_of(verdict: Told, dimension: str) -> str | None:
    inherited = verdict.explanations[Dimension(dimension)].inherited_from
    return inherited.asset_id if inherited else None
