# SPDX-License-Identifier: Apache-2.0
"""One pull of a NetBox: what changed since the last one, or a comparison of all that it has with the register."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Mapping, Sequence, Set
from datetime import datetime, timedelta
from typing import Final, NamedTuple, Protocol

import structlog

from libs.contracts import Feed, FeedItem, NetboxPull
from libs.observability import Metrics
from libs.observability.metrics import FEED_ITEMS
from services.inventory.doors import UnreadableError
from services.inventory.doors.netbox import fields, read_object, retirement, source_key
from services.inventory.netbox_pull.client import PAGE, Netbox, Page
from services.inventory.netbox_pull.domain import Held, Progress, further, missing, over_share, unseen, wanted

UNREADABLE: Final = "unreadable"
"""An object that NetBox has and that cannot be an item, as it is: it is read again at every comparison."""
_LOGGED: Final = 5

_log = structlog.get_logger(__name__)


class Kept(Protocol):
    """What the register has of the feed, and the way into it."""

    async def known(self, keys: Collection[str] | None = None) -> Mapping[str, Held]:
        """The feed's active assets by source key; of `keys`, where they are given."""
        ...

    async def set_aside(self, keys: Collection[str]) -> Set[str]:
        """Those of the keys whose assets a person has retired: that NetBox still has them is no news."""
        ...

    async def take(self, items: Sequence[FeedItem]) -> None:
        """Returns when the items cannot be lost any more."""
        ...


class Compared(NamedTuple):
    """What came of a comparison: how many were gone and retired, or are `held` for a person to decide."""

    retired: int = 0
    held: int = 0


class Puller:
    """Reads one NetBox for one feed. Every method raises NetboxError, and what `Kept` raises; to do it again does no harm."""

    def __init__(self, feed: Feed, pull: NetboxPull, netbox: Netbox, kept: Kept, metrics: Metrics) -> None:
        self._feed = feed
        self._share = feed.retire_at_most
        self._overlap = timedelta(seconds=pull.overlap)
        self._netbox = netbox
        self._kept = kept
        self._unreadable = metrics.counter(FEED_ITEMS).labels(feed.id, UNREADABLE)

    async def begin(self) -> Progress:
        """Where the change log stands now, for a comparison to begin with."""
        changes, read_after = await self._netbox.newest_change()
        return Progress(changes[0].time if changes else read_after)

    async def changes(self, progress: Progress) -> AsyncIterator[Progress]:
        """Read again what the change log speaks of; each progress told may be kept, for all before it is done."""
        async for changes, _ in self._netbox.changes(progress.newest - self._overlap):
            want = wanted(unseen(changes, progress), fields())
            for object_type in sorted(want.whole):
                async for page in self._netbox.objects(fields().collections[object_type]):
                    await self._take(object_type, page)
            for object_type, parameter, number in sorted(want.showing):
                async for page in self._netbox.showing(fields().collections[object_type], parameter, number):
                    await self._take(object_type, page)
            for object_type, times in want.objects.items():
                await self._read(object_type, times)
            progress = further(progress, changes, self._overlap)
            yield progress

    async def compare(self, allowed: int | None = None) -> Compared:
        """Read all of it, and retire what the register had before and NetBox has not.

        More than the share of any type is retired only where a person has allowed as many as there are.
        """
        known = await self._kept.known()
        present: set[str] = set()
        for object_type, collection in fields().collections.items():
            async for page in self._netbox.objects(collection):
                present.update(source_key(object_type, given["id"]) for given in page.objects)
                await self._take(object_type, page)
        gone = missing(known, present, fields())
        over = over_share(known, gone, self._share)
        if over and (allowed is None or len(gone) > allowed):
            _log.warning("a comparison waits for a person", feed=self._feed.id, gone=len(gone), over_share=dict(over))
            return Compared(held=len(gone))
        numbers: dict[str, list[int]] = defaultdict(list)
        for key in gone:
            object_type, _, number = key.partition(":")
            numbers[object_type].append(int(number))
        return Compared(retired=sum([await self._retire(*one, {}, gone) for one in numbers.items()]))

    async def _read(self, object_type: str, times: Mapping[int, datetime]) -> None:
        numbers = sorted(times)
        for start in range(0, len(numbers), PAGE):
            asked = numbers[start : start + PAGE]
            found: set[int] = set()
            query = [("id", number) for number in asked]
            async for page in self._netbox.objects(fields().collections[object_type], query):
                await self._take(object_type, page)
                found.update(given["id"] for given in page.objects)
            absent = [number for number in asked if number not in found]
            if absent:
                known = await self._kept.known([source_key(object_type, number) for number in absent])
                await self._retire(object_type, absent, times, known)

    async def _retire(
        self, object_type: str, numbers: Sequence[int], times: Mapping[int, datetime], known: Mapping[str, Held]
    ) -> int:
        """Retire those of the objects that are known and that NetBox, asked for each, has no more; returns how many."""
        items = []
        for number in numbers:
            held = known.get(key := source_key(object_type, number))
            if held is None:
                continue
            page = await self._netbox.one(fields().collections[object_type], number)
            await self._take(object_type, page)
            if not page.objects:
                gone_by = max(page.read_after, times.get(number, page.read_after))
                items.append(retirement(self._feed, held.body, key, held.version, gone_by))
        for start in range(0, len(items), PAGE):
            await self._kept.take(items[start : start + PAGE])
        return len(items)

    async def _take(self, object_type: str, page: Page) -> None:
        objects = {source_key(object_type, given["id"]): given for given in page.objects}
        aside = await self._kept.set_aside(objects.keys()) if objects else frozenset()
        items, unreadable = [], []
        for key, given in objects.items():
            read_after = None if key in aside else page.read_after
            try:
                items.append(read_object(self._feed, object_type, given, read_after))
            except UnreadableError as error:
                unreadable.append((key, error.faults[0].field, error.faults[0].key))
        if unreadable:
            self._unreadable.inc(len(unreadable))
            _log.info("objects cannot be read", feed=self._feed.id, count=len(unreadable), first=unreadable[:_LOGGED])
        if items:
            await self._kept.take(items)
