# SPDX-License-Identifier: Apache-2.0
"""What is wrong with a ledger, cell by cell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from openpyxl.utils.cell import get_column_letter

from libs.catalogue import text_pair
from libs.contracts import Text
from services.inventory.doors.faults import pointer_step


class At(NamedTuple):
    """A place in a ledger. `sheet` None: CSV; `row` 0: the sheet as a whole; `column` from 1, 0: no single cell."""

    sheet: str | None
    row: int = 0
    header: str = ""
    column: int = 0

    @property
    def pointer(self) -> str:
        """`/rows/<row>/<header>`, of a workbook with `/sheets/<name>` before it."""
        sheet = f"/sheets/{pointer_step(self.sheet)}" if self.sheet is not None else ""
        row = f"/rows/{self.row}" if self.row else ""
        return sheet + row + (f"/{pointer_step(self.header)}" if self.header else "")

    @property
    def cell(self) -> str | None:
        """As a spreadsheet names it, such as `D5`."""
        return f"{get_column_letter(self.column)}{self.row}" if self.row and self.column else None


class CellFault(NamedTuple):
    """`key` and `args` are of the catalogue."""

    at: At
    key: str
    args: Mapping[str, Any] = {}

    @property
    def detail(self) -> Text:
        return text_pair(self.key, **self.args)
