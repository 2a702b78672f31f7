# SPDX-License-Identifier: Apache-2.0
"""The plain feed format as NDJSON: a FeedItem a line, read as it comes, each for itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from pydantic import ValidationError

from libs.contracts import Feed, FeedItem
from libs.contracts.topics import MAX_VALUE_BYTES
from services.inventory.doors.delivery import Fault, UnreadableError
from services.inventory.doors.faults import unreadable
from services.inventory.doors.plain import other_feed

LONGEST_LINE: Final = MAX_VALUE_BYTES - 8 * 1024
"""Bytes of one line; with its envelope, an item must fit into a message."""


class Line(NamedTuple):
    """A line that is not blank, with its number from 1; None where it is too long to be kept."""

    number: int
    content: bytes | None


class Lines:
    """Cuts what comes in pieces into lines; it never holds more than the longest line and a piece."""

    def __init__(self, longest: int = LONGEST_LINE) -> None:
        self._longest = longest
        self._begun = bytearray()
        self._too_long = False
        self._number = 1

    def add(self, piece: bytes) -> Iterator[Line]:
        """The lines that end in a piece."""
        *ended, begun = piece.split(b"\n")
        for part in ended:
            self._continue(part)
            yield from self.end()
            self._number += 1
        self._continue(begun)

    def end(self) -> Iterator[Line]:
        """The line that was begun, if it says anything; also the last one, which needs no line feed."""
        if self._too_long:
            yield Line(self._number, None)
        elif content := bytes(self._begun).strip():
            yield Line(self._number, content)
        self._begun.clear()
        self._too_long = False

    def _continue(self, part: bytes) -> None:
        if self._too_long or len(self._begun) + len(part) > self._longest:
            self._too_long = True
            self._begun.clear()
        else:
            self._begun += part


def read_line(feed: Feed, line: Line) -> FeedItem:
    """Raises UnreadableError with a pointer to each offending field."""
    if line.content is None:
        raise UnreadableError([Fault("", "inventory.item_too_large", limit=LONGEST_LINE)])
    try:
        item = FeedItem.model_validate_json(line.content, strict=True)
    except ValidationError as error:
        raise unreadable(error) from None
    if item.feed != feed.id:
        raise UnreadableError([other_feed(feed, "")])
    return item
