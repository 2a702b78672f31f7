# SPDX-License-Identifier: Apache-2.0
"""What an asset is found by: its texts, and a question, in one way of writing. Pure.

Japanese is written in several ways and without spaces, so that full and half width (NFKC, Unicode UAX #15), capitals, katakana and
hiragana, the kinds of dash, and spaces count for nothing, and every part of a text is found.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from typing import Final, NamedTuple

from services.inventory.domain import State

BETWEEN: Final = "\n"
"""After the name, and between the other texts; no folded text holds one."""
_FIRST_KATAKANA, _LAST_KATAKANA, _TO_HIRAGANA = 0x30A1, 0x30F6, -0x60
_DASHES: Final = "‐‑‒–—―−"
_ONE_WAY: Final = {
    **{code: code + _TO_HIRAGANA for code in range(_FIRST_KATAKANA, _LAST_KATAKANA + 1)},
    **dict.fromkeys(map(ord, _DASHES), "-"),
}


class Findable(NamedTuple):
    """What a search reads of an asset: `text` has its name, section and facts that are texts, each folded."""

    asset_id: str
    body: str
    kind: str
    active: bool
    text: str


def fold(text: str) -> str:
    """The one way of writing."""
    if text.isascii():
        return "".join(text.lower().split())
    return "".join(unicodedata.normalize("NFKC", text).casefold().translate(_ONE_WAY).split())


_fold_again = lru_cache(maxsize=16384)(fold)
"""Of sections and facts most are told of many assets."""


def findable(state: State) -> Findable:
    """What is to be written down of an asset, to be found by."""
    section, *facts = _others(state)
    others = dict.fromkeys(map(_fold_again, [section, *facts] if section else facts))
    text = fold(state["name"]) + BETWEEN + BETWEEN.join(others)
    return Findable(state["asset_id"], state["body"], state["kind"], state["status"] == "active", text)


def reads_the_same(before: State, after: State) -> bool:
    """Whether what is written down of an asset stays as it is."""
    return all(before[name] == after[name] for name in ("name", "body", "kind", "status")) and (
        (before["facts"] == after["facts"] and before.get("section") == after.get("section"))
        or list(_others(before)) == list(_others(after))
    )


def words_of(question: str) -> tuple[str, ...]:
    """The words of a question, each once, all of which a text must hold; a space of any kind is between them."""
    return tuple(dict.fromkeys(word for part in question.split() if (word := fold(part))))


def _others(state: State) -> Iterator[str]:
    """The section, "" if there is none, then the facts that are texts, by their names."""
    facts = state["facts"]
    yield state.get("section", "")
    for name in sorted(facts):
        value = facts[name]
        if isinstance(value, str):
            yield value
        elif isinstance(value, list):
            yield from value
