# SPDX-License-Identifier: Apache-2.0
"""Mapping files: what they make of a record, and where they say that something is wrong."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from libs.catalogue import text
from libs.contracts import Feed, FeedItem
from services.inventory.doors import UnreadableError
from services.inventory.doors.glpi import MAPPING
from services.inventory.doors.mapping import MappingFileError, Scene, load, parse

ROOT = Path(__file__).parents[3]
FEED = Feed.model_validate({"id": "own", "name": {"ja": "独", "en": "own"}, "bodies": ["mayor", "audit"]})
SHIPPED = [MAPPING, *sorted((ROOT / "samples/cmdb").glob("*.yaml"))]
SCHEMA = runpy.run_path(str(ROOT / "schemas/mapping.py"))


def mapping_of(**record: Any) -> str:
    """A mapping with one kind of record, and a lookup."""
    whole = {"source_key": "id", "body": {"constant": "mayor"}, "source_version": {"constant": 1}, **record}
    return yaml.safe_dump({"records": [whole], "lookups": {"words": {"有": True, "3": "three", "サーバ": "server"}}})


def item(row: dict[str, Any], **record: Any) -> FeedItem | None:
    return parse(mapping_of(**record), "own.yaml").item(FEED, Scene({"id": "A-1", **row}), under="/row")


def faults(row: dict[str, Any], **record: Any) -> list[tuple[str, str]]:
    with pytest.raises(UnreadableError) as raised:
        item(row, **record)
    for fault in raised.value.faults:
        assert all(text(fault.key, language, **fault.args) for language in ("ja", "en"))
    return [(fault.field, fault.key) for fault in raised.value.faults]


@pytest.mark.parametrize(
    ("value", "row", "expected"),
    [
        ("a", {"a": "x"}, "x"),
        ("a.b.c", {"a": {"b": {"c": 3}}}, 3),
        ("a.b", {"a": [{"b": "x"}, {}, {"b": "y"}]}, ["x", "y"]),
        ("a", {}, None),
        ("a", {"a": ""}, None),
        ("a.b", {"a": 1}, None),
        ("備考", {"備考": "x"}, "x"),
        ({"constant": True}, {}, True),
        ({"cel": "row.a + '-' + row.b"}, {"a": "x", "b": "y"}, "x-y"),
        ({"cel": "row.a"}, {}, None),
        ({"cel": "row.l.filter(n, has(n.m)).map(n, n.m)"}, {"l": [{"m": "x"}, {}]}, ["x"]),
        ({"path": "a", "lookup": "words"}, {"a": "サーバ"}, "server"),
        ({"path": "a", "lookup": "words"}, {"a": "ｻｰﾊﾞ"}, "server"),
        ({"path": "a", "lookup": "words"}, {"a": 3}, "three"),
        ({"path": "a", "lookup": "words", "otherwise": "?"}, {"a": "ほか"}, "?"),
        ({"path": "a", "otherwise": False}, {}, False),
        ({"path": "a", "separator": "、", "lookup": "words", "as": "list"}, {"a": "3、 サーバ、"}, ["three", "server"]),
        ({"path": "a", "as": "text"}, {"a": 12}, "12"),
        ({"path": "a", "as": "text"}, {"a": True}, "true"),
        ({"path": "a", "as": "integer"}, {"a": "１２"}, 12),
        ({"path": "a", "as": "number"}, {"a": "1.5"}, 1.5),
        ({"path": "a", "as": "boolean"}, {"a": "T"}, True),
        ({"path": "a", "as": "boolean"}, {"a": 0}, False),
        ({"path": "a", "as": "list"}, {"a": "x"}, ["x"]),
        ({"path": "a", "as": "list"}, {"a": ["x", "x", "y"]}, ["x", "y"]),
        ({"path": "a", "as": "date"}, {"a": 20544}, "2026-04-01"),
        ({"path": "a", "as": "date"}, {"a": "2026-04-01T09:00:00Z"}, "2026-04-01"),
        ({"path": "a", "as": "microseconds"}, {"a": "1970-01-01T09:00:01+09:00"}, 1_000_000),
        ("a", {"a": "長" * 400}, "長" * 299 + "…"),
        ("a", {"a": [f"{n}" for n in range(70)]}, [f"{n}" for n in range(64)]),
    ],
)
def test_a_value_is_found_looked_up_and_brought_to_its_type(value: Any, row: dict[str, Any], expected: Any) -> None:
    found = item(row, facts={"told": value})
    assert found is not None
    assert found.facts.get("told") == expected


@pytest.mark.parametrize(
    ("record", "row", "field", "key"),
    [
        ({"facts": {"told": {"path": "a.b", "as": "integer"}}}, {"a": {"b": "x"}}, "/row/a/b", "problems.field.int_type"),
        ({"facts": {"told": {"path": "a", "as": "number"}}}, {"a": []}, None, None),
        ({"facts": {"told": {"path": "a", "as": "number"}}}, {"a": "x"}, "/row/a", "inventory.mapping.number"),
        ({"facts": {"told": {"path": "a", "as": "boolean"}}}, {"a": "maybe"}, "/row/a", "problems.field.bool_type"),
        ({"facts": {"told": {"path": "a", "as": "date"}}}, {"a": "04/01"}, "/row/a", "inventory.mapping.date"),
        ({"facts": {"told": {"path": "a", "as": "text"}}}, {"a": {"b": 1}}, "/row/a", "problems.field.string_type"),
        ({"facts": {"told": {"path": "a", "lookup": "words"}}}, {"a": "x"}, "/row/a", "inventory.mapping.word"),
        ({"facts": {"told": {"cel": "row.a + 1"}}}, {"a": "x"}, "/row/a", "inventory.mapping.expression"),
        ({"facts": {"told": "a"}}, {"a": {"b": 1}}, "/row/a", "problems.field.other"),
        ({"zone": "a"}, {"a": "moon"}, "/row/a", "problems.field.enum"),
        ({"zone": {"constant": "moon"}}, {}, "/row/zone", "problems.field.enum"),
        ({"body": "dept"}, {"dept": "hospital"}, "/row/dept", "inventory.mapping.body"),
        ({"body": "dept"}, {}, "/row/dept", "inventory.mapping.body"),
        ({"source_key": "no"}, {}, "/row/no", "problems.field.missing"),
        ({"source_key": "no"}, {"no": "x" * 201}, "/row/no", "problems.field.string_too_long"),
        ({"source_version": {"path": "at", "as": "microseconds"}}, {"at": "2026-04-01"}, "/row/at", "problems.field.datetime_parsing"),
        ({"when": "row.a == 1"}, {}, "/row", "inventory.mapping.condition"),
        ({"retired": "row.a"}, {"a": 1}, "/row", "inventory.mapping.condition"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_told_at_its_place_in_the_record(
    record: dict[str, Any], row: dict[str, Any], field: str | None, key: str | None
) -> None:
    if field is None:
        assert item(row, **record) is not None
    else:
        assert faults(row, **record) == [(field, key)]


def test_every_field_that_is_wrong_is_told_at_once() -> None:
    told = {"facts": {"one": {"path": "a", "as": "integer"}, "two": {"path": "b", "as": "boolean"}}}
    assert [field for field, _ in faults({"a": "x", "b": "y"}, **told)] == ["/row/a", "/row/b"]


def test_the_first_kind_whose_condition_holds_reads_a_record_and_others_are_passed_over() -> None:
    kinds = [
        {"when": "row.t == 'a'", "source_key": "id", "body": {"constant": "mayor"}, "kind": {"constant": "system"}},
        {"when": "row.t in ['a', 'b']", "source_key": "id", "body": {"constant": "audit"}},
    ]
    mapping = parse(yaml.safe_dump({"records": kinds}), "own.yaml")

    found = [mapping.item(FEED, Scene({"id": 7, "t": kind}), version=1) for kind in "abc"]
    assert [one and (one.body, one.kind, one.source_key) for one in found] == [
        ("mayor", "system", "7"),
        ("audit", "information", "7"),
        None,
    ]


def test_a_feed_of_one_body_need_not_say_it() -> None:
    alone = FEED.model_copy(update={"bodies": frozenset({"audit"})})
    found = parse("records: [{source_key: id}]", "own.yaml").item(alone, Scene({"id": "A"}), version=4)
    assert found is not None
    assert (found.body, found.source_version) == ("audit", 4)


def test_relations_are_to_each_key_and_what_is_retired_says_so() -> None:
    found = item(
        {"on": ["B", 7], "net": None, "gone": True, "why": "更改"},
        relations=[{"type": "runs_on", "to": "on"}, {"type": "connects", "to": "net", "feed": "netbox"}],
        retired="row.gone",
        reason="why",
    )
    assert found is not None
    assert [(one.type, one.source_key, one.feed) for one in found.relations] == [
        ("runs_on", "B", None),
        ("runs_on", "7", None),
    ]
    assert (found.operation, found.reason) == ("retire", "更改")


def test_what_a_record_leaves_open_is_kept() -> None:
    mapping = parse(
        mapping_of(
            name="big",
            facts={
                "one": "big",
                "two": "small",
                "three": {"cel": "row.big.startsWith(row.small)"},
                "four": {"cel": "row['big'] + row.small"},
                "five": {"cel": "row.bigger + row.small"},
            },
            declared={"confidentiality": "big"},
            relations=[{"type": "stores", "to": "big"}],
        ),
        "own.yaml",
    )
    found = mapping.item(FEED, Scene({"id": "A", "small": "s"}, {}, lambda path: path == ("big",)))
    assert found is not None
    assert set(found.kept) == {
        "name",
        "facts.one",
        "facts.three",
        "facts.four",
        "declared.confidentiality",
        "relations.stores",
    }
    assert set(found.facts) == {"two"}


def test_what_identifies_may_not_be_left_open() -> None:
    mapping = parse(mapping_of(source_key="big"), "own.yaml")
    with pytest.raises(UnreadableError) as raised:
        mapping.item(FEED, Scene({}, {}, lambda path: True), under="/row")
    assert raised.value.faults[0].key == "inventory.mapping.untold"


@pytest.mark.parametrize(
    ("content", "mistakes"),
    [
        ("", ["1:1: not a mapping"]),
        ("records: [", ["1:11: not YAML"]),
        ("records: []", ["1:10: no kind of record"]),
        ("recods: []", ["1:9: This field is not known", "1:1: records: This field is required"]),
        ("records:\n  - name: a\n", ["2:5: source_key: This field is required"]),
        ("records:\n  - source_key: {path: a, constant: 1}\n", ["2:17: give one of"]),
        ("records:\n  - source_key: id\n    facts: {Serial: a}\n", ["3:21: The format differs"]),
        ("records:\n  - source_key: id\n    when: row.a ==\n", ["3:11: not a CEL expression"]),
        ("records:\n  - source_key: id\n    when: rwo.a == 1\n", ["3:11: unknown name rwo"]),
        ("records:\n  - source_key: {cel: 'kye'}\n", ["2:23: unknown name kye"]),
        ("records:\n  - source_key: {path: a, lookup: w}\n", ["2:35: there is no lookup w"]),
        ("records:\n  - source_key: id\n    relations:\n      - {type: owns, to: a}\n", ["4:16: Give one of:"]),
        ("records:\n  - source_key: id\n    relations:\n      - {type: stores, to: {path: a, as: txt}}\n", ["4:42: Give one of"]),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_line_and_column(content: str, mistakes: list[str]) -> None:
    with pytest.raises(MappingFileError) as raised:
        parse(content, "own.yaml")
    told = str(raised.value).splitlines()
    assert len(told) == len(mistakes), told
    for mistake in mistakes:
        assert any(line.startswith(f"own.yaml:{mistake}") for line in told), told


def test_a_file_in_another_encoding_is_told(tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_bytes("records: 台帳".encode("cp932"))
    with pytest.raises(MappingFileError, match="not UTF-8"):
        load(file)


def test_the_committed_schema_is_that_of_the_model() -> None:
    committed: str = SCHEMA["FILE"].read_text(encoding="utf-8")
    assert committed == SCHEMA["content"](), "run make schemas"
    jsonschema.Draft202012Validator.check_schema(json.loads(committed))


@pytest.mark.parametrize("file", [one for one in SHIPPED if one.name != "feeds.yaml"], ids=lambda file: file.name)
def test_what_is_shipped_fits_the_schema(file: Path) -> None:
    load(file)
    validator = jsonschema.Draft202012Validator(json.loads(SCHEMA["content"]()))
    errors = [*validator.iter_errors(yaml.safe_load(file.read_text(encoding="utf-8")))]
    assert not errors, errors[0].message
