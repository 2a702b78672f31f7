# SPDX-License-Identifier: Apache-2.0
"""traceparent, made and continued."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.contracts.envelope import TRACEPARENT
from libs.observability import child_of, new_traceparent

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"


def ones(size: int) -> bytes:
    return b"\x11" * size


def test_a_new_one_is_what_the_envelope_takes() -> None:
    assert new_traceparent(ones) == f"00-{'11' * 16}-{'11' * 8}-01"
    assert re.fullmatch(TRACEPARENT, new_traceparent())
    assert new_traceparent() != new_traceparent()


def test_a_child_keeps_the_trace_and_its_flags() -> None:
    assert child_of(PARENT, ones) == f"00-4bf92f3577b34da6a3ce929d0e0e4736-{'11' * 8}-00"


@pytest.mark.parametrize(
    "parent",
    [
        None,
        "",
        "00-0-0-01",
        PARENT.upper(),
        "01" + PARENT[2:],
        PARENT + "-x",
        PARENT + "\n",
        "00-" + "0" * 32 + PARENT[35:],
    ],
)
def test_what_is_not_valid_begins_anew(parent: str | None) -> None:
    assert child_of(parent, ones) == new_traceparent(ones)


@given(st.text(max_size=60))
def test_a_child_is_always_valid(parent: str) -> None:
    assert re.fullmatch(TRACEPARENT, child_of(parent))


def test_no_id_is_all_zeroes() -> None:
    assert new_traceparent(bytes) == f"00-{'00' * 15}01-{'00' * 7}01-01"
