# SPDX-License-Identifier: Apache-2.0
"""What the worker does with snapshots, in the transactions that write what is told: it notes what is told of, and takes beginnings and ends."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import structlog

from libs.contracts import Profile, SnapshotMark, SnapshotState
from libs.persistence import PoolConnection
from services.inventory.items import Item
from services.inventory.snapshots import store
from services.inventory.snapshots.domain import Ended, Snapshot, extent, mentions, snapshot_of

_log = structlog.get_logger(__name__)


async def note_told(
    connection: PoolConnection, profile: Profile, told: Iterable[tuple[Item, bool]], partition: int, now: datetime
) -> None:
    """Take note of the items of a batch, each with whether it was accepted: that their feeds were heard of, and what snapshots ask for."""
    items = [(item, profile.network_of(item.body), accepted) for item, accepted in told]
    if not items:
        return
    feeds, networks = {item.feed for item, _, _ in items}, {network for _, network, _ in items}
    listening = await store.hear(connection, feeds, networks, partition, now)
    if listening:
        found = (
            one for item, network, accepted in items for one in mentions(listening, item, network, accepted=accepted)
        )
        await store.mention(connection, listening, found)


async def take_mark(
    connection: PoolConnection, profile: Profile, mark: SnapshotMark, partition: int, now: datetime
) -> None:
    """Begin, end or give up a snapshot; what was told before the mark must be written. The network is held.

    A mark that comes again changes nothing. An end without a beginning retires nothing, and is kept for people to see.
    """
    await store.hear(connection, [mark.feed], [], partition, now)
    named = snapshot_of(profile, mark)
    begun = await store.begun(connection, named.snapshot_id)
    if mark.step == "begin" and begun is None:
        await store.begin(connection, named, now)
    elif mark.step == "end" and begun is None:
        await store.never_begun(connection, named, mark.items or 0, now)
    elif mark.step == "end" and begun is not None and begun.state is SnapshotState.OPEN:
        await _end(connection, profile, named._replace(bodies=begun.bodies), begun.begun_at, mark.items or 0, now)
    elif mark.step == "abort":
        await store.abort(connection, named.snapshot_id, now, mark.reason)


async def _end(
    connection: PoolConnection, profile: Profile, one: Snapshot, begun_at: datetime, sent: int, now: datetime
) -> None:
    feed = profile.feed_by_id[one.feed]
    ended = Ended(begun_at, sent, await store.accepted(connection, one.snapshot_id))
    if ended.is_whole(now):
        ended = await store.note_missing(connection, one, extent(feed, one), ended)
        await store.overtake(connection, one, now)
    state = ended.comes_to(feed.retire_at_most, now)
    await store.end(connection, one.snapshot_id, state, ended, now)
    numbers = {"sent": ended.sent, "accepted": ended.accepted, "known": ended.known, "missing": ended.missing}
    _log.info("a snapshot ended", feed=one.feed, network=one.network, session=one.session, state=state, **numbers)
