# SPDX-License-Identifier: Apache-2.0
"""Snapshots: which assets one is about, and what comes of its end. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Final, NamedTuple
from uuid import NAMESPACE_URL, UUID, uuid4, uuid5

from libs.contracts import (
    Feed,
    FeedSnapshotMarked,
    Profile,
    Reason,
    Scope,
    SnapshotMark,
    SnapshotState,
    make_key,
)
from services.inventory.domain import Refused
from services.inventory.items import Item
from services.inventory.share import needs_a_person

LASTS: Final = timedelta(days=1)
"""How long after its beginning a snapshot may end; one that takes longer was forgotten."""
OF_NO_BODY: Final = "-"
"""In the place of a body in the key of a mark: a snapshot may be of several bodies of the network."""

_NAMESPACE: Final = uuid5(NAMESPACE_URL, "urn:daicho:snapshot")


class Place(NamedTuple):
    """Where an asset stands, as the register has it and as the feed told it last; they may differ where several feeds tell of it."""

    network: str
    body: str
    kind: str
    zone: str | None
    told_body: str
    told_kind: str
    told_zone: str | None


class Extent(NamedTuple):
    """What a snapshot is to have all of: the feed's assets on one network, of some bodies, inside the feed's scope. Empty bounds nothing,
    but for the bodies, of which there is one at least."""

    network: str
    bodies: frozenset[str]
    kinds: frozenset[str] = frozenset()
    zones: frozenset[str] = frozenset()

    def covers(self, place: Place) -> bool:
        """Whether an asset at that place is the snapshot's to retire: in the register and for the feed alike, which may not tell the zone."""
        return (
            place.network == self.network
            and self.bodies.issuperset((place.body, place.told_body))
            and (not self.kinds or self.kinds.issuperset((place.kind, place.told_kind)))
            and (not self.zones or (place.zone in self.zones and place.told_zone in {None, *self.zones}))
        )


class Ended(NamedTuple):
    """What a snapshot had at its end: how many items its feed says that it told and how many were accepted; of the assets in its extent
    how many were known before, and how many of those it did not have."""

    begun_at: datetime
    sent: int
    accepted: int
    known: int = 0
    missing: int = 0

    def is_whole(self, now: datetime) -> bool:
        """Whether it may be taken for all that its feed has."""
        return self.sent == self.accepted and not self.is_late(now)

    def is_late(self, now: datetime) -> bool:
        return now - self.begun_at > LASTS

    def comes_to(self, share: float, now: datetime) -> SnapshotState:
        """What becomes of it; `share` is the feed's own."""
        if self.is_late(now):
            return SnapshotState.EXPIRED
        if not self.is_whole(now):
            return SnapshotState.INCOMPLETE
        if not self.missing:
            return SnapshotState.DONE
        return SnapshotState.WAITING if needs_a_person(self.missing, self.known, share) else SnapshotState.RETIRING


class Snapshot(NamedTuple):
    """A session's part on one network: all that a feed has there of some bodies."""

    snapshot_id: UUID
    feed: str
    network: str
    session: str
    bodies: tuple[str, ...]

    def counts(self, item: Item) -> bool:
        """Whether the item is of the snapshot, and not told beside it."""
        return item.snapshot == self.session and item.body in self.bodies


class Listening(NamedTuple):
    """A snapshot that is to know what its feed tells: it is open, or has not retired yet what it did not have."""

    snapshot: Snapshot
    is_open: bool


class Mention(NamedTuple):
    """That a snapshot's feed told of an asset, `in_session` where it was accepted as a part of the snapshot."""

    snapshot_id: UUID
    source_key: str
    in_session: bool


def snapshot_of(profile: Profile, mark: SnapshotMark) -> Snapshot:
    """What a mark is of; where it names no bodies, of all for which the feed speaks on the network."""
    named = mark.bodies or profile.feed_by_id[mark.feed].bodies
    bodies = sorted(bodies_on(profile, mark.network, named))
    snapshot_id = uuid5(_NAMESPACE, "/".join((profile.municipality, mark.feed, mark.session, mark.network)))
    return Snapshot(snapshot_id, mark.feed, mark.network, mark.session, tuple(bodies))


def new_session() -> str:
    """What a feed may call a snapshot that nobody has called anything yet."""
    return uuid4().hex


def beginning(profile: Profile, feed: str, session: str, bodies: Collection[str]) -> list[SnapshotMark]:
    """The marks with which a session begins, one for each network of the bodies."""
    return [
        SnapshotMark(feed=feed, network=network, session=session, step="begin", bodies=there)
        for network, there in _by_network(profile, bodies)
    ]


def ending(profile: Profile, feed: str, session: str, items: Mapping[str, int]) -> list[SnapshotMark]:
    """The marks with which a session ends, by how many items of each body were told in it."""
    return [
        SnapshotMark(feed=feed, network=network, session=session, step="end", items=sum(items[body] for body in there))
        for network, there in _by_network(profile, items)
    ]


def giving_up(
    profile: Profile, feed: str, session: str, bodies: Collection[str], reason: str | None
) -> list[SnapshotMark]:
    """The marks with which a session is given up."""
    return [
        SnapshotMark(feed=feed, network=network, session=session, step="abort", reason=reason)
        for network, _ in _by_network(profile, bodies)
    ]


def _by_network(profile: Profile, bodies: Collection[str]) -> list[tuple[str, tuple[str, ...]]]:
    networks = sorted({profile.network_of(body) for body in bodies})
    return [(network, tuple(sorted(bodies_on(profile, network, bodies)))) for network in networks]


def extent(feed: Feed, snapshot: Snapshot) -> Extent:
    """What a snapshot of the feed is to have all of, by the scope that the feed declares."""
    scope, named = feed.scope or Scope(), frozenset(snapshot.bodies)
    return Extent(snapshot.network, named & scope.bodies if scope.bodies else named, scope.kinds, scope.zones)


def bodies_on(profile: Profile, network: str, bodies: Iterable[str]) -> frozenset[str]:
    """Those of the bodies that are on a network."""
    return frozenset(body for body in bodies if profile.network_of(body) == network)


def mentions(listening: Iterable[Listening], item: Item, network: str, *, accepted: bool) -> Iterable[Mention]:
    """What the snapshots under way note of an item. That its feed has the asset is plain also where the item could not be taken."""
    return (
        Mention(one.snapshot_id, item.source_key, accepted and one.counts(item))
        for one, _ in listening
        if (one.feed, one.network) == (item.feed, network)
    )


def check_mark(profile: Profile, event: FeedSnapshotMarked, key: bytes | None) -> None:
    """Raises Refused where the mark's key, feed, network or bodies are not what the profile declares."""
    mark = event.data
    feed = profile.feed_by_id.get(mark.feed)
    if feed is None:
        raise Refused(Reason.UNKNOWN_FEED, "data.feed")
    for position, body in enumerate(mark.bodies):
        if body not in profile.body_by_id:
            raise Refused(Reason.UNKNOWN_BODY, f"data.bodies.{position}")
        if body not in feed.bodies:
            raise Refused(Reason.FEED_NOT_AUTHORISED, f"data.bodies.{position}")
        if profile.network_of(body) != mark.network:
            raise Refused(Reason.WRONG_NETWORK, f"data.bodies.{position}")
    if not bodies_on(profile, mark.network, feed.bodies):
        raise Refused(Reason.WRONG_NETWORK, "data.network")
    if event.network not in (None, mark.network):
        raise Refused(Reason.WRONG_NETWORK, "network")
    if event.subject != mark.session:
        raise Refused(Reason.KEY_MISMATCH, "subject")
    if key != key_of_mark(event):
        raise Refused(Reason.KEY_MISMATCH, "key")


def key_of_mark(event: FeedSnapshotMarked) -> bytes:
    """A session has a key of its own, so that a mark which cannot be taken keeps no other out."""
    mark = event.data
    return make_key(mark.network, OF_NO_BODY, mark.feed, mark.session)
