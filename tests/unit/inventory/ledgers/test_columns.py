# SPDX-License-Identifier: Apache-2.0
"""Which header means what: the table of headers, and what an instance adds to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from services.inventory.ledgers.columns import (
    Additions,
    ColumnsByFeed,
    LedgerAdditions,
    default_columns,
    read_additions,
)
from services.inventory.ledgers.header import split
from services.inventory.ledgers.sheets import Row, Sheet

ROOT = Path(__file__).parents[4]
TABLE: list[dict[str, Any]] = yaml.safe_load(
    (ROOT / "tests/data/inventory/ledger_headers.yaml").read_text(encoding="utf-8")
)


@pytest.mark.parametrize("case", TABLE, ids=lambda case: case["name"])
def test_a_header_is_found_and_read(case: dict[str, Any]) -> None:
    width = len(case["columns"])
    rows = [Row(number, list(cells)) for number, cells in enumerate(case["rows"], 1)]
    data = Row(len(rows) + 1, ["x"] * width)
    header, below = split(Sheet(None, iter([*rows, data])), default_columns(), {})

    assert header is not None
    assert header.faults == ()
    by_place = {place.at: place.name for place in header.places}
    assert [by_place.get(at) for at in range(width)] == case["columns"]
    assert header.headed == set(range(width))
    assert list(below) == [data]


def test_every_value_of_a_fact_has_a_word_and_every_word_is_one_of_its_values() -> None:
    facts = yaml.safe_load((ROOT / "standards/base/facts.yaml").read_text(encoding="utf-8"))
    columns = default_columns()
    for name, column in columns.columns.items():
        if column.fact and column.type in ("word", "words"):
            assert set(columns.words_of(column).values()) == set(facts[column.fact]["values"]), name


def test_the_kind_of_a_column_is_that_of_its_fact() -> None:
    facts = yaml.safe_load((ROOT / "standards/base/facts.yaml").read_text(encoding="utf-8"))
    kinds = {
        "text": {"text"},
        "code": {"text"},
        "date": {"text"},
        "word": {"text"},
        "texts": {"list"},
        "words": {"list"},
        "boolean": {"boolean"},
        "integer": {"integer", "number"},
        "number": {"number"},
    }
    for name, column in default_columns().columns.items():
        if column.fact:
            assert facts[column.fact]["type"] in kinds[column.type], name


class TestAdditions:
    FILE = """
every_feed:
  also: {情報資産名: [帳票名]}
  passed_over: [印影]
  words: {kind: {サーバ: system}}
feeds:
  ledger:
    columns: {暗号化: {fact: encrypted, type: boolean}}
"""

    @pytest.fixture
    def added(self, tmp_path: Path) -> ColumnsByFeed:
        file = tmp_path / "ledgers.yaml"
        file.write_text(self.FILE, encoding="utf-8")
        return ColumnsByFeed(read_additions(file))

    def test_they_hold_for_every_feed_or_for_one(self, added: ColumnsByFeed) -> None:
        one, other = added.of("ledger"), added.of("other")

        assert one.by_header["帳票名"] == other.by_header["帳票名"] == "情報資産名"
        assert "印影" in other.headers_passed_over
        assert other.words_of(other.columns["種類"])["サーバ"] == "system"
        assert ("暗号化" in one.columns, "暗号化" in other.columns) == (True, False)

    def test_an_export_still_writes_the_first_word(self, added: ColumnsByFeed) -> None:
        columns = added.of("ledger")

        assert columns.first_words_of(columns.columns["種類"])["system"] == "情報システム"

    @pytest.mark.parametrize(
        ("additions", "told"),
        [
            ({"also": {"情報資産名": ["種類"]}}, "種類"),
            ({"also": {"資産の色": ["色"]}}, "資産の色"),
            ({"columns": {"色": {"fact": "colour", "type": "word", "words": "colour"}}}, "colour"),
            ({"columns": {"色": {"type": "text"}}}, "fact"),
        ],
    )
    def test_what_does_not_fit_the_table_is_named(self, additions: dict[str, Any], told: str) -> None:
        with pytest.raises(ValueError, match=told):
            ColumnsByFeed(LedgerAdditions(every_feed=Additions.model_validate(additions)))
