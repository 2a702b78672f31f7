# SPDX-License-Identifier: Apache-2.0
"""What the register's history says: what changed between two moments and by whom, and how long relations lasted. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, NamedTuple

from libs.contracts import AssetStatus
from services.inventory.domain import State

_ACTIVE: Final = AssetStatus.ACTIVE.value
_STATUS: Final = "status"
_SINGLE: Final = ("body", "network", "kind", "name", "section", "zone", _STATUS)
_GROUPS: Final = ("facts", "declared")


class What(StrEnum):
    """How an asset differs between two moments: it came into force, went out of it, or is in force at both with another content."""

    CAME = "came"
    WENT = "went"
    CHANGED = "changed"


class Recorded(NamedTuple):
    """One revision: the asset as it was from then on, and the change that made it so."""

    revision: int
    recorded_at: datetime
    state: State
    change: dict[str, Any]


class FieldChange(NamedTuple):
    """A field by its path (`facts.serial`; `relations.stores` has the ids it leads to), and its values; None: there was none."""

    field: str
    before: Any
    after: Any


class FieldDifference(NamedTuple):
    """What a field was at the first moment and is at the second, and the last revision between that gave it another value."""

    field: str
    before: Any
    after: Any
    by: Recorded


class Telling(NamedTuple):
    """What one revision of an asset says of its relations: `[(type, asset id)]`, none where it is not in force."""

    revision: int
    recorded_at: datetime
    body: str
    relations: Iterable[tuple[str, str]]
    active: bool
    change: dict[str, Any]


class Span(NamedTuple):
    """How long an asset was related to another: from one revision of it to another; `until` None: it still is."""

    type: str
    target_id: str
    since: Telling
    until: Telling | None


def what(before: State | None, after: State | None) -> What | None:
    """How the register of those in force differs; None where it does not."""
    was, is_ = _in_force(before), _in_force(after)
    if was and is_:
        return What.CHANGED if changes(before, after) else None
    return What.CAME if is_ else What.WENT if was else None


def changes(before: State | None, after: State | None) -> tuple[FieldChange, ...]:
    """The fields in which two states of one asset differ; of one that was, or is, not there its status alone."""
    if before is None or after is None:
        sides = [None if one is None else one[_STATUS] for one in (before, after)]
        return () if sides == [None, None] else (FieldChange(_STATUS, *sides),)
    old, new = _flat(before), _flat(after)
    return tuple(
        FieldChange(field, old.get(field), new.get(field))
        for field in dict.fromkeys([*_SINGLE, *sorted(old.keys() | new.keys())])
        if not _same(old.get(field), new.get(field))
    )


def differences(before: State | None, between: Sequence[Recorded]) -> tuple[FieldDifference, ...]:
    """What is different after the revisions `between`, in their order, from what was before them, and by which of them."""
    last: dict[str, Recorded] = {}
    state = before
    for one in between:
        last.update(dict.fromkeys((change.field for change in changes(state, one.state)), one))
        state = one.state
    return tuple(FieldDifference(*change, last[change.field]) for change in changes(before, state))


class Spans:
    """The relations of one asset over time, of revisions that are looked at in their order; `found` has those that ended."""

    def __init__(self) -> None:
        self.found: list[Span] = []
        self._open: dict[tuple[str, str], Telling] = {}
        self._left: Telling | None = None

    def look(self, told: Telling) -> None:
        left, self._left = self._left, None
        if left is not None and not _arrives(left, told):
            self._end(set(), left)
        if not told.active:
            # an asset that moves to another body is retired in the one, and there in the other by its next revision
            self._left = told
            return
        now = set(told.relations)
        self._end(now, told)
        for relation in sorted(now - self._open.keys()):
            self._open[relation] = told

    def all(self) -> list[Span]:
        """Those that ended, then those that did not."""
        if self._left is not None:
            self._end(set(), self._left)
        return [*self.found, *(Span(*relation, since, None) for relation, since in self._open.items())]

    def _end(self, kept: set[tuple[str, str]], by: Telling) -> None:
        for relation in sorted(self._open.keys() - kept):
            self.found.append(Span(*relation, self._open.pop(relation), by))


def _arrives(left: Telling, told: Telling) -> bool:
    return told.revision == left.revision + 1 and told.body != left.body and told.recorded_at == left.recorded_at


def _in_force(state: State | None) -> bool:
    return state is not None and state[_STATUS] == _ACTIVE


def _flat(state: State) -> dict[str, Any]:
    flat = {name: state[name] for name in _SINGLE if name in state}
    for group in _GROUPS:
        flat.update({f"{group}.{name}": value for name, value in state[group].items()})
    for relation in state["relations"]:
        flat.setdefault(f"relations.{relation['type']}", []).append(relation["asset_id"])
    return flat


def _same(one: Any, other: Any) -> bool:
    """Python holds True and 1 for equal; JSON does not."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)
