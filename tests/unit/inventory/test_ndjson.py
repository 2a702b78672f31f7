# SPDX-License-Identifier: Apache-2.0
"""Lines as they come, in pieces of any size."""

from __future__ import annotations

import json
import random

import pytest

from libs.contracts import Profile
from services.inventory.doors import UnreadableError
from services.inventory.doors.ndjson import Line, Lines, read_line

ITEM = {"body": "mayor", "feed": "cmdb", "source_key": "A-1", "source_version": 1}


def cut(content: bytes, *sizes: int, longest: int = 10) -> list[Line]:
    lines = Lines(longest)
    found: list[Line] = []
    for size in sizes or (len(content),):
        found += lines.add(content[:size])
        content = content[size:]
    return [*found, *lines.add(content), *lines.end()]


def test_blank_lines_count_and_say_nothing() -> None:
    assert cut(b"a\n\n \r\nb\r\nc") == [Line(1, b"a"), Line(4, b"b"), Line(5, b"c")]
    assert cut(b"") == cut(b"\n\n") == []


def test_a_line_that_is_too_long_is_told_and_the_next_one_read() -> None:
    assert cut(b"0123456789\n01234567890\nb\n") == [Line(1, b"0123456789"), Line(2, None), Line(3, b"b")]
    assert cut(b"x" * 100) == [Line(1, None)]


def test_however_the_pieces_fall_the_lines_are_the_same() -> None:
    content = b"a\nbb\n\n01234567890123\n\xe5\x8f\xb0\xe5\xb8\xb3\r\nlast"
    whole = cut(content)
    rng = random.Random(1)
    for _ in range(200):
        assert cut(content, *(rng.randrange(4) for _ in range(20))) == whole


def test_what_is_held_does_not_grow_with_a_line() -> None:
    lines = Lines(longest=100)
    for _ in range(1000):
        assert list(lines.add(b"x" * 90)) == []
        assert len(lines._begun) <= 100


@pytest.mark.parametrize(
    ("content", "field", "malformed"),
    [
        (None, "", False),
        (b"{", "", True),
        (json.dumps({**ITEM, "zone": "moon"}).encode(), "/zone", False),
        (json.dumps({**ITEM, "feed": "ledger"}).encode(), "/feed", False),
    ],
)
def test_a_line_that_is_wrong_is_told(profile: Profile, content: bytes | None, field: str, malformed: bool) -> None:
    with pytest.raises(UnreadableError) as raised:
        read_line(profile.feed_by_id["cmdb"], Line(1, content))
    assert ([fault.field for fault in raised.value.faults], raised.value.malformed) == ([field], malformed)


def test_a_line_that_is_right_is_an_item(profile: Profile) -> None:
    assert read_line(profile.feed_by_id["cmdb"], Line(1, json.dumps(ITEM).encode())).source_key == "A-1"
