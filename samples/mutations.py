# SPDX-License-Identifier: Apache-2.0
"""Changes to one asset that raise or lower what it calls for, each pure: a new item, or None where it does not apply."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from samples.assets import Item

Step = Callable[[random.Random, Item], Item | None]

_RTO_RISING = (168, 72, 24, 12, 3, 1)
_RECORDS_RISING = (50, 400, 2_500, 15_000, 60_000, 250_000)
_LEVELS: Mapping[str, Sequence[str]] = {
    "confidentiality": ("1", "2", "3C", "3B", "3A"),
    "integrity": ("1", "2"),
    "availability": ("1", "2"),
}
_WEIGHTY_KINDS = ("tender_price", "secret_document", "remote_monitoring", "network_diagram", "resident", "medical")


def raised(rng: random.Random, item: Item) -> Item | None:
    """The item with one fact or declared level that calls for more; None where nothing can rise."""
    return _first(rng, item, _RAISING[item["kind"]])


def lowered(rng: random.Random, item: Item) -> Item | None:
    """The item with one fact or declared level that calls for less; None where nothing can fall."""
    return _first(rng, item, _LOWERING[item["kind"]])


def _first(rng: random.Random, item: Item, steps: Sequence[Step]) -> Item | None:
    shuffled = rng.sample(steps, len(steps))
    return next((changed for step in shuffled if (changed := step(rng, item)) is not None), None)


def with_facts(item: Item, **facts: Any) -> Item:
    return {**item, "facts": {**item["facts"], **facts}}


def _more_private(_: random.Random, item: Item) -> Item | None:
    facts = item["facts"]
    for fact in ("personal_data", "mynumber_data", "sensitive_data"):
        if not facts.get(fact):
            kinds = [kind for kind in facts.get("data_kinds", []) if kind != "public"] or ["resident"]
            return with_facts(item, **{fact: True, "published": False, "data_kinds": kinds})
    return None


def _less_private(_: random.Random, item: Item) -> Item | None:
    for fact in ("sensitive_data", "mynumber_data", "personal_data"):
        if item["facts"].get(fact):
            return with_facts(item, **{fact: False})
    return None


def _withdrawn(_: random.Random, item: Item) -> Item | None:
    if not item["facts"].get("published"):
        return None
    return with_facts(item, published=False, data_kinds=["policy_draft"])


def _published(_: random.Random, item: Item) -> Item | None:
    facts = item["facts"]
    if facts.get("published") or any(facts.get(f) for f in ("personal_data", "mynumber_data", "sensitive_data")):
        return None
    return with_facts(item, published=True, data_kinds=["public"])


def _weightier_kind(rng: random.Random, item: Item) -> Item | None:
    kinds = item["facts"].get("data_kinds", [])
    added = [kind for kind in _WEIGHTY_KINDS if kind not in kinds]
    if not added or item["facts"].get("published"):
        return None
    return with_facts(item, data_kinds=[*kinds, rng.choice(added)])


def _lighter_kind(_: random.Random, item: Item) -> Item | None:
    kinds = item["facts"].get("data_kinds", [])
    weighty = [kind for kind in kinds if kind in _WEIGHTY_KINDS]
    if not weighty:
        return None
    return with_facts(item, data_kinds=[kind for kind in kinds if kind != weighty[-1]])


def _number_along(fact: str, rising: Sequence[int], up: bool) -> Step:
    """To another value of the ladder; a smaller recovery time is the heavier."""

    def step(rng: random.Random, item: Item) -> Item | None:
        now = item["facts"].get(fact)
        if now is None:
            return None
        larger = up == (rising[0] < rising[-1])
        choices = [value for value in rising if value != now and (value > now) == larger]
        return with_facts(item, **{fact: rng.choice(choices)}) if choices else None

    return step


def _declared_along(step_by: int) -> Step:
    """One level up or down in one dimension; what is not declared counts as the lowest."""

    def step(rng: random.Random, item: Item) -> Item | None:
        declared = item.get("declared", {})
        moved = {name: levels.index(declared.get(name, "1")) + step_by for name, levels in _LEVELS.items()}
        choices = [{**declared, name: _LEVELS[name][at]} for name, at in moved.items() if 0 <= at < len(_LEVELS[name])]
        return {**item, "declared": rng.choice(choices)} if choices else None

    return step


_SHORTER_RTO, _LONGER_RTO = (_number_along("rto_hours", _RTO_RISING, up) for up in (True, False))
_MORE_RECORDS, _FEWER_RECORDS = (_number_along("record_count", _RECORDS_RISING, up) for up in (True, False))
_DECLARED_UP, _DECLARED_DOWN = _declared_along(1), _declared_along(-1)

_RAISING: Mapping[str, Sequence[Step]] = {
    "information": (_more_private, _more_private, _withdrawn, _weightier_kind, _MORE_RECORDS, _DECLARED_UP),
    "document": (_weightier_kind, _DECLARED_UP),
    "system": (_SHORTER_RTO, _DECLARED_UP),
    "network": (_SHORTER_RTO, _DECLARED_UP),
    "media": (_DECLARED_UP,),
    "facility": (_DECLARED_UP,),
}
_LOWERING: Mapping[str, Sequence[Step]] = {
    "information": (_less_private, _less_private, _published, _lighter_kind, _FEWER_RECORDS, _DECLARED_DOWN),
    "document": (_lighter_kind, _DECLARED_DOWN),
    "system": (_LONGER_RTO, _DECLARED_DOWN),
    "network": (_LONGER_RTO, _DECLARED_DOWN),
    "media": (_DECLARED_DOWN,),
    "facility": (_DECLARED_DOWN,),
}
