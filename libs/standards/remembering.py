# SPDX-License-Identifier: Apache-2.0
"""Conditions over the facts of an asset, each evaluated once for what it can tell apart."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import chain
from typing import Any, Final, Generic, TypeAlias, TypeVar

from libs.standards.case import Case
from libs.standards.conditions import ASSET_NAMES, Condition, fits
from libs.standards.document import Fact
from libs.standards.landmarks import Landmarks, landmarks_of

REMEMBERED: Final = 50_000
"""Results kept in one memory. Above it the memory is emptied, not the answer changed."""

Given: TypeAlias = Mapping[str, Any]
"""Names that conditions read, with the values that an asset has; lists as tuples."""

EntryT = TypeVar("EntryT")
FoundT = TypeVar("FoundT")
KeyT = TypeVar("KeyT")


def remember(memory: dict[KeyT, FoundT], key: KeyT, found: FoundT, most: int = REMEMBERED) -> FoundT:
    """Keep what was found, with `most` at a time, and return it."""
    if len(memory) >= most:
        memory.clear()
    memory[key] = found
    return found


class Likeness:
    """What conditions can tell of a case; cases with the same likeness are alike to them."""

    def __init__(self, declared: Mapping[str, Fact], conditions: Iterable[Condition]) -> None:
        reading: dict[str, list[str]] = {}
        for condition in conditions:
            for name in condition.names & declared.keys():
                reading.setdefault(name, []).append(condition.source)
        self._read: dict[str, tuple[Fact, Landmarks | None]] = {
            name: (declared[name], None if declared[name].type == "boolean" else landmarks_of(name, sources))
            for name, sources in reading.items()
        }

    def of(self, case: Case) -> tuple[tuple[str, Any], ...]:
        """Names and values in the order of the case's facts. A fact of another type than declared counts as missing."""
        like: list[tuple[str, Any]] = [("kind", case.kind), ("zone", case.zone or "")]
        for name, value in case.facts.items():
            if (read := self._read.get(name)) is None or not fits(read[0], value):
                continue
            told = tuple(value) if isinstance(value, list) else value
            like.append((name, told if read[1] is None else read[1].likeness(told)))
        return tuple(like)


class Conditions(Generic[EntryT]):
    """Entries with their conditions, in groups that read the same names: what holds of a group is found, and remembered, at once.

    An asset has few of the facts, and what groups find that read none of those is remembered for all of them together.
    """

    def __init__(self, entries: Iterable[tuple[EntryT, Condition]], facts: Collection[str], missing: Given) -> None:
        """`missing` has the values of names that an asset may lack, and of those that are the same for all."""
        by_names: dict[frozenset[str], list[tuple[EntryT, Condition]]] = {}
        for entry, condition in entries:
            by_names.setdefault(condition.names, []).append((entry, condition))
        self._groups = [_Group(names, members, missing) for names, members in by_names.items()]
        self._reading = {name: [at for at, names in enumerate(by_names) if name in names] for name in facts}
        self._without_facts: dict[tuple[Any, ...], tuple[tuple[EntryT, ...], ...]] = {}

    def holding(self, given: Given) -> Iterator[EntryT]:
        """The entries whose conditions hold. What is given besides facts is always the same names, in one order."""
        besides = {name: value for name, value in given.items() if name not in self._reading}
        key = tuple(besides.values())
        if (without := self._without_facts.get(key)) is None:
            held = tuple([group.holding(besides) for group in self._groups])
            without = remember(self._without_facts, key, held)
        holding = list(without)
        for at in {at for name in given.keys() - besides.keys() for at in self._reading[name]}:
            holding[at] = self._groups[at].holding(given)
        return chain.from_iterable(holding)


class _Group(Generic[EntryT]):
    def __init__(self, names: Iterable[str], entries: list[tuple[EntryT, Condition]], missing: Given) -> None:
        self._names = tuple(sorted(names))
        self._entries = entries
        self._missing = missing
        self._held: dict[tuple[Any, ...], tuple[EntryT, ...]] = {}

    def holding(self, given: Given) -> tuple[EntryT, ...]:
        key = tuple(map(given.get, self._names))
        if (held := self._held.get(key)) is None:
            values = {**self._missing, **given}
            held = remember(self._held, key, tuple(one for one, condition in self._entries if condition.holds(values)))
        return held


def shown(check: Condition, given: Given) -> bool | None:
    """Whether a check holds; None where the asset lacks a fact that it reads."""
    return check.holds(given) if check.names - ASSET_NAMES <= given.keys() else None
