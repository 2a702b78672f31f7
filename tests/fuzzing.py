# SPDX-License-Identifier: Apache-2.0
"""Malformed content without end: one rule of a schema broken at a time, one value of a document changed, some bytes spoilt."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from typing import Any, Final

Schema = Mapping[str, Any]

VALUES: Final = (
    None,
    True,
    -1,
    0.5,
    2**63,
    -(2**63),
    2**80,
    1e308,
    "",
    "x",
    "\x00",
    "長" * 1000,
    "__debezium_unavailable_value",
    [],
    [[]],
    {},
    [None],
    {"a": {"b": []}},
    ["x"] * 70,
)
_DEEPER: Final = 0.8
_STRANGE: Final = (b"null", b"[[[[", b"\xff\xfe", b"1e999", b'"', b"{}", b"-0", b"\x00")


def mutated(content: bytes, rng: random.Random) -> bytes:
    """The same with a few bytes changed, taken away, doubled or put in."""
    spoilt = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 5))):
        at = rng.randrange(len(spoilt) + 1)
        match rng.randrange(4):
            case 0:
                spoilt[at : at + 1] = bytes([rng.randrange(256)])
            case 1:
                del spoilt[at : at + rng.randrange(1, 40)]
            case 2:
                spoilt[at:at] = spoilt[at : at + rng.randrange(1, 40)]
            case 3:
                spoilt[at:at] = rng.choice(_STRANGE)
    return bytes(spoilt)


def changed(content: object, rng: random.Random) -> object:
    """The same JSON with one value somewhere in it replaced by one of another kind."""
    if isinstance(content, dict) and content and rng.random() < 0.9:
        name = rng.choice(list(content))
        return {**content, name: changed(content[name], rng)}
    if isinstance(content, list) and content and rng.random() < 0.9:
        at = rng.randrange(len(content))
        return [*content[:at], changed(content[at], rng), *content[at + 1 :]]
    return rng.choice(VALUES)


class Breaker:
    """Breaks what fits a JSON Schema in one place, by one of the rules that stand there."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._definitions: Schema = schema.get("$defs", {})

    def broken(self, content: Any, rng: random.Random) -> Any:
        """The same, against one rule; for rules that a schema tells of a value alone, never of two together."""
        return self._broken(self._schema, content, rng)

    def _broken(self, schema: Schema, content: Any, rng: random.Random) -> Any:
        schema = self._resolved(schema, content)
        if isinstance(content, dict) and rng.random() < _DEEPER:
            known = [name for name in content if name in schema.get("properties", {})]
            if known:
                name = rng.choice(known)
                return {**content, name: self._broken(schema["properties"][name], content[name], rng)}
        if isinstance(content, list) and content and "items" in schema and rng.random() < _DEEPER:
            at = rng.randrange(len(content))
            return [*content[:at], self._broken(schema["items"], content[at], rng), *content[at + 1 :]]
        return rng.choice(list(_against(schema, content)))

    def _resolved(self, schema: Schema, content: Any) -> Schema:
        """Without references; of several forms the first that the content's kind is of."""
        if reference := schema.get("$ref"):
            return self._resolved(self._definitions[reference.rpartition("/")[2]], content)
        forms = [self._resolved(one, content) for one in schema.get("anyOf", ())]
        return next((form for form in forms if _is_of(form, content)), forms[0] if forms else schema)


def _is_of(schema: Schema, content: Any) -> bool:
    kinds = {"object": dict, "array": list, "string": str, "integer": int, "number": float, "boolean": bool}
    return isinstance(content, kinds.get(schema.get("type", ""), type(None)))


def _against(schema: Schema, content: Any) -> Iterator[Any]:
    """Values that break a rule of the schema; at the least they are of another kind."""
    yield from ([content], {"": content}, 1.5)
    if "const" in schema or "enum" in schema or "format" in schema:
        yield "none of them"
    if "pattern" in schema:
        yield from (f"{content}\x00", "\x00")
    if (most := schema.get("maxLength")) is not None:
        yield "長" * (most + 1)
    if schema.get("minLength"):
        yield ""
    if (least := schema.get("minimum")) is not None:
        yield least - 1
    if (most := schema.get("maximum")) is not None:
        yield most + 1
    if isinstance(content, list) and (most := schema.get("maxItems")) is not None:
        yield [*content, *["x"] * (most + 1)]
    if isinstance(content, dict):
        yield from (
            {name: value for name, value in content.items() if name != one} for one in schema.get("required", ())
        )
        if schema.get("additionalProperties") is False:
            yield {**content, "persnal data": True}
