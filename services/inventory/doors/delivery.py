# SPDX-License-Identifier: Apache-2.0
"""What every door takes and gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pydantic_core import to_json

from libs.contracts import Feed, FeedItem
from libs.contracts.topics import MAX_VALUE_BYTES

if TYPE_CHECKING:
    from services.inventory.doors.mapping import FeedMapping

LARGEST_ITEM: Final = MAX_VALUE_BYTES - 4096
"""Bytes of an item as JSON: its event has an envelope besides."""


class Sent(NamedTuple):
    """What came to a door: the bytes and the feed that sent them; `version` is of what does not bear one, and `mapping` the feed's own.

    `snapshot` is the session of the items that bear none.
    """

    content: bytes
    feed: Feed
    version: int | None = None
    mapping: FeedMapping | None = None
    snapshot: str | None = None


@dataclass(frozen=True)
class Delivery:
    """What the bytes mean. `passed_over` counts objects that are no assets of the register: taken note of, nothing to keep."""

    items: tuple[FeedItem, ...]
    passed_over: int = 0


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


def check_size(item: FeedItem) -> None:
    """Raises UnreadableError for an item whose event would not fit into a message."""
    if len(to_json(item, exclude_none=True)) > LARGEST_ITEM:
        raise UnreadableError([Fault("", "inventory.item_too_large", limit=LARGEST_ITEM)])


Read = Callable[[Sent], Delivery]
"""A door's translation, whole or not at all: raises UnreadableError."""
