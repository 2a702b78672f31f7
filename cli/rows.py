# SPDX-License-Identifier: Apache-2.0
"""What an event says, as a line of a table in the person's language. No I/O."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from rich.text import Text

from cli.language import pick, say
from libs.contracts import (
    Asset,
    AssetChanged,
    ClassificationChanged,
    Dimension,
    Duty,
    DutyRef,
    Explanation,
    Levels,
    ObligationsChanged,
)

TITLES: Final = 3
"""Titles of duties shown for one event before "and n more"."""
NOTHING: Final = "–"


@dataclass(frozen=True)
class Row:
    """One event as a line of the table."""

    time: datetime
    asset: str
    levels: str
    what: Text


@dataclass
class Teller:
    """Tells events of one stream in order; obligation events carry the new levels only, so it remembers the last of each asset."""

    _levels: dict[str, str] = field(default_factory=dict)

    def row(self, event: AssetChanged | ClassificationChanged | ObligationsChanged) -> Row:
        if isinstance(event, AssetChanged):
            return _asset_row(event)
        if isinstance(event, ClassificationChanged):
            change = event.data
            levels = _step(levels_of(change.before), levels_of(change.after))
            return Row(event.time, change.asset.name, levels, _reasons(event))
        before = self._levels.get(event.subject, NOTHING)
        after = self._levels[event.subject] = levels_of(event.data.levels)
        return Row(event.time, event.data.asset.name, _step(before, after), _duties(event))


def levels_of(levels: Levels | None) -> str:
    """`3A/2/2`, in the order 機密性・完全性・可用性."""
    return "/".join(getattr(levels, dimension) for dimension in Dimension) if levels else NOTHING


def explained(explanation: Explanation) -> str:
    """Why a level is what it is, in a few words."""
    said = say(f"cli.origin.{explanation.origin}")
    if explanation.text:
        said += f" {pick(explanation.text)}"
    if origin := explanation.inherited_from:
        relation = say(f"cli.relation.{origin.relation}")
        said += say("cli.inherited_from", body=origin.body, asset=origin.asset_id or NOTHING, relation=relation)
    return said


def _asset_row(event: AssetChanged) -> Row:
    asset, change = event.data.after, event.data.change
    source = f"{change.feed} {change.source_key}" if change.feed else change.actor or NOTHING
    what = say(f"cli.status.{asset.status}", revision=event.revision, source=source)
    declared = _step(*(_declared(side) for side in (event.data.before, event.data.after)))
    return Row(event.time, asset.name, declared, Text(what, style="dim" if asset.status == "retired" else ""))


def _declared(asset: Asset | None) -> str:
    """What the ledger declares; a dimension it is silent about is a dash."""
    return "/".join(getattr(asset.declared, one) or NOTHING for one in Dimension) if asset else NOTHING


def _step(before: str, after: str) -> str:
    return after if before == after else f"{before} → {after}"


def _reasons(event: ClassificationChanged) -> Text:
    before, after = event.data.before, event.data.after
    changed = [one for one in Dimension if after and (before is None or getattr(before, one) != getattr(after, one))]
    lines = (
        f"{say(f'cli.dimension.{one}')} {event.data.explanations[one].level}: {explained(event.data.explanations[one])}"
        for one in changed
        if one in event.data.explanations
    )
    return Text("\n".join(lines))


def _duties(event: ObligationsChanged) -> Text:
    text = Text()
    for sign, style, duties in (("+", "green", event.data.imposed), ("-", "red", event.data.lifted)):
        for line in _titles(duties):
            text.append(f"\n{sign} {line}" if text else f"{sign} {line}", style)
    return text


def _titles(duties: Iterable[Duty | DutyRef]) -> list[str]:
    titles = [pick(duty.title) for duty in duties]
    more = len(titles) - TITLES
    return titles if more <= 0 else [*titles[:TITLES], say("cli.and_more", count=more)]
