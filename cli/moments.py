# SPDX-License-Identifier: Apache-2.0
"""Moments as a person gives them on the command line."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta

from cli.errors import MISUSED, CliError


def moment_of(told: str) -> datetime:
    """A day, which means its end (「3月31日現在」), or a moment (RFC 3339); without a zone it is of this machine's. Raises CliError."""
    try:
        if len(told) == len("2026-03-31"):
            found = datetime.combine(date.fromisoformat(told) + timedelta(days=1), time.min)
        else:
            found = datetime.fromisoformat(told)
        return found.astimezone()
    except (ValueError, OverflowError) as error:
        raise CliError("cli.not_a_moment", code=MISUSED, told=told) from error


def asked(told: str | None) -> str | None:
    """As a service takes it; None is now."""
    return None if told is None else moment_of(told).isoformat()
