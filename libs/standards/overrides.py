# SPDX-License-Identifier: Apache-2.0
"""Overrides: whether one may be asked, approved or ended, and which hold where; the clock is the caller's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, NamedTuple

from libs.contracts import Dimension, OverrideChange, OverrideRef, OverrideState
from libs.standards.graph import GraphOverride, OverrideEdit
from libs.standards.standard import Standard

LONGEST: Final = timedelta(days=366)
"""One year, a leap year included [project default]."""
OPEN: Final = frozenset({OverrideState.ASKED, OverrideState.APPROVED})
"""What can still come to an end."""


class Refusal(StrEnum):
    """Why an override may not be asked, approved, refused or withdrawn."""

    NO_REASON = "no-reason"
    NOT_ON_SCALE = "not-on-scale"
    EXPIRY_PAST = "expiry-past"
    EXPIRY_TOO_LATE = "expiry-too-late"
    NOT_ASKED = "not-asked"
    NOT_OPEN = "not-open"
    OWN_REQUEST = "own-request"
    NEEDS_HIGHER_ROLE = "needs-higher-role"


def refuse_asking(override: OverrideChange, standard: Standard, now: datetime) -> Refusal | None:
    """The first rule that an override breaks as it is asked, or None."""
    if not override.reason.strip():
        return Refusal.NO_REASON
    try:
        standard.rank(override.dimension, override.level)
    except ValueError:
        return Refusal.NOT_ON_SCALE
    if override.expires_at <= now:
        return Refusal.EXPIRY_PAST
    return Refusal.EXPIRY_TOO_LATE if override.expires_at - now > LONGEST else None


def refuse_approving(
    override: OverrideChange, standard: Standard, now: datetime, *, approver: str, otherwise: int, higher_role: bool
) -> Refusal | None:
    """The first rule that its approval would break, or None. `otherwise` is the rank that the asset has without an override."""
    if (refusal := refuse_deciding(override, decider=approver)) is not None:
        return refusal
    if (refusal := refuse_asking(override, standard, now)) is not None:
        return refusal
    lowers = standard.rank(override.dimension, override.level) < otherwise
    return Refusal.NEEDS_HIGHER_ROLE if lowers and not higher_role else None


def refuse_deciding(override: OverrideChange, *, decider: str) -> Refusal | None:
    """What stands against a decision of this person, to approve or to refuse, or None."""
    if override.state is not OverrideState.ASKED:
        return Refusal.NOT_ASKED
    return Refusal.OWN_REQUEST if decider == override.asked_by else None


def refuse_ending(override: OverrideChange) -> Refusal | None:
    """What stands against its withdrawal, or None."""
    return None if override.state in OPEN else Refusal.NOT_OPEN


def in_force(overrides: Iterable[OverrideChange], now: datetime) -> list[OverrideChange]:
    """The approved ones that have not run out; at `expires_at` itself one no longer holds."""
    return [one for one in overrides if one.state is OverrideState.APPROVED and one.expires_at > now]


def next_expiry(overrides: Iterable[OverrideChange], now: datetime) -> datetime | None:
    """When the set in force next shrinks by itself."""
    return min((one.expires_at for one in in_force(overrides, now)), default=None)


class Place(NamedTuple):
    """Where an override holds: on an asset as long as it is of this body, in one dimension."""

    network: str
    body: str
    asset_id: str
    dimension: Dimension


class OverridesInForce:
    """Which override holds at each place. Of several approved ones it is the one decided last: it renews the others."""

    def __init__(self) -> None:
        self._known: dict[Place, dict[str, OverrideChange]] = {}
        self._holding: dict[Place, OverrideChange] = {}
        self._learnt: set[Place] = set()
        self._next: datetime | None = None

    def learn(self, network: str, body: str, change: OverrideChange) -> None:
        """Take note of an override at one revision; a revision that is not above the last one known changes nothing."""
        place = Place(network, body, change.asset_id, change.dimension)
        here = self._known.setdefault(place, {})
        last = here.get(change.override_id)
        if last is None or last.revision < change.revision:
            here[change.override_id] = change
            self._learnt.add(place)

    def changes(self, now: datetime) -> Mapping[Place, OverrideChange | None]:
        """Where another override holds at `now`, or none, than when this was asked last."""
        stale, self._learnt = self._learnt, set()
        if self._next is not None and now >= self._next:
            stale |= {place for place, one in self._holding.items() if one.expires_at <= now}
        changed: dict[Place, OverrideChange | None] = {}
        for place in sorted(stale):
            holds = max(in_force(self._known[place].values(), now), key=_decided, default=None)
            if holds != self._holding.get(place):
                changed[place] = holds
                self._hold(place, holds)
        if stale:
            self._next = next_expiry(self._holding.values(), now)
        return changed

    def of(self, network: str) -> Mapping[Place, OverrideChange]:
        """Those of a network, as `changes` last told them."""
        return {place: one for place, one in self._holding.items() if place.network == network}

    def _hold(self, place: Place, override: OverrideChange | None) -> None:
        if override is None:
            self._holding.pop(place, None)
        else:
            self._holding[place] = override


def edits_of(standard: Standard, overrides: Iterable[tuple[Place, OverrideChange | None]]) -> list[OverrideEdit]:
    """What a graph of the standard is told of overrides. A level that it does not have holds nowhere: what it would mean nobody has approved."""
    return [
        OverrideEdit(place.asset_id, place.body, place.dimension, _graph_override(standard, one))
        for place, one in overrides
    ]


def _graph_override(standard: Standard, override: OverrideChange | None) -> GraphOverride | None:
    if override is None:
        return None
    try:
        rank = standard.rank(override.dimension, override.level)
    except ValueError:
        return None
    ref = OverrideRef(
        override_id=override.override_id,
        reason=override.reason,
        approved_by=override.decided_by or "",
        expires_at=override.expires_at,
    )
    return GraphOverride(rank, ref)


def _decided(override: OverrideChange) -> tuple[datetime, str]:
    return (override.decided_at or override.asked_at, override.override_id)
