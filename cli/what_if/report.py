# SPDX-License-Identifier: Apache-2.0
"""A comparison as a table for the terminal, as JSON, and as CSV. No I/O."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from rich.table import Table

from cli.language import say
from cli.rows import Names
from libs.contracts import Dimension
from libs.standards import Standard
from libs.standards.what_if import BodyCounts, Comparison, Difference

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True)
class Report:
    """A comparison of the standards `now` with the `candidate` ones, each the base first, and what the bodies are called."""

    comparison: Comparison
    now: Sequence[Standard]
    candidate: Sequence[Standard]
    names: Names

    def headline(self) -> str:
        """What was compared, and how much of it would change."""
        return say(
            "cli.what_if.headline",
            now=_versions(self.now, self.candidate),
            candidate=_versions(self.candidate, self.now),
            assets=self.comparison.assets,
            changed=len(self.comparison.differences),
        )


def table(report: Report) -> Table:
    """A row for each body."""
    shown = Table(title=report.headline(), caption=say("cli.what_if.not_published"))
    shown.add_column(say("cli.column_body"))
    for name in (say("cli.column_assets"), say("cli.what_if.changed"), *map(dimension_name, Dimension)):
        shown.add_column(name, justify="right")
    for name in (say("cli.what_if.imposed"), say("cli.what_if.lifted")):
        shown.add_column(name, justify="right")
    for counts in report.comparison.bodies:
        shown.add_row(report.names.body(counts.body), *_cells(counts))
    return shown


def to_json(report: Report) -> str:
    """For programs: ids and codes only, the same in every language."""
    document = {
        "now": [_standard(one) for one in report.now],
        "candidate": [_standard(one) for one in report.candidate],
        "assets": report.comparison.assets,
        "changed": len(report.comparison.differences),
        "bodies": [_body(counts) for counts in report.comparison.bodies],
        "differences": [_difference(difference) for difference in report.comparison.differences],
    }
    return json.dumps(document, ensure_ascii=False, indent=2) + "\n"


def to_csv(report: Report) -> str:
    """A row for each asset that would change, with headings for people."""
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(_headings())
    for difference in report.comparison.differences:
        writer.writerow(_inert(cell) for cell in _fields(difference, report.names))
    return out.getvalue()


def dimension_name(dimension: Dimension) -> str:
    return say(f"words.dimension.{dimension}")


def _cells(counts: BodyCounts) -> Iterator[str]:
    yield str(counts.assets)
    yield str(counts.changed)
    for dimension in Dimension:
        yield f"↑{counts.raised[dimension]} ↓{counts.lowered[dimension]}"
    yield f"+{sum(counts.imposed.values())}"
    yield f"-{sum(counts.lifted.values())}"


def _versions(standards: Sequence[Standard], others: Sequence[Standard]) -> str:
    """Those that are not on the other side; all, where facts or the day alone differ."""
    there = {one.digest for one in others}
    return ", ".join(one.version for one in [one for one in standards if one.digest not in there] or standards)


def _standard(standard: Standard) -> dict[str, str]:
    return {"version": standard.version, "digest": standard.digest}


def _body(counts: BodyCounts) -> dict[str, Any]:
    return {
        "body": counts.body,
        "assets": counts.assets,
        "changed": counts.changed,
        "raised": _plain(counts.raised),
        "lowered": _plain(counts.lowered),
        "imposed": _plain(counts.imposed),
        "lifted": _plain(counts.lifted),
    }


def _plain(numbers: Mapping[Any, int]) -> dict[str, int]:
    return {str(word): count for word, count in numbers.items()}


def _difference(difference: Difference) -> dict[str, Any]:
    asset = difference.asset
    return {
        "body": asset.body,
        "network": asset.network,
        "asset_id": asset.asset_id,
        "name": asset.name,
        "kind": asset.kind,
        "section": asset.section,
        "before": difference.before.model_dump(),
        "after": difference.after.model_dump(),
        "raised": difference.raised,
        "lowered": difference.lowered,
        "imposed": difference.imposed,
        "lifted": difference.lifted,
    }


def _headings() -> Iterator[str]:
    yield say("cli.column_body")
    for name in ("asset", "id", "kind", "section"):
        yield say(f"cli.column.{name}")
    for dimension in Dimension:
        yield say("cli.what_if.now", what=dimension_name(dimension))
        yield say("cli.what_if.then", what=dimension_name(dimension))
    yield say("cli.what_if.imposed")
    yield say("cli.what_if.lifted")


def _fields(difference: Difference, names: Names) -> Iterator[str]:
    asset = difference.asset
    yield names.body(asset.body)
    yield asset.name
    yield asset.asset_id
    yield say(f"words.kind.{asset.kind}")
    yield asset.section or ""
    for dimension in Dimension:
        yield getattr(difference.before, dimension)
        yield getattr(difference.after, dimension)
    yield " ".join(difference.imposed)
    yield " ".join(difference.lifted)


def _inert(cell: str) -> str:
    """A name from a ledger must not become a formula in a spreadsheet: an apostrophe makes it text."""
    return f"'{cell}" if cell.startswith(_FORMULA) else cell
