# SPDX-License-Identifier: Apache-2.0
"""Changes of a table as Debezium tells them: items, versions that rise, and what is no change of a row."""

from __future__ import annotations

import json
from typing import Any

import pytest

from libs.catalogue import text
from libs.contracts import FeedItem
from services.inventory.doors import Fault, UnreadableError
from services.inventory.doors.debezium import UNAVAILABLE, Change, read_change
from tests.unit.inventory.feeds import FEEDS, MAPPINGS, SAMPLES

FEED, MAPPING = FEEDS["equipment-db"], MAPPINGS["equipment-db"]
LINES = [json.loads(line) for line in (SAMPLES / "cmdb/changes.ndjson").read_text(encoding="utf-8").splitlines()]
CREATED = LINES[3]["value"]
ROW = CREATED["after"]
POSTGRES = {"connector": "postgresql", "table": "equipment", "snapshot": "false"}


def change(**payload: Any) -> dict[str, Any]:
    return {"op": "c", "before": None, "after": ROW, "source": {**POSTGRES, "lsn": 100}, **payload}


def read(value: Any, key: Any = None) -> tuple[FeedItem, ...]:
    return read_change(FEED, MAPPING, Change(key, value))


def fault(value: Any, key: Any = None) -> Fault:
    with pytest.raises(UnreadableError) as raised:
        read(value, key)
    found = raised.value.faults[0]
    assert all(text(found.key, language, **found.args) for language in ("ja", "en"))
    return found


def version(**source: Any) -> int:
    (item,) = read(change(source={"table": "equipment", **source}))
    return item.source_version


def test_the_sample_gives_the_items_of_its_changes() -> None:
    told = [(one.source_key, one.operation) for line in LINES for one in read(line["value"], line["key"])]
    assert told == [
        ("EQ-001", "upsert"),
        ("EQ-002", "upsert"),
        ("EQ-004", "upsert"),
        ("EQ-001", "upsert"),
        ("EQ-002", "upsert"),
        ("EQ-004", "retire"),
        ("EQ-005", "upsert"),
        ("EQ-005", "retire"),
    ]


def test_with_and_without_schema_is_the_same() -> None:
    assert read(change()) == read({"schema": {"type": "struct"}, "payload": change()})


@pytest.mark.parametrize("value", [None, {"schema": None, "payload": None}, change(op="m", after=None)])
def test_a_tombstone_and_a_message_tell_of_no_row(value: Any) -> None:
    assert read(value) == ()


def test_a_truncation_is_refused() -> None:
    found = fault(change(op="t", after=None))
    assert (found.field, found.key) == ("/op", "inventory.debezium.truncate")


@pytest.mark.parametrize("snapshot", ["first", "true", True, "last", "first_in_data_collection"])
def test_rows_of_a_snapshot_are_upserts_at_its_position(snapshot: Any) -> None:
    (item,) = read(change(op="r", source={**POSTGRES, "lsn": 7, "snapshot": snapshot}))
    assert (item.operation, item.source_version) == ("upsert", 7)


def test_a_row_of_an_incremental_snapshot_counts_only_where_nothing_was_told() -> None:
    (item,) = read(change(op="r", source={**POSTGRES, "snapshot": "incremental"}))
    assert item.source_version == 0


class TestVersions:
    """In the order in which a connector tells them, each above the one before."""

    def test_postgresql(self) -> None:
        assert version(connector="postgresql", lsn=24023128) == 24023128

    @pytest.mark.parametrize("connector", ["mysql", "mariadb"])
    def test_mysql(self, connector: str) -> None:
        places = [("binlog.000009", 4), ("binlog.000009", 2**32 - 1), ("binlog.000010", 4), ("binlog.1000000", 4)]
        told = [version(connector=connector, file=file, pos=pos) for file, pos in places]
        assert told == sorted(set(told))

    def test_sql_server(self) -> None:
        places = [
            "00000027:00000ac0:0002",
            "00000027:00000ac0:0003",
            "00000027:00000ac8:0001",
            "00000028:00000010:0001",
        ]
        told = [
            version(connector="sqlserver", change_lsn=place, commit_lsn="00000029:00000000:0000") for place in places
        ]
        assert told == sorted(set(told))
        assert version(connector="sqlserver", change_lsn=None, commit_lsn=places[0]) == told[0]

    def test_others_by_the_time_of_the_commit(self) -> None:
        assert version(connector="oracle", ts_ms=5) == 5000
        assert version(connector="oracle", ts_ms=5, ts_us=5123) == 5123
        assert version(connector="db2", ts_ns=5123999) == 5123

    @pytest.mark.parametrize(
        "source",
        [
            {},
            {"connector": "postgresql"},
            {"connector": "postgresql", "lsn": "7"},
            {"connector": "postgresql", "lsn": -1},
            {"connector": "mysql", "file": "binlog", "pos": 4},
            {"connector": "mysql", "file": "binlog.000001", "pos": 2**32},
            {"connector": "sqlserver", "change_lsn": "x"},
            {"connector": "sqlserver", "change_lsn": "ffffffff:00000001:0001"},
            {"connector": "oracle", "ts_ms": True},
        ],
    )
    def test_without_a_position_a_change_is_refused(self, source: dict[str, Any]) -> None:
        found = fault(change(source={"table": "equipment", **source}))
        assert (found.field, found.key) == ("/source", "inventory.debezium.position")


class TestRows:
    def test_a_row_that_becomes_another_asset_retires_the_one_it_was(self) -> None:
        left, came = read(change(op="u", before=ROW, after={**ROW, "asset_no": "EQ-900"}))
        assert (left.source_key, left.operation, left.source_version) == ("EQ-004", "retire", 100)
        assert (came.source_key, came.operation) == ("EQ-900", "upsert")

    def test_a_row_that_is_no_longer_kept_retires_its_asset(self) -> None:
        (left,) = read(change(op="u", before=ROW, after={**ROW, "category": "furniture"}))
        assert (left.source_key, left.operation) == ("EQ-004", "retire")

    def test_a_row_that_was_never_kept_tells_nothing(self) -> None:
        chair = {**ROW, "category": "furniture"}
        assert read(change(op="u", before=chair, after=chair)) == ()
        assert read(change(op="d", before=chair, after=None)) == ()

    def test_a_deletion_that_does_not_say_whose_it_was_is_told_to_say_so(self) -> None:
        found = fault(change(op="d", before=dict.fromkeys(ROW) | {"asset_no": "EQ-004"}, after=None))
        assert (found.field, found.key) == ("/before/dept", "inventory.mapping.body")

    def test_a_deletion_without_a_row_is_read_by_its_key(self) -> None:
        key = {"schema": {}, "payload": {"asset_no": "EQ-004", "dept": "01", "category": None}}
        (gone,) = read(change(op="d", before=None, after=None), key)
        assert (gone.source_key, gone.body, gone.operation) == ("EQ-004", "mayor", "retire")
        assert fault(change(op="d", before=None, after=None)).field == "/before"

    def test_a_large_column_that_did_not_change_is_kept(self) -> None:
        (item,) = read(change(op="u", after={**ROW, "remarks": UNAVAILABLE}))
        assert (item.kept, "remarks" in item.facts) == (("facts.remarks",), False)

    def test_or_is_as_the_row_was_before(self) -> None:
        row = {**ROW, "remarks": UNAVAILABLE}
        (item,) = read(change(op="u", before={**ROW, "remarks": "前"}, after=row))
        assert (item.kept, item.facts["remarks"]) == ((), "前")

    @pytest.mark.parametrize(
        ("payload", "field"),
        [
            ({"op": "x"}, "/op"),
            ({"after": None}, "/after"),
            ({"after": []}, "/after"),
            ({"source": None}, "/source"),
            ({"after": {**ROW, "people": "x"}}, "/after/people"),
        ],
    )
    def test_what_is_wrong_is_pointed_at(self, payload: dict[str, Any], field: str) -> None:
        assert fault(change(**payload)).field == field
