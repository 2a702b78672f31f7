# SPDX-License-Identifier: Apache-2.0
"""CSV and XLSX as the same thing: sheets of numbered rows of typed cells, read as a stream."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime, time
from typing import BinaryIO, Final, NamedTuple, TypeAlias
from xml.etree.ElementTree import Element
from zipfile import BadZipFile, ZipFile

from openpyxl import load_workbook
from openpyxl.cell.cell import ERROR_CODES
from openpyxl.cell.read_only import EmptyCell, ReadOnlyCell
from openpyxl.utils.cell import range_boundaries
from openpyxl.worksheet._read_only import ReadOnlyWorksheet
from openpyxl.xml.constants import SHEET_MAIN_NS
from openpyxl.xml.functions import iterparse

from services.inventory.doors.delivery import Fault, UnreadableError

MOST_UNPACKED: Final = 4 * 1024**3
"""Bytes of a workbook once unpacked: a million rows of forty columns have about two thousand million."""
MOST_SHARED: Final = 128 * 1024**2
"""Bytes of a workbook's table of shared texts, which is kept in memory."""
MOST_ROWS: Final = 1_048_576
"""Rows of a sheet (ECMA-376); a file that numbers one higher would have us count to it."""

_ZIP: Final = b"PK\x03\x04"
_OLE: Final = bytes.fromhex("d0cf11e0a1b11ae1")
"""How files of Excel before 2007 begin, and those with a password."""
_UTF16: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_NOT_CP932: Final = re.compile("[\x80\xa0\uf8f0-\uf8f3]")
"""Python's cp932 lets these single bytes through, which Windows-31J does not define."""
_CHUNK: Final = 256 * 1024
_SHARED: Final = "xl/sharedStrings.xml"
_ROW, _CELL, _FORMULA, _VALUE, _MERGED = (f"{{{SHEET_MAIN_NS}}}{name}" for name in ("row", "c", "f", "v", "mergeCell"))
_LEADING_ZEROS: Final = re.compile("0{2,}")
"""The number format of ledger numbers such as 0012."""
_NEUTRALISED: Final = re.compile(r"'+[=+\-@\t\r＝＋－＠]")

# a cell of relations may be longer than Python would have it
csv.field_size_limit(1024 * 1024)


class Unusable(NamedTuple):
    """A cell that has no value; `key` is of the catalogue."""

    key: str


Value: TypeAlias = str | int | float | bool | date | Unusable | None


class Row(NamedTuple):
    """A row by its number in its sheet (of CSV: the line in which it begins).

    `broken`: neither it nor anything behind it can be read. `carried`: columns, from 0, whose value comes down from a merged cell above. `spread`: columns to the right in a merged cell, with its value.
    """

    number: int
    cells: list[Value]
    carried: frozenset[int] = frozenset()
    spread: Mapping[int, Value] = {}
    broken: bool = False

    @property
    def blank(self) -> bool:
        return not self.broken and not any(told(value) for at, value in enumerate(self.cells) if at not in self.carried)


class Sheet(NamedTuple):
    """`name` None: CSV. `hidden` ones are not shown to whoever opens the file."""

    name: str | None
    rows: Iterator[Row]
    hidden: bool = False


def told(value: Value) -> bool:
    """Whether a cell says anything."""
    return value is not None and not (isinstance(value, str) and not value.strip())


def sheets_of(file: BinaryIO) -> Iterator[Sheet]:
    """The sheets of a file, each to be read before the next is asked for. Raises UnreadableError where not even the format is right."""
    file.seek(0)
    start = file.read(len(_OLE))
    file.seek(0)
    if start.startswith(_OLE):
        raise _unreadable("inventory.ledger.old_workbook")
    if start.startswith(_ZIP):
        return _of_workbook(file)
    if start.startswith(_UTF16):
        raise _unreadable("inventory.ledger.utf16")
    return iter([Sheet(None, _of_csv(file, _encoding_of(file)))])


def _of_csv(file: BinaryIO, encoding: str) -> Iterator[Row]:
    text = io.TextIOWrapper(file, encoding, newline="")
    reader = csv.reader(text, strict=True)
    line = 1
    try:
        for cells in reader:
            yield Row(line, [_without_mark(cell) for cell in cells])
            line = reader.line_num + 1
    except csv.Error:
        yield Row(line, [], broken=True)
    finally:
        # who opened the file closes it
        text.detach()


def _without_mark(cell: str) -> str:
    """A text behind the apostrophe that keeps a spreadsheet from taking it for a formula."""
    return cell[1:] if cell.startswith("'") and _NEUTRALISED.match(cell) else cell


def _encoding_of(file: BinaryIO) -> str:
    """UTF-8, with or without a byte order mark, else cp932: whichever has not a single byte that does not fit."""
    utf8 = _broken_at(file, "utf-8")
    if utf8 is None:
        return "utf-8-sig"
    cp932 = _broken_at(file, "cp932")
    if cp932 is None:
        return "cp932"
    raise _unreadable("inventory.ledger.encoding", utf8=utf8, cp932=cp932)


def _broken_at(file: BinaryIO, encoding: str) -> int | None:
    """The first byte, from 0, that does not fit an encoding."""
    file.seek(0)
    decoder = codecs.getincrementaldecoder(encoding)()
    read = 0
    try:
        while True:
            chunk = file.read(_CHUNK)
            pending = len(decoder.getstate()[0])
            try:
                text = decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as error:
                return read - pending + error.start
            if encoding == "cp932" and (strange := _NOT_CP932.search(text)):
                return read - pending + len(text[: strange.start()].encode(encoding))
            if not chunk:
                return None
            read += len(chunk)
    finally:
        file.seek(0)


def _of_workbook(file: BinaryIO) -> Iterator[Sheet]:
    _check_size(file)
    with _telling_of_workbooks():
        book = load_workbook(file, read_only=True, data_only=True, keep_links=False)
    for sheet in book.worksheets:
        if isinstance(sheet, ReadOnlyWorksheet):
            yield Sheet(sheet.title, _of_sheet(sheet), hidden=sheet.sheet_state != "visible")


def _check_size(file: BinaryIO) -> None:
    """By what the archive's directory says, which `zipfile` holds each member to."""
    try:
        with ZipFile(file) as archive:
            sizes = {member.filename: member.file_size for member in archive.infolist()}
    except (BadZipFile, OSError, ValueError):
        raise _unreadable("inventory.ledger.workbook") from None
    if sum(sizes.values()) > MOST_UNPACKED or sizes.get(_SHARED, 0) > MOST_SHARED:
        raise _unreadable("inventory.ledger.workbook_too_large")


@contextmanager
def _telling_of_workbooks() -> Iterator[None]:
    """openpyxl has no error of its own: what is wrong with a file comes up as whatever it stumbles over."""
    try:
        yield
    except (UnreadableError, MemoryError):
        raise
    except Exception:
        raise _unreadable("inventory.ledger.workbook") from None


class _Merged(NamedTuple):
    """A merged range, columns from 0 and rows from 1, both ends in it."""

    left: int
    top: int
    right: int
    bottom: int


def _of_sheet(sheet: ReadOnlyWorksheet) -> Iterator[Row]:
    with _telling_of_workbooks():
        merged, without_value = _noted(sheet)
        # some programs note a wrong extent, which would cut rows off
        sheet.reset_dimensions()
        carrying: dict[int, tuple[Value, int]] = {}
        rows = sheet.iter_rows()
    number = 0
    while True:
        with _telling_of_workbooks():
            try:
                cells = [_value_of(cell) for cell in next(rows)]
            except StopIteration:
                return
        number += 1
        if number > MOST_ROWS:
            raise _unreadable("inventory.ledger.workbook")
        for at in without_value.get(number, ()):
            cells[at] = Unusable("inventory.ledger.formula")
        starting = merged.get(number, ())
        spread = {
            at: cells[one.left]
            for one in starting
            if one.left < len(cells)
            for at in range(one.left + 1, one.right + 1)
        }
        carried = _carry(cells, number, carrying)
        for one in starting:
            if one.bottom > number and one.left < len(cells):
                carrying[one.left] = (cells[one.left], one.bottom)
        yield Row(number, cells, carried, spread)


def _carry(cells: list[Value], number: int, carrying: dict[int, tuple[Value, int]]) -> frozenset[int]:
    """Fill in what comes down from merged cells above, and say where."""
    for at in [at for at, (_, bottom) in carrying.items() if bottom < number]:
        del carrying[at]
    for at, (value, _) in carrying.items():
        cells.extend([None] * (at + 1 - len(cells)))
        cells[at] = value
    return frozenset(carrying)


def _noted(sheet: ReadOnlyWorksheet) -> tuple[Mapping[int, Iterable[_Merged]], Mapping[int, Iterable[int]]]:
    """What openpyxl does not tell of a sheet that it reads as a stream: by row, the merged ranges that begin there, and the columns of
    formulas whose value was never worked out."""
    merged: dict[int, list[_Merged]] = defaultdict(list)
    without_value: dict[int, list[int]] = defaultdict(list)
    with sheet._get_source() as source:
        for _, element in iterparse(source, events=("end",)):
            if element.tag == _CELL:
                if element.find(_FORMULA) is not None and not _worked_out(element):
                    left, top, *_ = range_boundaries(element.get("r"))
                    without_value[top].append(left - 1)
            elif element.tag == _MERGED:
                left, top, right, bottom = range_boundaries(element.get("ref"))
                merged[top].append(_Merged(left - 1, top, right - 1, bottom))
            elif element.tag == _ROW:
                element.clear()
    return merged, without_value


def _worked_out(cell: Element) -> bool:
    """A formula may have the empty text for its value, but then the cell is told to be a text."""
    return bool(cell.findtext(_VALUE)) or cell.get("t") == "str"


def _value_of(cell: ReadOnlyCell | EmptyCell) -> Value:
    value = cell.value
    if isinstance(value, str) and cell.data_type == "e" and value in ERROR_CODES:
        return Unusable("inventory.ledger.error_value")
    if isinstance(value, datetime):
        return value.date() if value.time() == time() else value.isoformat(" ")
    if isinstance(value, bool | str | date) or value is None:
        return value
    if isinstance(value, int | float):
        whole = int(value) if float(value).is_integer() else value
        if isinstance(whole, int) and _LEADING_ZEROS.fullmatch(cell.number_format):
            return f"{whole:0{len(cell.number_format)}d}"
        return whole
    return str(value)


def _unreadable(key: str, **args: object) -> UnreadableError:
    return UnreadableError([Fault("", key, **args)], malformed=True)
