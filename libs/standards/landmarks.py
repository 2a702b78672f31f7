# SPDX-License-Identifier: Apache-2.0
"""Which values of a fact conditions can tell apart.

A condition that compares a number with 1000 tells 999 from 1000, but not 2000 from 3000. So values between two neighbouring landmarks (the
literals that a fact is compared with) are taken for one, and a million assets with a million numbers of records are few cases. Where a
condition reads a fact in any other way than those recognised here, the fact's values are kept as they are: then more cases are evaluated, and
nothing else changes.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections.abc import Iterable
from typing import Any, Final

_LITERAL: Final = r"""(?P<literal>null|-?\d+(?:\.\d+)?|"[^"\\]*"|'[^'\\]*')"""
_BEFORE: Final = r"(?:^|[(?:]|&&|\|\|)\s*"
_AFTER: Final = r"\s*(?=$|[)?:]|&&|\|\|)"
_COMPARED: Final = _BEFORE + r"{name}\s*(?:==|!=|<=|>=|<|>)\s*" + _LITERAL + _AFTER
_CONTAINED: Final = _BEFORE + _LITERAL + r"\s+in\s+{name}" + _AFTER


class Landmarks:
    """What a fact is compared with, by all conditions that read it; `values` sorted."""

    def __init__(self, values: Iterable[Any]) -> None:
        self.values = sorted(values)
        self._known = frozenset(self.values)

    def likeness(self, value: Any) -> Any:
        """The value itself where it is a landmark, else one value for all between the same two; of a list (a tuple), its landmarks."""
        if isinstance(value, tuple):
            return tuple([one for one in self.values if one in value])
        if value in self._known:
            return value
        place = bisect_left(self.values, value)
        if isinstance(value, str):
            return self.values[place - 1] + "\0" if place else ""
        if place == 0:
            return math.ceil(self.values[0]) - 1 if self.values else 0
        if isinstance(value, int) or place == len(self.values):
            return math.floor(self.values[place - 1]) + 1
        return (self.values[place - 1] + self.values[place]) / 2


def landmarks_of(name: str, conditions: Iterable[str]) -> Landmarks | None:
    """None where one of the conditions, all in CEL, reads the fact otherwise than recognised."""
    found: set[Any] = set()
    patterns = [re.compile(pattern.format(name=name)) for pattern in (_COMPARED, _CONTAINED)]
    for condition in conditions:
        literals = [match["literal"] for pattern in patterns for match in pattern.finditer(condition)]
        if len(literals) != len(re.findall(rf"\b{name}\b", condition)):
            return None
        found.update(map(_read, literals))
    found.discard(None)
    return Landmarks(found)


def _read(literal: str) -> Any:
    if literal == "null":
        return None
    if literal[0] in "\"'":
        return literal[1:-1]
    return float(literal) if "." in literal else int(literal)
