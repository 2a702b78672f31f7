# SPDX-License-Identifier: Apache-2.0
"""Which facts show an obligation met, by the table of cases; and that the table has every check."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from libs.contracts import FindingState
from libs.standards import Case, Standard, StandardError, parse

BASE = Path(__file__).parents[3] / "standards" / "base"
CASES = yaml.safe_load((Path(__file__).parents[2] / "data/standards/checks.yaml").read_text("utf-8"))
DEFINITE = (FindingState.MET, FindingState.NOT_MET, FindingState.UNKNOWN)
JUDGED = [(case["obligation"], state, facts) for case in CASES for state in DEFINITE for facts in case[state]]


@pytest.mark.parametrize(("obligation", "state", "facts"), JUDGED, ids=str)
def test_a_check_finds_what_the_table_says(
    base: Standard, obligation: str, state: FindingState, facts: dict[str, Any]
) -> None:
    assert base.findings(Case("system", None, facts), (obligation,)) == ((obligation, state),)


def test_the_table_has_every_check_in_each_of_its_states(base: Standard) -> None:
    carried = {duty.id for duty in base.document.obligations if duty.check is not None}

    assert {case["obligation"] for case in CASES} == carried
    assert len(carried) >= 30
    assert [case["obligation"] for case in CASES if not all(case[state] for state in DEFINITE)] == []


def test_obligations_that_are_not_in_force_and_those_without_a_check_are_not_judged(base: Standard) -> None:
    assert base.findings(Case("system", None, {"encrypted": True}), ()) == ()
    assert base.findings(Case("system", None, {"encrypted": True}), ("C-01", "N-02", "T-06")) == (
        ("N-02", FindingState.UNKNOWN),
        ("T-06", FindingState.MET),
    )


@given(facts=st.fixed_dictionaries({}, optional={
    "encrypted": st.sampled_from((True, False, "true", None)), "mfa": st.booleans() | st.integers(0, 1),
}))  # fmt: skip
def test_a_check_is_known_only_where_every_fact_that_it_reads_is(base: Standard, facts: dict[str, Any]) -> None:
    encrypted, mfa = facts.get("encrypted"), facts.get("mfa")
    known = isinstance(encrypted, bool) and isinstance(mfa, bool)
    expected = (FindingState.MET if encrypted and mfa else FindingState.NOT_MET) if known else FindingState.UNKNOWN

    assert base.findings(Case("information", "internet", facts), ("X-15",)) == (("X-15", expected),)


@pytest.mark.parametrize(
    ("check", "told"),
    [
        ("zone", "reads no fact"),
        ("encrypt", "unknown name encrypt"),
        ("confidentiality >= C3B", "unknown name"),
        ("log_retention_days", "gives no true or false"),
        ("encrypted > 1", "cannot be evaluated"),
    ],
)
def test_a_check_that_cannot_be_is_told_at_its_place(check: str, told: str) -> None:
    files = {file.relative_to(BASE).as_posix(): file.read_text("utf-8") for file in BASE.rglob("*.yaml")}
    name = "obligations/technical.yaml"
    files[name] = files[name].replace("  check: 'encrypted'\n", f"  check: '{check}'\n", 1)
    line = files[name].splitlines().index(f"  check: '{check}'") + 1

    with pytest.raises(StandardError) as refused:
        parse(files)

    assert [f"{name}:{line}:" in str(one) and told in str(one) for one in refused.value.mistakes] == [True]
