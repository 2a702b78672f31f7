# SPDX-License-Identifier: Apache-2.0
"""A snapshot, whole or partial, never touches another feed's assets, nor those of another scope: against a naive reference."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import from_json

from libs.contracts import FeedItem, Profile, SnapshotMark, SnapshotState, asset_id
from services.inventory.domain import Register, Source
from services.inventory.snapshots.domain import Ended, Listening, Place, extent, mentions, snapshot_of

PROFILE = Path(__file__).parents[3] / "samples/city/profile.yaml"
NOW = datetime(2026, 4, 1, tzinfo=UTC)
FEED, NETWORK, SESSION = "cmdb", "mayor", "s1"
BODIES, KINDS, ZONES = ("mayor", "audit", "waterworks"), ("system", "network", "document"), ("lgwan", "internet", None)
SCOPE = {"kinds": ["system", "network"], "zones": ["lgwan"], "bodies": ["mayor", "audit", "waterworks"]}


@cache
def profile() -> Profile:
    """The sample city, whose CMDB may retire systems and networks of one zone only; nothing is known by match keys."""
    document = yaml.safe_load(PROFILE.read_text(encoding="utf-8"))
    for feed in document["feeds"]:
        feed.pop("match", None)
        if feed["id"] == FEED:
            feed["scope"] = SCOPE
    return Profile.model_validate(document)


class Thing(NamedTuple):
    """An asset as its source tells it."""

    body: str
    kind: str
    zone: str | None

    def item(self, source: Source, version: int, snapshot: str | None = None) -> FeedItem:
        fields = {**self._asdict(), "feed": source.feed, "source_key": source.source_key, "source_version": version}
        return FeedItem.model_validate({**fields, "snapshot": snapshot})


sources = st.builds(Source, st.sampled_from((FEED, "ledger", "netbox")), st.sampled_from("ABCDE"))
things = st.builds(Thing, st.sampled_from(BODIES), st.sampled_from(KINDS), st.sampled_from(ZONES))
registers = st.dictionaries(sources, things)
told_in_it = st.dictionaries(sources, st.tuples(things, st.booleans()))
"""What is told between beginning and end: as a part of the session, or beside it."""


class Told(NamedTuple):
    """A register after a session, what was retired, and what came of the session."""

    register: Register
    retired: frozenset[Source]
    state: SnapshotState


def told(
    known: Mapping[Source, Thing],
    said: Mapping[Source, tuple[Thing, bool]],
    bodies: Iterable[str],
    lost: int,
    share: float,
) -> Told:
    """As the worker and its keeper do it, with the database's part done by hand."""
    city, register = profile(), Register(profile())
    for source, thing in known.items():
        register.take(thing.item(source, 1))
    mark = SnapshotMark(feed=FEED, network=NETWORK, session=SESSION, step="begin", bodies=tuple(sorted(bodies)))
    snapshot = snapshot_of(city, mark)
    found: dict[str, bool] = {}
    for source, (thing, within) in said.items():
        item = thing.item(source, 2, SESSION if within else None)
        register.take(item)
        for one in mentions([Listening(snapshot, True)], item, city.network_of(item.body), accepted=True):
            found[one.source_key] = one.in_session or found.get(one.source_key, False)
    accepted = sum(found.values())
    inside = extent(city.feed_by_id[FEED], snapshot)
    live = [source for source in {*known, *said} if source.feed == FEED and inside.covers(place(register, source))]
    missing = [source for source in sorted(live) if source.source_key not in found]
    ended = Ended(NOW, accepted + lost, accepted, len(live), len(missing))
    state = ended.comes_to(share, NOW)
    gone = missing if state is SnapshotState.RETIRING else []
    for source in gone:
        register.omit(source, SESSION)
    return Told(register, frozenset(gone), state)


def place(register: Register, source: Source) -> Place:
    (link,) = [one for one in register.links_of(id_of(source)) if one.feed == source.feed]
    state: dict[str, Any] = register.held(link.asset_id).state or {}
    content = from_json(link.told or "{}")
    return Place(
        state["network"],
        state["body"],
        state["kind"],
        state.get("zone"),
        content["body"],
        content["kind"],
        content.get("zone"),
    )


def id_of(source: Source) -> str:
    return asset_id(profile().municipality, *source)


bodies_named = st.sets(st.sampled_from(("mayor", "audit")))


@given(registers, told_in_it, bodies_named, st.integers(0, 2), st.sampled_from((0.0, 0.3, 1.0)))
def test_it_retires_what_a_naive_reading_would_and_nothing_else(
    known: dict[Source, Thing],
    said: dict[Source, tuple[Thing, bool]],
    bodies: set[str],
    lost: int,
    share: float,
) -> None:
    result = told(known, said, bodies, lost, share)

    now = {**known, **{source: thing for source, (thing, _) in said.items()}}
    named = bodies or {"mayor", "audit"}
    scope = {
        source
        for source, thing in now.items()
        if source.feed == FEED and thing.body in named and thing.kind != "document" and thing.zone == "lgwan"
    }
    unsaid = {source for source in scope if source not in said}
    if lost:
        assert result.state is SnapshotState.INCOMPLETE
    elif not unsaid:
        assert result.state is SnapshotState.DONE
    elif share < 1 and (unsaid == scope or len(unsaid) > max(1 if share else 0, share * len(scope))):
        assert result.state is SnapshotState.WAITING
    else:
        assert result.state is SnapshotState.RETIRING
    expected = unsaid if result.state is SnapshotState.RETIRING else set()
    assert result.retired == expected
    for source in now:
        state = result.register.held(id_of(source)).state
        assert state is not None
        assert (state["status"] == "retired") == (source in expected), source


@given(registers, told_in_it, bodies_named)
def test_what_is_told_again_after_it_is_as_if_it_had_never_been(
    known: dict[Source, Thing], said: dict[Source, tuple[Thing, bool]], bodies: set[str]
) -> None:
    result = told(known, said, bodies, 0, 1.0)
    for source in result.retired:
        before = result.register.held(id_of(source)).state
        result.register.take(known[source].item(source, 1))
        after = result.register.held(id_of(source)).state
        assert (before or {})["status"] == "retired"
        assert after == {**(before or {}), "status": "active"}
