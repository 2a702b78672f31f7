# SPDX-License-Identifier: Apache-2.0
"""What NetBox's change log calls for: which objects to read again, how far it was read, and what is gone. Pure.

A record of the change log is a hint: it may be wrong under concurrent edits, and it never tells of the other objects that show the
changed one. So its content is not read; the objects are.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

from libs.contracts import NetboxPull
from services.inventory.doors.netbox import Fields
from services.inventory.share import needs_a_person


class Trouble(StrEnum):
    """Why a pull failed; what to do about each stands in the catalogue as `cli.pull.reason.<code>`."""

    UNREACHABLE = "unreachable"
    UNAVAILABLE = "unavailable"
    REFUSED = "refused"
    REDIRECTED = "redirected"
    REJECTED = "rejected"
    UNUSABLE = "unusable"
    BROKER = "broker"


class Change(NamedTuple):
    """A record of the change log: which object was changed when, and whether it was deleted."""

    id: int
    time: datetime
    deleted: bool
    object_type: str
    number: int


class Progress(NamedTuple):
    """How far the change log was read: the time of the newest record, and the records seen of the overlap before it, with their times."""

    newest: datetime
    seen: Mapping[int, datetime] = MappingProxyType({})


class Asked(NamedTuple):
    """What a person asked for: to read the change log at once; to compare all as well; then to retire up to so many, whatever their share."""

    at: datetime
    by: str
    compare: bool = False
    retire_up_to: int | None = None


class State(NamedTuple):
    """What is kept of a feed's pulls. `held`: assets that are gone and wait for a person; `failure`: the code of what went wrong last."""

    progress: Progress | None = None
    pulled_at: datetime | None = None
    compared_at: datetime | None = None
    held: int = 0
    failure: str | None = None
    failed_at: datetime | None = None
    asked: Asked | None = None


class Job(NamedTuple):
    """What is to be done now: read the change log, and perhaps compare."""

    compare: bool


class Showing(NamedTuple):
    """The objects of a type that show a certain other one: `parameter=number` of the REST API finds them."""

    object_type: str
    parameter: str
    number: int


@dataclass
class Wanted:
    """What to read: objects by type and number, each with the time of the last record that spoke of it; those that show another; whole
    collections."""

    objects: dict[str, dict[int, datetime]] = field(default_factory=lambda: defaultdict(dict))
    showing: set[Showing] = field(default_factory=set)
    whole: set[str] = field(default_factory=set)


class Held(NamedTuple):
    """An asset that the register has of a feed: whose it is, and the newest version told."""

    body: str
    version: int


def due(state: State, pull: NetboxPull, now: datetime) -> Job | None:
    """What is to be done by now, if anything."""
    asked = state.asked
    compare = _is_due(state.compared_at, pull.compare_every, now) or (asked is not None and asked.compare)
    if compare or asked is not None or _is_due(state.pulled_at, pull.every, now):
        return Job(compare)
    return None


def _is_due(last: datetime | None, every: int, now: datetime) -> bool:
    return last is None or now - last >= timedelta(seconds=every)


def unseen(changes: Iterable[Change], progress: Progress) -> list[Change]:
    """Those that were not there before."""
    return [change for change in changes if change.id not in progress.seen]


def further(progress: Progress, changes: Iterable[Change], overlap: timedelta) -> Progress:
    """The progress after these changes.

    A record becomes visible when its transaction ends, and so after younger ones: the log is read again from `overlap` before the newest.
    """
    seen = {**progress.seen, **{change.id: change.time for change in changes}}
    newest = max([progress.newest, *seen.values()])
    return Progress(newest, {number: time for number, time in seen.items() if time >= newest - overlap})


def wanted(changes: Iterable[Change], fields: Fields) -> Wanted:
    """What the changes call for."""
    found = Wanted()
    for change in changes:
        if change.object_type in fields.object_types:
            times = found.objects[change.object_type]
            times[change.number] = max(times.get(change.number, change.time), change.time)
        shown = fields.shown_in.get(change.object_type, {})
        if not change.deleted:
            found.showing.update(
                Showing(object_type, parameter, change.number)
                for object_type, parameters in shown.items()
                for parameter in parameters
            )
        elif change.object_type in fields.cleared_untold:
            found.whole.update(shown)
    found.showing = {one for one in found.showing if one.object_type not in found.whole}
    return found


def over_share(known: Iterable[str], gone: Iterable[str], share: float) -> Mapping[str, int]:
    """By type of object, how many would go, where that is for a person to decide; keys are source keys."""
    of_type, going = (Counter(key.partition(":")[0] for key in keys) for keys in (known, gone))
    return {name: count for name, count in going.items() if needs_a_person(count, of_type[name], share)}


def missing(known: Mapping[str, Held], present: Set[str], fields: Fields) -> dict[str, Held]:
    """What the register has of the feed, of the types that were read, and NetBox has not."""
    return {
        key: held for key, held in known.items() if key not in present and key.partition(":")[0] in fields.object_types
    }
