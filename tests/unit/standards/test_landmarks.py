# SPDX-License-Identifier: Apache-2.0
"""What conditions cannot tell apart is taken for one; what they can, never."""

from __future__ import annotations

from typing import Any

import cel
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from libs.standards.landmarks import Landmarks, landmarks_of

READABLE = [
    ("count != null && count >= 1000", [1000]),
    ("(count > 100 || personal) && count <= 10.5", [10.5, 100]),
    ('role == "plc" && x', ["plc"]),
    ("day != '' && day < '2027-07-01'", ["", "2027-07-01"]),
    ('outsourced || "outsourced" in tags', ["outsourced"]),
    ("-5 < count", None),
    ("count * 2 > 10", None),
    ("count > limit", None),
    ("!role == 'x'", None),
    ('role.startsWith("p")', None),
    ("size(tags) > 0", None),
    ('kind == "role" && role == "a"', None),
    ('role == "a" + b', None),
    (r'role == "a\"b"', None),
    ('tags != ["public"]', None),
    ("count > 3 ? x : y", [3]),
]


@pytest.mark.parametrize(("condition", "expected"), READABLE)
def test_only_comparisons_with_literals_are_recognised(condition: str, expected: list[Any] | None) -> None:
    name = next(one for one in ("count", "role", "day", "tags") if one in condition)
    if name == "count" and condition.startswith("-5"):
        # the literal stands first: not a form that is recognised
        assert landmarks_of(name, [condition]) is None
        return
    found = landmarks_of(name, [condition])
    assert (None if found is None else list(found.values)) == expected


NUMBERS = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False, width=32)
OPERATORS = ("==", "!=", "<", "<=", ">", ">=")


@given(
    literals=st.lists(st.integers(-50, 50) | st.sampled_from((0.5, 2.5, -1.25)), min_size=1, max_size=4), value=NUMBERS
)
@example(literals=[0], value=-0.0)
@example(literals=[1, 2], value=1.0000001192092896)
def test_no_condition_tells_a_number_from_its_likeness(literals: list[float], value: float) -> None:
    conditions = [f"count {operator} {literal}" for literal in literals for operator in OPERATORS]
    found = landmarks_of("count", conditions)
    assert found is not None

    for condition in conditions:
        program = cel.compile(condition)
        assert program.execute({"count": value}) == program.execute({"count": found.likeness(value)}), condition


TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",), exclude_characters='"\\\n\r'), max_size=4)


@given(literals=st.lists(TEXTS, min_size=1, max_size=4), value=st.text(max_size=6))
@example(literals=["a"], value="a\0")
def test_no_condition_tells_a_text_from_its_likeness(literals: list[str], value: str) -> None:
    found = Landmarks(set(literals))

    for literal in literals:
        for compare in (str.__eq__, str.__lt__, str.__gt__):
            assert compare(value, literal) == compare(found.likeness(value), literal)


@given(literals=st.lists(TEXTS, min_size=1, max_size=4), value=st.lists(TEXTS, max_size=5))
def test_no_condition_tells_a_list_from_its_likeness(literals: list[str], value: list[str]) -> None:
    likeness = Landmarks(set(literals)).likeness(tuple(value))

    assert [literal in value for literal in literals] == [literal in likeness for literal in literals]
