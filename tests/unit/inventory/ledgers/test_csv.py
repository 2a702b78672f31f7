# SPDX-License-Identifier: Apache-2.0
"""Ledgers as CSV: every encoding and every way to write a cell, and what is told of one that cannot be read."""

from __future__ import annotations

import codecs
import io
from typing import Any

import pytest

from libs.catalogue import text
from libs.contracts import EarlierScales, FeedItem, Profile
from samples.generate import city, files
from services.inventory.doors import UnreadableError
from services.inventory.ledgers.columns import default_columns
from services.inventory.ledgers.faults import CellFault
from services.inventory.ledgers.reading import Ledger, Refused, Told, lines

HEADER = "台帳番号,情報資産名,種類"
VERSION = 20260401


def read(
    profile: Profile, content: str | bytes, body: str = "mayor", earlier: EarlierScales | None = None
) -> list[Told | Refused]:
    given = content if isinstance(content, bytes) else content.encode()
    ledger = Ledger(profile.feed_by_id["ledger"], body, VERSION, default_columns(), earlier or {})
    return list(lines(io.BytesIO(given), ledger))


def items(profile: Profile, content: str | bytes, body: str = "mayor") -> tuple[FeedItem, ...]:
    told = read(profile, content, body)
    assert all(isinstance(line, Told) for line in told), told
    return tuple(line.item for line in told)


def refused(profile: Profile, content: str | bytes) -> list[CellFault]:
    found = [fault for line in read(profile, content) if isinstance(line, Refused) for fault in line.faults]
    for fault in found:
        assert text(fault.key, "en", **fault.args) != text(fault.key, "ja", **fault.args)
    return found


def faults(profile: Profile, content: str | bytes) -> list[tuple[str, str]]:
    """Where, and which sentence."""
    return [(one.at.pointer, one.key.removeprefix("inventory.ledger.")) for one in refused(profile, content)]


def unreadable(profile: Profile, content: bytes) -> UnreadableError:
    with pytest.raises(UnreadableError) as raised:
        read(profile, content)
    return raised.value


def cell(profile: Profile, header: str, value: str) -> FeedItem:
    (item,) = items(profile, f'{HEADER},{header}\nA-1,住民基本台帳,情報,"{value}"\n')
    return item


class TestSamples:
    @pytest.mark.parametrize("body", sorted(city(1, 9).items))
    def test_each_ledger_of_the_city_says_exactly_its_items(self, profile: Profile, body: str) -> None:
        ledgers = city(20260401, 900)
        content = files(ledgers)[f"{body}.csv"]

        told = items(profile, content, body)
        expected = [FeedItem.model_validate({**item, "source_version": VERSION}) for item in ledgers.items[body]]
        assert list(told) == expected
        assert len(told) > 3

    def test_there_are_nine(self) -> None:
        assert len(city(1, 9).items) == 9


class TestEncodings:
    TEXT = HEADER + ",備考\r\nA-1,髙橋―①様式〜,情報,\r\n"

    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
    def test_utf8_with_a_byte_order_mark_or_none(self, profile: Profile, encoding: str) -> None:
        assert [item.name for item in items(profile, self.TEXT.encode(encoding))] == ["髙橋―①様式〜"]

    def test_cp932_as_excel_writes_it(self, profile: Profile) -> None:
        content = self.TEXT.replace("〜", "～").encode("cp932")

        assert [item.name for item in items(profile, content)] == ["髙橋―①様式～"]

    @pytest.mark.parametrize("mark", [codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE])
    def test_utf16_is_named(self, profile: Profile, mark: bytes) -> None:
        error = unreadable(profile, mark + self.TEXT.encode("utf-16-le"))

        assert error.malformed
        assert [fault.key for fault in error.faults] == ["inventory.ledger.utf16"]

    @pytest.mark.parametrize("strange", [b"\xff", b"\xfd", b"\xa0", b"\x80", b"\x81"])
    def test_what_is_neither_is_told_with_the_first_byte_that_does_not_fit(
        self, profile: Profile, strange: bytes
    ) -> None:
        before = (HEADER + "\r\nA-1,名簿").encode("cp932")
        (fault,) = unreadable(profile, before + strange + b"\r\n").faults

        assert fault.key == "inventory.ledger.encoding"
        assert fault.args == {"utf8": 0, "cp932": len(before)}

    def test_utf8_that_breaks_is_not_taken_for_something_else(self, profile: Profile) -> None:
        good = (HEADER + "\nA-1,").encode()
        (fault,) = unreadable(profile, good + "名".encode()[:2] + b"\xff,x\n").faults

        assert fault.args["utf8"] == len(good)


class TestHeader:
    def test_columns_stand_in_any_order_under_any_of_their_names(self, profile: Profile) -> None:
        (item,) = items(
            profile, "備考,資産の種類,保有件数,資産番号,情報資産の名称\nメモ,情報システム,7,A-1,税システム\n"
        )

        assert (item.source_key, item.name, item.kind, item.facts) == (
            "A-1",
            "税システム",
            "system",
            {"record_count": 7, "remarks": "メモ"},
        )

    def test_an_unknown_column_is_named(self, profile: Profile) -> None:
        content = f"{HEADER},機密性,担当者の血液型\nA-1,名簿,情報,2,A\n"

        assert faults(profile, content) == [("/rows/1/担当者の血液型", "unknown_column")]

    def test_every_missing_column_is_named(self, profile: Profile) -> None:
        assert faults(profile, "情報資産名,件数\n名簿,3\n") == [
            ("/rows/1/台帳番号", "missing_column"),
            ("/rows/1/種類", "missing_column"),
        ]

    def test_two_columns_of_one_meaning_are_one_too_many(self, profile: Profile) -> None:
        found = refused(profile, f"{HEADER},管理番号\nA-1,名簿,情報,B-1\n")

        assert [(one.at.pointer, one.key, one.args) for one in found] == [
            ("/rows/1/管理番号", "inventory.ledger.column_twice", {"other": "台帳番号"})
        ]

    @pytest.mark.parametrize("content", ["", "\r\n\r\n", HEADER, HEADER + "\n,,\n"])
    def test_a_file_without_assets_is_refused(self, profile: Profile, content: str) -> None:
        assert faults(profile, content)


class TestCells:
    @pytest.mark.parametrize(
        ("header", "written", "field", "value"),
        [
            ("件数", "１，２００件", "record_count", 1200),
            ("件数", "0", "record_count", 0),
            ("件数", " 12,345,678 ", "record_count", 12_345_678),
            ("目標復旧時間（時間）", "２４時間", "rto_hours", 24),
            ("個人情報の有無", "○", "personal_data", True),
            ("特定個人情報", "－", "mynumber_data", False),
            ("情報の種類", "住民；税", "data_kinds", ["resident", "tax"]),
            ("媒体", "ＵＳＢメモリ", "medium", "usb"),
            ("業務", "Ⅱ種　住民税", "business", "Ⅱ種　住民税"),
            ("目標復旧時間", "0.5", "rto_hours", 0.5),
            ("登録日", "Ｒ８．４．１", "registered_on", "2026-04-01"),
            ("保存期限", "永年", "retention_until", "permanent"),
            ("取扱制限", "複写禁止；持出 禁止", "handling", ["複写禁止", "持出 禁止"]),
            ("備考", "'=1+1", "remarks", "=1+1"),
            ("備考", "'90年代", "remarks", "'90年代"),
        ],
    )
    def test_facts(self, profile: Profile, header: str, written: str, field: str, value: Any) -> None:
        facts = cell(profile, header, written).facts

        assert facts == {field: value}
        assert type(facts[field]) is type(value)

    @pytest.mark.parametrize(
        ("header", "written", "expected"),
        [
            ("状態", "廃止", {"operation": "retire"}),
            ("機密性", "３Ｂ", {"declared": {"confidentiality": "3B"}}),
            ("可用性", "可用性２", {"declared": {"availability": "2"}}),
            ("系統", "ＬＧＷＡＮ接続系", {"zone": "lgwan"}),
            (
                "関連資産",
                "保存：Ｂ－１； 接続: B-2;",
                {"relations": [{"type": "stores", "source_key": "B-1"}, {"type": "connects", "source_key": "B-2"}]},
            ),
            ("所管課", " ", {}),
            ("情報の種類", "；", {}),
        ],
    )
    def test_fields(self, profile: Profile, header: str, written: str, expected: dict[str, Any]) -> None:
        base = {
            "body": "mayor",
            "feed": "ledger",
            "source_key": "A-1",
            "source_version": VERSION,
            "name": "住民基本台帳",
        }

        assert cell(profile, header, written) == FeedItem.model_validate({**base, **expected})

    @pytest.mark.parametrize(
        ("header", "written", "key"),
        [
            ("件数", "約千件", "integer"),
            ("件数", "1,20", "integer"),
            ("件数", "-1", "integer"),
            ("件数", "1.5", "integer"),
            ("件数", "9" * 16, "integer"),
            ("目標復旧時間", "半日", "number"),
            ("登録日", "令和8年4月", "date"),
            ("登録日", "令和元年4月1日", "before_era"),
            ("備考", "改\x0bページ", "control_character"),
            ("機密性", "3D", "word"),
            ("個人情報の有無", "多分", "word"),
            ("情報の種類", "住民;噂", "word"),
            ("関連資産", "保存 B-1", "relation"),
            ("関連資産", "保有: B-1", "relation"),
            ("関連資産", "保存:", "relation"),
        ],
    )
    def test_one_that_cannot_be_read_is_named_by_row_and_column(
        self, profile: Profile, header: str, written: str, key: str
    ) -> None:
        content = f'{HEADER},{header}\nA-1,名簿,情報,\nA-2,"二行の\n名",情報,\nA-3,名簿,情報,"{written}"\n'

        assert faults(profile, content) == [(f"/rows/5/{header}", key)]

    def test_one_that_must_be_filled_in_is_named(self, profile: Profile) -> None:
        assert faults(profile, HEADER + "\nA-1, ,情報\n,名簿\n") == [
            ("/rows/2/情報資産名", "empty"),
            ("/rows/3/台帳番号", "empty"),
            ("/rows/3/種類", "empty"),
        ]

    def test_one_that_is_too_long_is_named_by_its_column(self, profile: Profile) -> None:
        found = refused(profile, f"管理番号,情報資産名,種類,業務名\n{'A' * 201},{'名' * 301},情報,{'業' * 301}\n")

        assert {fault.at.pointer for fault in found} == {
            "/rows/2/管理番号",
            "/rows/2/情報資産名",
            "/rows/2/業務名",
        }

    def test_one_with_more_than_an_event_holds_is_named_by_its_row(self, profile: Profile) -> None:
        relations = ";".join(f"保存:{number:04}{'番' * 150}" for number in range(999))

        assert faults(profile, f"{HEADER},関連資産\nA-1,名簿,情報,{relations}\n") == [
            ("/rows/2", "inventory.item_too_large")
        ]

    def test_every_bad_cell_is_told(self, profile: Profile) -> None:
        content = f"{HEADER},件数,機密性\nA-1,名簿,情報,x,y\nA-2,名簿,情報,1,2\nA-3,名簿,本,1,2\n"

        assert faults(profile, content) == [
            ("/rows/2/件数", "integer"),
            ("/rows/2/機密性", "word"),
            ("/rows/4/種類", "word"),
        ]

    def test_a_number_stands_once_in_a_ledger(self, profile: Profile) -> None:
        assert faults(profile, HEADER + "\nA-1,名簿,情報\nA-2,名簿,情報\nＡ－１,名簿,情報\n") == [
            ("/rows/4/台帳番号", "repeated")
        ]

    def test_a_quotation_mark_that_is_not_closed_is_named_by_its_row_and_the_rows_before_are_good(
        self, profile: Profile
    ) -> None:
        content = HEADER + '\nA-1,名簿,情報\nA-2,"名簿,情報\n'

        assert faults(profile, content) == [("/rows/3", "quoting")]
        assert [line.item.source_key for line in read(profile, content) if isinstance(line, Told)] == ["A-1"]

    def test_a_comma_that_is_not_quoted_does_not_shorten_a_number(self, profile: Profile) -> None:
        assert len(items(profile, HEADER + ",件数\nA-1,名簿,情報,1,,\n")) == 1
        assert faults(profile, HEADER + ",件数\nA-1,名簿,情報,1,200\n") == [("/rows/2/5", "stray")]

    def test_a_cell_under_an_empty_header_is_not_lost_in_silence(self, profile: Profile) -> None:
        assert len(items(profile, "台帳番号,,情報資産名,種類\nA-1,,名簿,情報\n")) == 1
        assert faults(profile, "台帳番号,,情報資産名,種類\nA-1,3B,名簿,情報\n") == [("/rows/2/2", "stray")]


class TestEarlierLevels:
    """Ledgers of the three levels used before (`standards/base/mappings.yaml`)."""

    @staticmethod
    def told(profile: Profile, earlier: EarlierScales, *written: str) -> list[Told]:
        rows = "".join(f"A-{at},名簿,情報,{word}\n" for at, word in enumerate(written))
        return [line for line in read(profile, f"{HEADER},機密性\n{rows}", earlier=earlier) if isinstance(line, Told)]

    def declared(self, profile: Profile, earlier: EarlierScales, *written: str) -> list[str | None]:
        return [line.item.declared.confidentiality for line in self.told(profile, earlier, *written)]

    def undecided(self, profile: Profile, earlier: EarlierScales, *written: str) -> list[tuple[str, str]]:
        told = self.told(profile, earlier, *written)
        return [(one.at.pointer, one.earlier) for line in told for one in line.undecided]

    def test_each_counts_as_the_highest_level_that_it_may_be(self, profile: Profile, earlier: EarlierScales) -> None:
        assert self.declared(profile, earlier, "機密性3", "機密性2", "機密性1", "") == ["3A", "2", "1", None]

    def test_rows_that_a_person_must_decide_are_told_by_row_and_column(
        self, profile: Profile, earlier: EarlierScales
    ) -> None:
        written = ("機密性1", "機密性３", "", "3")

        assert self.undecided(profile, earlier, *written) == [("/rows/3/機密性", "3"), ("/rows/5/機密性", "3")]

    def test_they_carry_it_as_a_fact_so_that_the_duty_to_decide_binds_until_the_ledger_says_which(
        self, profile: Profile, earlier: EarlierScales
    ) -> None:
        facts = [dict(line.item.facts) for line in self.told(profile, earlier, "3", "3B", "機密性2")]

        assert facts == [{"undecided_levels": ["confidentiality"]}, {}, {}]

    def test_what_is_told_has_the_choices_and_by_what_to_choose(self, profile: Profile, earlier: EarlierScales) -> None:
        ((one,),) = (line.undecided for line in self.told(profile, earlier, "機密性3"))

        assert one.choices == ("3C", "3B", "3A")
        assert "秘密文書" in one.decide.ja
        assert "secret document" in one.decide.en

    def test_a_level_of_today_stays_what_it_is_in_a_ledger_half_revised(
        self, profile: Profile, earlier: EarlierScales
    ) -> None:
        written = ("3B", "自治体機密性2", "3")

        assert self.declared(profile, earlier, *written) == ["3B", "2", "3A"]
        assert self.undecided(profile, earlier, *written) == [("/rows/4/機密性", "3")]

    def test_other_dimensions_have_no_earlier_levels(self, profile: Profile, earlier: EarlierScales) -> None:
        content = f"{HEADER},機密性,完全性\nA-1,名簿,情報,3,3\n"
        (line,) = read(profile, content, earlier=earlier)

        assert isinstance(line, Refused)
        assert [fault.at.pointer for fault in line.faults] == ["/rows/2/完全性"]
