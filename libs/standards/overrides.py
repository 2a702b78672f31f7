# SPDX-License-Identifier: Apache-2.0
"""Whether an override may be asked or approved, and which are in force; the clock is the caller's."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from libs.contracts import OverrideChange
from libs.standards.standard import Standard

LONGEST: Final = timedelta(days=366)
"""One year, a leap year included [project default]."""


class Refusal(StrEnum):
    """Why an override may not be asked or approved."""

    NO_REASON = "no-reason"
    NOT_ON_SCALE = "not-on-scale"
    EXPIRY_PAST = "expiry-past"
    EXPIRY_TOO_LATE = "expiry-too-late"
    NOT_ASKED = "not-asked"
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
    override: OverrideChange, standard: Standard, now: datetime, *, approver: str, derived: int, higher_role: bool
) -> Refusal | None:
    """The first rule that its approval would break, or None. `derived` is the rank that the rules give the asset now."""
    if override.state != "asked":
        return Refusal.NOT_ASKED
    if approver == override.asked_by:
        return Refusal.OWN_REQUEST
    if (refusal := refuse_asking(override, standard, now)) is not None:
        return refusal
    lowers = standard.rank(override.dimension, override.level) < derived
    return Refusal.NEEDS_HIGHER_ROLE if lowers and not higher_role else None


def in_force(overrides: Iterable[OverrideChange], now: datetime) -> list[OverrideChange]:
    """The approved ones that have not run out; at `expires_at` itself one no longer holds."""
    return [one for one in overrides if one.state == "approved" and one.expires_at > now]


def next_expiry(overrides: Iterable[OverrideChange], now: datetime) -> datetime | None:
    """When the set in force next shrinks by itself."""
    return min((one.expires_at for one in in_force(overrides, now)), default=None)
