# SPDX-License-Identifier: Apache-2.0
"""What a register says wrongly counts as not said, and is told."""

from __future__ import annotations

from typing import Any

import pytest

from libs.standards import Case, FactProblem, Standard


@pytest.mark.parametrize(
    ("fact", "value", "expected"),
    [
        ("personal_data", "はい", "boolean"),
        ("personal_data", 1, "boolean"),
        ("record_count", "多数", "integer"),
        ("record_count", 1.5, "integer"),
        ("record_count", True, "integer"),
        ("rto_hours", False, "number"),
        ("rto_hours", "24", "number"),
        ("location", ["書庫"], "text"),
        ("medium", "石板", "text: paper, hdd, ssd, usb, optical, tape, mobile"),
        ("tags", "outsourced", "list"),
    ],
)
def test_a_value_that_does_not_fit_counts_as_missing(base: Standard, fact: str, value: Any, expected: str) -> None:
    said, unsaid = {fact: value}, dict[str, Any]()
    assert base.fact_problems(said) == [FactProblem(fact, expected)]
    for kind, zone in (("system", "mynumber"), ("media", None), ("information", "lgwan")):
        with_it, without_it = Case(kind, zone, said), Case(kind, zone, unsaid)
        derived = base.derive(without_it)
        assert (base.derive(with_it).ranks, base.derive(with_it).rules) == (derived.ranks, derived.rules)
        assert base.binding(with_it, derived.ranks) == base.binding(without_it, derived.ranks)


def test_every_problem_is_told_in_the_order_of_names(base: Standard) -> None:
    facts: dict[str, Any] = {
        "rto_hours": "24",
        "data_kinds": ["resident", "未定義"],
        "record_count": 3,
        "not_declared": 1,
    }
    assert [problem.fact for problem in base.fact_problems(facts)] == ["data_kinds", "rto_hours"]


@pytest.mark.parametrize(
    ("fact", "value"),
    [("personal_data", False), ("rto_hours", 24), ("rto_hours", 0.5), ("medium", "usb"), ("tags", [])],
)
def test_a_value_that_fits_is_no_problem(base: Standard, fact: str, value: Any) -> None:
    assert base.fact_problems({fact: value}) == []
