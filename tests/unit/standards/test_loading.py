# SPDX-License-Identifier: Apache-2.0
"""Mistakes in a standard are told where they stand, all at once; a standard without any is read whole."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from libs.contracts import Audience, Dimension, Part, RelationType
from libs.standards import Standard, StandardError, parse
from tests.mistakes import check_japanese

DUTY = """
- id: T-01
  part: technical
  audience: staff
  when: confidentiality >= C2
  title: {ja: 題, en: title}
  action: {ja: 行い, en: action}
  evidence: {ja: 証跡, en: evidence}
  basis: {source: project default}
"""
RULE = "- {{id: {id}, dimension: {dimension}, level: '{level}', when: '{when}', text: {{ja: 文, en: text}}, basis: {{source: project default}}}}\n"
SCALE = "{dimension}:\n" + "".join(
    f"  - {{{{code: '{code}', name: {{{{ja: 名, en: name}}}}, definition: {{{{ja: 義, en: definition}}}}}}}}\n"
    for code in "12"
)
SMALL = {
    "standard.yaml": "name: small\nversion: '2026.1'\neffective_from: 2026-04-01T00:00:00+09:00\ntitle: {ja: 題, en: title}\n",
    "scales.yaml": "".join(SCALE.format(dimension=dimension) for dimension in Dimension),
    "mappings.yaml": "{}\n",
    "facts.yaml": "record_count: {type: integer, name: {ja: 件数, en: Records}, meaning: {ja: 件数, en: Records}}\n",
    "rules.yaml": "".join(
        RULE.format(id=f"R-0{number}", dimension=dimension, level=1, when="true")
        for number, dimension in enumerate(Dimension, start=1)
    ),
    "inheritance.yaml": "".join(
        f"- {{relation: {relation}, confidentiality: none, integrity: none, availability: none, text: {{ja: 文, en: text}}}}\n"
        for relation in RelationType
    ),
    "obligations/technical.yaml": DUTY,
}
Files = Mapping[str, str]


def mistakes(files: Files) -> list[str]:
    with pytest.raises(StandardError) as caught:
        parse(files)
    assert str(caught.value).splitlines() == [str(mistake) for mistake in caught.value.mistakes]
    check_japanese(caught.value)
    return [str(mistake) for mistake in caught.value.mistakes]


def replaced(file: str, old: str, new: str) -> dict[str, str]:
    assert old in SMALL[file]
    return {**SMALL, file: SMALL[file].replace(old, new, 1)}


def added(file: str, text: str) -> dict[str, str]:
    return {**SMALL, file: SMALL.get(file, "") + text}


def mapped(*rest: str) -> dict[str, str]:
    """With a level of an earlier scale of integrity for each of `rest`."""
    entry = "  - {{code: '3', name: {{ja: 旧3, en: earlier 3}}, basis: {{source: project default}}, {}}}\n"
    return {**SMALL, "mappings.yaml": "integrity:\n" + "".join(map(entry.format, rest))}


def rule(**fields: str) -> str:
    return RULE.format(**{"id": "R-09", "dimension": "integrity", "level": "2", "when": "true", **fields})


def test_the_small_standard_is_read() -> None:
    standard = parse(SMALL)
    assert (standard.name, standard.version) == ("small", "2026.1")
    assert standard.effective_from.isoformat() == "2026-04-01T00:00:00+09:00"
    assert [duty.id for duty in standard.obligations] == ["T-01"]


def test_obligations_of_several_files_are_put_together_in_the_order_of_names() -> None:
    standard = parse(
        {
            **SMALL,
            "obligations/human.yaml": DUTY.replace("T-01", "H-01"),
            "obligations/z.yaml": DUTY.replace("T-01", "Z-01"),
        }
    )
    assert [duty.id for duty in standard.obligations] == ["H-01", "T-01", "Z-01"]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        pytest.param(
            replaced("standard.yaml", "name: small", "name: small\nname: other"),
            "standard.yaml:2:1: name stands twice: remove one",
            id="duplicate key",
        ),
        pytest.param(
            replaced("obligations/technical.yaml", "part: technical", "part: technical\n  part: human"),
            "obligations/technical.yaml:4:3: part stands twice: remove one",
            id="duplicate key in a list",
        ),
        pytest.param(
            replaced(
                "obligations/technical.yaml",
                "  part",
                "  effective_from: 2027-07-01\n  effective_until: 2027-07-01\n  part",
            ),
            "obligations/technical.yaml:4:20: not after 2027-07-01: give a later day, or take one of the days away",
            id="days in the wrong order",
        ),
        pytest.param(
            replaced("rules.yaml", "when:", "effective_from: 2027-07-01, when:"),
            "rules.yaml:1:1: R-01 gives every asset its lowest level: take its dates away",
            id="the lowest level is always there",
        ),
        pytest.param(
            replaced("obligations/technical.yaml", "  part", "  effective_from: 令和9年7月1日\n  part"),
            "obligations/technical.yaml:3:19: Give a date such as 2027-07-01.",
            id="no ISO date",
        ),
        pytest.param(
            replaced("standard.yaml", "2026.1", "spring"),
            "standard.yaml:2:10: The format differs from ^\\d{4}\\.\\d+$",
            id="version",
        ),
        pytest.param(
            replaced("rules.yaml", "level: '1'", "level: 1"),
            "rules.yaml:1:49: give a text: what reads as a number",
            id="a level without quotes",
        ),
        pytest.param(
            replaced("obligations/technical.yaml", "title: {ja: 題, en: title}", "title: {ja: 題}"),
            "obligations/technical.yaml:6:10: en: This field is required.",
            id="missing language",
        ),
        pytest.param(
            replaced(
                "obligations/technical.yaml", "evidence: {ja: 証跡, en: evidence}", "evidense: {ja: 証跡, en: evidence}"
            ),
            "obligations/technical.yaml:2:3: evidence: This field is required.",
            id="missing field",
        ),
        pytest.param(
            replaced("obligations/technical.yaml", "audience: staff", "audience: everyone"),
            "obligations/technical.yaml:4:13: Give one of: 'ciso', ",
            id="audience",
        ),
        pytest.param(
            added("obligations/x.yaml", DUTY),
            "obligations/x.yaml:2:7: T-01 stands twice: give one of them another id",
            id="duplicate id over two files",
        ),
        pytest.param(
            added("rules.yaml", rule(id="R-01", when='kind == "media"')),
            "rules.yaml:4:8: R-01 stands twice: give one of them another id",
            id="duplicate rule",
        ),
        pytest.param(
            added("rules.yaml", rule(level="3B", when='kind == "media"')),
            "rules.yaml:4:43: 3B is not a level of integrity: see scales.yaml",
            id="level of another scale",
        ),
        pytest.param(
            added("rules.yaml", rule(when="true")),
            'rules.yaml:1:1: integrity needs one rule `when: "true"`, at level 1; it has 2',
            id="two catch-alls",
        ),
        pytest.param(
            replaced("rules.yaml", "dimension: integrity, level: '1'", "dimension: integrity, level: '2'"),
            'rules.yaml:1:1: integrity needs one rule `when: "true"`, at level 1; it has 1',
            id="catch-all above the lowest level",
        ),
        pytest.param(
            replaced("rules.yaml", "true", 'kind == "media"'),
            'rules.yaml:1:1: confidentiality needs one rule `when: "true"`, at level 1; it has 0',
            id="no catch-all",
        ),
        pytest.param(
            replaced("inheritance.yaml", "relation: backs_up", "relation: contains"),
            "inheritance.yaml:1:1: backs_up stands 0 times: say once how levels travel along it",
            id="relation missing",
        ),
        pytest.param(
            replaced("inheritance.yaml", "relation: backs_up", "relation: contains"),
            "inheritance.yaml:1:1: contains stands 2 times: say once how levels travel along it",
            id="relation twice",
        ),
        pytest.param(
            replaced("obligations/technical.yaml", "source: project default", "source: 総務省"),
            "obligations/technical.yaml:9:10: give a grade, or say `source: project default` and give none",
            id="source without grade",
        ),
        pytest.param(
            replaced("obligations/technical.yaml", "source: project default", "source: project default, grade: A"),
            "obligations/technical.yaml:9:10: give a grade, or say `source: project default` and give none",
            id="our own with grade",
        ),
        pytest.param(
            replaced("obligations/technical.yaml", "source: project default", "source: 総務省, grade: R"),
            "obligations/technical.yaml:9:31: Give one of: 'A', 'B'",
            id="grade that is not evidence",
        ),
        pytest.param(
            replaced("obligations/technical.yaml", "basis: {source: project default}", "period: P1Y"),
            "obligations/technical.yaml:2:3: basis: This field is required.",
            id="no basis",
        ),
        pytest.param(
            replaced("obligations/technical.yaml", "confidentiality >= C2", "confidentiality >= C9"),
            "obligations/technical.yaml:5:9: unknown name C9: declare it in facts.yaml, or mend its spelling",
            id="unknown level in a condition",
        ),
        pytest.param(
            added("rules.yaml", rule(when="confidentiality >= 1")),
            "rules.yaml:4:54: unknown name confidentiality: declare it in facts.yaml, or mend its spelling",
            id="a rule knows no levels",
        ),
        pytest.param(
            replaced("obligations/technical.yaml", "confidentiality >= C2", "confidentiality >="),
            "obligations/technical.yaml:5:9: not a CEL expression, at character 19: mismatched input",
            id="syntax of a condition",
        ),
        pytest.param(
            replaced("obligations/technical.yaml", "confidentiality >= C2", "confidentialty >= C2"),
            "obligations/technical.yaml:5:9: unknown name confidentialty: is confidentiality meant?",
            id="mistyped name of a condition",
        ),
        pytest.param(
            added("rules.yaml", rule(when="record_count >= 1000")),
            "rules.yaml:4:54: 'record_count >= 1000' cannot be evaluated",
            id="a number that may be null",
        ),
        pytest.param(
            replaced("obligations/technical.yaml", "confidentiality >= C2", "kind"),
            "obligations/technical.yaml:5:9: 'kind' gives no true or false",
            id="a condition that is no condition",
        ),
        pytest.param(
            replaced("scales.yaml", "code: '2'", "code: '1'"),
            "scales.yaml:3:12: 1 stands twice: a level has one place on its scale",
            id="level twice",
        ),
        pytest.param(
            mapped("to: ['2', '1'], decide: {ja: 決, en: how}"),
            "mappings.yaml:2:86: give levels of integrity in rising order: 1, 2",
            id="earlier level: falling order",
        ),
        pytest.param(
            mapped("to: ['9']"),
            "mappings.yaml:2:86: give levels of integrity in rising order: 1, 2",
            id="earlier level: not on the scale",
        ),
        pytest.param(
            mapped("to: ['1', '2']"),
            "mappings.yaml:2:5: decide: say by what a person tells which",
            id="earlier level: several and nothing to decide by",
        ),
        pytest.param(
            mapped("to: ['1'], decide: {ja: 決, en: how}"),
            "mappings.yaml:2:101: say by what a person tells which",
            id="earlier level: one and something to decide",
        ),
        pytest.param(
            {**SMALL, "mappings.yaml": mapped("to: ['1']")["mappings.yaml"].replace("'3'", "'2'")},
            "mappings.yaml:2:86: today's scale has a level 2 too",
            id="earlier level: of today's code, but another",
        ),
        pytest.param(
            mapped("to: ['1']", "to: ['2']"),
            "mappings.yaml:3:12: 3 stands twice: an earlier level has one entry",
            id="earlier level: twice",
        ),
        pytest.param(
            {
                **mapped("to: ['1']"),
                "mappings.yaml": mapped("to: ['1']")["mappings.yaml"].replace("project default", "x"),
            },
            "mappings.yaml:2:55: give a grade",
            id="earlier level: basis without a grade",
        ),
        pytest.param(
            replaced("facts.yaml", "record_count", "zone"),
            "facts.yaml:1:7: zone has a meaning of its own in conditions: give the fact another name",
            id="fact that hides a name",
        ),
        pytest.param(
            {file: text for file, text in SMALL.items() if file != "facts.yaml"},
            "facts.yaml:1:1: this file is missing: a standard has one",
            id="missing file",
        ),
        pytest.param(
            added("rule.yaml", "[]"),
            "rule.yaml:1:1: not a file of a standard: remove it, or mend its name",
            id="stray file",
        ),
        pytest.param(
            {**SMALL, "obligations/technical.yaml": "T-01: {}"},
            "obligations/technical.yaml:1:1: not a list of obligations: begin each with `- id:`",
            id="obligations that are no list",
        ),
        pytest.param(
            {**SMALL, "obligations/technical.yaml": ""},
            "obligations/technical.yaml:1:1: not a list of obligations: begin each with `- id:`",
            id="empty file",
        ),
        pytest.param(
            added("rules.yaml", rule(when='record_count != null && record_count > "9"')),
            "rules.yaml:4:54: 'record_count != null && record_count > \"9\"' cannot be evaluated: TypeError: compare like with",
            id="a mistake that only shows once the fact is there",
        ),
        pytest.param(
            added("rules.yaml", rule(when='kind == "media" && zone == "lgwan" && record_count > 9')),
            'rules.yaml:4:54: \'kind == "media" && zone == "lgwan" && record_count > 9\' cannot be evaluated: TypeError',
            id="a mistake that only shows for one kind in one zone",
        ),
        pytest.param(
            replaced("obligations/technical.yaml", "confidentiality >= C2", "confidentiality >= I2"),
            "obligations/technical.yaml:5:9: compares confidentiality with no level of its scale: "
            "compare confidentiality with one of C1, C2",
            id="levels of two scales",
        ),
        pytest.param(
            replaced("obligations/technical.yaml", "confidentiality >= C2", "confidentiality >= 2"),
            "obligations/technical.yaml:5:9: compares confidentiality with no level of its scale: ",
            id="a level as a number",
        ),
        pytest.param(
            replaced("obligations/technical.yaml", "confidentiality >= C2", "integrity >= I1 && A1 == 0"),
            "obligations/technical.yaml:5:9: compares A1 with no level of its scale: compare availability with one of A1, A2",
            id="a level alone",
        ),
        pytest.param({**SMALL, "rules.yaml": "a: [1"}, "rules.yaml:1:6: not YAML: ", id="broken YAML"),
        pytest.param({**SMALL, "rules.yaml": "a:\n\t- b"}, "rules.yaml:2:1: there is a tab", id="tab"),
        pytest.param(
            {**SMALL, "rules.yaml": "- id: a: b"}, "rules.yaml:1:8: not YAML because of the colon", id="colon"
        ),
        pytest.param({**SMALL, "rules.yaml": "- a\nb: 1"}, "rules.yaml:2:1: not YAML: align", id="indentation"),
        pytest.param(
            {**SMALL, "rules.yaml": "a: @b"}, "rules.yaml:1:4: not YAML: put a value", id="sign that needs quotes"
        ),
        pytest.param({**SMALL, "rules.yaml": "[{a: 'b' c}]"}, "rules.yaml:1:10: not YAML: separate", id="no comma"),
        pytest.param({**SMALL, "rules.yaml": "a: 'b"}, "rules.yaml:1:6: not YAML: a bracket or quote", id="open quote"),
        pytest.param({**SMALL, "rules.yaml": "a: \x07"}, "rules.yaml:1:1: not YAML: ", id="control character"),
        pytest.param({**SMALL, "rules.yaml": "[" * 1500}, "rules.yaml:1:1: nested too deeply", id="nested without end"),
        pytest.param(
            {**SMALL, "rules.yaml": "- &a [*a]"},
            "rules.yaml:1:7: not YAML: the alias *a: write it out",
            id="alias of itself",
        ),
        pytest.param(
            replaced("standard.yaml", "2026-04-01T00", "2026-13-41T00"),
            "standard.yaml:3:17: there is no such day as 2026-13-41T00:00:00+09:00: write 2027-07-01",
            id="a date that is none",
        ),
        pytest.param(
            replaced("standard.yaml", "name: small", "name: !!python/name:os.system"),
            "standard.yaml:1:7:  cannot be read as python/name:os.system: put it in quotes",
            id="a tag that would run code",
        ),
    ],
)
def test_a_mistake_is_told_where_it_stands(files: Files, expected: str) -> None:
    assert any(mistake.startswith(expected) for mistake in mistakes(files)), mistakes(files)


def test_all_mistakes_are_told_at_once_in_order() -> None:
    files = replaced("rules.yaml", "id: R-02", "id: R-01") | {
        "obligations/technical.yaml": DUTY.replace("C2", "C9").replace("project default", "総務省")
    }
    assert [mistake.partition(" ")[0] for mistake in mistakes(files)] == [
        "obligations/technical.yaml:5:9:",
        "obligations/technical.yaml:9:10:",
        "rules.yaml:2:8:",
    ]


def test_the_base_standard_covers_every_part_and_audience_it_should(base: Standard) -> None:
    document = base.document
    assert {duty.part for duty in document.obligations} == set(Part)
    assert {duty.audience for duty in document.obligations} >= set(Audience) - {
        Audience.CONTRACTOR,
        Audience.SYSTEM_STAFF,
    }
    assert [level.code for level in document.scales[Dimension.CONFIDENTIALITY]] == ["1", "2", "3C", "3B", "3A"]


def test_each_file_of_obligations_holds_its_own_part(base_files: Files) -> None:
    for part in Part:
        file = f"obligations/{part.value}.yaml"
        alone = {**{name: text for name, text in base_files.items() if "/" not in name}, file: base_files[file]}
        assert {duty.part for duty in parse(alone).obligations} == {part}


def test_rules_and_duties_of_the_base_standard_are_told_apart(base: Standard) -> None:
    rules, duties = base.document.rules, base.document.obligations
    for texts in ([one.text for one in rules], [one.title for one in duties], [one.action for one in duties]):
        assert len({text.ja for text in texts}) == len({text.en for text in texts}) == len(texts)


def test_every_fact_of_the_doors_is_declared(base: Standard, door_facts: set[str]) -> None:
    assert door_facts - base.document.facts.keys() == set()
