# SPDX-License-Identifier: Apache-2.0
"""Whether a changed JSON Schema still keeps what a released one promised.

Strict where it cannot know: a keyword that is not understood may not change at all. A message lives on a topic for as long as the
topic keeps it, and readers and writers are renewed at different times, so what counts is who meets whose messages.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

Schema = Mapping[str, Any]

_ANNOTATIONS: Final = frozenset(
    {"title", "description", "examples", "deprecated", "$comment", "$id", "$schema", "$defs"}
)
_LOWER: Final = frozenset({"minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties", "minContains"})
_UPPER: Final = frozenset({"maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties", "maxContains"})
_NARROWING: Final = frozenset({"pattern", "format", "uniqueItems", "propertyNames", "contentEncoding", "multipleOf"})
_OBJECT: Final = frozenset({"properties", "required", "additionalProperties"})
_COMPARED: Final = (
    _ANNOTATIONS
    | _LOWER
    | _UPPER
    | _NARROWING
    | _OBJECT
    | {"type", "enum", "const", "anyOf", "items", "patternProperties", "default"}
)


@dataclass(frozen=True, order=True)
class Break:
    """One promise that is no longer kept; `path` is a JSON Pointer into the message, `*` standing for every entry."""

    path: str
    what: str

    def __str__(self) -> str:
        return f"{self.path or '/'}: {self.what}"


def breaks(released: Schema, current: Schema, *, command: bool) -> Sequence[Break]:
    """What in `current` breaks `released`, in order of place.

    A command is written by others, so what was released must go on being taken. An event is read by others and kept: old readers
    must understand new events, and new readers the old ones.
    """
    found = set(_Reading(current, released, "is no longer taken").gaps())
    if not command:
        found |= set(_Reading(released, current, "is new to released readers").gaps())
    found |= set(_removed(released, current))
    return sorted(found)


@dataclass(frozen=True)
class _Reading:
    """Can one who knows `reader` take everything that one who knows `writer` sends? `complaint` says it of a value."""

    reader: Schema
    writer: Schema
    complaint: str

    def gaps(self) -> Iterator[Break]:
        return self._gaps(self.reader, self.writer, "", ())

    def _gaps(self, reader: Schema, writer: Schema, path: str, seen: tuple[tuple[str, str], ...]) -> Iterator[Break]:
        at = (reader.get("$ref", ""), writer.get("$ref", ""))
        if all(at) and at in seen:
            return
        seen = (*seen, at)
        reader, writer = _resolved(self.reader, reader), _resolved(self.writer, writer)
        if "anyOf" in reader or "anyOf" in writer:
            yield from self._branch_gaps(reader, writer, path, seen)
        else:
            yield from self._value_gaps(reader, writer, path)
            yield from self._object_gaps(reader, writer, path, seen)
            yield from self._entry_gaps(reader, writer, path, seen)
        yield from self._other_gaps(reader, writer, path)

    def _branch_gaps(
        self, reader: Schema, writer: Schema, path: str, seen: tuple[tuple[str, str], ...]
    ) -> Iterator[Break]:
        """Each branch of the writer must be taken by one of the reader's; of several that do not, the nearest is told."""
        choices = reader.get("anyOf", [_bare(reader)])
        for branch in writer.get("anyOf", [_bare(writer)]):
            sent = _resolved(self.writer, branch)
            near = [one for one in choices if _types(_resolved(self.reader, one)) & _types(sent)]
            tried = [tuple(self._gaps(one, branch, path, seen)) for one in near]
            if not tried:
                yield Break(path, f"{_named(sent)} {self.complaint}")
            elif all(tried):
                yield from min(tried, key=len)

    def _value_gaps(self, reader: Schema, writer: Schema, path: str) -> Iterator[Break]:
        if not _types(reader) >= _types(writer):
            yield Break(path, f"{_named(writer)} {self.complaint}")
        allowed, sent = _values(reader), _values(writer)
        if allowed is not None and sent is None:
            yield Break(path, f"any value {self.complaint}")
        elif allowed is not None and sent is not None:
            for value in sent:
                if value not in allowed:
                    yield Break(path, f"the value {value!r} {self.complaint}")
        for keyword in sorted(_LOWER & reader.keys()):
            if writer.get(keyword, float("-inf")) < reader[keyword]:
                yield Break(path, f"{keyword} below {reader[keyword]} {self.complaint}")
        for keyword in sorted(_UPPER & reader.keys()):
            if writer.get(keyword, float("inf")) > reader[keyword]:
                yield Break(path, f"{keyword} above {reader[keyword]} {self.complaint}")
        for keyword in sorted(_NARROWING & reader.keys()):
            if writer.get(keyword) != reader[keyword]:
                yield Break(path, f"{keyword} other than {reader[keyword]!r} {self.complaint}")

    def _object_gaps(
        self, reader: Schema, writer: Schema, path: str, seen: tuple[tuple[str, str], ...]
    ) -> Iterator[Break]:
        known, sent = reader.get("properties", {}), writer.get("properties", {})
        for name in sorted(set(reader.get("required", ())) - set(writer.get("required", ()))):
            yield Break(f"{path}/{name}", f"being absent {self.complaint}")
        for name in sorted(sent):
            if name in known:
                yield from self._gaps(known[name], sent[name], f"{path}/{name}", seen)
            elif reader.get("additionalProperties", True) is False:
                yield Break(f"{path}/{name}", f"the field {self.complaint}")

    def _entry_gaps(
        self, reader: Schema, writer: Schema, path: str, seen: tuple[tuple[str, str], ...]
    ) -> Iterator[Break]:
        """Of arrays, and of objects used as maps."""
        for keyword in ("items", "additionalProperties"):
            known, sent = reader.get(keyword, True), writer.get(keyword, True)
            if isinstance(known, Mapping) and isinstance(sent, Mapping):
                yield from self._gaps(known, sent, f"{path}/*", seen)
            elif isinstance(known, Mapping) and sent is True:
                yield Break(f"{path}/*", f"any entry {self.complaint}")
        patterns, sent_patterns = reader.get("patternProperties", {}), writer.get("patternProperties", {})
        for pattern in sorted(patterns.keys() & sent_patterns.keys()):
            yield from self._gaps(patterns[pattern], sent_patterns[pattern], f"{path}/*", seen)

    def _other_gaps(self, reader: Schema, writer: Schema, path: str) -> Iterator[Break]:
        """What an absent field means, names of entries, and keywords that are not understood must stay as they are."""
        for keyword in sorted((reader.keys() | writer.keys()) - _COMPARED):
            if reader.get(keyword) != writer.get(keyword):
                yield Break(path, f"{keyword} has changed")
        if reader.get("patternProperties", {}).keys() != writer.get("patternProperties", {}).keys():
            yield Break(path, "the pattern of its keys has changed")
        if "default" in reader and "default" in writer and reader["default"] != writer["default"]:
            yield Break(path, "what its absence means has changed")


def _removed(released: Schema, current: Schema) -> Iterator[Break]:
    """Fields that are gone: somebody may use them, also where nobody had to send them."""
    left = dict(_fields(current, current, "", frozenset()))
    for path, _ in _fields(released, released, "", frozenset()):
        if path not in left:
            yield Break(path, "the field is gone")


def _fields(root: Schema, schema: Schema, path: str, seen: frozenset[str]) -> Iterator[tuple[str, Schema]]:
    reference = schema.get("$ref", "")
    if reference in seen:
        return
    seen = seen | ({reference} if reference else set())
    schema = _resolved(root, schema)
    for name, inner in schema.get("properties", {}).items():
        yield f"{path}/{name}", inner
        yield from _fields(root, inner, f"{path}/{name}", seen)
    for inner in schema.get("anyOf", ()):
        yield from _fields(root, inner, path, seen)
    entries = (schema.get("items"), schema.get("additionalProperties"), *schema.get("patternProperties", {}).values())
    for inner in entries:
        if isinstance(inner, Mapping):
            yield from _fields(root, inner, f"{path}/*", seen)


def _resolved(root: Schema, schema: Schema) -> Schema:
    """`schema` with its reference into `$defs` replaced; what stands beside the reference (a default) stays."""
    while "$ref" in schema:
        target: Schema = root["$defs"][schema["$ref"].removeprefix("#/$defs/")]
        schema = {**target, **{name: value for name, value in schema.items() if name != "$ref"}}
    return schema


def _bare(branch: Schema) -> Schema:
    return {name: value for name, value in branch.items() if name != "default"}


def _types(schema: Schema) -> frozenset[str]:
    """The JSON types a schema allows; an integer is a number too."""
    if "type" not in schema:
        return _ANY_TYPE
    named = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    return frozenset(named) | (frozenset({"integer"}) if "number" in named else frozenset())


_ANY_TYPE: Final = frozenset({"string", "number", "integer", "boolean", "object", "array", "null"})


def _values(schema: Schema) -> Sequence[Any] | None:
    """The only values a schema allows, None where it does not list them."""
    if "const" in schema:
        return (schema["const"],)
    values: Sequence[Any] | None = schema.get("enum")
    return values


def _named(schema: Schema) -> str:
    return "a value of type " + "/".join(sorted(_types(schema)))
