# SPDX-License-Identifier: Apache-2.0
"""W3C Trace Context: the `traceparent` that follows a change from its feed to its obligations."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Final

_VALID: Final = re.compile(r"00-([0-9a-f]{32})-[0-9a-f]{16}-([0-9a-f]{2})")
_NO_TRACE: Final = "0" * 32

RandomBytes = Callable[[int], bytes]


def new_traceparent(random: RandomBytes = os.urandom) -> str:
    """Begin a trace, marked as sampled (W3C Trace Context §3.2)."""
    return f"00-{_nonzero(random, 16)}-{_nonzero(random, 8)}-01"


def child_of(traceparent: str | None, random: RandomBytes = os.urandom) -> str:
    """Continue a trace under a new parent id; begin one where there is none or it is not valid (§3.2.2)."""
    match = _VALID.fullmatch(traceparent or "")
    if match is None or match[1] == _NO_TRACE:
        return new_traceparent(random)
    return f"00-{match[1]}-{_nonzero(random, 8)}-{match[2]}"


def _nonzero(random: RandomBytes, size: int) -> str:
    """All zeroes is no id."""
    drawn = random(size)
    return (drawn if any(drawn) else drawn[:-1] + b"\x01").hex()
