# SPDX-License-Identifier: Apache-2.0
"""From a ledger's rows to feed items, one after the other: which header means what is told by `columns.py`."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from types import MappingProxyType
from typing import Any, BinaryIO, Final, NamedTuple

from pydantic import ValidationError
from pydantic_core import to_json

from libs.contracts import EarlierLevel, EarlierScales, Feed, FeedItem, Text
from libs.contracts.words import LevelCode
from services.inventory.doors.delivery import LARGEST_ITEM
from services.inventory.doors.faults import faults_of
from services.inventory.ledgers.columns import Column, Columns, Words
from services.inventory.ledgers.dates import NotADayError, day_of
from services.inventory.ledgers.faults import At, CellFault
from services.inventory.ledgers.header import Header, Place, split
from services.inventory.ledgers.sheets import Row, Sheet, Unusable, Value, sheets_of, told

UNDECIDED: Final = ("facts", "undecided_levels")
_CONTROL: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f\ufffe\uffff]")
"""What XML, and so a workbook, cannot hold; a carriage return is a line's end like any other."""
_LINE_ENDS: Final = re.compile("\r\n?")


class Ledger(NamedTuple):
    """Whose ledger it is, in which version, and how it is read; `earlier` has the levels of scales used before."""

    feed: Feed
    body: str
    version: int
    columns: Columns
    earlier: EarlierScales = MappingProxyType({})


class Undecided(NamedTuple):
    """A cell with an earlier level that may be several of today's: where, its code, those of today in rising order, and by what to
    choose."""

    at: At
    earlier: LevelCode
    choices: tuple[LevelCode, ...]
    decide: Text


class Told(NamedTuple):
    """A row that is an asset; `at` is its row."""

    at: At
    item: FeedItem
    undecided: tuple[Undecided, ...] = ()


class Refused(NamedTuple):
    """A row, or the header of a sheet and with it every row below, that cannot be taken."""

    faults: tuple[CellFault, ...]


class PassedOver(NamedTuple):
    """A sheet that is no ledger; `key` says why."""

    sheet: str
    key: str


class _CellError(Exception):
    def __init__(self, key: str, **args: Any) -> None:
        super().__init__(key)
        self.key = key
        self.args_ = args


def lines(file: BinaryIO, ledger: Ledger) -> Iterator[Told | Refused | PassedOver]:
    """What each row of a file says, in its order; all of it once, and of no row nothing.

    Raises UnreadableError where not even the format is right, also on the way.
    """
    numbers: dict[str, At] = {}
    found = False
    for sheet in sheets_of(file):
        if sheet.hidden and sheet.name is not None:
            yield PassedOver(sheet.name, "inventory.ledger.hidden_sheet")
            continue
        header, rows = split(sheet, ledger.columns, ledger.earlier)
        if header is not None:
            found = True
            yield from _of_sheet(sheet, header, rows, ledger, numbers)
        elif sheet.name is not None:
            yield PassedOver(sheet.name, "inventory.ledger.no_header_in_sheet")
    if not found:
        yield Refused((CellFault(At(None), "inventory.ledger.no_header"),))


def line_of(cells: Sequence[Value], header: Header, ledger: Ledger) -> Told | Refused:
    """What one row says by itself, under a header that was found before."""
    return _line(None, header, Row(header.row + 1, list(cells)), ledger, {})


def _of_sheet(
    sheet: Sheet, header: Header, rows: Iterator[Row], ledger: Ledger, numbers: dict[str, At]
) -> Iterator[Told | Refused | PassedOver]:
    if header.faults:
        yield Refused(header.faults)
        return
    empty = True
    for row in rows:
        empty = False
        yield _line(sheet.name, header, row, ledger, numbers)
    if empty:
        at = At(sheet.name, header.row)
        if sheet.name is None:
            yield Refused((CellFault(at, "inventory.ledger.no_rows"),))
        else:
            yield PassedOver(sheet.name, "inventory.ledger.no_rows")


def _line(sheet: str | None, header: Header, row: Row, ledger: Ledger, numbers: dict[str, At]) -> Told | Refused:
    if row.broken:
        return Refused((CellFault(At(sheet, row.number), "inventory.ledger.quoting", {"row": row.number}),))
    faults = list(_strays(sheet, header, row))
    described: dict[str, Any] = {"body": ledger.body, "feed": ledger.feed.id, "source_version": ledger.version}
    for place in header.places:
        value = _cell(row, place)
        try:
            if told(value):
                _describe(described, value, place, ledger.columns)
            elif place.column.required:
                raise _CellError("inventory.ledger.empty")
        except _CellError as error:
            faults.append(CellFault(_at(sheet, row, place), error.key, error.args_))
    item = None if faults else _item(sheet, header, row, described, faults)
    if item is None or not _is_first(sheet, header, row, item, numbers, faults):
        return Refused(tuple(faults))
    return Told(At(sheet, row.number), item, tuple(_undecided(sheet, header, row)))


def _item(
    sheet: str | None, header: Header, row: Row, described: dict[str, Any], faults: list[CellFault]
) -> FeedItem | None:
    try:
        item = FeedItem.model_validate(described)
    except ValidationError as error:
        faults.extend(_from_field(sheet, header, row, fault.field, fault.key, fault.args) for fault in faults_of(error))
        return None
    if len(to_json(described)) > LARGEST_ITEM:
        faults.append(CellFault(At(sheet, row.number), "inventory.item_too_large", {"limit": LARGEST_ITEM}))
        return None
    return item


def _is_first(
    sheet: str | None, header: Header, row: Row, item: FeedItem, numbers: dict[str, At], faults: list[CellFault]
) -> bool:
    """A number stands once in a ledger, whatever the sheet."""
    here = At(sheet, row.number)
    first = numbers.setdefault(item.source_key, here)
    if first is here:
        return True
    where = {"first": first.row, "sheet": first.sheet or ""}
    key = "inventory.ledger.repeated" if first.sheet == sheet else "inventory.ledger.repeated_in_another_sheet"
    place = next(place for place in header.places if place.column.field == "source_key")
    faults.append(CellFault(_at(sheet, row, place), key, where))
    return False


def _cell(row: Row, place: Place) -> Value:
    return row.cells[place.at] if place.at < len(row.cells) else None


def _at(sheet: str | None, row: Row, place: Place) -> At:
    return At(sheet, row.number, place.header, place.at + 1)


def _strays(sheet: str | None, header: Header, row: Row) -> Iterator[CellFault]:
    """Cells under no header: of CSV most often those behind a comma that should have been quoted, such as 1,200."""
    for at, value in enumerate(row.cells):
        if at not in header.headed and told(value):
            yield CellFault(At(sheet, row.number, str(at + 1), at + 1), "inventory.ledger.stray")


def _undecided(sheet: str | None, header: Header, row: Row) -> Iterator[Undecided]:
    for place in header.places:
        level = _earlier_level(_cell(row, place), place)
        if level and level.decide:
            yield Undecided(_at(sheet, row, place), level.code, level.to, level.decide)


def _earlier_level(value: Value, place: Place) -> EarlierLevel | None:
    return place.earlier.get(_normalised(_written(value))) if place.earlier and told(value) else None


def _describe(described: dict[str, Any], value: Value, place: Place, columns: Columns) -> None:
    if isinstance(value, Unusable):
        raise _CellError(value.key)
    level = _earlier_level(value, place)
    if level is None:
        read = _READ[place.column.type](value, place.column, columns)
        # a list's separators alone say nothing
        if read != []:
            _put(described, place.column.path, read)
        return
    _put(described, place.column.path, level.to[-1])
    if level.decide:
        _put(described, UNDECIDED, [*described.get("facts", {}).get(UNDECIDED[-1], ()), place.column.dimension])


def _put(described: dict[str, Any], path: Sequence[str], value: Any) -> None:
    for step in path[:-1]:
        described = described.setdefault(step, {})
    described[path[-1]] = value


def _written(value: Value) -> str:
    """A cell as a person would read it."""
    if isinstance(value, bool):
        return str(value).upper()
    return value.isoformat() if isinstance(value, date) else str(value).strip()


def _text(value: Value, *_: object) -> str:
    written = _LINE_ENDS.sub("\n", _written(value))
    if _CONTROL.search(written):
        raise _CellError("inventory.ledger.control_character")
    return written


def _texts(value: Value, _: Column, columns: Columns) -> list[str]:
    # the separator may be written full-width, and nothing else is normalised
    wide = chr(ord(columns.list_separator) + 0xFEE0)
    parts = _text(value).replace(wide, columns.list_separator).split(columns.list_separator)
    return [part.strip() for part in parts if part.strip()]


def _code(value: Value, *_: object) -> str:
    return _normalised(_text(value))


def _word(value: Value, column: Column, columns: Columns) -> Any:
    return _code_of(_written(value), columns.words_of(column))


def _code_of(written: str, words: Words) -> Any:
    try:
        return words[_normalised(written)]
    except KeyError:
        raise _CellError("inventory.ledger.word", expected=_listed(words)) from None


def _words(value: Value, column: Column, columns: Columns) -> list[Any]:
    words = columns.words_of(column)
    return [_code_of(part, words) for part in _parts(value, columns)]


def _integer(value: Value, _: Column, columns: Columns) -> int:
    digits = _digits(value, columns)
    if not re.fullmatch(r"[0-9]{1,15}|[0-9]{1,3}(,[0-9]{3}){1,4}", digits):
        raise _CellError("inventory.ledger.integer")
    return int(digits.replace(",", ""))


def _number(value: Value, _: Column, columns: Columns) -> int | float:
    digits = _digits(value, columns)
    if not re.fullmatch(r"([0-9]{1,12}|[0-9]{1,3}(,[0-9]{3}){1,3})(\.[0-9]{1,3})?", digits):
        raise _CellError("inventory.ledger.number")
    number = float(digits.replace(",", ""))
    return int(number) if number.is_integer() else number


def _digits(value: Value, columns: Columns) -> str:
    written = _normalised(_written(value))
    unit = next((unit for unit in columns.units if written.endswith(unit)), "")
    return written.removesuffix(unit).strip()


def _date(value: Value, column: Column, columns: Columns) -> str:
    written, words = _written(value), columns.words_of(column)
    code: str | None = words.get(_normalised(written))
    if code is not None:
        return code
    try:
        return day_of(written).isoformat()
    except NotADayError as error:
        if error.began is not None:
            raise _CellError("inventory.ledger.before_era", began=error.began.isoformat()) from None
        raise _CellError("inventory.ledger.date") from None


def _relations(value: Value, column: Column, columns: Columns) -> list[dict[str, str]]:
    relations = []
    words = columns.words_of(column)
    for part in _parts(value, columns):
        word, separator, target = part.partition(columns.relation_separator)
        kind = words.get(word.strip())
        if kind is None or not separator or not target.strip():
            raise _CellError("inventory.ledger.relation", expected=_listed(words))
        relations.append({"type": kind, "source_key": target.strip()})
    return relations


_READ: Final[Mapping[str, Callable[[Value, Column, Columns], Any]]] = {
    "text": _text,
    "texts": _texts,
    "code": _code,
    "word": _word,
    "words": _words,
    "boolean": _word,
    "integer": _integer,
    "number": _number,
    "date": _date,
    "relations": _relations,
}


def _parts(value: Value, columns: Columns) -> list[str]:
    return [part.strip() for part in _normalised(_text(value)).split(columns.list_separator) if part.strip()]


def _normalised(written: str) -> str:
    return unicodedata.normalize("NFKC", written).strip()


def _listed(words: Words) -> str:
    return " / ".join(dict.fromkeys(words))


def _from_field(
    sheet: str | None, header: Header, row: Row, field: str, key: str, args: Mapping[str, Any]
) -> CellFault:
    """From the item's field to the cell that it came from."""
    path = field.strip("/").split("/")
    for place in header.places:
        if list(place.column.path) == path[: len(place.column.path)]:
            return CellFault(_at(sheet, row, place), key, args)
    return CellFault(At(sheet, row.number, path[0]), key, args)
