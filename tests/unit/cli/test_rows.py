# SPDX-License-Identifier: Apache-2.0
"""Events as lines of a table, in both languages."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from cli.language import speaking
from cli.rows import Names, Teller
from libs.contracts import AssetChanged, ClassificationChanged, FindingChanged, ObligationsChanged

LOW = {"confidentiality": "1", "integrity": "1", "availability": "1"}
HIGH = {"confidentiality": "3A", "integrity": "2", "availability": "1"}
ASSET = {"asset_id": "a1", "name": "料金システム", "kind": "system"}


def envelope(revision: int = 1) -> dict[str, Any]:
    return {
        "id": f"e{revision}",
        "source": "urn:daicho:990019:waterworks:classification",
        "subject": "a1",
        "time": datetime(2026, 11, 1, 9, tzinfo=UTC),
        "revision": revision,
        "body": "waterworks",
        "network": "waterworks",
    }


def duty(number: int) -> dict[str, Any]:
    pair = {"ja": f"義務{number}", "en": f"duty {number}"}
    return {
        "id": f"d{number}",
        "part": "technical",
        "audience": "system_manager",
        "title": pair,
        "action": pair,
        "evidence": pair,
        "basis": {"source": "s"},
    }


def obligations(revision: int, levels: dict[str, str] | None, imposed: int = 0, lifted: int = 0) -> ObligationsChanged:
    data = {
        "asset": ASSET,
        "asset_revision": revision,
        "levels": levels,
        "in_force": [],
        "imposed": [duty(number) for number in range(imposed)],
        "lifted": [duty(number) for number in range(lifted)],
    }
    return ObligationsChanged(**envelope(revision), data=data)


def test_levels_go_from_what_was_last_seen_to_what_is_new():
    teller = Teller()
    shown = [teller.row(obligations(number, levels)).levels for number, levels in enumerate((LOW, HIGH, HIGH, None), 1)]
    assert shown == ["– → 1/1/1", "1/1/1 → 3A/2/1", "3A/2/1", "3A/2/1 → –"]


@pytest.mark.parametrize(
    ("lang", "lines"),
    [
        ("ja", ["+ 義務0", "+ 義務1", "+ 義務2", "+ ほか2件", "- 義務0"]),
        ("en", ["+ duty 0", "+ duty 1", "+ duty 2", "+ and 2 more", "- duty 0"]),
    ],
)
def test_duties_are_told_in_the_persons_language_the_first_few_by_title(lang, lines):
    with speaking(lang):
        row = Teller().row(obligations(1, HIGH, imposed=5, lifted=1))
    assert row.what.plain.splitlines() == lines
    assert {str(span.style) for span in row.what.spans} == {"green", "red"}


def test_a_classification_tells_the_reason_of_each_dimension_that_changed():
    origin = {"body": "waterworks", "asset_id": "b2", "relation": "stores", "path": ["b2"]}
    explanations = {
        "confidentiality": {
            "level": "3A",
            "origin": "inherited",
            "text": {"ja": "住民の個人情報", "en": "personal data"},
            "inherited_from": origin,
        },
        "integrity": {"level": "2", "origin": "declared"},
        "availability": {"level": "1", "origin": "derived"},
    }
    data = {"asset": ASSET, "asset_revision": 1, "before": LOW, "after": HIGH, "explanations": explanations}
    with speaking("ja"):
        names = Names({"waterworks": "上下水道局"}, {"b2": "料金台帳"})
        row = Teller(names).row(ClassificationChanged(**envelope(), data=data))
    assert row.levels == "1/1/1 → 3A/2/1"
    assert row.what.plain.splitlines() == [
        "機密性 3A: 他の資産からの継承：住民の個人情報（上下水道局の「料金台帳」から、関連「格納」により）",
        "完全性 2: 台帳の申告",
    ]


def test_another_bodys_asset_is_not_named():
    origin = {"body": "mayor", "asset_id": None, "relation": "runs_on"}
    explanation = {"level": "2", "origin": "inherited", "inherited_from": origin}
    data = {
        "asset": ASSET,
        "asset_revision": 1,
        "before": None,
        "after": HIGH,
        "explanations": {"integrity": explanation},
    }
    with speaking("en"):
        row = Teller().row(ClassificationChanged(**envelope(), data=data))
    assert row.what.plain == "integrity 2: inherited (from – of mayor, by “runs on”)"


def test_an_asset_tells_where_it_comes_from_and_that_it_is_retired():
    asset = {**ASSET, "body": "waterworks", "network": "waterworks", "facts": {}, "declared": {"confidentiality": "2"}}
    change = {"feed": "cmdb", "source_key": "SRV-1"}
    data = {"before": asset, "after": {**asset, "status": "retired"}, "change": change}
    with speaking("en"):
        row = Teller().row(AssetChanged(**envelope(3), data=data))
    assert (row.asset, row.levels, row.what.plain) == ("料金システム", "2/–/–", "revision 3, retired (cmdb SRV-1)")


def test_an_origin_seen_before_is_told_by_its_name():
    teller = Teller()
    origin = {"body": "waterworks", "asset_id": "a1", "relation": "stores"}
    explanation = {"level": "2", "origin": "inherited", "inherited_from": origin}
    change = {"asset": ASSET, "asset_revision": 1, "before": None, "after": HIGH, "explanations": {}}
    inherits = {**change, "asset": {**ASSET, "asset_id": "a2"}, "explanations": {"integrity": explanation}}
    with speaking("en"):
        teller.row(ClassificationChanged(**envelope(), data=change))
        row = teller.row(ClassificationChanged(**{**envelope(2), "subject": "a2"}, data=inherits))
    assert row.what.plain == "integrity 2: inherited (from 料金システム of waterworks, by “stores”)"


@pytest.mark.parametrize(
    ("language", "before", "after", "told"),
    [
        ("en", None, "not_met", "d1 duty 1: – → not met"),
        ("en", "not_met", "met", "d1 duty 1: not met → met"),
        ("ja", "met", "lifted", "d1 義務1: 満たしている → 義務の終了"),
    ],
)
def test_a_finding_says_which_obligation_and_what_it_is_seen_to_be(language, before, after, told):
    data = {"asset": ASSET, "asset_revision": 1, "obligation": duty(1), "before": before, "after": after}
    with speaking(language):
        row = Teller().row(FindingChanged(**envelope(), data=data))
    assert (row.asset, row.what.plain) == ("料金システム", told)
