# SPDX-License-Identifier: Apache-2.0
"""The structs take nothing that the contract's models refuse, and tell of what they take the same."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from libs.contracts import FeedItemSubmitted
from libs.contracts.topics import MAX_VALUE_BYTES
from services.inventory.composition import content_of
from services.inventory.items import Submitted, submitted
from tests.altered import ABSENT, altered, put

GOOD: dict[str, Any] = {
    "specversion": "1.0",
    "id": "cmdb:S-1@1",
    "source": "urn:daicho:990019:mayor:cmdb",
    "type": "daicho.feed.item.v1",
    "subject": "S-1",
    "time": "2026-04-01T00:00:00+09:00",
    "datacontenttype": "application/json",
    "body": "mayor",
    "network": "mayor",
    "revision": 1,
    "traceparent": "00-00000000000000000000000000000001-0000000000000001-01",
    "data": {
        "body": "mayor",
        "feed": "cmdb",
        "source_key": "S-1",
        "source_version": 1,
        "operation": "upsert",
        "kind": "information",
        "name": "住民台帳",
        "section": "市民課",
        "zone": "mynumber",
        "facts": {"personal_data": True, "record_count": 3, "tags": ["x"], "rto_hours": 1.5, "location": "庫"},
        "declared": {"confidentiality": "3B"},
        "relations": [
            {"type": "stores", "source_key": "b", "feed": "ledger"},
            {"type": "connects", "source_key": "c"},
        ],
        "reason": "点検",
        "observed_at": "2026-04-01T00:00:00Z",
        "kept": [],
        "snapshot": "2026-04-01.a",
    },
}
PLACES = [
    *((name,) for name in GOOD),
    *(("data", name) for name in GOOD["data"]),
    *(("data", "facts", name) for name in (*GOOD["data"]["facts"], "x", "X", "a\n")),
    *(("data", "declared", name) for name in ("confidentiality", "integrity", "other")),
    *(("data", "relations", 0, name) for name in ("type", "source_key", "feed", "other")),
    ("other",),
    ("data", "other"),
]
VALUES = st.sampled_from([
    ABSENT, None, True, 0, 1, -1, 1.0, 1.5, 2**53, 2**53 + 1, 2**63 - 1, 2**63, 1e300, "", "x", "1", "mayor", "mayor\n", "MAYOR",
    "x" * 200, "x" * 201, "x" * 300, "x" * 301, "\U0002000b" * 300, "a\x00b", "2026-04-01T00:00:00", "2026-04-01", "retire", "media", "lgwan", "stores",
    [], ["x"], ["x"] * 65, ["kind"], ["a\x00"], {}, {"x": 1}, {"x": None}, {"X": 1}, {"x": [1]}, {f"a{n}": n for n in range(65)},
    [None], "3B", "3b", "3B\n", "urn:daicho:990019:mayor:inventory", "daicho.feed.item.v2",
    "00-00000000000000000000000000000001-0000000000000001-01\n",
])  # fmt: skip


def told(event: Submitted) -> tuple[Any, ...]:
    """All that the worker and the register read, as JSON tells values apart."""
    item = event.data
    return (
        (event.body, event.network, event.subject, event.traceparent),
        (
            item.body,
            item.feed,
            item.source_key,
            item.source_version,
            item.operation,
            item.reason,
            [*item.kept],
            item.snapshot,
        ),
        [(relation.feed, relation.source_key) for relation in item.relations],
        json.dumps(content_of(item), ensure_ascii=False),
    )


@given(changes=st.lists(st.tuples(st.sampled_from(PLACES), VALUES), max_size=3))
def test_what_the_structs_take_is_what_the_models_take(changes: list[tuple[tuple[Any, ...], Any]]) -> None:
    content = altered(GOOD, changes)
    value = json.dumps(content).encode()

    if (quickly := submitted(value)) is not None:
        assert told(quickly) == told(FeedItemSubmitted.model_validate_json(value))


def test_a_good_item_does_not_need_the_models() -> None:
    as_doors_write_it = FeedItemSubmitted.model_validate(GOOD).model_dump_json(exclude_none=True)

    for value in (json.dumps(GOOD), as_doors_write_it):
        assert submitted(value.encode()) is not None


@pytest.mark.parametrize("value", [b"", b"{", b"\xff", b"[]", b"null", b'{"specversion":"1.0"}', b"[" * 100_000])
def test_bytes_that_are_no_item_are_left_to_the_models(value: bytes) -> None:
    assert submitted(value) is None
    with pytest.raises(ValidationError):
        FeedItemSubmitted.model_validate_json(value)


@pytest.mark.parametrize(
    "value",
    [
        None,
        json.dumps(GOOD).encode().ljust(MAX_VALUE_BYTES + 1),
        json.dumps(put(GOOD, ("data", "kept"), ["zone"])).encode(),
    ],
    ids=["nothing", "too large", "keeps a field"],
)
def test_what_needs_a_closer_look_is_left_to_the_models(value: bytes | None) -> None:
    assert submitted(value) is None
