# SPDX-License-Identifier: Apache-2.0
"""The structs take nothing that the contract's models refuse, and read what they take as these do."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.bus import Rejected
from libs.contracts import make_key
from services.classification import reading
from services.classification.domain import AssetSeen, Message
from services.classification.reading import AssetReader
from tests.altered import ABSENT, altered, put
from tests.classifiers import record_of

GOOD: dict[str, Any] = {
    "specversion": "1.0",
    "id": "a:1",
    "source": "urn:daicho:990019:mayor:inventory",
    "type": "daicho.asset.changed.v1",
    "subject": "a",
    "time": "2026-04-01T00:00:00+09:00",
    "datacontenttype": "application/json",
    "body": "mayor",
    "network": "mayor",
    "revision": 1,
    "traceparent": "00-00000000000000000000000000000001-0000000000000001-01",
    "data": {
        "before": None,
        "after": {
            "asset_id": "a",
            "body": "mayor",
            "network": "mayor",
            "kind": "information",
            "name": "住民台帳",
            "status": "active",
            "section": "市民課",
            "zone": "mynumber",
            "facts": {"personal_data": True, "record_count": 3, "tags": ["x"], "rto_hours": 1.5, "location": "庫"},
            "declared": {"confidentiality": "3B"},
            "relations": [{"type": "stores", "asset_id": "b"}, {"type": "stores", "asset_id": "b"}],
        },
        "change": {"feed": "cmdb", "source_key": "a", "source_version": 1},
    },
}
PLACES = [
    *((name,) for name in GOOD),
    *(("data", name) for name in GOOD["data"]),
    *(("data", "after", name) for name in GOOD["data"]["after"]),
    *(("data", "change", name) for name in GOOD["data"]["change"]),
    ("data", "after", "facts", "record_count"),
    ("data", "after", "declared", "confidentiality"),
    ("data", "after", "relations", 0, "type"),
    ("data", "after", "relations", 0, "asset_id"),
]
VALUES = st.sampled_from([
    ABSENT, None, True, 0, 1, -1, 2**60, 1.5, "", "x", "1", "mayor", "MAYOR", "mayor\n", "3B\n", "x" * 201, "2026-04-01T00:00:00", "2026-04-01",
    "active", "retired", "media", "lgwan", "stores", [], ["x"], {}, {"x": 1}, {"x": None}, {"X": 1}, {"x": [1]}, [None], "3B", "3b",
    "urn:daicho:990019:mayor:inventory", "daicho.asset.changed.v2", "00-00000000000000000000000000000001-0000000000000001-01\n",
])  # fmt: skip


def told(content: Any, key: bytes = b"") -> Any:
    after = content.get("data", {})
    after = after.get("after", {}) if isinstance(after, dict) else {}
    after = after if isinstance(after, dict) else {}
    named = make_key(*(str(after.get(name, "?")) for name in ("network", "body", "asset_id")))
    return record_of(Message("daicho.assets.v1", key or named, json.dumps(content).encode(), []))


def plain(seen: AssetSeen) -> tuple[Any, ...]:
    """With the facts in place of the case, which is compared by identity."""
    case = seen.asset.case
    return (*seen.asset._replace(case=None), case.kind, case.zone, dict(case.facts), *seen[1:])  # type: ignore[arg-type]


def by_the_models(record: Any) -> Any:
    try:
        return plain(reading._read_slowly(record))
    except Rejected as rejected:
        return str(rejected)


def by_the_reader(record: Any) -> Any:
    try:
        return plain(AssetReader().read(record))
    except Rejected as rejected:
        return str(rejected)


@given(changes=st.lists(st.tuples(st.sampled_from(PLACES), VALUES), max_size=3))
def test_what_the_structs_take_is_what_the_models_take(changes: list[tuple[tuple[Any, ...], Any]]) -> None:
    content = altered(GOOD, changes)

    record = told(content)

    assert by_the_reader(record) == by_the_models(record)


def test_a_good_event_does_not_need_the_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_read_slowly", None)

    seen = AssetReader().read(told(GOOD))

    assert (seen.asset.name, seen.asset.relations, seen.revision) == ("住民台帳", (("stores", "b"),), 1)
    assert seen.asset.case.facts["rto_hours"] == 1.5


@pytest.mark.parametrize("value", [b"", b"{", b"\xff", b"[]", b"null", b'{"specversion":"1.0"}', b"[" * 100_000])
def test_bytes_that_are_no_event_are_rejected(value: bytes) -> None:
    record = record_of(Message("daicho.assets.v1", b"mayor/mayor/a", value, []))

    with pytest.raises(Rejected):
        AssetReader().read(record)


def test_a_key_of_another_asset_is_rejected() -> None:
    with pytest.raises(Rejected):
        AssetReader().read(told(GOOD, b"mayor/mayor/other"))


def test_assets_that_are_alike_share_their_case() -> None:
    reader = AssetReader()

    one, other = (reader.read(told(put(GOOD, ("data", "after", "asset_id"), name))) for name in ("a", "b"))

    assert one.asset.case is other.asset.case
