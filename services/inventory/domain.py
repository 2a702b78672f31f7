# SPDX-License-Identifier: Apache-2.0
"""Reconciliation: what an item of a feed makes of the register. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final, NamedTuple

from pydantic_core import to_json

from libs.contracts import (
    AssetChanged,
    AssetStatus,
    FeedItem,
    FeedItemSubmitted,
    Profile,
    Reason,
    RelationItem,
    asset_id,
    make_key,
    source_urn,
)
from libs.contracts.envelope import CONTENT_TYPE

State = dict[str, Any]
"""An asset as the register keeps it and events carry it: `libs.contracts.Asset` as JSON, without nulls.

Its values are plain: enumerations would take five times as long to write.
"""

MOVED: Final = "moved"
"""Reason of the event by which an asset leaves its body for another."""

_ACTIVE: Final = AssetStatus.ACTIVE.value
_RETIRED: Final = AssetStatus.RETIRED.value
_TYPE: Final = AssetChanged.model_fields["type"].default
_id_of = lru_cache(maxsize=65536)(asset_id)


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


class Known(NamedTuple):
    """What the register has under one source key. `state` None: retired before it was ever told of."""

    asset_id: str
    source_version: int
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


class Decision(NamedTuple):
    """What an item makes of what was known: the new knowledge, and none, one or (a move) two revisions."""

    outcome: Outcome
    known: Known
    revisions: tuple[Revision, ...] = ()


class Written(NamedTuple):
    """A revision as text: JSON for the history, and its event as it goes to the bus. `headers` is JSON, `[[name, value], …]`."""

    asset_id: str
    revision: int
    state: str
    change: str
    key: bytes
    value: bytes
    headers: str


def check_authority(profile: Profile, event: FeedItemSubmitted, key: bytes | None) -> None:
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

    `known` has the assets that items of the batch speak of, `targets` those that only relations name.
    """

    def __init__(self, profile: Profile, known: Mapping[Source, Known], targets: Mapping[Source, Target]) -> None:
        self._profile = profile
        self._known = dict(known)
        self._targets = targets

    def take(self, item: FeedItem) -> Decision:
        """Reconcile an item whose authority was checked, and remember the result. Raises Refused."""
        source = Source(item.feed, item.source_key)
        before = self._known.get(source) or Known(self._asset_id(source), source_version=-1)
        decision = self._decide(before, item)
        self._known[source] = decision.known
        return decision

    def _decide(self, known: Known, item: FeedItem) -> Decision:
        if _comes_late(known, item):
            return Decision(Outcome.IGNORED, known)
        if item.operation == "retire":
            return _retired(known, item.source_version, _change_of(item))
        relations, left_out = self._relations(item)
        network = self._profile.network_of(item.body)
        change = _change_of(item, Reason.OTHER_NETWORK_RELATION if left_out else None)
        return _upserted(known, item.source_version, _state_of(item, known.asset_id, network, relations), change)

    def _relations(self, item: FeedItem) -> tuple[list[dict[str, str]], bool]:
        """The relations in one order, each once, and whether some were left out.

        A relation to an asset known to be on another network is an error of the item (design §4). Equipment records tell of the
        world as it is and have nobody who could correct a single item, so there the asset is kept and only the relation left out.
        """
        network = self._profile.network_of(item.body)
        keeps = self._profile.feed_by_id[item.feed].format == "netbox"
        found: set[tuple[str, str]] = set()
        left_out = False
        for position, relation in enumerate(item.relations):
            target = self._target(item, relation)
            if target.network in (None, network):
                found.add((relation.type.value, target.asset_id))
            elif keeps:
                left_out = True
            else:
                raise Refused(Reason.OTHER_NETWORK_RELATION, f"data.relations.{position}.source_key")
        return [{"type": kind, "asset_id": target_id} for kind, target_id in sorted(found)], left_out

    def _target(self, item: FeedItem, relation: RelationItem) -> Target:
        source = Source(relation.feed or item.feed, relation.source_key)
        known = self._known.get(source)
        if known is not None:
            return Target(known.asset_id, known.state["network"] if known.state else None)
        return self._targets.get(source) or Target(self._asset_id(source), None)

    def _asset_id(self, source: Source) -> str:
        return _id_of(self._profile.municipality, source.feed, source.source_key)


def retire(known: Known, actor: str, reason: str) -> Decision:
    """A person retires an asset; its source may bring it back by telling of it anew."""
    return _retired(known, known.source_version, {"actor": actor, "reason": reason})


def _comes_late(known: Known, item: FeedItem) -> bool:
    """Whether what is known is newer than the item.

    Of two items of one version, a retirement wins, and else the one that arrives later: NetBox's `last_updated` does not move
    with every change, a deletion bears that of the update before it, and a later full read must be able to mend what was missed.
    """
    if item.source_version != known.source_version:
        return item.source_version < known.source_version
    gone = known.state is None or known.state["status"] == _RETIRED
    return gone and item.operation == "upsert"


def _retired(known: Known, source_version: int, change: dict[str, Any]) -> Decision:
    if known.state is None or known.state["status"] == _RETIRED:
        return Decision(Outcome.UNCHANGED, _moved_on(known, source_version))
    after = {**known.state, "status": _RETIRED}
    revision = Revision(known.revision + 1, known.state, after, change)
    return _applied(known, source_version, revision)


def _upserted(known: Known, source_version: int, after: State, change: dict[str, Any]) -> Decision:
    before = known.state
    if before is None or before["body"] == after["body"]:
        if before is not None and _same(before, after):
            return Decision(Outcome.UNCHANGED, _moved_on(known, source_version))
        return _applied(known, source_version, Revision(known.revision + 1, before, after, change))
    if before["status"] == _RETIRED:
        return _applied(known, source_version, Revision(known.revision + 1, None, after, change))
    gone = {**before, "status": _RETIRED}
    leaves = Revision(known.revision + 1, before, gone, {**change, "reason": MOVED})
    arrives = Revision(known.revision + 2, None, after, change)
    return _applied(known, source_version, leaves, arrives)


def _applied(known: Known, source_version: int, *revisions: Revision) -> Decision:
    last = revisions[-1]
    return Decision(Outcome.APPLIED, Known(known.asset_id, source_version, last.revision, last.after), revisions)


def _moved_on(known: Known, source_version: int) -> Known:
    return Known(known.asset_id, source_version, known.revision, known.state)


def _same(one: State, other: State) -> bool:
    """Python holds True and 1 for equal; JSON does not."""
    return one == other and all(
        isinstance(value, bool) == isinstance(other["facts"][name], bool) for name, value in one["facts"].items()
    )


def _state_of(item: FeedItem, known_as: str, network: str, relations: list[dict[str, str]]) -> State:
    state: State = {
        "asset_id": known_as,
        "body": item.body,
        "network": network,
        "kind": item.kind.value,
        "name": item.name or item.source_key,
        "status": _ACTIVE,
        "facts": item.facts,
        "declared": {name: level for name, level in item.declared.__dict__.items() if level is not None},
        "relations": relations,
    }
    if item.section is not None:
        state["section"] = item.section
    if item.zone is not None:
        state["zone"] = item.zone.value
    return state


def _change_of(item: FeedItem, reason: str | None = None) -> dict[str, Any]:
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
    return to_json(content).decode()
