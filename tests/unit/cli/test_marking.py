# SPDX-License-Identifier: Apache-2.0
"""The copy of a ledger with a comment in each wrong cell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from openpyxl import Workbook, load_workbook
from openpyxl.comments import Comment

from cli.errors import CliError
from cli.language import speaking
from cli.marking import mark


def fault(cell: str | None, sentence: str = "本でなく情報", sheet: str | None = None, row: int = 1) -> dict[str, Any]:
    return {"sheet": sheet, "row": row, "cell": cell, "detail": {"ja": sentence, "en": "a word of the list"}}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return tmp_path / "copy.xlsx"


@pytest.fixture
def book(tmp_path: Path) -> Path:
    """Two sheets; a merged cell, a formula, and a comment that a person made."""
    workbook = Workbook()
    first = workbook.worksheets[0]
    first.title = "本庁"
    for row in (["台帳番号", "件数"], ["A-1", "=1+1"], ["A-2", None]):
        first.append(row)
    first["A3"].comment = Comment("確認済み", "担当")
    first.merge_cells("B2:B3")
    workbook.create_sheet("支所").append(["台帳番号"])
    file = tmp_path / "ledger.xlsx"
    workbook.save(file)
    return file


def test_each_wrong_cell_of_a_workbook_has_a_comment_and_nothing_else_is_changed(book: Path, copy: Path) -> None:
    before = book.read_bytes()
    faults = [
        fault("A2", sheet="本庁"),
        fault("A3", sheet="本庁"),
        fault("B3", sheet="本庁"),
        fault("A1", sheet="支所"),
    ]
    with speaking("ja"):
        mark(book, copy, faults)

    found = load_workbook(copy)
    commented = {f"{sheet.title} {cell.coordinate}" for sheet in found for row in sheet for cell in row if cell.comment}
    assert commented == {"本庁 A2", "本庁 A3", "本庁 B2", "支所 A1"}
    assert found["本庁"]["A2"].comment.text == "本でなく情報"
    assert found["本庁"]["A3"].comment.text == "確認済み\n本でなく情報"
    assert found["本庁"]["B2"].value == "=1+1"
    assert book.read_bytes() == before


def test_several_faults_of_a_cell_are_all_told_and_one_of_a_row_stands_in_its_first_cell(
    book: Path, copy: Path
) -> None:
    with speaking("en"):
        mark(book, copy, [fault("A2", sheet="本庁"), fault("A2", sheet="本庁"), fault(None, sheet="支所", row=1)])

    found = load_workbook(copy)
    assert found["本庁"]["A2"].comment.text == "a word of the list\na word of the list"
    assert found["支所"]["A1"].comment is not None


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp932"])
def test_of_csv_a_workbook_is_made_whose_rows_stand_in_their_lines(tmp_path: Path, copy: Path, encoding: str) -> None:
    file = tmp_path / "ledger.csv"
    file.write_bytes('台帳番号,備考\r\nA-1,"二行の\n備考"\r\nA-2,=HYPERLINK("x")\r\n,\x0b\r\n'.encode(encoding))
    with speaking("ja"):
        mark(file, copy, [fault("B4")])

    (sheet,) = load_workbook(copy).worksheets
    assert [sheet[cell].value for cell in ("A1", "B2", "A3", "A4")] == ["台帳番号", "二行の\n備考", None, "A-2"]
    assert (sheet["B4"].data_type, sheet["B4"].value) == ("s", '=HYPERLINK("x")')
    assert sheet["B4"].comment.text == "本でなく情報"


def test_a_csv_that_is_broken_is_copied_as_far_as_it_can_be_read(tmp_path: Path, copy: Path) -> None:
    file = tmp_path / "ledger.csv"
    file.write_text("台帳番号\nA-1\n" + '"' + "x" * 200_000, encoding="utf-8")
    with speaking("ja"):
        mark(file, copy, [fault(None, row=3)])

    (sheet,) = load_workbook(copy).worksheets
    assert sheet["A2"].value == "A-1"
    assert sheet["A3"].comment is not None


def test_a_copy_that_cannot_be_made_or_written_is_told(tmp_path: Path, book: Path) -> None:
    with pytest.raises(CliError, match="nowhere"):
        mark(book, tmp_path / "nowhere" / "copy.xlsx", [])
    broken = tmp_path / "broken.xlsx"
    broken.write_bytes(b"PK\x03\x04 no workbook")
    with pytest.raises(CliError, match=r"broken\.xlsx"):
        mark(broken, tmp_path / "copy.xlsx", [])
