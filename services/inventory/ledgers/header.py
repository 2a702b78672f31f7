# SPDX-License-Identifier: Apache-2.0
"""Finding a ledger's header: below a title, in one row or in two with groups above, under any of its columns' names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Final, NamedTuple

from libs.contracts import EarlierLevel, EarlierScales
from services.inventory.ledgers.columns import Column, Columns, header_of
from services.inventory.ledgers.faults import At, CellFault
from services.inventory.ledgers.sheets import Row, Sheet, Unusable

WITHIN: Final = 30
"""Rows, blank ones aside, among which the header must stand."""
_FEWEST: Final = 2
"""Known columns without which a row is no header."""


class Place(NamedTuple):
    """A column of this sheet: where it stands (from 0), what its header says, and what it means."""

    at: int
    header: str
    name: str
    column: Column
    earlier: Mapping[str, EarlierLevel]
    """Words of an earlier scale that today's does not have."""


class Header(NamedTuple):
    """`headed`: the columns that have a header, also those that are passed over."""

    row: int
    places: tuple[Place, ...]
    headed: frozenset[int]
    faults: tuple[CellFault, ...]


class _Label(NamedTuple):
    """What stands above a column."""

    shown: str
    name: str | None


def split(sheet: Sheet, columns: Columns, earlier: EarlierScales) -> tuple[Header | None, Iterator[Row]]:
    """The header of a sheet, None where it has none, and the rows below it that are not blank."""
    rows = (row for row in sheet.rows if not row.blank)
    first = list(islice(rows, WITHIN))
    candidates = [
        (first[bottom - height + 1 : bottom + 1], bottom)
        for height in (1, 2)
        for bottom in range(height - 1, len(first))
    ]
    labelled = [(_labels(block, columns), block, bottom) for block, bottom in candidates]
    labels, block, bottom = max(labelled, key=lambda one: _known(one[0]), default=({}, [], 0))
    if _known(labels) < _FEWEST:
        return None, iter(())
    return _header(sheet.name, block[-1].number, labels, columns, earlier), chain(first[bottom + 1 :], rows)


def of_table(columns: Columns, earlier: EarlierScales) -> Header:
    """The header of a ledger with every column under its own name, as an export has it."""
    labels = {at: _Label(name, name) for at, name in enumerate(columns.columns)}
    return _header(None, 1, labels, columns, earlier)


def _known(labels: Mapping[int, _Label]) -> int:
    return len({label.name for label in labels.values() if label.name})


def _labels(block: Sequence[Row], columns: Columns) -> dict[int, _Label]:
    *above, lowest = block
    width = max(len(row.cells) for row in block)
    found: dict[int, _Label] = {}
    for at in range(width):
        lower, upper = _text(lowest, at), _text(above[0], at) if above else ""
        for shown in filter(None, (f"{upper}/{lower}" if upper and lower else "", lower, upper)):
            if shown in columns.by_header or shown in columns.headers_passed_over:
                found[at] = _Label(shown, columns.by_header.get(shown))
                break
        else:
            # a title, or a group's name, heads no column by itself
            if lower:
                found[at] = _Label(lower, None)
    return found


def _text(row: Row, at: int) -> str:
    value = row.cells[at] if at < len(row.cells) else None
    value = row.spread.get(at) if value is None else value
    return "" if value is None or isinstance(value, Unusable) else header_of(str(value))


def _header(
    sheet: str | None, row: int, labels: Mapping[int, _Label], columns: Columns, earlier: EarlierScales
) -> Header:
    places: dict[str, Place] = {}
    faults: list[CellFault] = []
    for at, (shown, name) in labels.items():
        here = At(sheet, row, shown, at + 1)
        if name is None:
            if shown not in columns.headers_passed_over:
                faults.append(CellFault(here, "inventory.ledger.unknown_column"))
        elif name in places:
            faults.append(CellFault(here, "inventory.ledger.column_twice", {"other": places[name].header}))
        else:
            column = columns.columns[name]
            places[name] = Place(at, shown, name, column, _earlier_words(column, columns, earlier))
    for name, column in columns.columns.items():
        if column.required and name not in places:
            faults.append(CellFault(At(sheet, row, name), "inventory.ledger.missing_column"))
    return Header(row, tuple(places.values()), frozenset(labels), tuple(faults))


def _earlier_words(column: Column, columns: Columns, earlier: EarlierScales) -> Mapping[str, EarlierLevel]:
    levels = earlier.get(column.dimension, ()) if column.dimension else ()
    words = {word: level for level in levels for word in (level.code, level.name.ja)}
    return {word: level for word, level in words.items() if word not in columns.words_of(column)}
