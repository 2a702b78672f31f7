# SPDX-License-Identifier: Apache-2.0
"""From a record's bytes to a checked event, or to the one reason why it cannot be taken."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails, from_json

from libs.bus.records import ConsumerRecord
from libs.catalogue import Sentence, field_sentence, text
from libs.contracts import CloudEvent, Contract, Reason, make_key
from libs.contracts.topics import MAX_VALUE_BYTES

MAX_DEPTH: Final = 32
"""Deepest nesting that is looked into for a reason. What a contract lets pass is never as deep: it has a type at every level."""

EventT = TypeVar("EventT", bound=CloudEvent[Contract])

_REQUIRED: Final = ("specversion", "type")
"""CloudEvents 1.0.2 asks senders for these; the models have defaults, which are for our own senders."""

_STRING: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)
_NOT_A_BRACKET: Final = bytes(set(range(256)) - set(b"[]{}"))
_NAME: Final = re.compile(r"^[A-Za-z0-9_-]{1,64}$")
_VERSION: Final = re.compile(r"\.v[0-9]+$")


class Rejected(Exception):  # noqa: N818 - a message is rejected; nothing is in error
    """A record that cannot be taken: why, in which field (`data.facts.record_count`), and what about it.

    Neither `field` nor `detail` holds a value of the record.
    """

    def __init__(self, reason: Reason, field: str | None, detail: str) -> None:
        super().__init__(f"{reason}: {field or '-'}: {detail}")
        self.reason = reason
        self.field = field
        self.detail = detail


def decode(model: type[EventT], record: ConsumerRecord, *, max_bytes: int = MAX_VALUE_BYTES) -> EventT:
    """The event in a record's value; raises Rejected. A good one is parsed once and nothing more."""
    value = record.value
    if not value:
        raise Rejected(Reason.EMPTY, None, sentence("deadletter.empty"))
    if len(value) > max_bytes:
        raise Rejected(Reason.TOO_LARGE, None, sentence("deadletter.too_large", size=len(value), limit=max_bytes))
    try:
        event = model.model_validate_json(value)
    except ValidationError as error:
        raise _reason(model, value, error) from None
    if not event.model_fields_set.issuperset(_REQUIRED):
        raise _reason(model, value, None)
    return event


def read_object(value: bytes, *, max_bytes: int) -> dict[str, Any]:
    """The JSON object in a value that is no event of ours; raises Rejected."""
    if len(value) > max_bytes:
        raise Rejected(Reason.TOO_LARGE, None, sentence("deadletter.too_large", size=len(value), limit=max_bytes))
    content = _parsed(value)
    if not isinstance(content, dict):
        raise Rejected(Reason.SCHEMA, None, sentence("deadletter.not_object"))
    return content


def check_key(key: bytes | None, network: str, body: str, *rest: str) -> None:
    """Raises Rejected (`key-mismatch`) where a record's key is not of the network and body that its content names.

    With `rest` the whole key must agree.
    """
    expected = make_key(network, body, *rest)
    agrees = key == expected if rest else (key or b"").startswith(expected + b"/")
    if not agrees:
        raise Rejected(Reason.KEY_MISMATCH, None, sentence("deadletter.key_mismatch"))


def failed(error: Exception) -> Rejected:
    """For a record on which the program itself failed; the error's text is not told, for it may hold values."""
    return Rejected(Reason.FAILED, None, sentence("deadletter.failed", error=type(error).__name__))


def type_of(model: type[CloudEvent[Contract]]) -> str:
    """The `type` attribute of a model's events."""
    return str(model.model_fields["type"].default)


def sentence(key: str, **args: object) -> str:
    """A sentence of the catalogue in both languages, for a `detail`."""
    return f"{text(key, 'ja', **args)} / {text(key, 'en', **args)}"


def _reason(model: type[CloudEvent[Contract]], value: bytes, error: ValidationError | None) -> Rejected:
    """Why a value was not taken; the slow way, for bad ones only."""
    try:
        content = _parsed(value)
    except Rejected as rejected:
        return rejected
    if not isinstance(content, dict):
        return Rejected(Reason.SCHEMA, None, sentence("deadletter.not_object"))
    return _type_reason(model, content) or _schema_reason(content, error)


def _parsed(value: bytes) -> Any:
    """What a value says in JSON; raises Rejected."""
    try:
        value.decode()
    except UnicodeDecodeError as found:
        raise Rejected(Reason.NOT_UTF8, None, sentence("deadletter.not_utf8", place=found.start + 1)) from None
    if _too_deep(value):
        raise Rejected(Reason.TOO_DEEP, None, sentence("deadletter.too_deep", limit=MAX_DEPTH))
    try:
        return from_json(value)
    except ValueError as found:
        raise Rejected(Reason.NOT_JSON, None, sentence("deadletter.not_json", error=found)) from None


def _type_reason(model: type[CloudEvent[Contract]], content: Mapping[str, Any]) -> Rejected | None:
    expected = type_of(model)
    found = content.get("type")
    if found == expected:
        return None
    if isinstance(found, str) and _VERSION.search(found) and _unversioned(found) == _unversioned(expected):
        return Rejected(Reason.UNKNOWN_VERSION, "type", sentence("deadletter.unknown_version", expected=expected))
    return Rejected(Reason.UNKNOWN_TYPE, "type", sentence("deadletter.unknown_type", expected=expected))


def _unversioned(name: str) -> str:
    return _VERSION.sub("", name)


def _schema_reason(content: Mapping[str, Any], error: ValidationError | None) -> Rejected:
    if error is None:
        return Rejected(Reason.SCHEMA, "specversion", sentence("problems.field.missing"))
    first = error.errors(include_url=False, include_input=False)[0]
    path = _path(content, first["loc"], absent=first["type"] == "missing")
    whole = len(path) == len(first["loc"])
    return Rejected(Reason.SCHEMA, ".".join(path) or None, _field_sentence(first, whole=whole))


def _path(content: object, location: tuple[int | str, ...], *, absent: bool) -> list[str]:
    """The part of an error's location that is a place in the content (or `absent` from it), without pydantic's labels behind it.

    A name that a sender made up may be anything, a person's name too: it is told only where it looks like a field's.
    """
    path: list[str] = []
    for step in location:
        if isinstance(content, list) and isinstance(step, int) and step < len(content):
            content = content[step]
        elif isinstance(content, dict) and (step in content or absent):
            content = content.get(step)
        else:
            break
        path.append(str(step) if _NAME.match(str(step)) else "*")
    return path


def _field_sentence(error: ErrorDetails, *, whole: bool) -> str:
    """`whole` False: the error is of one of several allowed types, so that its own sentence would mislead."""
    told = field_sentence(error) if whole else Sentence("problems.field.other")
    return sentence(told.key, **told.args)


def _too_deep(value: bytes) -> bool:
    """Strings are taken out first, for brackets in them nest nothing. Linear in the value's size whatever it holds."""
    if value.count(b"{") + value.count(b"[") <= MAX_DEPTH:
        return False
    depth = 0
    for bracket in _STRING.sub(b"", value).translate(None, _NOT_A_BRACKET):
        depth += 1 if bracket in b"[{" else -1
        if depth > MAX_DEPTH:
            return True
    return False
