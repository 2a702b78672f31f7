# SPDX-License-Identifier: Apache-2.0
"""A copy of a ledger as a workbook, with a comment in each cell that is wrong."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final
from zipfile import BadZipFile

from openpyxl import Workbook, load_workbook
from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE, Cell, MergedCell
from openpyxl.comments import Comment
from openpyxl.styles import PatternFill
from openpyxl.utils.exceptions import InvalidFileException
from openpyxl.worksheet.worksheet import Worksheet

from cli.errors import MISUSED, CliError
from cli.files import content_of, write
from cli.language import pick
from libs.contracts import Text

AUTHOR: Final = "Daicho"
_ZIP: Final = b"PK\x03\x04"
_WRONG: Final = PatternFill("solid", fgColor="FFFF99")
_WIDTH, _HEIGHT = 360, 120
_RISKY: Final = ("=", "+", "-", "@")


def mark(file: Path, copy: Path, faults: Iterable[Mapping[str, Any]]) -> None:
    """Write the copy; `faults` are those of a check's answer, told in the person's language. Raises CliError.

    Formulas stay as they are; pictures and charts of the original are not in the copy.
    """
    content = content_of(file)
    book = _opened(content, file) if content.startswith(_ZIP) else _of_csv(content)
    for fault in faults:
        sheet = book[fault["sheet"]] if fault["sheet"] else book.worksheets[0]
        _comment(_cell(sheet, fault["cell"] or f"A{fault['row'] or 1}"), pick(Text.model_validate(fault["detail"])))
    written = io.BytesIO()
    book.save(written)
    write(copy, written.getvalue())


def _opened(content: bytes, file: Path) -> Workbook:
    try:
        return load_workbook(io.BytesIO(content))
    except (BadZipFile, InvalidFileException, KeyError, ValueError) as error:
        raise CliError("cli.ledger.no_copy", code=MISUSED, file=file, detail=error) from error


def _of_csv(content: bytes) -> Workbook:
    """Each row stands in the line in which it begins, as the service counts; every cell is a text."""
    book = Workbook()
    sheet = book.worksheets[0]
    reader = csv.reader(io.StringIO(_text(content), newline=""))
    line = 1
    try:
        for cells in reader:
            for column, value in enumerate(cells, 1):
                _write(sheet.cell(line, column), value)
            line = reader.line_num + 1
    except csv.Error:
        # the check has told of the row; what stands before it is in the copy
        pass
    return book


def _text(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp932", errors="replace")


def _write(cell: Cell, value: str) -> None:
    cell.value = ILLEGAL_CHARACTERS_RE.sub("", value)
    cell.data_type = "s"
    if value.startswith(_RISKY):
        cell.quotePrefix = True


def _cell(sheet: Worksheet, name: str) -> Cell:
    """The cell of that name, or the one that it is merged into."""
    cell = sheet[name]
    if not isinstance(cell, MergedCell):
        return cell
    merged = next(one for one in sheet.merged_cells.ranges if name in one)
    return sheet.cell(merged.min_row, merged.min_col)


def _comment(cell: Cell, sentence: str) -> None:
    before = f"{cell.comment.text}\n" if cell.comment else ""
    cell.comment = Comment(before + sentence, AUTHOR, _HEIGHT, _WIDTH)
    cell.fill = _WRONG
