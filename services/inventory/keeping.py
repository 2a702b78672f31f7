# SPDX-License-Identifier: Apache-2.0
"""Items that leave some fields as they are (`FeedItem.kept`): what they state together with what their source told before. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from libs.contracts import DeclaredLevels, FeedItem
from libs.contracts.commands import RelationItem

_GROUPS: Final = ("facts", "declared", "relations")


def whole(item: FeedItem, told: Mapping[str, Any] | None) -> FeedItem:
    """The item with the fields that it keeps filled in from what the same source last told, and so stating the whole asset.

    `told` has the item's fields as plain JSON, its relations as `[type, feed, source key]`; None where nothing was told, and then there
    is nothing to keep. What was not told before stays untold.
    """
    if not item.kept:
        return item
    before = told or {}
    filled = {name: before[name] for name in item.kept if name in before}
    facts = _kept(item, "facts")
    levels = _kept(item, "declared")
    types = set(_kept(item, "relations"))
    described = item.model_dump(exclude={"kept", *_GROUPS})
    return FeedItem(
        **{
            **described,
            **filled,
            "facts": {**item.facts, **_of(before.get("facts", {}), facts)},
            "declared": DeclaredLevels(
                **{**item.declared.model_dump(exclude_none=True), **_of(before.get("declared", {}), levels)}
            ),
            "relations": (
                *item.relations,
                *(
                    RelationItem(type=kind, feed=feed or None, source_key=key)
                    for kind, feed, key in before.get("relations", ())
                    if kind in types
                ),
            ),
        }
    )


def _kept(item: FeedItem, group: str) -> list[str]:
    """The names in a group (`facts.serial`) that the item keeps."""
    return [name for of, _, name in (one.partition(".") for one in item.kept) if of == group]


def _of(told: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: told[name] for name in names if name in told}
