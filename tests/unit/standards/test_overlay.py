# SPDX-License-Identifier: Apache-2.0
"""Overlays: what they make of their base, which mistakes they are refused for and where, and for whom they may be."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from libs.contracts import Dimension, Profile
from libs.standards import Case, Standard, StandardDocument, StandardError, StandardsInForce, compile_standard
from libs.standards.overlay import (
    Drop,
    Overlay,
    OverlayRefusedError,
    Refusal,
    apply_overlay,
    entries_of,
    parse_overlay,
    refuse_overlay,
    section_of,
)
from tests.mistakes import check_japanese

ROOT = Path(__file__).parents[3]
SHIPPED = ("education", "waterworks")
TABLES: dict[str, Any] = {
    name: yaml.safe_load((ROOT / f"tests/data/standards/overlays/{name}.yaml").read_text(encoding="utf-8"))
    for name in SHIPPED
}
WHY = "reason: {ja: 理由, en: reason}"
HEAD = (
    "name: works\nversion: '2026.2'\nbody: waterworks\nbase: base/2026.1\n"
    "effective_from: 2026-07-01T00:00:00+09:00\ntitle: {ja: 題, en: title}\n"
)
RULE = "{{id: {id}, dimension: integrity, level: '{level}', when: '{when}', text: {{ja: 文, en: text}}, basis: {{source: project default}}}}"


def files_of(name: str) -> dict[str, str]:
    folder = ROOT / "standards" / name
    return {file.relative_to(folder).as_posix(): file.read_text(encoding="utf-8") for file in folder.rglob("*.yaml")}


def overlay(*changes: str, head: str = HEAD) -> dict[str, str]:
    return {"overlay.yaml": head, "changes.yaml": "".join(f"- {change}\n  {WHY}\n" for change in changes)}


def rule(id: str = "WR-01", level: str = "2", when: str = 'kind == "media"') -> str:
    return "add: rule\n  entry: " + RULE.format(id=id, level=level, when=when)


def applied(base: Standard, files: Mapping[str, str]) -> StandardDocument:
    return apply_overlay(base.document, parse_overlay(files))


def mistakes(base: Standard, files: Mapping[str, str]) -> list[str]:
    with pytest.raises(StandardError) as caught:
        applied(base, files)
    check_japanese(caught.value)
    return [str(mistake) for mistake in caught.value.mistakes]


class TestShipped:
    @pytest.fixture(params=SHIPPED)
    def name(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    @pytest.fixture
    def shipped(self, name: str) -> Overlay:
        return parse_overlay(files_of(name))

    @pytest.fixture
    def standard(self, base: Standard, shipped: Overlay) -> Standard:
        return compile_standard(apply_overlay(base.document, shipped))

    def test_it_is_of_its_body_and_has_the_scales_of_the_base(
        self, base: Standard, standard: Standard, shipped: Overlay, name: str
    ) -> None:
        assert standard.version == f"base-{name}/{shipped.document.version}"
        assert StandardsInForce(base, {name: standard}).of(name) is standard

    def test_the_sample_city_may_use_it(self, shipped: Overlay) -> None:
        refuse_overlay(city(), shipped)

    def test_the_decision_tables_hold(self, standard: Standard, name: str) -> None:
        for case in TABLES[name]["levels"]:
            found = standard.derive(Case(case["kind"], case.get("zone"), case["facts"]))
            for dimension, rank, because in zip(Dimension, found.ranks, found.rules, strict=True):
                assert [standard.level(dimension, rank), because.id] == case[dimension], case["case"]
        for case in TABLES[name]["obligations"]:
            c, i, a = (standard.rank(one, code) for one, code in zip(Dimension, case["levels"], strict=True))
            duties = set(standard.binding(Case(case["kind"], case.get("zone"), case["facts"]), (c, i, a)).obligations)
            assert set(case["in_force"]) - duties == set(), case["case"]
            assert set(case["not_in_force"]) & duties == set(), case["case"]

    def test_every_rule_and_obligation_that_it_changes_is_in_a_case(self, shipped: Overlay, name: str) -> None:
        table = TABLES[name]
        reasons = {case[dimension][1] for case in table["levels"] for dimension in Dimension}
        told = {one for case in table["obligations"] for one in case["in_force"]}
        untold = {one for case in table["obligations"] for one in case["not_in_force"]}
        for change in shipped.document.changes:
            match section_of(change):
                case "rules":
                    assert isinstance(change, Drop) or change.id in reasons, change.id
                case "obligations":
                    assert isinstance(change, Drop) or change.id in told, change.id
                    assert change.id in untold, change.id

    def test_a_network_that_carries_commands_takes_their_integrity(self, base: Standard) -> None:
        flows = [
            entries_of(one)["inheritance"]["connects"] for one in (base.document, applied(base, files_of("waterworks")))
        ]
        assert [flow.integrity.value for flow in flows] == ["none", "to_target"]  # type: ignore[attr-defined]


class TestApplied:
    def test_what_is_added_stands_first_changed_in_place_and_dropped_nowhere(self, base: Standard) -> None:
        changes = (rule(), "change: rule\n  id: CR-04\n  to: {level: 3C}", "drop: obligation\n  id: OP-18")
        document = applied(base, overlay(*changes))
        ids = [one.id for one in base.document.rules]
        assert [one.id for one in document.rules] == ["WR-01", *ids]
        assert document.rules[1 + ids.index("CR-04")].level == "3C"
        assert {one.id for one in base.document.obligations} - {one.id for one in document.obligations} == {"OP-18"}

    def test_changes_may_be_in_several_files(self, base: Standard) -> None:
        files = overlay(rule())
        files["changes/more.yaml"] = files["changes.yaml"].replace("WR-01", "WR-02")
        assert [one.id for one in applied(base, files).rules[:2]] == ["WR-01", "WR-02"]

    def test_a_rule_may_read_a_fact_that_is_added(self, base: Standard) -> None:
        fact = "add: fact\n  id: pumps\n  entry: {type: boolean, name: {ja: 名, en: n}, meaning: {ja: 義, en: m}}"
        assert "pumps" in applied(base, overlay(rule(when="pumps"), fact)).facts

    def test_a_period_may_be_taken_away_by_null(self, base: Standard) -> None:
        document = applied(base, overlay("change: obligation\n  id: OP-15\n  to: {period: null}"))
        assert next(one for one in document.obligations if one.id == "OP-15").period is None

    def test_the_base_stays_as_it_was(self, base: Standard) -> None:
        before = base.document.model_dump_json()
        applied(base, overlay("drop: rule\n  id: CR-02", "change: rule\n  id: CR-03\n  to: {level: 3C}"))
        assert base.document.model_dump_json() == before


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        pytest.param(
            overlay("drop: rule\n  id: CR-99"),
            "changes.yaml:2:7: CR-99 is not among the rules of the base: mend the id, or take this away",
            id="drop of what is not there",
        ),
        pytest.param(
            overlay("change: obligation\n  id: T-99\n  to: {period: P1Y}"),
            "changes.yaml:2:7: T-99 is not among the obligations of the base",
            id="change of what is not there",
        ),
        pytest.param(
            overlay(rule(id="IR-02")),
            "changes.yaml:2:15: IR-02 is in the base already: use `change`, or give this another id",
            id="add of what is there",
        ),
        pytest.param(
            overlay("drop: rule\n  id: IR-01"),
            "changes.yaml:2:7: IR-01 gives every asset its lowest level: keep it",
            id="drop of the lowest",
        ),
        pytest.param(
            overlay("change: rule\n  id: IR-01\n  to: {level: '2'}"),
            "changes.yaml:3:15: IR-01 gives every asset its lowest level: change its text or basis alone",
            id="change of the lowest",
        ),
        pytest.param(
            overlay(rule(when="true")),
            "changes.yaml:2:62: the base has the rule for every asset already",
            id="a second one for every asset",
        ),
        pytest.param(
            overlay("change: rule\n  id: IR-02\n  to: {when: 'true'}"),
            "changes.yaml:3:14: the base has the rule for every asset already",
            id="a second one by a change",
        ),
        pytest.param(
            overlay("drop: rule\n  id: CR-02", "change: rule\n  id: CR-02\n  to: {level: 3C}"),
            "changes.yaml:5:7: CR-02 stands twice among the changes: make one of them",
            id="two changes of one entry",
        ),
        pytest.param(
            overlay("change: rule\n  id: CR-02\n  to: {id: CR-98}"),
            "changes.yaml:3:12: an entry keeps its id: drop CR-02, and add another",
            id="another id",
        ),
        pytest.param(
            overlay("change: rule\n  id: CR-02\n  to: {level: '2'}"),
            "changes.yaml:3:7: CR-02 says so in the base: take this away",
            id="a change of nothing",
        ),
        pytest.param(
            overlay("change: obligation\n  id: T-01\n  to: {peroid: P1Y}"),
            "changes.yaml:3:16: This field is not known.",
            id="mistyped field",
        ),
        pytest.param(
            overlay("change: obligation\n  id: T-01\n  to: {period: yearly}"),
            "changes.yaml:3:16: The format differs from",
            id="a value that does not fit",
        ),
        pytest.param(
            overlay(rule(level="3B")),
            "changes.yaml:2:51: 3B is not a level of integrity: see scales.yaml",
            id="level of another scale",
        ),
        pytest.param(
            overlay(rule(when="pump > 1")),
            "changes.yaml:2:62: unknown name pump: declare it in facts.yaml",
            id="condition that does not compile",
        ),
        pytest.param(
            overlay("change: rule\n  id: CR-02\n  to: {when: pump}"),
            "changes.yaml:3:14: unknown name pump",
            id="changed condition that does not compile",
        ),
        pytest.param(
            overlay("drop: fact\n  id: uniform_terms"),
            "changes.yaml:2:7: X-05 of the base reads it: change or drop X-05 too (unknown name uniform_terms",
            id="dropped fact that the base reads",
        ),
        pytest.param(
            overlay("change: fact\n  id: record_count\n  to: {type: text}"),
            "changes.yaml:2:7: CR-19 of the base reads it: change or drop CR-19 too",
            id="changed type of a fact that the base reads",
        ),
        pytest.param(
            overlay(rule().replace("basis: {source: project default}", "basis: {source: 総務省}")),
            "changes.yaml:2:113: give a grade, or say `source: project default` and give none",
            id="source without grade",
        ),
        pytest.param(
            overlay(rule(), head=HEAD.replace("2026.1", "2027.1")),
            "overlay.yaml:4:7: the base is base/2026.1: look whether each change still holds on it",
            id="another version of the base",
        ),
        pytest.param(
            overlay(rule(), head=HEAD.replace("2026-07", "2026-03")),
            "overlay.yaml:5:17: before its base, which begins on 2026-04-01",
            id="earlier than its base",
        ),
        pytest.param(
            overlay("put: rule\n  id: CR-02"),
            "changes.yaml:1:3: begin with `add: rule` (or obligation, fact), `change:` or `drop:`",
            id="no verb that is known",
        ),
        pytest.param(
            overlay("drop: inheritance\n  id: connects"),
            "changes.yaml:1:9: Give one of: 'rule', 'obligation', 'fact'",
            id="a relation stays",
        ),
        pytest.param(
            {**overlay(), "changes.yaml": "- drop: rule\n  id: CR-02\n"},
            "changes.yaml:1:3: reason: This field is required.",
            id="no reason",
        ),
        pytest.param(
            {**overlay(), "changes.yaml": f"- drop: rule\n  id: CR-02\n  id: CR-03\n  {WHY}\n"},
            "changes.yaml:3:3: id stands twice: remove one",
            id="key twice",
        ),
        pytest.param(overlay(), "changes.yaml:1:1: not a list of changes", id="empty file"),
        pytest.param({"overlay.yaml": HEAD}, "overlay.yaml:1:1: changes: Give at least 1 item(s).", id="no changes"),
        pytest.param(
            {"changes.yaml": overlay(rule())["changes.yaml"]}, "overlay.yaml:1:1: this file is missing", id="no head"
        ),
        pytest.param(
            {**overlay(rule()), "rules.yaml": ""}, "rules.yaml:1:1: not a file of an overlay", id="stray file"
        ),
        pytest.param({**overlay(rule()), "overlay.yaml": "a: [1"}, "overlay.yaml:1:6: not YAML: ", id="broken YAML"),
        pytest.param(
            {**overlay(rule()), "overlay.yaml": "[]"}, "overlay.yaml:1:1: name: This field is required.", id="a list"
        ),
    ],
)
def test_a_mistake_is_told_where_it_stands(base: Standard, files: Mapping[str, str], expected: str) -> None:
    found = mistakes(base, files)
    assert any(one.startswith(expected) for one in found), found


def test_all_mistakes_are_told_at_once_in_order(base: Standard) -> None:
    found = mistakes(base, overlay("drop: rule\n  id: CR-99", "drop: rule\n  id: CR-01", rule(id="CR-02")))
    assert [one.split(": ")[0] for one in found] == ["changes.yaml:2:7", "changes.yaml:5:7", "changes.yaml:8:15"]


def city(**networks: str | None) -> Profile:
    content = yaml.safe_load((ROOT / "samples/city/profile.yaml").read_text(encoding="utf-8"))
    for network in content["networks"]:
        network["in_charge"] = networks.get(network["id"], network["in_charge"])
    return Profile.model_validate(content)


@pytest.mark.parametrize(
    ("body", "why", "sentence"),
    [
        ("harbour", Refusal.UNDECLARED, "the body harbour is not in the profile: declare it"),
        ("fire", Refusal.NOT_SEPARATED, "the network mayor of fire is not separated, so the base standard holds there"),
        ("mayor", Refusal.NOT_SEPARATED, "the network mayor of mayor is not separated"),
        ("waterworks", Refusal.NOT_IN_CHARGE, "the network waterworks is in the charge of mayor, not of waterworks"),
    ],
)
def test_an_overlay_is_for_a_body_in_charge_of_a_separated_network(body: str, why: Refusal, sentence: str) -> None:
    given = parse_overlay(overlay(rule(), head=HEAD.replace("body: waterworks", f"body: {body}")))
    with pytest.raises(OverlayRefusedError) as caught:
        refuse_overlay(city(waterworks="mayor"), given)
    assert caught.value.why is why
    assert str(caught.value).startswith(sentence)
