# SPDX-License-Identifier: Apache-2.0
"""Each kind of change to a released schema, and whether it breaks who wrote or who reads."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from libs.contracts.compatibility import breaks
from libs.contracts.generate import is_command, messages, schema_of, type_of

RELEASED: dict[str, Any] = {
    "$defs": {
        "Kind": {"type": "string", "enum": ["system", "media"]},
        "Node": {
            "type": "object",
            "properties": {
                "kind": {"$ref": "#/$defs/Kind"},
                "next": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]},
            },
            "required": ["kind"],
        },
    },
    "type": "object",
    "properties": {
        "type": {"type": "string", "const": "event.v1", "default": "event.v1"},
        "name": {"type": "string", "minLength": 1, "maxLength": 10, "pattern": "^[a-z]+$"},
        "count": {"type": "integer", "minimum": 0, "maximum": 9},
        "note": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None},
        "node": {"$ref": "#/$defs/Node"},
        "tags": {"type": "array", "items": {"type": "string", "maxLength": 5}, "maxItems": 3},
        "facts": {
            "type": "object",
            "patternProperties": {"^[a-z]+$": {"anyOf": [{"type": "integer"}, {"type": "string"}]}},
            "additionalProperties": False,
        },
        "levels": {
            "type": "object",
            "propertyNames": {"$ref": "#/$defs/Kind"},
            "additionalProperties": {"type": "string"},
        },
    },
    "required": ["type", "name", "node"],
}


def changed(path: str, value: Any) -> dict[str, Any]:
    """The released schema with one place set, or taken away by `...`."""
    schema = copy.deepcopy(RELEASED)
    *way, last = path.split("/")
    place = schema
    for step in way:
        place = place[int(step)] if isinstance(place, list) else place[step]
    if value is ...:
        del place[last]
    elif isinstance(place, list):
        place[int(last)] = value
    else:
        place[last] = value
    return schema


TEXT, NUMBER, NULL = {"type": "string"}, {"type": "integer"}, {"type": "null"}
NAME, NODE = "properties/name", "$defs/Node/properties"

SAFE = [
    ("a description", "description", "what it is"),
    ("a title inside", f"{NAME}/title", "Name"),
    ("a new optional field", "properties/extra", TEXT),
    ("a new optional field inside", f"{NODE}/extra", TEXT),
]
ONLY_WIDER = [
    ("a new value of an enum", "$defs/Kind/enum", ["system", "media", "facility"], "/node/kind", "'facility'"),
    ("a higher maximum", "properties/count/maximum", 10, "/count", "maximum above 9"),
    ("no maximum", "properties/count/maximum", ..., "/count", "maximum above 9"),
    ("a lower minimum", "properties/count/minimum", -1, "/count", "minimum below 0"),
    ("a longer string", f"{NAME}/maxLength", 11, "/name", "maxLength above 10"),
    ("a shorter string", f"{NAME}/minLength", 0, "/name", "minLength below 1"),
    ("no pattern", f"{NAME}/pattern", ..., "/name", "pattern"),
    ("a field now optional", "required", ["type", "name"], "/node", "being absent"),
    ("a field inside now optional", "$defs/Node/required", [], "/node/kind", "being absent"),
    ("integer to number", "properties/count/type", "number", "/count", "type"),
    ("a new branch", "properties/note/anyOf", [TEXT, NULL, NUMBER], "/note", "integer"),
    (
        "a field now nullable",
        "properties/count",
        {"anyOf": [{**NUMBER, "minimum": 0, "maximum": 9}, NULL]},
        "/count",
        "null",
    ),
    ("longer entries", "properties/tags/items/maxLength", 6, "/tags/*", "maxLength above 5"),
    ("more entries", "properties/tags/maxItems", 4, "/tags", "maxItems above 3"),
    (
        "a new branch in a map",
        "properties/facts/patternProperties/^[a-z]+$/anyOf",
        [NUMBER, TEXT, NULL],
        "/facts/*",
        "null",
    ),
    (
        "a wider type in a map",
        "properties/levels/additionalProperties",
        {"type": ["string", "null"]},
        "/levels/*",
        "type",
    ),
]
ALWAYS_BREAKING = [
    ("a field that is gone", "properties/note", ..., "/note", "gone"),
    ("a field inside that is gone", f"{NODE}/next", ..., "/node/next", "gone"),
    ("a field renamed", "$defs/Node", {"type": "object", "properties": {"sort": TEXT}}, "/node/kind", "gone"),
    ("a field now required", "required", ["type", "name", "node", "count"], "/count", "being absent"),
    ("another const", "properties/type/const", "event.v2", "/type", "'event.v1'"),
    ("another type", f"{NAME}/type", "integer", "/name", "type string"),
    ("a value gone from an enum", "$defs/Kind/enum", ["system"], "/node/kind", "'media'"),
    ("a string that becomes an enum", f"{NAME}/enum", ["a"], "/name", "any value"),
    ("a lower maximum", "properties/count/maximum", 8, "/count", "maximum above 8"),
    ("a higher minimum", "properties/count/minimum", 1, "/count", "minimum below 1"),
    ("a new limit", "properties/tags/minItems", 1, "/tags", "minItems below 1"),
    ("another pattern", f"{NAME}/pattern", "^[A-Z]+$", "/name", "pattern"),
    ("a new format", f"{NAME}/format", "date", "/name", "format"),
    ("a branch gone", "properties/note/anyOf", [TEXT], "/note", "null"),
    ("another default", "properties/note/default", "-", "/note", "absence"),
    ("a map's pattern changed", "properties/facts/patternProperties", {"^x$": TEXT}, "/facts", "pattern of its keys"),
    ("a map's names narrowed", "properties/levels/propertyNames", {"const": "system"}, "/levels", "propertyNames"),
    ("a keyword not understood", f"{NAME}/x-unit", "m", "/name", "x-unit has changed"),
]


@pytest.mark.parametrize(("path", "value"), [case[1:] for case in SAFE], ids=[case[0] for case in SAFE])
@pytest.mark.parametrize("command", [True, False])
def test_what_adds_breaks_nobody(path, value, command):
    assert breaks(RELEASED, changed(path, value), command=command) == []


@pytest.mark.parametrize(
    ("path", "value", "place", "says"), [case[1:] for case in ONLY_WIDER], ids=[c[0] for c in ONLY_WIDER]
)
def test_what_widens_breaks_the_readers_of_events_only(path, value, place, says):
    assert breaks(RELEASED, changed(path, value), command=True) == []
    found = breaks(RELEASED, changed(path, value), command=False)
    assert [one.path for one in found] == [place]
    assert says in found[0].what and "released readers" in found[0].what


@pytest.mark.parametrize(
    ("path", "value", "place", "says"), [case[1:] for case in ALWAYS_BREAKING], ids=[c[0] for c in ALWAYS_BREAKING]
)
@pytest.mark.parametrize("command", [True, False])
def test_what_narrows_or_takes_away_breaks_all(path, value, place, says, command):
    found = breaks(RELEASED, changed(path, value), command=command)
    assert any(one.path == place and says in one.what for one in found), [str(one) for one in found]


def test_a_field_of_a_closed_command_may_not_go_and_one_may_come():
    closed = changed("additionalProperties", False)
    smaller = copy.deepcopy(closed)
    del smaller["properties"]["note"]
    assert [str(one) for one in breaks(closed, smaller, command=True)] == [
        "/note: the field is gone",
        "/note: the field is no longer taken",
    ]
    larger = copy.deepcopy(closed)
    larger["properties"]["extra"] = TEXT
    assert breaks(closed, larger, command=True) == []
    assert [one.path for one in breaks(closed, larger, command=False)] == ["/extra"]


def test_a_schema_that_meets_itself_is_compared_once():
    assert breaks(RELEASED, RELEASED, command=False) == []


@pytest.mark.parametrize("message", messages(), ids=type_of)
def test_every_message_keeps_its_own_promises(message):
    assert breaks(schema_of(message), schema_of(message), command=is_command(message)) == []
