# SPDX-License-Identifier: Apache-2.0
"""What an event says, as a line of a table in the person's language. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, TypeAlias

from rich.text import Text

from cli.language import pick, say
from libs.contracts import (
    Asset,
    AssetChanged,
    Change,
    ClassificationChanged,
    Dimension,
    Duty,
    DutyRef,
    Explanation,
    FindingChanged,
    FindingState,
    Levels,
    ObligationsChanged,
    OverrideRef,
)

Shown: TypeAlias = AssetChanged | ClassificationChanged | ObligationsChanged | FindingChanged
_FINDING_STYLE: Final = {FindingState.MET: "green", FindingState.NOT_MET: "red"}

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


@dataclass(frozen=True)
class Names:
    """What bodies, and the assets seen so far, are called; what is not known is shown by its id."""

    bodies: Mapping[str, str] = field(default_factory=dict)
    assets: dict[str, str] = field(default_factory=dict)

    def body(self, known: str) -> str:
        return self.bodies.get(known, known)

    def asset(self, known: str | None) -> str:
        return NOTHING if known is None else self.assets.get(known, known)


@dataclass
class Teller:
    """Tells events of one stream in order; obligation events carry the new levels only, so it remembers the last of each asset."""

    names: Names = field(default_factory=Names)
    _levels: dict[str, str] = field(default_factory=dict)

    def row(self, event: Shown) -> Row:
        if isinstance(event, AssetChanged):
            return _asset_row(event)
        if isinstance(event, FindingChanged):
            return _finding_row(event)
        self.names.assets[event.subject] = event.data.asset.name
        if isinstance(event, ClassificationChanged):
            levels = _step(levels_of(event.data.before), levels_of(event.data.after))
            return Row(event.time, event.data.asset.name, levels, self._reasons(event))
        before = self._levels.get(event.subject, NOTHING)
        after = self._levels[event.subject] = levels_of(event.data.levels)
        return Row(event.time, event.data.asset.name, _step(before, after), _duties(event))

    def _reasons(self, event: ClassificationChanged) -> Text:
        """Of each dimension whose level changed."""
        before, after = event.data.before, event.data.after
        lines = (
            f"{say(f'words.dimension.{dimension}')} {explanation.level}: {explained(explanation, self.names)}"
            for dimension in Dimension
            if after and (before is None or getattr(before, dimension) != getattr(after, dimension))
            if (explanation := event.data.explanations.get(dimension))
        )
        return Text("\n".join(lines))


def levels_of(levels: Levels | None) -> str:
    """`3A/2/2`, in the order 機密性・完全性・可用性."""
    return "/".join(getattr(levels, dimension) for dimension in Dimension) if levels else NOTHING


def explained(explanation: Explanation, names: Names) -> str:
    """Why a level is what it is, in a few words."""
    said = say(f"words.origin.{explanation.origin}")
    if explanation.text:
        said += say("cli.because", text=pick(explanation.text))
    if explanation.override:
        said += override_told(explanation.override)
    if origin := explanation.inherited_from:
        relation = say(f"words.relation.{origin.relation}")
        body, asset = names.body(origin.body), names.asset(origin.asset_id)
        said += say("cli.inherited_from", body=body, asset=asset, relation=relation)
    return said


def override_told(override: OverrideRef) -> str:
    """Why it is, who approved it, and until when it holds."""
    expires = local(override.expires_at)
    return say("cli.override_because", reason=override.reason, approver=override.approved_by, expires=expires)


def local(time: datetime) -> str:
    """A moment in the person's own time."""
    return time.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def source_of(change: Change) -> str:
    """The feed and its key, or the person, that a change came from."""
    return f"{change.feed} {change.source_key}" if change.feed else change.actor or NOTHING


def _asset_row(event: AssetChanged) -> Row:
    asset = event.data.after
    what = say(f"cli.status.{asset.status}", revision=event.revision, source=source_of(event.data.change))
    declared = _step(*(_declared(side) for side in (event.data.before, event.data.after)))
    return Row(event.time, asset.name, declared, Text(what, style="dim" if asset.status == "retired" else ""))


def _finding_row(event: FindingChanged) -> Row:
    change = event.data
    before = say(f"cli.finding.{change.before}") if change.before else NOTHING
    what = (
        f"{change.obligation.id} {pick(change.obligation.title)}: {_step(before, say(f'cli.finding.{change.after}'))}"
    )
    return Row(event.time, change.asset.name, "", Text(what, style=_FINDING_STYLE.get(change.after, "")))


def _declared(asset: Asset | None) -> str:
    """What the ledger declares; a dimension it is silent about is a dash."""
    codes = [getattr(asset.declared, dimension) for dimension in Dimension] if asset else []
    return "/".join(code or NOTHING for code in codes) if any(codes) else NOTHING


def _step(before: str, after: str) -> str:
    return after if before == after else f"{before} → {after}"


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
