# SPDX-License-Identifier: Apache-2.0
"""Two feeds that tell of the same things, in every order of arrival: one register. Merged by a person and undone: as if it had not been.

The reference is written naively and apart: of each source the newest word, and of each field the value of whoever is to be heard.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from hypothesis import given
from hypothesis import strategies as st

from libs.contracts import FeedItem, Profile, asset_id
from services.inventory.domain import Link, Part, Register, Revision, Source, State
from services.inventory.merges.domain import MergeKind, move

SAMPLE = yaml.safe_load((Path(__file__).parents[3] / "samples/city/profile.yaml").read_text(encoding="utf-8"))
FEEDS = ("cmdb", "glpi")
THINGS = range(3)
FIELDS = ("name", "section", "zone", "facts", "facts.model", "declared", "relations", "relations.stores", "existence")


def profile(*, match: bool, authority: Sequence[frozenset[str]] = (), ranks: Sequence[int] = (1, 1)) -> Profile:
    feeds = [
        {
            "id": feed,
            "name": {"ja": feed, "en": feed},
            "bodies": ["mayor"],
            "authority": sorted(authority[place]) if authority else [],
            "rank": ranks[place],
            "match": [{"serial": "facts.serial"}] if match else [],
        }
        for place, feed in enumerate(FEEDS)
    ]
    return Profile.model_validate({**SAMPLE, "feeds": feeds})


def key_of(thing: int) -> str:
    return f"K-{thing}"


def item(feed: str, thing: int, version: int, **fields: Any) -> FeedItem:
    facts = {"serial": f"SERIAL-{thing:04}", **fields.pop("facts", {})}
    named = {"body": "mayor", "feed": feed, "source_key": key_of(thing), "source_version": version, "kind": "system"}
    return FeedItem.model_validate({**named, "facts": facts, **fields})


@st.composite
def words(draw: st.DrawFn, feed: str, thing: int, version: int) -> FeedItem:
    """The first version of a source is never a retirement: what was never told of cannot be known again."""
    values = st.sampled_from(("甲", "乙", "丙"))
    named = st.tuples(st.sampled_from(("stores", "runs_on")), st.sampled_from(FEEDS), st.sampled_from(range(4)))
    optional: dict[str, Any] = {
        "name": values,
        "section": values,
        "zone": st.sampled_from(("lgwan", "internet")),
        "declared": st.sampled_from(({"integrity": "1"}, {"integrity": "2", "confidentiality": "3B"})),
    }
    told = {name: draw(value) for name, value in optional.items() if draw(st.booleans())}
    facts = draw(st.dictionaries(st.sampled_from(("model", "rack")), values))
    relations = [
        {"type": kind, "feed": other, "source_key": key_of(there)}
        for kind, other, there in draw(st.lists(named, max_size=3))
    ]
    operation = draw(st.sampled_from(("upsert", "upsert", "retire"))) if version else "upsert"
    return item(feed, thing, version, operation=operation, facts=facts, relations=relations, **told)


@st.composite
def histories(draw: st.DrawFn) -> list[FeedItem]:
    told = []
    for feed in FEEDS:
        for thing in THINGS:
            told += [draw(words(feed, thing, version)) for version in range(draw(st.integers(0, 3)))]
    return told


def first_words_first(items: Sequence[FeedItem]) -> list[FeedItem]:
    """Any order but for the first version of each source, which takes the place of whichever came first."""
    waiting = {(one.feed, one.source_key): one for one in items if one.source_version == 0}
    ordered: list[FeedItem] = []
    for one in items:
        first = waiting.pop((one.feed, one.source_key), None)
        if first is not None:
            ordered.append(first)
        if one.source_version:
            ordered.append(one)
    return ordered


class Whole:
    """A register that is shown to each batch as far as it is about it, as the worker does."""

    def __init__(self, city: Profile) -> None:
        self.city = city
        self.register = Register(city)
        self.revisions: list[Revision] = []

    def take(self, items: Sequence[FeedItem]) -> None:
        for one in items:
            self.revisions += self.register.take(one).revisions


class Heard(NamedTuple):
    """What is to be found of a thing that is there."""

    fields: dict[str, Any]
    relations: set[tuple[str, Any]]


def expected(city: Profile, items: Sequence[FeedItem]) -> dict[int, Heard]:
    newest: dict[tuple[str, str], FeedItem] = {}
    for one in items:
        source = (one.feed, one.source_key)
        if source not in newest or one.source_version > newest[source].source_version:
            newest[source] = one
    found = {}
    for thing in THINGS:
        told = [newest[feed, key_of(thing)] for feed in FEEDS if (feed, key_of(thing)) in newest]
        live = [one for one in told if one.operation == "upsert"]
        deciding = [one for one in told if "existence" in city.feed_by_id[one.feed].authority]
        if deciding:
            best = min(city.feed_by_id[one.feed].rank for one in deciding)
            there = any(one in live for one in deciding if city.feed_by_id[one.feed].rank == best)
        else:
            there = bool(live)
        if there:
            found[thing] = Heard(fields_of(city, live), relations_of(city, live, thing, newest))
    return found


def weight(city: Profile, feed: str, field: str) -> tuple[int, int]:
    declared = city.feed_by_id[feed]
    if field in declared.authority:
        return (0, declared.rank)
    return (1 if field.split(".", maxsplit=1)[0] in declared.authority else 2, declared.rank)


def fields_of(city: Profile, live: Sequence[FeedItem]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for field in ("name", "section", "zone", *("facts.serial", "facts.model", "facts.rack"), *DECLARED):
        for one in sorted(live, key=lambda one: (*weight(city, one.feed, field), FEEDS.index(one.feed))):
            value = said(one, field)
            if value is not None:
                found[field] = value
                break
    found.setdefault("name", key_of_first(city, live))
    return found


DECLARED = ("declared.confidentiality", "declared.integrity")


def key_of_first(city: Profile, live: Sequence[FeedItem]) -> str:
    return min(live, key=lambda one: (*weight(city, one.feed, "name"), FEEDS.index(one.feed))).source_key


def said(one: FeedItem, field: str) -> Any:
    group, _, name = field.partition(".")
    return one.facts.get(name) if group == "facts" else getattr(one.declared if name else one, name or group)


def relations_of(
    city: Profile, live: Sequence[FeedItem], thing: int, newest: dict[tuple[str, str], FeedItem]
) -> set[tuple[str, Any]]:
    found: set[tuple[str, Any]] = set()
    for kind in ("stores", "runs_on"):
        tells = [one for one in live if any(rel.type == kind for rel in one.relations)]
        best = min((weight(city, one.feed, f"relations.{kind}") for one in tells), default=None)
        for one in tells:
            if weight(city, one.feed, f"relations.{kind}") == best:
                found |= {
                    (kind, there(city, rel.feed or one.feed, rel.source_key, newest))
                    for rel in one.relations
                    if rel.type == kind
                }
    return {(kind, where) for kind, where in found if where != thing}


def there(city: Profile, feed: str, source_key: str, newest: dict[tuple[str, str], FeedItem]) -> Any:
    """The thing that a source tells of, or the id that it would have, where it has told of nothing."""
    if (feed, source_key) in newest:
        return int(source_key.removeprefix("K-"))
    return asset_id(city.municipality, feed, source_key)


def active(register: Register, city: Profile) -> dict[int, Heard]:
    """What a register holds, by thing, in the terms of the reference."""
    things = {}
    states = []
    for thing in (*THINGS, 3):
        for feed in FEEDS:
            links = register.links_of(asset_id(city.municipality, feed, key_of(thing)))
            if links:
                things[links[0].asset_id] = int(links[0].source_key.removeprefix("K-"))
                states.append(register.held(links[0].asset_id).state)
    return {
        things[state["asset_id"]]: found(state, things) for state in states if state and state["status"] == "active"
    }


def found(state: State, things: dict[str, int]) -> Heard:
    fields = {name: state[name] for name in ("name", "section", "zone") if name in state}
    for group in ("facts", "declared"):
        fields |= {f"{group}.{name}": value for name, value in state[group].items()}
    return Heard(fields, {(one["type"], things.get(one["asset_id"], one["asset_id"])) for one in state["relations"]})


authorities = st.tuples(st.frozensets(st.sampled_from(FIELDS)), st.frozensets(st.sampled_from(FIELDS)))
ranks = st.sampled_from(((1, 1), (1, 2), (2, 1)))


@given(histories(), authorities, ranks, st.data())
def test_in_every_order_of_arrival_the_register_is_the_same(
    history: list[FeedItem],
    authority: tuple[frozenset[str], frozenset[str]],
    ranks: tuple[int, int],
    data: st.DataObject,
) -> None:
    city = profile(match=True, authority=authority, ranks=ranks)
    whole = Whole(city)
    whole.take(first_words_first(data.draw(st.permutations(history))))

    assert active(whole.register, city) == expected(city, history)


@given(histories(), st.data())
def test_every_revision_follows_from_the_one_before_and_changes_something(
    history: list[FeedItem], data: st.DataObject
) -> None:
    whole = Whole(profile(match=True))
    whole.take(data.draw(st.permutations(history)))

    by_asset: dict[str, list[Revision]] = {}
    for one in whole.revisions:
        by_asset.setdefault(one.after["asset_id"], []).append(one)
    for revisions in by_asset.values():
        assert [one.revision for one in revisions] == list(range(1, len(revisions) + 1))
        assert all(later.before == earlier.after for earlier, later in pairwise(revisions))
        assert all(one.before != one.after for one in revisions)


@given(histories(), authorities, histories(), st.data())
def test_merged_and_undone_it_is_as_if_nothing_had_been_done(
    history: list[FeedItem],
    authority: tuple[frozenset[str], frozenset[str]],
    since: list[FeedItem],
    data: st.DataObject,
) -> None:
    """Also where the sources go on to tell in between."""
    city = profile(match=False, authority=authority)
    whole, other = Whole(city), Whole(city)
    for register in (whole, other):
        register.take(history)
    known = sorted(assets_of(whole))
    if len(known) > 1:
        lost, kept = data.draw(st.permutations(known))[:2]
        sources = [Source(link.feed, link.source_key) for link in whole.register.links_of(lost)]
        was_there = assets_of(whole)[lost]["status"] == "active"
        done = move(whole.register, sources, kept, left=lost, kind=MergeKind.MERGED, actor="officer")
        last = done.revisions[-1] if was_there else None
        assert last is None or (last.after["asset_id"], last.after["status"]) == (lost, "retired")
        assert last is None or (last.change["reason"], last.change["merged_into"]) == ("merged", kept)
        assert not any(pointing(state, lost) for state in assets_of(whole).values())
        later = [one.model_copy(update={"source_version": one.source_version + 10}) for one in since]
        for register in (whole, other):
            register.take(later)
        move(whole.register, sources, lost, left=kept, kind=MergeKind.UNDONE, actor="officer")

    assert assets_of(whole) == assets_of(other)


def pointing(state: State, target: str) -> bool:
    return any(one["asset_id"] == target for one in state["relations"])


def assets_of(whole: Whole) -> dict[str, State]:
    ids = {asset_id(whole.city.municipality, feed, key_of(thing)) for feed in FEEDS for thing in THINGS}
    return {one: state for one in ids if (state := whole.register.held(one).state) is not None}


@given(histories(), st.data())
def test_a_register_that_is_read_anew_for_each_batch_comes_to_the_same(
    history: list[FeedItem], data: st.DataObject
) -> None:
    """What a batch is not shown, it does not need."""
    city = profile(match=False)
    whole = Whole(city)
    links: dict[Source, Link] = {}
    assets: dict[str, Any] = {}
    for one in data.draw(st.permutations(history)):
        whole.take([one])
        source = Source(one.feed, one.source_key)
        known = {source: links[source]} if source in links else {}
        decision = Register(city, Part(known, assets)).take(one)
        links[source] = decision.link
        assets[decision.link.asset_id] = decision.held
    assert {one: held.state for one, held in assets.items() if held.state} == assets_of(whole)
