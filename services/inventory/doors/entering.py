# SPDX-License-Identifier: Apache-2.0
"""What every door over HTTP asks of a delivery before it is read."""

from __future__ import annotations

from collections.abc import Collection

from libs.contracts import Feed, ProblemType, Profile
from libs.security import FieldError, Identity, ProblemError
from services.inventory.doors.delivery import UnreadableError


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
    if content_type.partition(";")[0].strip().lower() not in media:
        raise ProblemError(ProblemType.UNSUPPORTED_MEDIA, "inventory.media", expected=", ".join(sorted(media)))


def as_problem(error: UnreadableError) -> ProblemError:
    """The faults of a delivery as a problem document tells them."""
    errors = [FieldError(fault.field, fault.key, **fault.args) for fault in error.faults]
    status = 400 if error.malformed else None
    return ProblemError(ProblemType.INVALID, "problems.invalid", status=status, errors=errors, count=len(error.faults))
