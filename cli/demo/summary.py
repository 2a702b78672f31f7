# SPDX-License-Identifier: Apache-2.0
"""What the demo ends with: a table per body, the delay, and the same as JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.table import Table

from cli.demo.watch import percentile
from libs.catalogue import Language, text
from libs.contracts import Dimension, Profile

_DIMENSIONS: Final = tuple(Dimension)


@dataclass(frozen=True)
class BodyFigures:
    """One row: `levels` counts assets by dimension and level; `dead_letters` counts by reason."""

    body: str
    assets: int
    levels: Mapping[str, Mapping[str, int]]
    in_force: int
    imposed: int
    lifted: int
    dead_letters: Mapping[str, int]

    def document(self) -> dict[str, Any]:
        return {
            "body": self.body,
            "assets": self.assets,
            "levels": {dimension: dict(counts) for dimension, counts in self.levels.items()},
            "obligations_in_force": self.in_force,
            "imposed": self.imposed,
            "lifted": self.lifted,
            "dead_letters": dict(self.dead_letters),
        }


@dataclass(frozen=True)
class Delay:
    """From the moment a change went to the feed topic to the moment a consumer held its obligation event, in milliseconds."""

    count: int
    p50: float | None
    p99: float | None
    most: float | None

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Delay:
        shares = (percentile(seconds, share) for share in (0.5, 0.99, 1.0))
        return cls(len(seconds), *(None if value is None else round(value * 1000, 1) for value in shares))


@dataclass(frozen=True)
class Summary:
    """`sent` counts what went in, by feed; `seconds` says how long each part took."""

    bodies: Sequence[BodyFigures]
    unplaced_dead_letters: Mapping[str, int]
    delay: Delay
    rate: float
    sent: Mapping[str, int]
    seconds: Mapping[str, float]
    machine: Mapping[str, Any]

    def write(self, file: Path) -> None:
        document = {
            "sent": dict(self.sent),
            "bodies": [figures.document() for figures in self.bodies],
            "dead_letters_of_no_known_body": dict(self.unplaced_dead_letters),
            "delay_ms": {
                "count": self.delay.count,
                "p50": self.delay.p50,
                "p99": self.delay.p99,
                "max": self.delay.most,
            },
            "changes_per_second": round(self.rate),
            "seconds": {name: round(value, 1) for name, value in self.seconds.items()},
            "machine": dict(self.machine),
        }
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(document, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")

    def dead_letters(self, profile: Profile, lang: Language) -> Table:
        """Every reason, with how often it came up for which body."""
        table = Table(title=text("cli.demo_dead_letters", lang), title_justify="left")
        table.add_column(text("cli.column_reason", lang))
        table.add_column(text("cli.column_body", lang))
        by_reason: dict[str, Counter[str]] = {}
        for figures in self.bodies:
            name = profile.body_by_id[figures.body].name
            for reason, count in figures.dead_letters.items():
                by_reason.setdefault(reason, Counter())[name.ja if lang == "ja" else name.en] = count
        for reason, count in self.unplaced_dead_letters.items():
            by_reason.setdefault(reason, Counter())[text("cli.no_known_body", lang)] = count
        for reason, counts in sorted(by_reason.items()):
            listed = ", ".join(f"{body} {count}" for body, count in counts.most_common())
            table.add_row(text(f"reason.{reason}", lang), listed)
        return table

    def table(self, profile: Profile, scales: Mapping[str, Sequence[str]], lang: Language) -> Table:
        table = Table(title=text("cli.demo_summary", lang), title_justify="left")
        table.add_column(text("cli.column_body", lang))
        for name in ("assets", *_DIMENSIONS, "in_force", "imposed", "lifted"):
            table.add_column(text(f"cli.column_{name}", lang), justify="right")
        table.add_column(text("cli.column_dead_letters", lang), justify="right")
        for figures in self.bodies:
            body = profile.body_by_id[figures.body].name
            table.add_row(
                body.ja if lang == "ja" else body.en,
                f"{figures.assets:,}",
                *(_levels(figures.levels.get(dimension, {}), scales[dimension]) for dimension in _DIMENSIONS),
                f"{figures.in_force:,}",
                f"{figures.imposed:,}",
                f"{figures.lifted:,}",
                f"{sum(figures.dead_letters.values()):,}",
            )
        return table


def _levels(counts: Mapping[str, int], scale: Sequence[str]) -> str:
    """Highest first, as a reader looks for it."""
    return " ".join(f"{level}:{counts[level]:,}" for level in reversed(scale) if counts.get(level))
