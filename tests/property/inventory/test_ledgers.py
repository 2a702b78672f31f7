# SPDX-License-Identifier: Apache-2.0
"""What a ledger may say is written as it is read: any row that is taken, exported and read again, is the same item."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from hypothesis import assume, given
from hypothesis import strategies as st

from libs.contracts import FeedItem, Profile, asset_id
from services.inventory.domain import Register
from services.inventory.ledgers.columns import Column, default_columns
from services.inventory.ledgers.header import of_table
from services.inventory.ledgers.reading import Ledger, Told, line_of, lines
from services.inventory.ledgers.sheets import Value
from services.inventory.ledgers.writing import (
    Asset,
    CsvWriter,
    Encoding,
    XlsxWriter,
    as_written,
    cells_of,
    replaced_for_cp932,
    unheld_by,
)
from services.inventory.settings import BASE, Settings

ROOT: Final = Path(__file__).parents[3]
PROFILE: Final = Profile.model_validate(
    yaml.safe_load((ROOT / "samples/city/profile.yaml").read_text(encoding="utf-8"))
)
COLUMNS: Final = default_columns()
EARLIER: Final = Settings.model_construct(standard=BASE).read_earlier_scales()
HEADER: Final = of_table(COLUMNS, EARLIER)
LEDGER: Final = Ledger(PROFILE.feed_by_id["ledger"], "mayor", 1, COLUMNS, EARLIER)

awkward = st.text(
    st.sampled_from("=+-@'\"\t\n,;：〜髙＝﨑a0 　\r") | st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")),
    max_size=12,
)
numbers = st.text("AB-0９Ⅱ", min_size=1, max_size=6)


def cells(column: Column) -> st.SearchStrategy[Value]:
    """Cells of a column, most of which can be read."""
    words = [word for word, code in COLUMNS.words_of(column).items() if code != "retire"]
    by_type: dict[str, st.SearchStrategy[Value]] = {
        "text": awkward.filter(str.strip) if column.required else awkward,
        "texts": st.lists(awkward, max_size=3).map("；".join),
        "code": numbers,
        "word": st.sampled_from(words or ["-"]),
        "boolean": st.sampled_from(words or ["-"]) | st.booleans(),
        "words": st.lists(st.sampled_from(words or ["-"]), max_size=3).map(";".join),
        "integer": st.integers(0, 10**6) | st.integers(0, 10**6).map("{:,}件".format),
        "number": st.integers(0, 999) | st.decimals(0, 99, places=1).map(str),
        "date": st.dates() | st.sampled_from(["令和8年4月1日", "R8.4.1", *words]),
        "relations": st.lists(st.tuples(st.sampled_from(words or ["-"]), numbers), max_size=3).map(
            lambda pairs: "; ".join(f"{word}: {number}" for word, number in pairs)
        ),
    }
    return by_type[column.type]


@st.composite
def rows(draw: st.DrawFn) -> list[Value]:
    """A row with some of its columns filled in."""
    table = COLUMNS.columns
    required = {name for name, column in table.items() if column.required}
    filled = required | draw(st.sets(st.sampled_from(sorted(table)), max_size=10))
    given_cells = {name: draw(cells(table[name])) for name in sorted(filled)}
    if draw(st.booleans()):
        given_cells["機密性"] = draw(st.sampled_from(["機密性3", "３", "機密性2"]))
    return [given_cells.get(name) for name in table]


def written(given: list[Value], form: str, encoding: Encoding) -> bytes:
    file = io.BytesIO()
    writer = CsvWriter(file, encoding) if form == "csv" else XlsxWriter(file)
    for row in (list(COLUMNS.columns), given):
        writer.write(row)
    writer.close()
    return file.getvalue()


def exported(item: FeedItem) -> list[Value]:
    """The cells of the asset that the item makes."""
    state = Register(PROFILE).take(item).held.state
    assert state is not None
    names = {asset_id(PROFILE.municipality, "ledger", one.source_key): one.source_key for one in item.relations}
    return cells_of(Asset(item.source_key, state, names), COLUMNS, EARLIER)


def states_of(item: FeedItem) -> Any:
    return Register(PROFILE).take(item).held.state


@pytest.mark.parametrize(("form", "encoding"), [("csv", "utf-8-sig"), ("csv", "cp932"), ("xlsx", "utf-8-sig")])
@given(given_cells=rows())
def test_a_row_that_is_taken_comes_back_as_it_was(form: str, encoding: Encoding, given_cells: list[Value]) -> None:
    if encoding == "cp932":
        given_cells = [replaced_for_cp932(value) for value in given_cells]
    told = line_of(given_cells, HEADER, LEDGER)
    assume(isinstance(told, Told))
    assert isinstance(told, Told)
    out = exported(told.item)
    assert not any(unheld_by(encoding, value) for value in out)

    (again,) = lines(io.BytesIO(written(out, form, encoding)), LEDGER)
    assert isinstance(again, Told), again
    assert states_of(again.item) == states_of(told.item)
    assert [one.choices for one in again.undecided] == [one.choices for one in told.undecided]
    # what the export itself believes of the row before it is written
    believed = line_of([as_written(value, "xlsx" if form == "xlsx" else "csv") for value in out], HEADER, LEDGER)
    assert isinstance(believed, Told)
    assert believed.item == again.item
