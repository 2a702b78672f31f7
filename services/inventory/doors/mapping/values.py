# SPDX-License-Identifier: Apache-2.0
"""One value of a mapping: found in a record by path or expression, looked up, and brought to its type. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, NamedTuple

import cel

from libs.catalogue import Sentence
from libs.standards.conditions import ConditionError, compile_program
from services.inventory.doors.mapping.document import As, Told, ValueEntry

_NAMES: Final = frozenset({"row", "source"})
_BOUND: Final = re.compile(r"\.(?:all|exists|exists_one|filter|map)\(\s*(\w+)\s*,")
"""The name that a macro of CEL gives to the entries of a list."""
_READ: Final = re.compile(r"""\brow(?:((?:\.\w+)+)(?![\w(])|\[['"]([^'"]+)['"]\])""")
"""What an expression reads of the row: `row.content.bios`, or `row['a name']`."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_BOOLEANS: Final = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}
_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,19}")
_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,19}(\.[0-9]{1,19})?")
_CANNOT: Final = (TypeError, ValueError, RuntimeError, ArithmeticError)

Steps = tuple[str, ...]


class Scene(NamedTuple):
    """What a mapping sees of one record. `untold` says of a path of the row whether the record does not tell it, which is not the same
    as telling that nothing is there."""

    row: Mapping[str, Any]
    source: Mapping[str, Any] = {}
    untold: Callable[[Steps], bool] | None = None


class NoValue(Exception):  # noqa: N818 - told as a fault, with its place
    """A value that cannot be had: the catalogue key of why."""

    def __init__(self, key: str, **args: Any) -> None:
        super().__init__(key)
        self.key = key
        self.args_ = args


def compile_over_record(source: str) -> cel.Program:
    """Raises ConditionError for a mistake in an expression, or for a name that it may not read."""
    program = compile_program(source)
    unknown = set(program.variables()) - _NAMES - set(_BOUND.findall(source))
    if unknown:
        raise ConditionError(Sentence("inventory.mapping.unknown_name", name=min(unknown)))
    return program


class Question:
    """A condition over a record."""

    def __init__(self, source: str) -> None:
        self._program = compile_over_record(source)
        self._always = {"true": True, "false": False}.get(source)

    def holds(self, scene: Scene) -> bool:
        """Raises NoValue where the record gives no answer."""
        if self._always is not None:
            return self._always
        try:
            answer = self._program.execute({"row": dict(scene.row), "source": dict(scene.source)})
        except (KeyError, IndexError, *_CANNOT):
            answer = None
        if not isinstance(answer, bool):
            raise NoValue("inventory.mapping.condition")
        return answer


class MappedValue:
    """A compiled value. `reads` are the paths of the row that it is made of."""

    def __init__(self, entry: ValueEntry, lookups: Mapping[str, Mapping[str, Told]]) -> None:
        self._entry = entry
        self._program = compile_over_record(entry.cel) if entry.cel else None
        self._table = (
            {_word(word): told for word, told in lookups[entry.lookup].items()} if entry.lookup is not None else None
        )
        self.reads = _reads(entry)

    def of(self, scene: Scene) -> Any:
        """None where there is nothing: what is missing, null or empty. Raises NoValue."""
        found = self._found(scene)
        if self._entry.separator is not None and isinstance(found, str):
            found = [part.strip() for part in found.split(self._entry.separator) if part.strip()] or None
        if found is None:
            return self._entry.otherwise
        if self._table is not None:
            found = self._looked_up(found)
        return found if self._entry.as_ is None or found is None else _AS[self._entry.as_](found)

    def is_untold(self, scene: Scene) -> bool:
        """Whether the record leaves open what it is."""
        return scene.untold is not None and any(map(scene.untold, self.reads))

    def _found(self, scene: Scene) -> Any:
        if self._program is not None:
            return _filled(_executed(self._program, scene))
        if self._entry.path is not None:
            return walk(scene.row, self.reads[0])
        return self._entry.constant

    def _looked_up(self, found: Any) -> Any:
        if isinstance(found, list):
            return [self._looked_up(one) for one in found]
        told = (self._table or {}).get(_word(found), self._entry.otherwise)
        if told is None:
            raise NoValue("inventory.mapping.word", expected=" / ".join(list(self._table or {})[:20]))
        return told


def _executed(program: cel.Program, scene: Scene) -> Any:
    """A name that the record does not have gives nothing."""
    try:
        return program.execute({"row": dict(scene.row), "source": dict(scene.source)})
    except (KeyError, IndexError):
        return None
    except _CANNOT:
        raise NoValue("inventory.mapping.expression") from None


def walk(given: Any, steps: Sequence[str]) -> Any:
    """The value at a path, through a list a list of values; None for what is missing, null or empty."""
    if isinstance(given, list):
        return [value for entry in given if (value := walk(entry, steps)) is not None] or None
    if steps:
        return walk(given.get(steps[0]), steps[1:]) if isinstance(given, Mapping) else None
    return _filled(given)


def _filled(value: Any) -> Any:
    return None if value is None or value in ("", [], {}) else value


def _reads(entry: ValueEntry) -> tuple[Steps, ...]:
    if entry.path is not None:
        return (tuple(entry.path.split(".")),)
    if entry.cel is None:
        return ()
    found = (tuple(match[1][1:].split(".")) if match[1] else (match[2],) for match in _READ.finditer(entry.cel))
    return tuple(dict.fromkeys(found))


def _word(value: Any) -> str:
    """Words are compared as people write them: `true`, `1`, and full-width letters as half-width ones."""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return unicodedata.normalize("NFKC", text).strip()


def _text(value: Any) -> str:
    if isinstance(value, str | int | float):
        return str(value).lower() if isinstance(value, bool) else str(value)
    raise NoValue("problems.field.string_type")


def _integer(value: Any) -> int:
    if isinstance(value, str) and _INTEGER.fullmatch(text := _word(value)):
        return int(text)
    if isinstance(value, bool) or not isinstance(value, int):
        raise NoValue("problems.field.int_type")
    return value


def _number(value: Any) -> float:
    if isinstance(value, str) and _NUMBER.fullmatch(text := _word(value)):
        return float(text)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise NoValue("inventory.mapping.number")
    return value


def _boolean(value: Any) -> bool:
    told = _BOOLEANS.get(_word(value).lower()) if isinstance(value, bool | int | str) else None
    if told is None:
        raise NoValue("problems.field.bool_type")
    return told


def _list(value: Any) -> list[str]:
    """Each entry once: a machine tells an address of every interface twice, by IPv4 and by IPv6."""
    return list(dict.fromkeys(map(_text, value if isinstance(value, list) else [value])))


def _date(value: Any) -> str:
    try:
        if isinstance(value, int) and not isinstance(value, bool):
            return (_EPOCH + timedelta(days=value)).date().isoformat()
        return date.fromisoformat(value[:10]).isoformat()
    except (TypeError, ValueError, OverflowError):
        raise NoValue("inventory.mapping.date") from None


def _microseconds(value: Any) -> int:
    try:
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is None:
            raise ValueError("no offset")
        return max(0, (moment - _EPOCH) // timedelta(microseconds=1))
    except (TypeError, ValueError, OverflowError):
        raise NoValue("problems.field.datetime_parsing") from None


_AS: Final[Mapping[As, Callable[[Any], Any]]] = {
    "text": _text,
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
    "list": _list,
    "date": _date,
    "microseconds": _microseconds,
}
