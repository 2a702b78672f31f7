# SPDX-License-Identifier: Apache-2.0
"""Items that leave fields as they are."""

from __future__ import annotations

from typing import Any

import pytest

from libs.contracts import FeedItem
from services.inventory.keeping import whole

TOLD: dict[str, Any] = {
    "body": "mayor",
    "kind": "system",
    "name": "前の名称",
    "zone": "lgwan",
    "facts": {"serial": "S-1", "platform": "old", "mac_addresses": ["02:00:5e:00:01:13"]},
    "declared": {"confidentiality": "3B", "integrity": "2"},
    "relations": [["runs_on", "glpi", "H-1"], ["stores", "ledger", "L-1"]],
}


def item(**fields: Any) -> FeedItem:
    base = {"body": "mayor", "feed": "glpi", "source_key": "A-1", "source_version": 2}
    return FeedItem.model_validate({**base, **fields})


def test_an_item_that_keeps_nothing_is_the_same() -> None:
    given = item(facts={"serial": "S-2"})
    assert whole(given, TOLD) is given


@pytest.mark.parametrize(
    ("kept", "expected"),
    [
        ("name", {"name": "前の名称"}),
        ("zone", {"zone": "lgwan"}),
        ("kind", {"kind": "system"}),
        ("section", {}),
        ("facts.serial", {"facts": {"platform": "new", "serial": "S-1"}}),
        ("facts.never_told", {}),
        ("declared.integrity", {"declared": {"integrity": "2"}}),
        ("relations.stores", {"relations": [{"type": "stores", "feed": "ledger", "source_key": "L-1"}]}),
        ("relations.connects", {}),
    ],
)
def test_a_kept_field_is_as_it_was_told_and_all_others_as_the_item_says(kept: str, expected: dict[str, Any]) -> None:
    given = {"facts": {"platform": "new"}}
    assert whole(item(**given, kept=[kept]), TOLD) == item(**{**given, **expected})


def test_where_nothing_was_told_there_is_nothing_to_keep() -> None:
    assert whole(item(facts={"platform": "new"}, kept=["name", "facts.serial"]), None) == item(
        facts={"platform": "new"}
    )


def test_relations_of_a_kept_type_are_added_to_those_that_the_item_states() -> None:
    stated = [{"type": "runs_on", "source_key": "H-2"}]
    found = whole(item(relations=stated, kept=["relations.stores"]), TOLD)
    assert [(one.type, one.source_key) for one in found.relations] == [("runs_on", "H-2"), ("stores", "L-1")]
