# SPDX-License-Identifier: Apache-2.0
"""The plain feed format over HTTP: `{"items": [<FeedItem>, …]}`."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from libs.contracts import Feed, FeedItem
from services.inventory.doors.delivery import Delivery, Fault, Sent, UnreadableError
from services.inventory.doors.faults import unreadable

MAX_ITEMS: Final = 1000


class PlainItems(BaseModel):
    """Items of one feed, each the whole state of one asset; taken all together or not at all."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    items: Annotated[tuple[FeedItem, ...], Field(min_length=1, max_length=MAX_ITEMS)]


def read(sent: Sent) -> Delivery:
    """Raises UnreadableError with a pointer to each offending field, such as `/items/3/facts/record_count`."""
    try:
        batch = PlainItems.model_validate_json(sent.content, strict=True)
    except ValidationError as error:
        raise unreadable(error) from None
    strangers = [
        other_feed(sent.feed, f"/items/{position}")
        for position, item in enumerate(batch.items)
        if item.feed != sent.feed.id
    ]
    if strangers:
        raise UnreadableError(strangers)
    return Delivery(batch.items)


def other_feed(feed: Feed, under: str) -> Fault:
    """For an item that names another feed than the one that sends it."""
    return Fault(f"{under}/feed", "inventory.other_feed", feed=feed.id)
