# SPDX-License-Identifier: Apache-2.0
"""From the register back to a ledger's rows, and those as CSV or XLSX that no spreadsheet takes for formulas."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any, BinaryIO, Final, Literal, NamedTuple, Protocol

from openpyxl import Workbook
from openpyxl.cell import WriteOnlyCell
from openpyxl.styles import Font
from openpyxl.utils.cell import get_column_letter

from libs.contracts import AssetStatus, EarlierScales
from services.inventory.domain import State
from services.inventory.ledgers.columns import Column, Columns
from services.inventory.ledgers.reading import UNDECIDED
from services.inventory.ledgers.sheets import MOST_ROWS, Value

Encoding = Literal["utf-8-sig", "cp932"]

LONGEST_CELL: Final = 32_767
"""Characters of a cell of a workbook; openpyxl would cut longer ones off in silence."""
SHEET: Final = "情報資産管理台帳"
GETA: Final = "〓"
"""What Japanese type-setting puts where it has no type."""
_NEAREST: Final = str.maketrans({"〜": "～", "−": "－", "—": "―", "‖": "∥", "¢": "￠", "£": "￡", "¬": "￢"})
"""Characters that cp932 has under another code point of the same shape."""
_FORMULA: Final = re.compile(r"'*[=+\-@\t\r＝＋－＠]")
"""How a cell begins that a spreadsheet may run (OWASP, CSV Injection); Japanese ones also take the full-width signs."""
_NO_XML: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


class Asset(NamedTuple):
    """An asset under its ledger number; `numbers` has those of the assets that its relations name, by asset id."""

    source_key: str
    state: State
    numbers: Mapping[str, str]


class Writer(Protocol):
    """Writes rows of one width to a file, and what ends it."""

    def write(self, cells: Sequence[Value]) -> None: ...
    def close(self) -> None: ...


def cells_of(asset: Asset, columns: Columns, earlier: EarlierScales) -> list[Value]:
    """A row of the ledger. What a column has no way to say stays empty: `reading` a row again shows whether it says all."""
    return [_cell(asset, column, columns, earlier) for column in columns.columns.values()]


def _cell(asset: Asset, column: Column, columns: Columns, earlier: EarlierScales) -> Value:
    value = _value(asset, column)
    if value is None:
        return None
    if column.dimension and column.dimension in asset.state["facts"].get(UNDECIDED[-1], ()):
        level = next((one for one in earlier.get(column.dimension, ()) if one.decide and one.to[-1] == value), None)
        if level is not None:
            return level.name.ja
    return _WRITTEN[column.type](value, column, columns)


def _value(asset: Asset, column: Column) -> Any:
    if column.field == "source_key":
        return asset.source_key
    if column.field == "operation":
        return "retire" if asset.state["status"] == AssetStatus.RETIRED else "upsert"
    if column.field == "relations":
        return [
            (relation["type"], asset.numbers[relation["asset_id"]])
            for relation in asset.state["relations"]
            if relation["asset_id"] in asset.numbers
        ] or None
    value: Any = asset.state
    for step in column.path:
        value = (value or {}).get(step)
    return value


def _text(value: Any, *_: object) -> str:
    return str(value)


def _texts(value: Any, _: Column, columns: Columns) -> str | None:
    return columns.list_separator.join(value) if isinstance(value, list) else None


def _word(value: Any, column: Column, columns: Columns) -> str | None:
    return None if isinstance(value, list) else columns.first_words_of(column).get(value)


def _words(value: Any, column: Column, columns: Columns) -> str | None:
    words = columns.first_words_of(column)
    return columns.list_separator.join(words[one] for one in value if one in words) if isinstance(value, list) else None


def _number(value: Any, *_: object) -> Value:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _date(value: Any, column: Column, columns: Columns) -> Value:
    word = columns.first_words_of(column).get(value)
    if word is not None:
        return word
    try:
        return date.fromisoformat(value)
    except (TypeError, ValueError):
        return None


def _relations(value: Sequence[tuple[str, str]], column: Column, columns: Columns) -> str:
    words = columns.first_words_of(column)
    pairs = (f"{words[kind]}{columns.relation_separator} {number}" for kind, number in value if kind in words)
    return f"{columns.list_separator} ".join(pairs)


_WRITTEN: Final[Mapping[str, Callable[[Any, Column, Columns], Value]]] = {
    "text": _text,
    "texts": _texts,
    "code": _text,
    "word": _word,
    "words": _words,
    "boolean": _word,
    "integer": _number,
    "number": _number,
    "date": _date,
    "relations": _relations,
}


def unheld_by(encoding: Encoding, value: Value) -> str:
    """The characters of a cell that an encoding does not have, each once."""
    if encoding != "cp932" or not isinstance(value, str) or _fits(value):
        return ""
    return "".join(dict.fromkeys(one for one in value if not _fits(one)))


def replaced_for_cp932(value: Value) -> Value:
    """The cell with the nearest characters that cp932 has, else 〓."""
    if not isinstance(value, str) or _fits(value):
        return value
    return "".join(one if _fits(one) else GETA for one in value.translate(_NEAREST))


def _fits(text: str) -> bool:
    """Whether it comes back as it went: Python's cp932 writes 〜 (U+301C), and reads it as ～ (U+FF5E)."""
    try:
        return text.encode("cp932").decode("cp932") == text
    except UnicodeEncodeError:
        return False


class CsvWriter:
    """Cells that a spreadsheet could run get an apostrophe before them, which an import takes away again."""

    media = "text/csv"

    def __init__(self, file: BinaryIO, encoding: Encoding) -> None:
        self._text = io.TextIOWrapper(file, encoding, newline="")
        self._writer = csv.writer(self._text)

    def write(self, cells: Sequence[Value]) -> None:
        self._writer.writerow([_for_csv(value) for value in cells])

    def close(self) -> None:
        self._text.flush()
        self._text.detach()


class XlsxWriter:
    """Texts are written as texts, whatever they begin with; a full sheet is followed by another with the same first row."""

    media = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"

    def __init__(self, file: BinaryIO, most_rows: int = MOST_ROWS) -> None:
        self._file = file
        self._most_rows = most_rows
        self._book = Workbook(write_only=True)
        self._header: Sequence[Value] | None = None
        self._left = 0

    def write(self, cells: Sequence[Value]) -> None:
        if self._header is None:
            self._header = cells
            self._begin(cells)
            return
        if self._left == 0:
            self._begin(self._header)
        self._append(cells)

    def _begin(self, header: Sequence[Value]) -> None:
        self._sheet = self._book.create_sheet(
            SHEET if not self._book.worksheets else f"{SHEET} {len(self._book.worksheets) + 1}"
        )
        self._sheet.freeze_panes = "A2"
        for at in range(1, len(header) + 1):
            self._sheet.column_dimensions[get_column_letter(at)].width = 18
        self._left = self._most_rows
        bold = Font(bold=True)
        titles = [WriteOnlyCell(self._sheet, title) for title in header]
        for title in titles:
            title.font = bold
        self._append(titles)

    def _append(self, cells: Sequence[Any]) -> None:
        self._sheet.append([self._of(value) if isinstance(value, str) else value for value in cells])
        self._left -= 1

    def _of(self, value: str) -> Any:
        value = _NO_XML.sub("", value)[:LONGEST_CELL]
        if not _FORMULA.match(value):
            return value
        cell = WriteOnlyCell(self._sheet, value)
        cell.data_type = "s"
        # so that it stays a text when a person edits it
        cell.quotePrefix = True
        return cell

    def close(self) -> None:
        self._book.save(self._file)


def as_written(value: Value, form: Literal["csv", "xlsx"]) -> Value:
    """A cell as whoever reads the file again finds it."""
    if form == "csv":
        return None if value is None else value.isoformat() if isinstance(value, date) else str(value)
    return _NO_XML.sub("", value)[:LONGEST_CELL] if isinstance(value, str) else value


def _for_csv(value: Value) -> str:
    if isinstance(value, str):
        return f"'{value}" if _FORMULA.match(value) else value
    return "" if value is None else value.isoformat() if isinstance(value, date) else str(value)
