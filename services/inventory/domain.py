# SPDX-License-Identifier: Apache-2.0
"""Reconciliation: what an item of a feed makes of the register. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final, NamedTuple

import msgspec

from libs.contracts import (
    AssetChanged,
    AssetStatus,
    FeedItem,
    Profile,
    Reason,
    make_key,
    source_urn,
)
from libs.contracts.envelope import CONTENT_TYPE
from libs.contracts.keys import asset_id as made_from
from services.inventory.composition import BY_HAND, BY_ID, PERSON, Authorities, Content, Told, compose, content_of
from services.inventory.items import Item, Submitted
from services.inventory.keeping import whole
from services.inventory.matching import Agreement, Keys, compare, contradicts, digests, keys_of

State = dict[str, Any]
"""An asset as the register keeps it and events carry it: `libs.contracts.Asset` as JSON, without nulls.

Its values are plain: enumerations would take five times as long to write.
"""

MOVED: Final = "moved"
"""Reason of the event by which an asset leaves its body for another."""
MATCHED: Final = "matched"
"""Reason of the event by which relations follow a source to the asset that it was known again in."""
OMITTED: Final = "not-in-snapshot"
"""Reason of the event by which an asset changes because a snapshot of its feed did not have it."""

_ACTIVE: Final = AssetStatus.ACTIVE.value
_RETIRED: Final = AssetStatus.RETIRED.value
_TYPE: Final = AssetChanged.model_fields["type"].default
_NO_KEYS: Final = Keys(())
_id_of = lru_cache(maxsize=65536)(made_from)
_json_of = msgspec.json.Encoder().encode
_of_json = msgspec.json.Decoder().decode


class Refused(Exception):  # noqa: N818 - an item is refused; nothing is in error
    """An item that may not enter the register, and the path of the field that keeps it out."""

    def __init__(self, reason: Reason, field: str) -> None:
        super().__init__(f"{reason}: {field}")
        self.reason = reason
        self.field = field


class Outcome(StrEnum):
    """What became of an item: it made a revision; it is newer but says the same; it came too late."""

    APPLIED = "applied"
    UNCHANGED = "unchanged"
    IGNORED = "ignored"


class Source(NamedTuple):
    """Under what a feed knows an asset."""

    feed: str
    source_key: str


class Link(NamedTuple):
    """What a source told last: its content as JSON text, None where it retired what it never told of, and digests of its match keys.

    `gone`: it has said since that the asset is gone; what it told before is kept.
    """

    feed: str
    source_key: str
    asset_id: str
    source_version: int
    told: str | None = None
    gone: bool = False
    keys: tuple[int, ...] = ()


class Reading(NamedTuple):
    """What an item tells, also as JSON text, its match keys, and digests of them."""

    item: Item
    source: Source
    network: str
    content: Content
    told: str
    keys: Keys
    digests: tuple[int, ...]


class Readings:
    """What items of declared bodies tell: made once for each, for a batch asks for it several times. It needs nothing of the register."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._feeds = profile.feed_by_id
        self._networks = {body.id: body.network for body in profile.bodies}
        self._read: dict[int, Reading] = {}

    def of(self, item: Item) -> Reading:
        """The item is kept with it, so that no other takes its place."""
        return self._read.get(id(item)) or self._made(item)

    def _made(self, item: Item) -> Reading:
        content, network, keys, found_by = content_of(item), self._networks[item.body], _NO_KEYS, ()
        if (feed := self._feeds.get(item.feed)) is not None and feed.match:
            keys = keys_of(feed, item.source_key, content)
            found_by = tuple(sorted(digests(network, keys)))
        source, told = Source(item.feed, item.source_key), _json_of(content).decode()
        read = self._read[id(item)] = Reading(item, source, network, content, told, keys, found_by)
        return read


class Held(NamedTuple):
    """An asset as the register has it; `state` None where nothing was told of it yet."""

    revision: int = 0
    state: State | None = None


class Target(NamedTuple):
    """An asset that a relation names; `network` None: not seen yet."""

    asset_id: str
    network: str | None


class Revision(NamedTuple):
    """One revision of one asset, and the content of its event. `before` None: new to its body."""

    revision: int
    before: State | None
    after: State
    change: dict[str, Any]


class Candidate(NamedTuple):
    """Two assets that may be one, for a person to decide: that of `source`, and another in which its match keys were found.

    `told_apart`: the feed knows the other asset too, under another source key.
    """

    asset_id: str
    other_id: str
    source: Source
    evidence: tuple[Agreement, ...]
    told_apart: bool


class Decision(NamedTuple):
    """What an item makes of what was known: its link and asset as they are now, and the revisions; `news` where the link says anything new,
    `keys` digests of the match keys that it is told with for the first time.

    Of the asset there are none, one or (a move) two. Where a source turns out to be of another asset than its relations' owners
    expected, theirs follow.
    """

    outcome: Outcome
    link: Link
    held: Held
    news: bool = False
    revisions: tuple[Revision, ...] = ()
    candidates: tuple[Candidate, ...] = ()
    keys: frozenset[int] = frozenset()


class Move(NamedTuple):
    """What a person's act makes of the register: links as they are now, and revisions."""

    links: tuple[Link, ...]
    revisions: tuple[Revision, ...]


class MoveChanges(NamedTuple):
    """What the revisions of a move say of who made them, and why: of the asset that sources come to, of those that they leave, of all others."""

    into: dict[str, Any]
    left: dict[str, Any]
    others: dict[str, Any]


class Part(NamedTuple):
    """A part of the register: whole assets, with each link of every one.

    `targets` are assets that only relations name; `waiting` has, for an id by which a source is named that was not seen yet, the
    assets that name it.
    """

    links: Mapping[Source, Link] = {}
    assets: Mapping[str, Held] = {}
    targets: Mapping[Source, Target] = {}
    waiting: Mapping[str, Collection[str]] = {}


_NOTHING: Final = Part()
_UNKNOWN: Final = Held()


class Written(NamedTuple):
    """A revision as text: JSON for the history, and its event as it goes to the bus. `headers` is JSON, `[[name, value], …]`."""

    asset_id: str
    revision: int
    state: str
    change: str
    key: bytes
    value: bytes
    headers: str


def first_known_as(municipality: str, source: Source) -> str:
    """The id of the asset that a source tells of, until it is found or said to be of another."""
    return source.source_key if source.feed in (BY_ID, BY_HAND) else _id_of(municipality, *source)


def check_authority(profile: Profile, event: Submitted, key: bytes | None) -> None:
    """Raises Refused where the message's key, body, feed or network are not what the profile declares."""
    item = event.data
    if item.body not in profile.body_by_id:
        raise Refused(Reason.UNKNOWN_BODY, "data.body")
    feed = profile.feed_by_id.get(item.feed)
    if feed is None:
        raise Refused(Reason.UNKNOWN_FEED, "data.feed")
    if item.body not in feed.bodies:
        raise Refused(Reason.FEED_NOT_AUTHORISED, "data.body")
    network = profile.network_of(item.body)
    if event.network not in (None, network):
        raise Refused(Reason.WRONG_NETWORK, "network")
    if event.body not in (None, item.body):
        raise Refused(Reason.KEY_MISMATCH, "body")
    if event.subject != item.source_key:
        raise Refused(Reason.KEY_MISMATCH, "subject")
    if key != make_key(network, item.body, item.feed, item.source_key):
        raise _key_refused(key, network)


def _key_refused(key: bytes | None, network: str) -> Refused:
    if key is not None and key.count(b"/") >= 2 and not key.startswith(network.encode() + b"/"):
        return Refused(Reason.WRONG_NETWORK, "key")
    return Refused(Reason.KEY_MISMATCH, "key")


class Register:
    """The part of the register that a batch is about; `take` changes it, item by item.

    It is made of what is known of the items' sources; before it takes them, `add` gives it what it asks for by `to_look_up`,
    `expected` and `named`, in this order.
    """

    def __init__(self, profile: Profile, part: Part = _NOTHING, readings: Readings | None = None) -> None:
        self._profile = profile
        self._readings = readings or Readings(profile)
        self._authorities = Authorities(profile)
        self._matching = {feed.id for feed in profile.feeds if feed.match}
        self._links: dict[Source, Link] = {}
        self._assets: dict[str, Held] = {}
        self._sources: dict[str, list[Source]] = {}
        self._targets: dict[Source, Target] = {}
        self._waiting: dict[str, set[str]] = {}
        self._found: dict[int, set[Source]] = {}
        self._new: list[tuple[Source, frozenset[int]]] = []
        self.add(part)

    def add(self, part: Part) -> None:
        """Learn of more of the register; what is known already stays."""
        for asset_id, held in part.assets.items():
            self._assets.setdefault(asset_id, held)
        for source, link in part.links.items():
            if source not in self._links:
                self._links[source] = link
                self._sources.setdefault(link.asset_id, []).append(source)
                self._find_by(link)
        self._targets.update(part.targets)
        for expected, asset_ids in part.waiting.items():
            self._waiting.setdefault(expected, set()).update(asset_ids)

    def to_look_up(self, items: Collection[Item]) -> set[int]:
        """Digests of the match keys that items bring and their sources have not told before."""
        wanted: set[int] = set()
        for item in self._whole(items):
            if item.operation == "upsert" and item.feed in self._matching:
                reading = self._readings.of(item)
                link = self._links.get(reading.source)
                if brought := _brought(reading, link):
                    wanted |= brought
                    if link is None or link.told is None:
                        self._new.append((reading.source, brought))
        return wanted

    def expected(self) -> set[str]:
        """The ids by which relations may name sources that are new, and may be known again in other assets."""
        times = Counter(digest for _, brought in self._new for digest in brought)
        return {
            self._asset_id(source)
            for source, brought in self._new
            if any(digest in self._found or times[digest] > 1 for digest in brought)
        }

    def named(self, items: Collection[Item] = ()) -> set[Source]:
        """Sources that relations name and that are not known here: of the items, and of what else is told of assets of several sources."""
        found: set[Source] = set()
        for item in self._whole(items):
            for relation in item.relations:
                found.add(Source(relation.feed or item.feed, relation.source_key))
        own = {Source(item.feed, item.source_key) for item in items}
        for source, link in self._links.items():
            if link.told is not None and (source not in own or len(self._sources[link.asset_id]) > 1):
                found.update(Source(feed, key) for _, feed, key in _of_json(link.told).get("relations", ()))
        return {source for source in found - self._links.keys() if source.feed != BY_ID}

    def take(self, item: Item) -> Decision:
        """Reconcile an item whose authority was checked, and remember the result. Raises Refused."""
        source = Source(item.feed, item.source_key)
        link = self._links.get(source)
        if link is None:
            link = Link(item.feed, item.source_key, self._asset_id(source), source_version=-1)
        if _comes_late(link, item):
            return Decision(Outcome.IGNORED, link, self.held(link.asset_id))
        if item.operation == "retire":
            return self._take_retirement(source, link, item)
        return self._take_content(link, self._readings.of(self._filled_in(item)))

    def retire(self, asset_id: str, change: dict[str, Any]) -> Move:
        """A person retires an asset: the word of every source of it is over, and any may bring it back by telling of it anew.

        People's edits are no such word, and hold again then.
        """
        gone = tuple(link._replace(gone=True) for link in self.sources_of(asset_id))
        for link in gone:
            self._links[Source(link.feed, link.source_key)] = link
        return Move(gone, self._revise(asset_id, self._composed(asset_id), change))

    def restore(self, asset_id: str, change: dict[str, Any]) -> Move:
        """A person brings a retired asset back: what its sources told last is their word again, until one says that the asset is gone."""
        back = [link._replace(gone=False) for link in self.sources_of(asset_id)]
        return self.tell(back, change)

    def tell(self, links: Sequence[Link], change: dict[str, Any]) -> Move:
        """A person tells of one asset by themselves: edits of one that is here, or all of one that they add."""
        for link in links:
            self._remember(Source(link.feed, link.source_key), link)
        asset_id = links[0].asset_id
        return Move(tuple(links), self._revise(asset_id, self._composed(asset_id), change))

    def omit(self, source: Source, session: str) -> Decision:
        """A snapshot of its feed did not have what a known source tells of: its word is over until the feed tells of it again.

        The version that it told last may be told again, for a snapshot says only that it was not there: what it leaves is one below.
        """
        link = self._links[source]
        after = link._replace(source_version=link.source_version - 1, gone=True)
        change = {"feed": source.feed, "source_key": source.source_key, "snapshot": session, "reason": OMITTED}
        return self._retired(source, link, after, change)

    def move(self, sources: Iterable[Source], into: str, changes: MoveChanges) -> Move:
        """Let sources tell of another asset, and compose anew both and all else that is known here, for relations lead elsewhere now.

        An asset that no source is left to is retired.
        """
        moved: dict[Source, Link] = {}
        left: set[str] = set()
        for source in sources:
            link = self._links[source]
            left.add(link.asset_id)
            moved[source] = link._replace(asset_id=into)
            self._remember(source, moved[source])
        revisions = self._revise(into, self._composed(into), changes.into)
        for asset_id in sorted(self._assets.keys() - left - {into}):
            revisions += self._revise(asset_id, self._composed(asset_id), changes.others)
        for asset_id in sorted(left):
            revisions += self._revise(asset_id, self._composed(asset_id), changes.left)
        return Move(tuple(moved.values()), revisions)

    def held(self, asset_id: str) -> Held:
        """An asset as it is now."""
        return self._assets.get(asset_id) or _UNKNOWN

    def links_of(self, asset_id: str) -> list[Link]:
        """What each source of an asset tells."""
        return [self._links[source] for source in self._sources.get(asset_id, ())]

    def sources_of(self, asset_id: str) -> list[Link]:
        """What each source of an asset tells but for people's edits of it: without one of these there is no asset."""
        return [link for link in self.links_of(asset_id) if link.feed != PERSON]

    def _whole(self, items: Collection[Item]) -> Iterator[Item]:
        """The items with what they keep filled in, as they will be when they are taken one after another."""
        if not any(item.kept for item in items):
            yield from items
            return
        before: dict[Source, Content] = {}
        for item in items:
            if item.operation == "retire":
                yield item
                continue
            source = Source(item.feed, item.source_key)
            filled = self._filled_in(item, before.get(source))
            before[source] = self._readings.of(filled).content
            yield filled

    def _filled_in(self, item: Item, before: Content | None = None) -> Item:
        """An item with what it keeps as its source told it, `before` or as it is known."""
        if not item.kept or not isinstance(item, FeedItem):
            return item
        link = self._links.get(Source(item.feed, item.source_key))
        told = link.told if link is not None else None
        return whole(item, before or (_of_json(told) if told is not None else None))

    def _take_retirement(self, source: Source, link: Link, item: Item) -> Decision:
        after = link._replace(source_version=item.source_version, gone=True)
        return self._retired(source, link, after, _change_of(item))

    def _retired(self, source: Source, link: Link, after: Link, change: dict[str, Any]) -> Decision:
        if self._remember(source, after) == 1:
            before = self.held(link.asset_id).state
            state = None if before is None else {**before, "status": _RETIRED}
        else:
            state = self._composed(link.asset_id)
        return self._decision(link, after, self._revise(link.asset_id, state, change))

    def _take_content(self, link: Link, reading: Reading) -> Decision:
        item, source, content, found_by = reading.item, reading.source, reading.content, reading.digests
        after = Link(
            item.feed, item.source_key, link.asset_id, item.source_version, reading.told, gone=False, keys=found_by
        )
        if after.told == link.told and found_by == link.keys and not link.gone:
            self._links[source] = after
            return self._decision(link, after, ())
        brought = _brought(reading, link)
        same, candidates = self._match(reading, link, brought) if brought else (None, ())
        if same is not None:
            after = after._replace(asset_id=same)
        relations, left_out = self._relations(after.asset_id, content["relations"], reading.network)
        if left_out and self._profile.feed_by_id[item.feed].format != "netbox":
            raise self._other_network(item, reading.network)
        if self._remember(source, after) == 1:
            name = content.get("name", item.source_key)
            state: State | None = self._state(after.asset_id, name, content, relations, _ACTIVE)
        else:
            state = self._composed(after.asset_id)
        change = _change_of(item, Reason.OTHER_NETWORK_RELATION if left_out else None)
        revisions = self._revise(after.asset_id, state, change)
        self._find_by(after)
        if same is not None:
            revisions += self._redirected(link.asset_id, same)
        return self._decision(link, after, revisions, candidates, brought)

    def _decision(
        self,
        before: Link,
        after: Link,
        revisions: tuple[Revision, ...],
        candidates: tuple[Candidate, ...] = (),
        brought: frozenset[int] = frozenset(),
    ) -> Decision:
        outcome = Outcome.APPLIED if revisions else Outcome.UNCHANGED
        return Decision(outcome, after, self.held(after.asset_id), after != before, revisions, candidates, brought)

    def _remember(self, source: Source, link: Link) -> int:
        """How many sources the link's asset now has."""
        before = self._links.get(source)
        self._links[source] = link
        sources = self._sources.setdefault(link.asset_id, [])
        if before is None or before.asset_id != link.asset_id:
            sources.append(source)
            if before is not None:
                self._sources[before.asset_id].remove(source)
        return len(sources)

    def _composed(self, asset_id: str) -> State | None:
        """The state that all that is told of an asset gives; None if nothing ever was. Edits alone are of what is no longer there."""
        told = [
            Told(link.feed, link.source_key, _of_json(link.told), link.gone)
            for link in self.links_of(asset_id)
            if link.told is not None
        ]
        if all(one.feed == PERSON for one in told):
            before = self.held(asset_id).state
            return None if before is None else {**before, "status": _RETIRED}
        content, active, _ = compose(self._authorities, told)
        relations, _ = self._relations(asset_id, content["relations"], self._profile.network_of(content["body"]))
        return self._state(asset_id, content["name"], content, relations, _ACTIVE if active else _RETIRED)

    def _relations(
        self, asset_id: str, told: Iterable[Sequence[str]], network: str
    ) -> tuple[list[dict[str, str]], bool]:
        """The relations in one order, each once, and whether some were left out.

        A relation to an asset known to be on another network is an error of the item (design §4). Equipment records tell of the
        world as it is and have nobody who could correct a single item, so there the asset is kept and only the relation left out.
        One that has come to lead to the asset itself says nothing.
        """
        found: set[tuple[str, str]] = set()
        left_out = False
        for kind, feed, source_key in told:
            target = self._target(Source(feed, source_key))
            if target.network is None and self._matching:
                self._waiting.setdefault(target.asset_id, set()).add(asset_id)
            if target.network not in (None, network):
                left_out = True
            elif target.asset_id != asset_id:
                found.add((kind, target.asset_id))
        return [{"type": kind, "asset_id": target_id} for kind, target_id in sorted(found)], left_out

    def _other_network(self, item: Item, network: str) -> Refused:
        position = next(
            position
            for position, relation in enumerate(item.relations)
            if self._target(Source(relation.feed or item.feed, relation.source_key)).network not in (None, network)
        )
        return Refused(Reason.OTHER_NETWORK_RELATION, f"data.relations.{position}.source_key")

    def _target(self, source: Source) -> Target:
        link = self._links.get(source)
        if link is not None:
            state = self.held(link.asset_id).state
            return Target(link.asset_id, state["network"] if state else None)
        return self._targets.get(source) or Target(self._asset_id(source), None)

    def _redirected(self, expected: str, joined: str) -> tuple[Revision, ...]:
        """Revisions of the assets whose relations name a source by an id that it did not come to have."""
        there = self.held(joined).state
        change = {"reason": MATCHED, "merged_from": expected, "merged_into": joined}
        revisions: tuple[Revision, ...] = ()
        for asset_id in sorted(self._waiting.pop(expected, ())):
            state = self.held(asset_id).state
            if state is None or there is None:
                continue
            found = {(one["type"], one["asset_id"]) for one in state["relations"]}
            led = {kind for kind, to in found if to == expected}
            kept = {(kind, to) for kind, to in found if to != expected}
            if asset_id != joined and state["network"] == there["network"]:
                kept |= {(kind, joined) for kind in led}
            relations = [{"type": kind, "asset_id": to} for kind, to in sorted(kept)]
            revisions += self._revise(asset_id, {**state, "relations": relations}, change)
        return revisions

    def _match(
        self, reading: Reading, link: Link, brought: Collection[int]
    ) -> tuple[str | None, tuple[Candidate, ...]]:
        """The asset in which a new source is known again, or those that it may be the same as.

        Only one asset may agree, in no key may it contradict what counts for more, and no other source key of the same feed may be
        live on it: a feed knows its own assets apart. A source that has an asset already stays with it.
        """
        hits: dict[str, tuple[Agreement, ...]] = {}
        for source in {source for digest in brought for source in self._found.get(digest, ())}:
            asset_id = self._links[source].asset_id
            if asset_id != link.asset_id and asset_id not in hits and self._within_reach(reading, asset_id):
                evidence = compare(reading.keys, map(self._keys_told, self.links_of(asset_id)))
                if any(one.agrees for one in evidence):
                    hits[asset_id] = evidence
        told_apart = {other for other in hits if self._is_told_apart(link, other)}
        if link.told is None and len(hits) == 1 and not told_apart:
            ((asset_id, evidence),) = hits.items()
            if not contradicts(evidence):
                return asset_id, ()
        return None, tuple(
            Candidate(link.asset_id, other, reading.source, evidence, other in told_apart)
            for other, evidence in sorted(hits.items())
        )

    def _within_reach(self, reading: Reading, asset_id: str) -> bool:
        """An asset of the same network and body, or of another body where the feed's scope has both."""
        item, state = reading.item, self.held(asset_id).state
        if state is None or state["network"] != reading.network:
            return False
        scope = self._profile.feed_by_id[item.feed].scope
        return state["body"] == item.body or (scope is not None and {state["body"], item.body} <= scope.bodies)

    def _is_told_apart(self, link: Link, asset_id: str) -> bool:
        return any(other.feed == link.feed and not other.gone for other in self.links_of(asset_id))

    def _keys_told(self, link: Link) -> Keys:
        feed = self._profile.feed_by_id.get(link.feed)
        if feed is None or not feed.match or link.told is None:
            return _NO_KEYS
        return keys_of(feed, link.source_key, _of_json(link.told))

    def _find_by(self, link: Link) -> None:
        """Let later items of the batch find the link by its match keys; by former ones, too, for who finds it compares."""
        for digest in link.keys:
            self._found.setdefault(digest, set()).add(Source(link.feed, link.source_key))

    def _asset_id(self, source: Source) -> str:
        return first_known_as(self._profile.municipality, source)

    def _state(self, asset_id: str, name: str, content: Content, relations: list[dict[str, str]], status: str) -> State:
        body = content["body"]
        state: State = {
            "asset_id": asset_id,
            "body": body,
            "network": self._profile.network_of(body),
            "kind": content["kind"],
            "name": name,
            "status": status,
            "facts": content["facts"],
            "declared": content["declared"],
            "relations": relations,
        }
        for optional in ("section", "zone"):
            if optional in content:
                state[optional] = content[optional]
        return state

    def _revise(self, asset_id: str, after: State | None, change: dict[str, Any]) -> tuple[Revision, ...]:
        revisions = _revisions(self.held(asset_id), after, change)
        if revisions:
            self._assets[asset_id] = Held(revisions[-1].revision, revisions[-1].after)
        return revisions


def _brought(reading: Reading, link: Link | None) -> frozenset[int]:
    """Digests of match keys that an item brings and its source has not told before."""
    return frozenset(reading.digests).difference(link.keys) if link is not None else frozenset(reading.digests)


def _comes_late(link: Link, item: Item) -> bool:
    """Whether what is known is newer than the item.

    Of two items of one version, a retirement wins, and else the one that arrives later: NetBox's `last_updated` does not move
    with every change, a deletion bears that of the update before it, and a later full read must be able to mend what was missed.
    """
    if item.source_version != link.source_version:
        return item.source_version < link.source_version
    return link.gone and item.operation == "upsert"


def _revisions(held: Held, after: State | None, change: dict[str, Any]) -> tuple[Revision, ...]:
    """None where nothing changes; two where the asset moves, for each body sees its own part."""
    before, number = held.state, held.revision + 1
    if after is None:
        return ()
    if before is None or before["body"] == after["body"]:
        return () if before is not None and _same(before, after) else (Revision(number, before, after, change),)
    if before["status"] == _RETIRED:
        return (Revision(number, None, after, change),)
    leaves = Revision(number, before, {**before, "status": _RETIRED}, {**change, "reason": MOVED})
    return (leaves, Revision(number + 1, None, after, change))


def _same(one: State, other: State) -> bool:
    """Python holds True and 1 for equal; JSON does not."""
    return one == other and all(
        isinstance(value, bool) == isinstance(other["facts"][name], bool) for name, value in one["facts"].items()
    )


def _change_of(item: Item, reason: str | None = None) -> dict[str, Any]:
    change = {"feed": item.feed, "source_key": item.source_key, "source_version": item.source_version}
    told = item.reason or reason
    return {**change, "reason": told} if told is not None else change


class Scribe:
    """Writes revisions down as `AssetChanged` events of one time: the same revision always gives the same bytes.

    It writes JSON by itself, for the models take several times as long; what it fills in unescaped are ids, numbers and a
    traceparent, which hold nothing to escape. A test holds it to the models.
    """

    def __init__(self, municipality: str, time: datetime) -> None:
        self._municipality = municipality
        self._time = time.isoformat()

    def write(self, revision: Revision, traceparent: str | None = None) -> Written:
        after, number = revision.after, revision.revision
        subject, body, network = after["asset_id"], after["body"], after["network"]
        source = source_urn(self._municipality, body, "inventory")
        state, change = _json(after), _json(revision.change)
        before = "null" if revision.before is None else _json(revision.before)
        trace = "" if traceparent is None else f'"traceparent":"{traceparent}",'
        value = (
            f'{{"specversion":"1.0","id":"{subject}:{number}","source":"{source}","type":"{_TYPE}","subject":"{subject}",'
            f'"time":"{self._time}","datacontenttype":"application/json","body":"{body}","network":"{network}",'
            f'"revision":{number},{trace}"data":{{"before":{before},"after":{state},"change":{change}}}}}'
        )
        trace = "" if traceparent is None else f',["ce_traceparent","{traceparent}"]'
        headers = (
            f'[["content-type","{CONTENT_TYPE}"],["ce_specversion","1.0"],["ce_id","{subject}:{number}"],'
            f'["ce_source","{source}"],["ce_type","{_TYPE}"],["ce_subject","{subject}"],["ce_body","{body}"],'
            f'["ce_network","{network}"],["ce_revision","{number}"]{trace}]'
        )
        key = make_key(network, body, subject)
        return Written(subject, number, state, change, key, value.encode(), headers)


def _json(content: dict[str, Any]) -> str:
    return _json_of(content).decode()
