# SPDX-License-Identifier: Apache-2.0
"""Ledgers as CSV, in UTF-8 or cp932. Which column means what, and how a cell is read, is in `ledger_columns.yaml`."""

from __future__ import annotations

import codecs
import csv
import io
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from libs.contracts import Dimension, EarlierLevel, EarlierScales, FeedItem
from services.inventory.doors.delivery import Delivery, Fault, Sent, Undecided, UnreadableError
from services.inventory.doors.faults import faults_of, pointer_step

COLUMNS: Final = Path(__file__).with_name("ledger_columns.yaml")
UNDECIDED: Final = ("facts", "undecided_levels")
_NOT_CP932: Final = re.compile("[\x80\xa0\uf8f0-\uf8f3]")
"""Python's cp932 lets these single bytes through, which Windows-31J does not define."""

Words = Mapping[str, Any]


class Column(BaseModel):
    """One row of the mapping: a field of FeedItem (dotted) or a fact, and how its cells are read."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    field: str | None = None
    fact: str | None = None
    type: Literal["text", "code", "word", "words", "boolean", "integer", "relations"]
    words: str | None = None
    required: bool = False
    also: tuple[str, ...] = ()

    @property
    def path(self) -> tuple[str, ...]:
        """Where the value goes in a FeedItem."""
        return ("facts", self.fact) if self.fact else tuple((self.field or "").split("."))

    @property
    def dimension(self) -> Dimension | None:
        """Whose levels the column declares."""
        return Dimension(self.path[1]) if self.path[0] == "declared" else None


class Mapped(BaseModel):
    """The mapping file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    columns: Mapping[str, Column]
    passed_over: tuple[str, ...]
    list_separator: str
    relation_separator: str
    units: tuple[str, ...]
    words: Mapping[str, Words]

    def by_header(self) -> Mapping[str, tuple[str, Column]]:
        """Every header that is known, normalised → its column's own name, and the column."""
        return {
            _normalised(header): (name, column)
            for name, column in self.columns.items()
            for header in (name, *column.also)
        }


class _CellError(Exception):
    def __init__(self, key: str, **args: Any) -> None:
        super().__init__(key)
        self.key = key
        self.args_ = args


class _Place(NamedTuple):
    """A column of this file: where it stands, what its header says, and what it means."""

    at: int
    header: str
    column: Column
    earlier: Mapping[str, EarlierLevel]
    """Words of an earlier scale that today's does not have."""


def read(sent: Sent) -> Delivery:
    """A file of one body, a row an asset; all rows or none. Raises UnreadableError naming row and column of each fault.

    `sent.body` and `sent.version` must be given.
    """
    table = _rows(_decoded(sent.content))
    header_line, header = next(table, (1, []))
    places = _places(header, header_line, sent.earlier)
    items: list[FeedItem] = []
    faults: list[Fault] = []
    undecided: list[Undecided] = []
    lines_of_keys: dict[str, int] = {}
    for line, row in table:
        faults.extend(_strays(header, line, row))
        try:
            item = _item(sent, line, row, places)
        except UnreadableError as error:
            faults.extend(error.faults)
            continue
        first = lines_of_keys.setdefault(item.source_key, line)
        if first != line:
            faults.append(_fault(line, _header_of("source_key", places), "inventory.ledger.repeated", first=first))
        items.append(item)
        undecided.extend(_undecided(line, row, places))
    if faults:
        raise UnreadableError(faults)
    if not items:
        raise UnreadableError([Fault("/rows", "inventory.ledger.no_rows")])
    return Delivery(tuple(items), undecided=tuple(undecided))


@cache
def mapped() -> Mapped:
    """The mapping file, read once."""
    return Mapped.model_validate(yaml.safe_load(COLUMNS.read_text(encoding="utf-8")))


def _decoded(content: bytes) -> str:
    """By the byte order mark, else UTF-8, else cp932; whichever it is, without a single byte that does not fit."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise _unreadable("inventory.ledger.utf16")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        utf8_until = error.start
    try:
        text = content.decode("cp932")
    except UnicodeDecodeError as error:
        raise _unreadable("inventory.ledger.encoding", utf8=utf8_until, cp932=error.start) from None
    strange = _NOT_CP932.search(text)
    if strange:
        raise _unreadable(
            "inventory.ledger.encoding", utf8=utf8_until, cp932=len(text[: strange.start()].encode("cp932"))
        )
    return text


def _rows(text: str) -> Iterator[tuple[int, list[str]]]:
    """Each row that is not blank, with the number of its first line in the file."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    line = 1
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                yield line, row
            line = reader.line_num + 1
    except csv.Error:
        raise UnreadableError([Fault(f"/rows/{line}", "inventory.ledger.quoting", row=line)], malformed=True) from None


def _places(header: Sequence[str], line: int, earlier: EarlierScales) -> list[_Place]:
    known, passed_over = mapped().by_header(), {_normalised(name) for name in mapped().passed_over}
    places: dict[str, _Place] = {}
    faults: list[Fault] = []
    for at, cell in enumerate(header):
        told = _normalised(cell)
        name, column = known.get(told, ("", None))
        if column is None:
            if told and told not in passed_over:
                faults.append(_fault(line, told, "inventory.ledger.unknown_column"))
        elif name in places:
            faults.append(_fault(line, told, "inventory.ledger.column_twice", other=places[name].header))
        else:
            places[name] = _Place(at, told, column, _earlier_words(column, earlier))
    for name, column in mapped().columns.items():
        if column.required and name not in places:
            faults.append(_fault(line, name, "inventory.ledger.missing_column"))
    if faults:
        raise UnreadableError(faults)
    return list(places.values())


def _earlier_words(column: Column, earlier: EarlierScales) -> Mapping[str, EarlierLevel]:
    levels = earlier.get(column.dimension, ()) if column.dimension else ()
    words = {word: level for level in levels for word in (level.code, level.name.ja)}
    return {word: level for word, level in words.items() if word not in mapped().words[column.words or ""]}


def _undecided(line: int, row: Sequence[str], places: Sequence[_Place]) -> Iterator[Undecided]:
    for place in places:
        level = _earlier_level(_cell(row, place), place)
        if level and level.decide:
            yield Undecided(_field(line, place.header), level.code, level.to, level.decide)


def _earlier_level(cell: str, place: _Place) -> EarlierLevel | None:
    return place.earlier.get(_normalised(cell))


def _cell(row: Sequence[str], place: _Place) -> str:
    return row[place.at].strip() if place.at < len(row) else ""


def _strays(header: Sequence[str], line: int, row: Sequence[str]) -> Iterator[Fault]:
    """Cells under no header: most often those behind a comma that should have been quoted, such as 1,200."""
    for at, cell in enumerate(row):
        if cell.strip() and not (at < len(header) and header[at].strip()):
            yield _fault(line, str(at + 1), "inventory.ledger.stray")


def _item(sent: Sent, line: int, row: Sequence[str], places: Sequence[_Place]) -> FeedItem:
    described: dict[str, Any] = {"body": sent.body, "feed": sent.feed.id, "source_version": sent.version}
    faults: list[Fault] = []
    for place in places:
        cell = _cell(row, place)
        try:
            if cell:
                _describe(described, cell, place)
            elif place.column.required:
                raise _CellError("inventory.ledger.empty")
        except _CellError as error:
            faults.append(_fault(line, place.header, error.key, **error.args_))
    if faults:
        raise UnreadableError(faults)
    try:
        return FeedItem.model_validate(described)
    except ValidationError as error:
        raise UnreadableError([_in_row(line, fault, places) for fault in faults_of(error)]) from None


def _describe(described: dict[str, Any], cell: str, place: _Place) -> None:
    level = _earlier_level(cell, place)
    if level is None:
        _put(described, place.column.path, _READ[place.column.type](cell, place.column))
        return
    _put(described, place.column.path, level.to[-1])
    if level.decide:
        _put(described, UNDECIDED, [*described.get("facts", {}).get(UNDECIDED[-1], ()), place.column.dimension])


def _put(described: dict[str, Any], path: Sequence[str], value: Any) -> None:
    for step in path[:-1]:
        described = described.setdefault(step, {})
    described[path[-1]] = value


def _text(cell: str, _: Column) -> str:
    return cell


def _code(cell: str, _: Column) -> str:
    return _normalised(cell)


def _word(cell: str, column: Column) -> Any:
    words = mapped().words[column.words or column.type]
    try:
        return words[_normalised(cell)]
    except KeyError:
        raise _CellError("inventory.ledger.word", expected=_listed(words)) from None


def _words(cell: str, column: Column) -> list[Any]:
    return [_word(part, column) for part in _parts(cell)]


def _integer(cell: str, _: Column) -> int:
    told = _normalised(cell)
    unit = next((unit for unit in mapped().units if told.endswith(unit)), "")
    digits = told.removesuffix(unit).strip()
    if not re.fullmatch(r"[0-9]{1,15}|[0-9]{1,3}(,[0-9]{3}){1,4}", digits):
        raise _CellError("inventory.ledger.integer")
    return int(digits.replace(",", ""))


def _relations(cell: str, _: Column) -> list[dict[str, str]]:
    relations = []
    words = mapped().words["relation"]
    for part in _parts(cell):
        word, separator, target = part.partition(mapped().relation_separator)
        kind = words.get(word.strip())
        if kind is None or not separator or not target.strip():
            raise _CellError("inventory.ledger.relation", expected=_listed(words))
        relations.append({"type": kind, "source_key": target.strip()})
    return relations


_READ: Final[Mapping[str, Callable[[str, Column], Any]]] = {
    "text": _text,
    "code": _code,
    "word": _word,
    "words": _words,
    "boolean": _word,
    "integer": _integer,
    "relations": _relations,
}


def _parts(cell: str) -> list[str]:
    return [part.strip() for part in _normalised(cell).split(mapped().list_separator) if part.strip()]


def _normalised(cell: str) -> str:
    return unicodedata.normalize("NFKC", cell).strip()


def _listed(words: Words) -> str:
    return " / ".join(dict.fromkeys(words))


def _in_row(line: int, fault: Fault, places: Sequence[_Place]) -> Fault:
    """From the item's field to the column it came from."""
    path = fault.field.strip("/").split("/")
    header = next((place.header for place in places if list(place.column.path) == path[: len(place.column.path)]), "")
    return _fault(line, header or path[0], fault.key, **fault.args)


def _header_of(field: str, places: Sequence[_Place]) -> str:
    return next(place.header for place in places if place.column.field == field)


def _fault(line: int, header: str, key: str, **args: Any) -> Fault:
    return Fault(_field(line, header), key, **args)


def _field(line: int, header: str) -> str:
    return f"/rows/{line}/{pointer_step(header)}"


def _unreadable(key: str, **args: Any) -> UnreadableError:
    return UnreadableError([Fault("", key, **args)], malformed=True)
