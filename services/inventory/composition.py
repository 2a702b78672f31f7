# SPDX-License-Identifier: Apache-2.0
"""An asset's state as a function of all that its sources tell: whose value stands in each field, whatever came first. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Final, NamedTuple

from libs.contracts import AssetKind, Profile, RelationType, Zone
from services.inventory.items import Item

Content = dict[str, Any]
"""What one source tells of an asset, as plain JSON: `body`, `kind`, `facts`, `declared` and `relations`, and `name`, `section` and `zone` if told.

`relations` are `[type, feed, source key]`, sorted, each once; the feed is empty where a relation names an asset by its id. What a
person's edits tell may leave out any of them, and None there (of a relation type: one that leads to `NOWHERE`) takes away what the feeds
tell; `edits` has who set each field, when and why.
"""

PERSON: Final = "-person-"
"""The feed under which people's edits stand; no declared feed can have this name. It is heard before all others, and never alone."""
BY_HAND: Final = "-hand-"
"""The feed of assets that a person added, with the asset's id as the source key. Having no authority, it is heard after all others."""
BY_ID: Final = ""
"""The feed of a relation that names an asset by its id."""
NOWHERE: Final = ""
"""The source key of a relation that a person tells so that there is none of its type."""

_PLAIN: Final[Mapping[str, str]] = {one: one.value for words in (AssetKind, Zone, RelationType) for one in words}
"""Asking an enumeration for its value takes four times as long."""
_DIMENSIONS: Final = ("confidentiality", "integrity", "availability")
_levels_of = attrgetter(*_DIMENSIONS)
_SINGLE: Final = ("body", "kind", "name", "section", "zone")
_GROUPS: Final = ("facts", "declared")
_EXISTENCE: Final = "existence"
_BY_NAME, _BY_GROUP, _NO_AUTHORITY = 0, 1, 2
_UNDECLARED: Final = 2**31


@dataclass(frozen=True, eq=False)
class Told:
    """What a source last told, and whether it has since said that the asset is gone."""

    feed: str
    source_key: str
    content: Content
    gone: bool = False


class Composed(NamedTuple):
    """What all the sources of an asset together say; `origins` has who is heard in each field (`facts.serial`), of a relation type all who add to it."""

    content: Content
    active: bool
    origins: Mapping[str, tuple[Told, ...]]


Precedence = tuple[int, int, int]
"""Lower is heard first: a person, then by authority, rank and place in the profile."""


class Authorities:
    """Who is heard first in which field, by what the feeds of a profile declare."""

    def __init__(self, profile: Profile) -> None:
        self._feeds = {feed.id: (feed, place) for place, feed in enumerate(profile.feeds)}
        self._known: dict[tuple[str, str], Precedence] = {}

    def precedence(self, feed: str, field: str) -> Precedence:
        found = self._known.get((feed, field))
        if found is None:
            found = self._known[feed, field] = self._precedence(feed, field)
        return found

    def _precedence(self, feed: str, field: str) -> Precedence:
        if feed == PERSON:
            return (-1, 0, 0)
        if feed not in self._feeds:
            return (_NO_AUTHORITY, _UNDECLARED, _UNDECLARED)
        declared, place = self._feeds[feed]
        if field in declared.authority:
            return (_BY_NAME, declared.rank, place)
        group = field.partition(".")[0]
        return (_BY_GROUP if group in declared.authority else _NO_AUTHORITY, declared.rank, place)


def content_of(item: Item) -> Content:
    """What an item tells."""
    feed = item.feed
    levels = zip(_DIMENSIONS, _levels_of(item.declared), strict=True)
    content: Content = {
        "body": item.body,
        "kind": _PLAIN[item.kind],
        "facts": item.facts,
        "declared": {name: level for name, level in levels if level is not None},
        "relations": sorted({(_PLAIN[one.type], one.feed or feed, one.source_key) for one in item.relations}),
    }
    if item.name is not None:
        content["name"] = item.name
    if item.section is not None:
        content["section"] = item.section
    if item.zone is not None:
        content["zone"] = _PLAIN[item.zone]
    return content


def compose(authorities: Authorities, told: Sequence[Told]) -> Composed:
    """What stands of what is told. `told` has an entry or more that is no edit of a person; their order does not matter.

    While the asset is there, those speak who have not said that it is gone. Of one that is retired, all do: it stays in the register
    as it was last told.
    """
    active = _is_there(authorities, told)
    live = [one for one in told if not one.gone]
    composition = _Composition(authorities, live if active else told)
    return Composed(composition.content(), active, composition.origins)


def _is_there(authorities: Authorities, told: Sequence[Told]) -> bool:
    """Whoever has authority over existence decides, and else whoever still tells of the asset; a person's edit keeps nothing alive."""
    feeds = [one for one in told if one.feed != PERSON]
    weights = {one: authorities.precedence(one.feed, _EXISTENCE)[:2] for one in feeds}
    first = min(weights.values())
    return any(not one.gone for one in feeds if weights[one] == first or first[0] == _NO_AUTHORITY)


class _Composition:
    """The values of those who speak, field by field."""

    def __init__(self, authorities: Authorities, told: Sequence[Told]) -> None:
        self._authorities = authorities
        self._told = told
        self.origins: dict[str, tuple[Told, ...]] = {}

    def content(self) -> Content:
        content = self._heard([(one, one.content) for one in self._told], _SINGLE)
        for group in _GROUPS:
            within = [(one, one.content.get(group, {})) for one in self._told]
            names = sorted({name for _, values in within for name in values})
            content[group] = self._heard(within, names, f"{group}.")
        content["relations"] = self._relations()
        if "name" not in content:
            feeds = [one for one in self._told if one.feed != PERSON]
            content["name"] = self._first("name", feeds).source_key
        return content

    def _heard(
        self, told: Sequence[tuple[Told, Mapping[str, Any]]], names: Iterable[str], prefix: str = ""
    ) -> dict[str, Any]:
        """Of each name the value of whoever is heard first among those who tell it; None, which only people tell, leaves it out."""
        heard: dict[str, Any] = {}
        for name in names:
            telling = {one: values[name] for one, values in told if name in values}
            if telling:
                first = self._first(prefix + name, telling)
                self.origins[prefix + name] = (first,)
                if telling[first] is not None:
                    heard[name] = telling[first]
        return heard

    def _first(self, field: str, telling: Collection[Told]) -> Told:
        first = min(telling, key=lambda one: (self._authorities.precedence(one.feed, field), one.feed, one.source_key))
        return first if first.feed != PERSON else _last_edited(field, telling)

    def _relations(self) -> list[tuple[str, str, str]]:
        """Of each type those told with most authority; what several tell with the same authority and rank adds up."""
        by_type: dict[str, dict[Told, set[tuple[str, str, str]]]] = {}
        for one in self._told:
            for kind, feed, source_key in one.content.get("relations", ()):
                by_type.setdefault(kind, {}).setdefault(one, set()).add((kind, feed, source_key))
        found: set[tuple[str, str, str]] = set()
        for kind, told in sorted(by_type.items()):
            weights = {one: self._authorities.precedence(one.feed, f"relations.{kind}")[:2] for one in told}
            heard = [one for one in told if weights[one] == min(weights.values())]
            if heard[0].feed == PERSON:
                heard = [_last_edited(f"relations.{kind}", heard)]
            found.update(*(told[one] for one in heard))
            self.origins[f"relations.{kind}"] = tuple(sorted(heard, key=lambda one: (one.feed, one.source_key)))
        return sorted(one for one in found if one[1:] != (BY_ID, NOWHERE))


def _last_edited(field: str, telling: Iterable[Told]) -> Told:
    """Of people's edits of a field, which are several where assets were merged, the newest; times are of one format, in UTC."""
    edits = [one for one in telling if one.feed == PERSON]
    return max(edits, key=lambda one: (one.content["edits"][field]["at"], one.source_key))
