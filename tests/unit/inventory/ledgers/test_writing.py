# SPDX-License-Identifier: Apache-2.0
"""Rows as CSV and workbooks: what a spreadsheet must not run, what an encoding does not have, and a sheet that is full."""

from __future__ import annotations

import io

import pytest
from openpyxl import load_workbook

from services.inventory.ledgers.writing import LONGEST_CELL, CsvWriter, XlsxWriter, replaced_for_cp932, unheld_by

RISKY = ("=1+1", "+81", "-5", "@SUM(A1)", "\tx", "＝1", "＠x", "'=1", "''+1")


@pytest.mark.parametrize("text", RISKY)
def test_in_csv_what_a_spreadsheet_could_run_has_an_apostrophe_before_it(text: str) -> None:
    file = io.BytesIO()
    writer = CsvWriter(file, "utf-8-sig")
    writer.write([text, "住所", None, 5])
    writer.close()

    assert file.getvalue().decode("utf-8-sig") == f"'{text},住所,,5\r\n"


@pytest.mark.parametrize("text", RISKY)
def test_in_a_workbook_it_is_a_text_and_stays_one_when_it_is_edited(text: str) -> None:
    file = io.BytesIO()
    writer = XlsxWriter(file)
    writer.write(["備考"])
    writer.write([text])
    writer.close()

    cell = load_workbook(file).worksheets[0]["A2"]
    assert (cell.data_type, cell.value, cell.quotePrefix) == ("s", text, True)


def test_a_full_sheet_is_followed_by_another_with_the_same_header() -> None:
    file = io.BytesIO()
    writer = XlsxWriter(file, most_rows=3)
    for row in (["台帳番号"], ["A-1"], ["A-2"], ["A-3"]):
        writer.write(row)
    writer.close()

    sheets = load_workbook(file).worksheets
    assert [[cell.value for cell in sheet["A"]] for sheet in sheets] == [
        ["台帳番号", "A-1", "A-2"],
        ["台帳番号", "A-3"],
    ]


def test_what_a_workbook_cannot_hold_does_not_break_it() -> None:
    file = io.BytesIO()
    writer = XlsxWriter(file)
    writer.write(["備考"])
    writer.write(["改\x0bページ" + "長" * LONGEST_CELL])
    writer.close()

    assert len(load_workbook(file).worksheets[0]["A2"].value) == LONGEST_CELL


@pytest.mark.parametrize(
    ("text", "missing", "replaced"),
    [("髙橋①﨑", "", "髙橋①﨑"), ("10〜20−", "〜−", "10～20－"), ("𠮷野𠮷", "𠮷", "〓野〓"), ("名簿", "", "名簿")],
)
def test_what_cp932_does_not_have_is_named_and_replaced_by_the_nearest(text: str, missing: str, replaced: str) -> None:
    assert unheld_by("cp932", text) == missing
    assert unheld_by("utf-8-sig", text) == ""
    assert replaced_for_cp932(text) == replaced
    assert replaced.encode("cp932").decode("cp932") == replaced
