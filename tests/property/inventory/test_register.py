# SPDX-License-Identifier: Apache-2.0
"""Whatever order items come in, however often and in whatever batches: of each source key the highest version stands."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml
from hypothesis import given
from hypothesis import strategies as st

from libs.contracts import FeedItem, Profile
from services.inventory.domain import Held, Link, Part, Register, Revision, Source

PROFILE = Path(__file__).parents[3] / "samples/city/profile.yaml"
KEYS = ("A", "B", "C")
BODIES = ("mayor", "fire", "education")


@cache
def profile() -> Profile:
    return Profile.model_validate(yaml.safe_load(PROFILE.read_text(encoding="utf-8")))


@st.composite
def told(draw: st.DrawFn) -> FeedItem:
    """What a source may say; a version of a key says one thing, for the name tells it."""
    key, version = draw(st.sampled_from(KEYS)), draw(st.integers(0, 8))
    return FeedItem.model_validate(
        {
            "body": draw(st.sampled_from(BODIES)),
            "feed": "netbox",
            "source_key": key,
            "source_version": version,
            "operation": draw(st.sampled_from(("upsert", "upsert", "retire"))),
            "name": draw(st.sampled_from(("名簿", "台帳"))),
            "facts": draw(st.dictionaries(st.sampled_from(("record_count", "personal_data")), st.booleans())),
        }
    )


def one_per_version(items: Iterable[FeedItem]) -> list[FeedItem]:
    """A source says one thing of one version."""
    return list({(item.source_key, item.source_version): item for item in items}.values())


histories = st.lists(told(), max_size=24).map(one_per_version)


@st.composite
def deliveries(draw: st.DrawFn) -> list[FeedItem]:
    """A history in any order, each item at least once and some several times."""
    history = draw(histories)
    again = draw(st.lists(st.sampled_from(history), max_size=10)) if history else []
    return draw(st.permutations([*history, *again]))


class Told:
    """A register that only ever sees the part that a batch is about, and every revision that it made."""

    def __init__(self) -> None:
        self.links: dict[Source, Link] = {}
        self.assets: dict[str, Held] = {}
        self.revisions: dict[Source, list[Revision]] = {}

    def take(self, batch: Sequence[FeedItem]) -> None:
        sources = {Source(item.feed, item.source_key) for item in batch}
        links = {one: self.links[one] for one in sources & self.links.keys()}
        register = Register(profile(), Part(links, self.assets))
        for item in batch:
            source = Source(item.feed, item.source_key)
            decision = register.take(item)
            self.links[source] = decision.link
            self.assets[decision.link.asset_id] = decision.held
            self.revisions.setdefault(source, []).extend(decision.revisions)


def taken(batches: Iterable[Sequence[FeedItem]]) -> Told:
    result = Told()
    for batch in batches:
        result.take(batch)
    return result


def split(items: Sequence[FeedItem], cuts: Iterable[int]) -> list[Sequence[FeedItem]]:
    edges = [0, *sorted(cut for cut in cuts if cut < len(items)), len(items)]
    return [items[start:end] for start, end in pairwise(edges)]


def naive(items: Iterable[FeedItem]) -> dict[str, FeedItem]:
    """The item of each key that has the highest version."""
    highest: dict[str, FeedItem] = {}
    for item in items:
        if item.source_key not in highest or item.source_version > highest[item.source_key].source_version:
            highest[item.source_key] = item
    return highest


@given(deliveries())
def test_the_highest_version_stands(items: list[FeedItem]) -> None:
    result = taken([items])

    expected = naive(items)
    assert {source.source_key for source in result.links} == expected.keys()
    for source, link in result.links.items():
        item, state = expected[source.source_key], result.assets[link.asset_id].state
        assert link.source_version == item.source_version
        if item.operation == "retire":
            assert state is None or state["status"] == "retired"
        else:
            assert state is not None
            assert said(state) == (item.body, "active", item.name, repr(sorted(item.facts.items())))


def said(state: dict[str, Any]) -> tuple[str, str, str, str]:
    return state["body"], state["status"], state["name"], repr(sorted(state["facts"].items()))


@given(deliveries(), st.lists(st.integers(0, 40)))
def test_batches_do_not_matter(items: list[FeedItem], cuts: list[int]) -> None:
    at_once, in_parts = taken([items]), taken(split(items, cuts))

    assert (in_parts.links, in_parts.assets) == (at_once.links, at_once.assets)
    assert in_parts.revisions == at_once.revisions


@given(deliveries())
def test_what_was_told_before_changes_nothing(items: list[FeedItem]) -> None:
    result = taken([items])
    assets, revisions = dict(result.assets), {source: list(made) for source, made in result.revisions.items()}

    result.take(items)
    assert (result.assets, result.revisions) == (assets, revisions)


@given(deliveries())
def test_revisions_rise_by_one_and_each_follows_from_the_one_before(items: list[FeedItem]) -> None:
    result = taken([items])

    for source, revisions in result.revisions.items():
        assert [one.revision for one in revisions] == list(range(1, len(revisions) + 1))
        held = result.assets[result.links[source].asset_id]
        assert held.revision == len(revisions)
        if revisions:
            assert held.state == revisions[-1].after
        for earlier, later in pairwise(revisions):
            # None: new to its body, which it came to from another that it is retired in
            assert later.before in (earlier.after, None)
            assert later.before is not None or earlier.after["status"] == "retired"
            assert later.before is None or later.before["body"] == later.after["body"]
