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


def _declared_along(up: bool) -> Step:
    def step(rng: random.Random, item: Item) -> Item | None:
        declared = item.get("declared", {})
        choices = [
            {**declared, dimension: levels[at + (1 if up else -1)]}
            for dimension, levels in _LEVELS.items()
            if (at := levels.index(declared.get(dimension, "1"))) >= 0 and 0 <= at + (1 if up else -1) < len(levels)
        ]
        return {**item, "declared": rng.choice(choices)} if choices else None

    return step


_UP: Mapping[str, Step] = {
    "rto": _number_along("rto_hours", _RTO_RISING, True),
    "records": _number_along("record_count", _RECORDS_RISING, True),
    "declared": _declared_along(True),
}
_DOWN: Mapping[str, Step] = {
    "rto": _number_along("rto_hours", _RTO_RISING, False),
    "records": _number_along("record_count", _RECORDS_RISING, False),
    "declared": _declared_along(False),
}

_RAISING: Mapping[str, Sequence[Step]] = {
    "information": (_more_private, _more_private, _withdrawn, _weightier_kind, _UP["records"], _UP["declared"]),
    "document": (_weightier_kind, _UP["declared"]),
    "system": (_UP["rto"], _UP["declared"]),
    "network": (_UP["rto"], _UP["declared"]),
    "media": (_UP["declared"],),
    "facility": (_UP["declared"],),
}
_LOWERING: Mapping[str, Sequence[Step]] = {
    "information": (_less_private, _less_private, _published, _lighter_kind, _DOWN["records"], _DOWN["declared"]),
    "document": (_lighter_kind, _DOWN["declared"]),
    "system": (_DOWN["rto"], _DOWN["declared"]),
    "network": (_DOWN["rto"], _DOWN["declared"]),
    "media": (_DOWN["declared"],),
    "facility": (_DOWN["declared"],),
}
