# SPDX-License-Identifier: Apache-2.0
"""Which header of a ledger means what: the table of `ledger_columns.yaml`, and what an instance adds to it for its feeds."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Final, Literal

import yaml
from pydantic import BaseModel, ConfigDict, model_validator

from libs.contracts import Dimension
from libs.contracts.words import Slug

TABLE: Final = Path(__file__).parents[1] / "doors" / "ledger_columns.yaml"
_SPACE: Final = re.compile(r"\s+")
_MARKS: Final = "※*"
"""What forms put beside a header that must be filled in."""

Words = Mapping[str, Any]


class _Declared(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Column(_Declared):
    """One row of the table: a field of FeedItem (dotted) or a fact, and how its cells are read."""

    field: str | None = None
    fact: str | None = None
    type: Literal["text", "texts", "code", "word", "words", "boolean", "integer", "number", "date", "relations"]
    words: str | None = None
    required: bool = False
    also: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _means_one_thing(self) -> Column:
        if (self.field is None) == (self.fact is None):
            raise ValueError("give either `field` or `fact`")
        return self

    @cached_property
    def path(self) -> tuple[str, ...]:
        """Where the value goes in a FeedItem."""
        return ("facts", self.fact) if self.fact else tuple((self.field or "").split("."))

    @cached_property
    def dimension(self) -> Dimension | None:
        """Whose levels the column declares."""
        return Dimension(self.path[1]) if self.path[0] == "declared" else None

    @property
    def list_of_words(self) -> str:
        """The key of its words in the table; there is none for what has no words."""
        return self.words or {"boolean": "boolean", "relations": "relation"}.get(self.type, "")


class Additions(_Declared):
    """What an instance adds: further headers by column (`also`), headers to pass over, words by list, and whole columns."""

    also: Mapping[str, tuple[str, ...]] = {}
    passed_over: tuple[str, ...] = ()
    words: Mapping[str, Words] = {}
    columns: Mapping[str, Column] = {}


class Columns(_Declared):
    """The table. Raises pydantic's ValidationError where one header means two things, or a column's words are not listed."""

    columns: Mapping[str, Column]
    passed_over: tuple[str, ...]
    list_separator: str
    relation_separator: str
    units: tuple[str, ...]
    words: Mapping[str, Words]

    @model_validator(mode="after")
    def _agrees(self) -> Columns:
        seen: dict[str, str] = {}
        for name, column in self.columns.items():
            for header in {header_of(one) for one in (name, *column.also)}:
                if seen.setdefault(header, name) != name:
                    raise ValueError(f"{header} is a header of both {seen[header]} and {name}")
            if column.words and column.words not in self.words:
                raise ValueError(f"{name}: there is no list of words {column.words}")
        return self

    @cached_property
    def by_header(self) -> Mapping[str, str]:
        """Every header that is known, normalised → its column's own name."""
        return {header_of(one): name for name, column in self.columns.items() for one in (name, *column.also)}

    @cached_property
    def headers_passed_over(self) -> frozenset[str]:
        return frozenset(map(header_of, self.passed_over))

    def words_of(self, column: Column) -> Words:
        """Its words → their codes."""
        return self.words.get(column.list_of_words, {})

    @cached_property
    def _first_words(self) -> Mapping[str, Mapping[Any, str]]:
        return {name: {words[word]: word for word in reversed(list(words))} for name, words in self.words.items()}

    def first_words_of(self, column: Column) -> Mapping[Any, str]:
        """Codes → the first word for each, which an export writes."""
        return self._first_words.get(column.list_of_words, {})

    def with_(self, added: Additions) -> Columns:
        """The table with an instance's additions. Raises ValidationError, or ValueError naming a column that is not there."""
        if unknown := added.also.keys() - self.columns.keys():
            raise ValueError(f"also: there is no column {', '.join(sorted(unknown))}")
        widened = {
            name: column.model_copy(update={"also": (*column.also, *added.also.get(name, ()))})
            for name, column in self.columns.items()
        }
        words = {
            name: {**self.words.get(name, {}), **added.words.get(name, {})} for name in (*self.words, *added.words)
        }
        return Columns(
            columns={**widened, **added.columns},
            passed_over=(*self.passed_over, *added.passed_over),
            list_separator=self.list_separator,
            relation_separator=self.relation_separator,
            units=self.units,
            words=words,
        )


class LedgerAdditions(_Declared):
    """An instance's file: additions for every feed, and for some of them besides."""

    every_feed: Additions = Additions()
    feeds: Mapping[Slug, Additions] = {}


class ColumnsByFeed:
    """The table as each feed has it."""

    def __init__(self, added: LedgerAdditions | None = None) -> None:
        """Raises ValueError (pydantic's ValidationError is one) where the additions do not fit the table."""
        added = added or LedgerAdditions()
        self._common = default_columns().with_(added.every_feed)
        self._own = {feed: self._common.with_(additions) for feed, additions in added.feeds.items()}

    def of(self, feed: str) -> Columns:
        return self._own.get(feed, self._common)


def header_of(text: str) -> str:
    """A header as it is looked for: NFKC, without white space and marks around it."""
    return _SPACE.sub("", unicodedata.normalize("NFKC", text)).strip(_MARKS)


@cache
def default_columns() -> Columns:
    """The table that Daicho comes with."""
    return Columns.model_validate(yaml.safe_load(TABLE.read_text(encoding="utf-8")))


def read_additions(file: Path) -> LedgerAdditions:
    """An instance's file (YAML). Raises OSError, or pydantic's ValidationError naming the entry."""
    return LedgerAdditions.model_validate(yaml.safe_load(file.read_text(encoding="utf-8")) or {})
