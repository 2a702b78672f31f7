# SPDX-License-Identifier: Apache-2.0
"""When a feed is silent, and what is told of it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Final, NamedTuple

from libs.contracts import (
    Feed,
    FeedFinding,
    FeedFindingChanged,
    FindingState,
    Profile,
    Text,
    make_key,
    source_urn,
)

SILENT: Final = "silent"
"""The rule whose finding it is; a finding's id is `<feed>/silent`."""


class Watched(NamedTuple):
    """A feed as it is watched for one body: since when (None: no rhythm is declared), and what was told last."""

    since: datetime | None = None
    told: FindingState | None = None
    revision: int = 0


class Place(NamedTuple):
    """A feed, and a body for which it speaks."""

    feed: str
    body: str


class Found(NamedTuple):
    """What is to be kept of a place from now on; `is_news` where it is told, too, and `before` what was told before."""

    place: Place
    watched: Watched
    is_news: bool
    before: FindingState | None


def last_heard(since: datetime, heard_at: datetime | None) -> datetime:
    """From when the rhythm counts: a feed that was never heard of is given its time from when it is expected."""
    return since if heard_at is None else max(since, heard_at)


def judge(
    profile: Profile, known: Mapping[Place, Watched], heard: Mapping[str, datetime], now: datetime
) -> Iterator[Found]:
    """What changes by now: places that are watched from now on, or no longer, and findings that are opened, resolved or lifted."""
    expected = {Place(feed.id, body): feed for feed in profile.feeds if feed.every for body in feed.bodies}
    for place in sorted(expected.keys() | known.keys()):
        watched, feed = known.get(place, Watched()), expected.get(place)
        if feed is None:
            after = watched._replace(since=None)
            if watched.since is not None and watched.told in (FindingState.NOT_MET, FindingState.MET):
                after = after._replace(told=FindingState.LIFTED)
        elif watched.since is None:
            after = watched._replace(since=now)
        else:
            after = watched._replace(told=_state(feed, watched, last_heard(watched.since, heard.get(feed.id)), now))
        if after != watched:
            is_news = after.told is not watched.told
            kept = after._replace(revision=watched.revision + 1) if is_news else after
            yield Found(place, kept, is_news, watched.told)


def _state(feed: Feed, watched: Watched, last: datetime, now: datetime) -> FindingState | None:
    """What is to be told of a feed that is expected; of one that was never silent, nothing."""
    if feed.every is not None and now - last > feed.every:
        return FindingState.NOT_MET
    return FindingState.MET if watched.told is FindingState.NOT_MET else watched.told


def event(profile: Profile, found: Found, heard_at: datetime | None, now: datetime) -> tuple[bytes, FeedFindingChanged]:
    """The key and the event by which a body is told; of a feed that is not declared any more, its id alone is known."""
    feed_id, body = found.place
    feed, network = profile.feed_by_id.get(feed_id), profile.network_of(body)
    subject = f"{feed_id}/{SILENT}"
    told = FeedFindingChanged(
        id=f"{body}/{subject}:{found.watched.revision}",
        source=source_urn(profile.municipality, body, "inventory"),
        subject=subject,
        time=now,
        body=body,
        network=network,
        revision=found.watched.revision,
        data=FeedFinding(
            feed=feed_id,
            name=feed.name if feed else Text(ja=feed_id, en=feed_id),
            every=feed.every if feed else None,
            heard_at=heard_at,
            before=found.before,
            after=found.watched.told or FindingState.UNKNOWN,
        ),
    )
    return make_key(network, body, subject), told
