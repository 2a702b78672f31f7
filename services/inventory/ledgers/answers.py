# SPDX-License-Identifier: Apache-2.0
"""What is answered of a ledger: what was accepted, what was refused and why, and what would happen."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

from libs.catalogue import text_pair
from libs.contracts import Text
from libs.contracts.words import LevelCode
from services.inventory.intake import Receipt
from services.inventory.ledgers.faults import CellFault
from services.inventory.ledgers.reading import PassedOver, Undecided


class Decision(BaseModel):
    """What a person has to decide: the cell (`/rows/<row>/<column>`) has a level of an earlier scale that may be any of `choices`.

    Until the ledger says which, the asset is declared at the last of them, the highest. `decide` says by what to choose.
    """

    field: str
    choices: tuple[LevelCode, ...]
    detail: Text
    decide: Text


class LedgerFault(BaseModel):
    """One thing wrong, and what to do about it.

    `field` is `/rows/<row>/<column>`, of a workbook with `/sheets/<name>` before it; `row` as the spreadsheet counts (of CSV, the line),
    `column` is its header, `cell` such as `D5` (the row of CSV is its line there too).
    """

    field: str
    sheet: str | None = None
    row: int | None = None
    column: str | None = None
    cell: str | None = None
    detail: Text


class SheetPassedOver(BaseModel):
    """A sheet of which nothing was read."""

    sheet: str
    detail: Text


class LedgerReceipt(Receipt):
    """The receipt of one row."""

    sheet: str | None = None
    row: int


class LedgerAccepted(BaseModel):
    """`accepted` rows have their receipts in the order of the file, unless only their number was asked for; the `refused` faults are of rows that were left out.

    `snapshot` is the session in which they were told, where the ledger was imported as a snapshot.
    """

    accepted: int
    snapshot: str | None = None
    receipts: tuple[LedgerReceipt, ...] = ()
    decisions: tuple[Decision, ...] = ()
    refused: tuple[LedgerFault, ...] = ()
    sheets_passed_over: tuple[SheetPassedOver, ...] = ()


class RowCounts(BaseModel):
    """How many rows would make a new asset, change one (`retired` among them), say nothing new, come too late, or be refused."""

    new: int = 0
    changed: int = 0
    unchanged: int = 0
    ignored: int = 0
    refused: int = 0


class LedgerChange(BaseModel):
    """What a row would do; `columns` are the headers whose values differ from the register."""

    sheet: str | None = None
    row: int
    source_key: str
    outcome: Literal["new", "changed"]
    columns: tuple[str, ...] = ()


class LedgerChecked(BaseModel):
    """What an import would do, row by row; nothing was changed. `changes` are the first 1,000 of those that `rows` counts."""

    rows: RowCounts
    changes: tuple[LedgerChange, ...] = ()
    decisions: tuple[Decision, ...] = ()
    refused: tuple[LedgerFault, ...] = ()
    sheets_passed_over: tuple[SheetPassedOver, ...] = ()


def fault_told(fault: CellFault) -> LedgerFault:
    at = fault.at
    return LedgerFault(
        field=at.pointer,
        sheet=at.sheet,
        row=at.row or None,
        column=at.header or None,
        cell=at.cell,
        detail=fault.detail,
    )


def decision_told(undecided: Undecided) -> Decision:
    at, earlier, choices, decide = undecided
    detail = text_pair(
        "inventory.ledger.earlier_level", earlier=earlier, declared=choices[-1], choices=" / ".join(choices)
    )
    return Decision(field=at.pointer, choices=choices, detail=detail, decide=decide)


def sheet_told(passed_over: PassedOver) -> SheetPassedOver:
    return SheetPassedOver(sheet=passed_over.sheet, detail=text_pair(passed_over.key))
