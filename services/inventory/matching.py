# SPDX-License-Identifier: Apache-2.0
"""Match keys: by what an asset that one feed knows is known again in what another tells. Pure.

Wrong merges come from numbers that say nothing ("To be filled by O.E.M.", 不明) and from numbers written in several ways, so values
are normalised, and those that identify nothing are no keys.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Sequence
from itertools import islice, product
from typing import Any, Final, NamedTuple

from libs.contracts import Feed, MatchKey
from services.inventory.composition import Content

_SEPARATORS: Final = re.compile(r"[\W_]+")
_WRITTEN_FREELY: Final = frozenset({"serial", "mac"})
"""Names of what is written with separators and without: `00-1B-63`, `001b.63`."""
_MOST_OF_A_KEY: Final = 64
"""Values that one key of one asset may have: a list of addresses has as many as a fact may."""
_FACT: Final = "facts."
_NONE: Final[frozenset[tuple[str, ...]]] = frozenset()
_SAYS_NOTHING: Final = frozenset(
    {
        "none", "null", "na", "n/a", "unknown", "tbd", "default", "default string", "defaultstring", "not specified", "notspecified",
        "not available", "notavailable", "system serial number", "systemserialnumber", "to be filled by o.e.m.", "tobefilledbyoem",
        "不明", "なし", "無し", "無", "未定", "未設定", "該当なし", "localhost",
    }
)  # fmt: skip
_SHORTEST: Final = 4
"""Shorter numbers are counted up by hand in every section, and identify nothing."""


class Keys(NamedTuple):
    """What one source tells that may identify its asset: for each match key of its feed, in order, the normalised values."""

    values: tuple[tuple[tuple[str, ...], frozenset[tuple[str, ...]]], ...]

    def __bool__(self) -> bool:
        return any(values for _, values in self.values)


class Agreement(NamedTuple):
    """One match key that both of two assets tell: its names, whether a value is the same, and what each tells."""

    names: tuple[str, ...]
    agrees: bool
    here: tuple[tuple[str, ...], ...]
    there: tuple[tuple[str, ...], ...]


def keys_of(feed: Feed, source_key: str, content: Content) -> Keys:
    """The match keys that a feed's item has values for; a key of which any part is missing, or says nothing, has none."""
    return Keys(tuple((tuple(key), _values(key, source_key, content)) for key in feed.match))


def digests(network: str, keys: Keys) -> frozenset[int]:
    """What the values of a network's keys are looked up by: 64 bits each, signed. Who finds one compares the values."""
    return frozenset(_digest(network, names, value) for names, values in keys.values for value in values)


def compare(one: Keys, others: Iterable[Keys]) -> tuple[Agreement, ...]:
    """The keys that both sides tell, in the order of `one`."""
    there: dict[tuple[str, ...], set[tuple[str, ...]]] = {}
    for other in others:
        for names, values in other.values:
            there.setdefault(names, set()).update(values)
    return tuple(
        Agreement(names, bool(values & there[names]), tuple(sorted(values)), tuple(sorted(there[names])))
        for names, values in one.values
        if values and there.get(names)
    )


def contradicts(agreements: Sequence[Agreement]) -> bool:
    """Whether nothing agrees, or a key that counts for more than the first that agrees does not."""
    return not agreements or not agreements[0].agrees


def _values(key: MatchKey, source_key: str, content: Content) -> frozenset[tuple[str, ...]]:
    parts: list[list[str]] = []
    for name, field in key.items():
        values = _normalised(name, _told(field, source_key, content))
        if not values:
            return _NONE
        parts.append(values)
    return frozenset(islice(product(*parts), _MOST_OF_A_KEY))


def _told(field: str, source_key: str, content: Content) -> Any:
    if field.startswith(_FACT):
        return content["facts"].get(field[len(_FACT) :])
    return source_key if field == "source_key" else content.get(field)


def _normalised(name: str, told: Any) -> list[str]:
    if isinstance(told, str):
        value = _normal(name, told)
        return [] if value is None else [value]
    values = told if isinstance(told, list) else [told]
    return [value for one in values if (value := _normal(name, one)) is not None]


def _normal(name: str, told: Any) -> str | None:
    """One way of writing; None for what identifies nothing."""
    if told is None or isinstance(told, bool | float):
        return None
    text = str(told)
    value = " ".join((text.lower() if text.isascii() else unicodedata.normalize("NFKC", text).casefold()).split())
    bare = value if value.isalnum() else _SEPARATORS.sub("", value)
    if not bare or value in _SAYS_NOTHING:
        return None
    if name not in _WRITTEN_FREELY:
        return value
    return None if bare in _SAYS_NOTHING or len(bare) < _SHORTEST or len(set(bare)) == 1 else bare


def _digest(network: str, names: Sequence[str], value: Sequence[str]) -> int:
    text = "\0".join((network, *names, *value))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), signed=True)
