# SPDX-License-Identifier: Apache-2.0
"""Days as ledgers write them: the table that an official could check."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from services.inventory.ledgers.dates import ERAS, NotADayError, day_of

TABLE: dict[str, list[dict[str, Any]]] = yaml.safe_load(
    (Path(__file__).parents[3] / "data/inventory/ledger_dates.yaml").read_text(encoding="utf-8")
)


@pytest.mark.parametrize("row", TABLE["days"], ids=lambda row: row["written"])
def test_a_day_is_read(row: dict[str, str]) -> None:
    assert day_of(row["written"]).isoformat() == row["day"]


@pytest.mark.parametrize("row", TABLE["wrong"], ids=lambda row: row["written"])
def test_what_is_no_day_is_refused_and_told_where_an_era_began(row: dict[str, str]) -> None:
    with pytest.raises(NotADayError) as refused:
        day_of(row["written"])
    assert (refused.value.began and refused.value.began.isoformat()) == row.get("begins")


@given(st.dates(min_value=ERAS[-1].began, max_value=date(2099, 12, 31)))
def test_every_day_comes_back_from_the_era_in_which_it_lies(day: date) -> None:
    era = next(era for era in ERAS if era.began <= day)
    first = (era.began - timedelta(days=365 * 5)).year if era.name == "明治" else era.began.year
    year = day.year - first + 1
    for written in (f"{era.name}{year}年{day.month}月{day.day}日", f"{era.letter}{year:02}.{day.month}.{day.day}"):
        assert day_of(written) == day
