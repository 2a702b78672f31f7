# SPDX-License-Identifier: Apache-2.0
"""What every door over HTTP asks of a delivery before it is read."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Annotated

from fastapi import Query

from libs.contracts import Feed, FeedItem, ProblemType, Profile
from libs.contracts.words import SessionId
from libs.security import FieldError, Identity, ProblemError
from services.inventory.doors.delivery import UnreadableError

Version = Annotated[int | None, Query(ge=0, le=2**63 - 1)]
"""Of what does not bear one itself."""
InSession = Annotated[SessionId | None, Query()]
"""The snapshot that items are of; one that bears a session itself keeps it."""


def feed_of(profile: Profile, feed: str, caller: Identity) -> Feed:
    """The feed as it is declared. Raises ProblemError (403) unless it is declared, and the caller's."""
    known = profile.feed_by_id.get(feed)
    if known is None or feed not in caller.feeds:
        raise ProblemError(ProblemType.FORBIDDEN, "inventory.not_your_feed", feed=feed)
    return known


def check_form(feed: Feed, form: str, content_type: str, media: Collection[str]) -> None:
    """Raises ProblemError: 409 where the feed is declared with another format than the door's, 415 for another kind of content."""
    if feed.format != form:
        raise ProblemError(ProblemType.CONFLICT, "inventory.wrong_door", feed=feed.id, format=feed.format)
    if media_type(content_type) not in media:
        raise ProblemError(ProblemType.UNSUPPORTED_MEDIA, "inventory.media", expected=", ".join(sorted(media)))


def media_type(content_type: str) -> str:
    """Without its parameters."""
    return content_type.partition(";")[0].strip().lower()


def numbered(version: int | None, now: datetime) -> int:
    """The version given, or else the time, in microseconds."""
    return int(now.timestamp() * 1_000_000) if version is None else version


def in_session(item: FeedItem, snapshot: str | None) -> FeedItem:
    """The item as a part of a snapshot, if it bears no session itself."""
    return item if snapshot is None or item.snapshot else item.model_copy(update={"snapshot": snapshot})


def as_problem(error: UnreadableError) -> ProblemError:
    """The faults of a delivery as a problem document tells them."""
    errors = [FieldError(fault.field, fault.key, **fault.args) for fault in error.faults]
    status = 400 if error.malformed else None
    return ProblemError(ProblemType.INVALID, "problems.invalid", status=status, errors=errors, count=len(error.faults))
