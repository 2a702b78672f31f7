# SPDX-License-Identifier: Apache-2.0
"""Ledgers as workbooks: what sections of a city hall do with Excel, and what is told of a workbook that cannot be read."""

from __future__ import annotations

import io
import tracemalloc
from collections.abc import Callable, Iterable
from datetime import date, datetime
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import pytest
from openpyxl import Workbook
from openpyxl.worksheet.worksheet import Worksheet

from libs.contracts import FeedItem, Profile
from services.inventory.doors import UnreadableError
from services.inventory.ledgers import sheets
from services.inventory.ledgers.columns import default_columns
from services.inventory.ledgers.reading import Ledger, PassedOver, Refused, Told, lines

HEADER = ("台帳番号", "情報資産名", "種類")
Fill = Callable[[Worksheet], None]


def book(*fills: Fill) -> bytes:
    """A workbook with a sheet for each function, which fills it."""
    workbook = Workbook()
    workbook.remove(workbook.worksheets[0])
    for number, fill in enumerate(fills, 1):
        fill(workbook.create_sheet(f"表{number}"))
    content = io.BytesIO()
    workbook.save(content)
    return content.getvalue()


def rows(*given: Iterable[Any]) -> Fill:
    def fill(sheet: Worksheet) -> None:
        for row in given:
            sheet.append(list(row))

    return fill


def read(profile: Profile, content: bytes) -> list[Told | Refused | PassedOver]:
    ledger = Ledger(profile.feed_by_id["ledger"], "mayor", 1, default_columns())
    return list(lines(io.BytesIO(content), ledger))


def items(profile: Profile, content: bytes) -> list[FeedItem]:
    return [line.item for line in read(profile, content) if isinstance(line, Told)]


def faults(profile: Profile, content: bytes) -> list[tuple[str | None, str]]:
    """Which cell, and which sentence."""
    found = [fault for line in read(profile, content) if isinstance(line, Refused) for fault in line.faults]
    return [(fault.at.cell, fault.key.removeprefix("inventory.ledger.")) for fault in found]


class TestCells:
    def cell(self, profile: Profile, header: str, value: Any, number_format: str | None = None) -> FeedItem:
        def fill(sheet: Worksheet) -> None:
            rows((*HEADER, header), ("A-1", "名簿", "情報"))(sheet)
            sheet["D2"] = value
            if number_format:
                sheet["D2"].number_format = number_format

        (item,) = items(profile, book(fill))
        return item

    @pytest.mark.parametrize(
        ("header", "value", "fact"),
        [
            ("件数", 1200, {"record_count": 1200}),
            ("件数", 1200.0, {"record_count": 1200}),
            ("件数", "１，２００件", {"record_count": 1200}),
            ("目標復旧時間", 0.5, {"rto_hours": 0.5}),
            ("個人情報の有無", True, {"personal_data": True}),
            ("個人情報の有無", False, {"personal_data": False}),
            ("登録日", date(2026, 4, 1), {"registered_on": "2026-04-01"}),
            ("登録日", datetime(2026, 4, 1), {"registered_on": "2026-04-01"}),  # noqa: DTZ001 - as Excel has it
            ("登録日", 46113, {"registered_on": "2026-04-01"}),
            ("登録日", "令和８年４月１日", {"registered_on": "2026-04-01"}),
            ("備考", 12, {"remarks": "12"}),
            ("備考", date(2026, 4, 1), {"remarks": "2026-04-01"}),
            ("備考", "'90年代", {"remarks": "'90年代"}),
        ],
    )
    def test_a_value_is_taken_for_what_the_column_holds(
        self, profile: Profile, header: str, value: Any, fact: dict[str, Any]
    ) -> None:
        found = self.cell(profile, header, value).facts

        assert found == fact
        assert [type(one) for one in found.values()] == [type(one) for one in fact.values()]

    def test_a_number_with_leading_zeros_is_what_is_shown(self, profile: Profile) -> None:
        assert self.cell(profile, "備考", 12, "0000").facts == {"remarks": "0012"}

    def test_a_number_that_is_not_whole_is_no_count(self, profile: Profile) -> None:
        assert faults(profile, book(rows((*HEADER, "件数"), ("A-1", "名簿", "情報", 1.5)))) == [("D2", "integer")]

    def test_a_formula_is_read_as_its_value_and_one_without_is_told(self, profile: Profile) -> None:
        content = book(rows((*HEADER, "件数"), ("A-1", "名簿", "情報", "=600*2")))
        assert faults(profile, content) == [("D2", "formula")]

        worked_out = _edited(content, "xl/worksheets/sheet1.xml", b"<v />", b"<v>1200</v>")
        assert [item.facts for item in items(profile, worked_out)] == [{"record_count": 1200}]

    def test_an_error_of_a_formula_is_told(self, profile: Profile) -> None:
        def fill(sheet: Worksheet) -> None:
            rows((*HEADER, "件数"), ("A-1", "名簿", "情報", "#N/A"))(sheet)
            sheet["D2"].data_type = "e"

        assert faults(profile, book(fill)) == [("D2", "error_value")]

    def test_a_text_that_looks_like_an_error_is_a_text(self, profile: Profile) -> None:
        def fill(sheet: Worksheet) -> None:
            rows((*HEADER, "備考"), ("A-1", "名簿", "情報", "#N/A"))(sheet)
            sheet["D2"].data_type = "s"

        assert [item.facts for item in items(profile, book(fill))] == [{"remarks": "#N/A"}]


class TestMerged:
    def test_what_is_merged_down_holds_for_every_row_and_what_is_not_for_none(self, profile: Profile) -> None:
        def fill(sheet: Worksheet) -> None:
            rows((*HEADER, "所管課", "業務"), ("A-1", "名簿", "情報", "市民課", "戸籍"))(sheet)
            rows(("A-2", "台帳", "情報"), ("A-3", "調書", "情報"), ("A-4", "控え", "情報"))(sheet)
            sheet.merge_cells("D2:D4")
            sheet.merge_cells("E2:E3")

        found = items(profile, book(fill))
        assert [item.section for item in found] == ["市民課", "市民課", "市民課", None]
        assert [item.facts.get("business") for item in found] == ["戸籍", "戸籍", None, None]

    def test_a_row_with_nothing_of_its_own_is_blank(self, profile: Profile) -> None:
        def fill(sheet: Worksheet) -> None:
            rows((*HEADER, "所管課"), ("A-1", "名簿", "情報", "市民課"))(sheet)
            sheet["D5"] = "税務課"
            sheet.merge_cells("D2:D4")

        assert [item.source_key for item in items(profile, book(fill))] == ["A-1"]
        assert {cell for cell, _ in faults(profile, book(fill))} == {"A5", "B5", "C5"}

    def test_one_number_for_two_rows_is_told(self, profile: Profile) -> None:
        def fill(sheet: Worksheet) -> None:
            rows(HEADER, ("A-1", "名簿", "情報"), (None, "台帳", "情報"))(sheet)
            sheet.merge_cells("A2:A3")

        assert faults(profile, book(fill)) == [("A3", "repeated")]

    def test_groups_above_the_header(self, profile: Profile) -> None:
        def fill(sheet: Worksheet) -> None:
            rows(("情報資産管理台帳",), (*HEADER, "個人情報"), (None, None, None, "有無", "要配慮"))(sheet)
            rows(("A-1", "名簿", "情報", "有", "無"))(sheet)
            for merged in ("A1:E1", "A2:A3", "B2:B3", "C2:C3", "D2:E2"):
                sheet.merge_cells(merged)

        (item,) = items(profile, book(fill))
        assert item.facts == {"personal_data": True, "sensitive_data": False}


class TestSheets:
    def test_each_with_a_header_is_read_and_the_others_are_told(self, profile: Profile) -> None:
        def hidden(sheet: Worksheet) -> None:
            rows(HEADER, ("A-9", "控え", "情報"))(sheet)
            sheet.sheet_state = "hidden"

        content = book(
            rows(HEADER, ("A-1", "名簿", "情報")),
            rows(("この台帳の書き方",), ("1", "台帳番号を記入する")),
            rows(("種類", "情報資産名", "管理番号"), ("情報", "台帳", "A-2")),
            hidden,
            rows(HEADER),
        )
        assert [item.source_key for item in items(profile, content)] == ["A-1", "A-2"]
        assert [line for line in read(profile, content) if isinstance(line, PassedOver)] == [
            PassedOver("表2", "inventory.ledger.no_header_in_sheet"),
            PassedOver("表4", "inventory.ledger.hidden_sheet"),
            PassedOver("表5", "inventory.ledger.no_rows"),
        ]

    def test_a_number_stands_once_in_the_whole_book(self, profile: Profile) -> None:
        content = book(rows(HEADER, ("A-1", "名簿", "情報")), rows(HEADER, ("A-1", "名簿", "情報")))

        assert faults(profile, content) == [("A2", "repeated_in_another_sheet")]

    def test_a_book_without_a_ledger_is_told(self, profile: Profile) -> None:
        assert faults(profile, book(rows(("a", "b")))) == [(None, "no_header")]

    def test_a_wrong_header_keeps_out_its_own_sheet_alone(self, profile: Profile) -> None:
        content = book(rows((*HEADER, "血液型"), ("A-1", "名簿", "情報", "A")), rows(HEADER, ("A-2", "名簿", "情報")))

        assert faults(profile, content) == [("D1", "unknown_column")]
        assert [item.source_key for item in items(profile, content)] == ["A-2"]

    def test_a_wrong_extent_does_not_cut_rows_off(self, profile: Profile) -> None:
        content = book(rows(HEADER, ("A-1", "名簿", "情報"), ("A-2", "名簿", "情報")))
        narrowed = _edited(content, "xl/worksheets/sheet1.xml", b'ref="A1:C3"', b'ref="A1:A1"')

        assert [item.source_key for item in items(profile, narrowed)] == ["A-1", "A-2"]


class TestUnreadable:
    def told(self, profile: Profile, content: bytes) -> str:
        with pytest.raises(UnreadableError) as refused:
            read(profile, content)
        assert refused.value.malformed
        (fault,) = refused.value.faults
        return fault.key.removeprefix("inventory.ledger.")

    def test_an_archive_that_is_no_workbook(self, profile: Profile) -> None:
        content = io.BytesIO()
        with ZipFile(content, "w") as archive:
            archive.writestr("readme.txt", "x")

        assert self.told(profile, content.getvalue()) == "workbook"
        assert self.told(profile, b"PK\x03\x04 and no more") == "workbook"

    def test_one_that_breaks_off(self, profile: Profile) -> None:
        content = book(rows(HEADER, ("A-1", "名簿", "情報")))
        broken = _edited(content, "xl/worksheets/sheet1.xml", b"</sheetData>", b"")

        assert self.told(profile, broken) == "workbook"

    def test_one_of_the_old_format_or_with_a_password(self, profile: Profile) -> None:
        assert self.told(profile, bytes.fromhex("d0cf11e0a1b11ae1") + b"\0" * 600) == "old_workbook"

    def test_an_entity_is_not_expanded(self, profile: Profile) -> None:
        content = book(rows(HEADER, ("A-1", "名簿", "情報")))
        declared = b'<!DOCTYPE w [<!ENTITY e "eeee">]><worksheet'
        assert self.told(profile, _edited(content, "xl/worksheets/sheet1.xml", b"<worksheet", declared)) == "workbook"

    def test_one_that_would_unpack_to_too_much(self, profile: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sheets, "MOST_UNPACKED", 1000)
        assert self.told(profile, book(rows(HEADER, ("A-1", "名簿", "情報")))) == "workbook_too_large"

    def test_a_row_numbered_beyond_any_sheet(self, profile: Profile) -> None:
        content = book(rows(HEADER, ("A-1", "名簿", "情報")))
        moved = _edited(content, "xl/worksheets/sheet1.xml", b'<row r="2"', b'<row r="99999999999"')

        assert self.told(profile, moved) == "workbook"


@pytest.mark.parametrize("form", ["csv", "xlsx"])
def test_a_large_ledger_is_not_held_in_memory(profile: Profile, tmp_path: Path, form: str) -> None:
    count, remark = 6000, "備" * 299
    given = [(*HEADER, "備考"), *((f"A-{number}", "名簿", "情報", remark) for number in range(count))]
    text = "\r\n".join(map(",".join, given)).encode()
    file = tmp_path / form
    file.write_bytes(text if form == "csv" else _written_alone(given))
    ledger = Ledger(profile.feed_by_id["ledger"], "mayor", 1, default_columns())
    tracemalloc.start()
    try:
        with file.open("rb") as content:
            read_rows = sum(isinstance(line, Told) for line in lines(content, ledger))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert read_rows == count
    # of each row no more than its number is remembered
    assert peak < len(text) / 1.5


def _written_alone(given: Iterable[Iterable[Any]]) -> bytes:
    """A workbook whose texts stand in their cells, as programs write that stream."""
    workbook = Workbook(write_only=True)
    sheet = workbook.create_sheet()
    for row in given:
        sheet.append(row)
    content = io.BytesIO()
    workbook.save(content)
    return content.getvalue()


def _edited(content: bytes, name: str, old: bytes, new: bytes) -> bytes:
    """The workbook with a piece of one of its files replaced, which must be there."""
    edited = io.BytesIO()
    with ZipFile(io.BytesIO(content)) as archive, ZipFile(edited, "w", ZIP_DEFLATED) as copy:
        for one in archive.namelist():
            piece = archive.read(one)
            if one == name:
                assert old in piece
                piece = piece.replace(old, new)
            copy.writestr(one, piece)
    return edited.getvalue()
