# SPDX-License-Identifier: Apache-2.0
"""What every door takes and gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from libs.contracts import EarlierScales, Feed, FeedItem, Text
from libs.contracts.words import LevelCode

if TYPE_CHECKING:
    from services.inventory.doors.mapping import FeedMapping


class Sent(NamedTuple):
    """What came to a door: the bytes, the feed that sent them, and, where the format does not say so itself, for which body and
    in which version. `earlier` has the levels of scales used before, which a ledger may still have; `mapping` is the feed's own."""

    content: bytes
    feed: Feed
    body: str | None = None
    version: int | None = None
    earlier: EarlierScales = MappingProxyType({})
    mapping: FeedMapping | None = None


class Undecided(NamedTuple):
    """A cell with an earlier level that may be several of today's: where (`/rows/<row>/<column>`), its code, those
    of today in rising order, and by what to choose."""

    field: str
    earlier: LevelCode
    choices: tuple[LevelCode, ...]
    decide: Text


@dataclass(frozen=True)
class Delivery:
    """What the bytes mean. `passed_over` counts objects that are no assets of the register: taken note of, nothing to keep;
    `undecided` is what a person has to decide."""

    items: tuple[FeedItem, ...]
    passed_over: int = 0
    undecided: tuple[Undecided, ...] = ()


class Fault:
    """One thing wrong: where (a JSON Pointer, or `/rows/<row>/<column>`), and the catalogue key of what to do about it."""

    def __init__(self, field: str, key: str, **args: Any) -> None:
        self.field = field
        self.key = key
        self.args = args

    def __repr__(self) -> str:
        return f"Fault({self.field!r}, {self.key!r}, {self.args!r})"


class UnreadableError(Exception):
    """The bytes cannot be read, and nothing of them was taken.

    `malformed`: not even the format is right (HTTP 400, and not 422).
    """

    def __init__(self, faults: Sequence[Fault], *, malformed: bool = False) -> None:
        super().__init__(f"{len(faults)} faults, the first: {faults[0]!r}")
        self.faults = tuple(faults)
        self.malformed = malformed


Read = Callable[[Sent], Delivery]
"""A door's translation, whole or not at all: raises UnreadableError."""
