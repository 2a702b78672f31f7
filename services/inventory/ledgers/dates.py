# SPDX-License-Identifier: Apache-2.0
"""Days as ledgers write them, in a Japanese era or western, and the serial numbers of spreadsheets.

Written here because the libraries for eras do not fit: japanera 2.1 reads neither 令和8年4月1日 nor R8.4.1 and takes S64.1.7 for the
year 64; jpdatetime and datetimejp ask for one exact format a call and have no years past an era's end. Official papers have those:
平成35年 stays a valid way to write 2023 (改元に伴う元号による年表示の取扱いについて, 関係省庁連絡会議申合せ, 平成31年4月1日).
"""

from __future__ import annotations

import re
import unicodedata
from datetime import date, timedelta
from typing import Final, NamedTuple


class Era(NamedTuple):
    """An era by its two characters, the first of them and its Latin letter, and the day on which it began (元号を改める政令)."""

    name: str
    letter: str
    began: date


ERAS: Final = (
    Era("令和", "R", date(2019, 5, 1)),
    Era("平成", "H", date(1989, 1, 8)),
    Era("昭和", "S", date(1926, 12, 25)),
    Era("大正", "T", date(1912, 7, 30)),
    # the Gregorian calendar holds since Meiji 6 (1873)
    Era("明治", "M", date(1873, 1, 1)),
)
_BY_SIGN: Final = {sign: era for era in ERAS for sign in (era.name, era.name[0], era.letter)}
_FIRST_YEAR_OF: Final = {era: era.began.year - (5 if era.name == "明治" else 0) for era in ERAS}
_WEEKDAY: Final = r"(?:\s*\([月火水木金土日](?:曜日?)?\))?"
_REST: Final = rf"(?:年\s*(?P<m1>\d{{1,2}})月\s*(?P<d1>\d{{1,2}})日|(?P<sep>[./-])(?P<m2>\d{{1,2}})(?P=sep)(?P<d2>\d{{1,2}})){_WEEKDAY}"
_OF_ERA: Final = re.compile(
    rf"(?P<era>{'|'.join(sorted(_BY_SIGN, key=len, reverse=True))})\s*(?P<year>元|\d{{1,2}}){_REST}"
)
_WESTERN: Final = re.compile(rf"(?:西暦)?(?P<year>\d{{4}}){_REST}(?:[ T]00:00(?::00(?:\.0+)?)?)?")
_EIGHT_DIGITS: Final = re.compile(r"(\d{4})(\d{2})(\d{2})")
_SERIAL: Final = re.compile(r"\d{5}")
_SERIAL_0: Final = date(1899, 12, 30)
"""Day 0 of a spreadsheet that counts from 1900 and takes that for a leap year (ECMA-376 part 1 §18.17.4.1); right from 1900-03-01 on."""


class NotADayError(ValueError):
    """`began`: the era that is named began only on that day."""

    def __init__(self, began: date | None = None) -> None:
        super().__init__("not a day")
        self.began = began


def day_of(written: str) -> date:
    """The day that a cell means. Raises NotADayError where it is none, or one before its era began."""
    told = unicodedata.normalize("NFKC", written).strip()
    if found := _OF_ERA.fullmatch(told[:1].upper() + told[1:]):
        return _day_of_era(_BY_SIGN[found["era"]], found)
    if found := _WESTERN.fullmatch(told):
        return _day(int(found["year"]), found["m1"] or found["m2"], found["d1"] or found["d2"])
    if found := _EIGHT_DIGITS.fullmatch(told):
        return _day(int(found[1]), found[2], found[3])
    if _SERIAL.fullmatch(told):
        return _SERIAL_0 + timedelta(days=int(told))
    raise NotADayError


def _day_of_era(era: Era, found: re.Match[str]) -> date:
    year = 1 if found["year"] == "元" else int(found["year"])
    if year == 0:
        raise NotADayError
    day = _day(_FIRST_YEAR_OF[era] + year - 1, found["m1"] or found["m2"], found["d1"] or found["d2"])
    if day < era.began:
        raise NotADayError(era.began)
    return day


def _day(year: int, month: str, day: str) -> date:
    try:
        return date(year, int(month), int(day))
    except ValueError:
        raise NotADayError from None
