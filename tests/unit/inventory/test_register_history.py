# SPDX-License-Identifier: Apache-2.0
"""What differs between two states of an asset and by whom, and how long its relations lasted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from libs.contracts import Asset
from services.inventory.register.answers import RegisteredAsset
from services.inventory.register.api import shown
from services.inventory.register.domain import Recorded, Spans, Telling, What, changes, differences, what
from services.inventory.register.store import Listed

START = datetime(2026, 4, 1, tzinfo=UTC)


def state(**more: Any) -> dict[str, Any]:
    base = {"asset_id": "a", "body": "mayor", "network": "mayor", "kind": "system", "name": "税", "status": "active"}
    return {**base, "facts": {}, "declared": {}, "relations": [], **more}


def stores(*ids: str) -> list[dict[str, str]]:
    return [{"type": "stores", "asset_id": one} for one in ids]


def recorded(number: int, *, feed: str = "cmdb", **more: Any) -> Recorded:
    return Recorded(number, START + timedelta(days=number), state(**more), {"feed": feed})


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (None, state(), What.CAME),
        (state(status="retired"), state(), What.CAME),
        (state(), state(status="retired"), What.WENT),
        (state(), None, What.WENT),
        (state(), state(name="市税"), What.CHANGED),
        (state(), state(), None),
        (None, state(status="retired"), None),
        (state(status="retired"), state(status="retired", name="市税"), None),
    ],
)
def test_what_an_asset_did_is_told_of_those_in_force(before: Any, after: Any, expected: What | None) -> None:
    assert what(before, after) is expected


def test_fields_are_told_by_their_paths_and_those_that_are_absent_as_none() -> None:
    before = state(section="税務課", facts={"serial": "A", "personal_data": True, "n": 1}, relations=stores("b"))
    after = state(zone="lgwan", facts={"serial": "A", "personal_data": 1, "n": 1.0}, relations=stores("b", "c"))
    after["declared"] = {"integrity": "2"}
    assert changes(before, after) == (
        ("section", "税務課", None),
        ("zone", None, "lgwan"),
        ("declared.integrity", None, "2"),
        ("facts.personal_data", True, 1),
        ("relations.stores", ["b"], ["b", "c"]),
    )


def test_each_field_is_told_with_the_last_revision_that_gave_it_another_value() -> None:
    before = state(facts={"serial": "A"})
    between = [
        recorded(2, feed="netbox", facts={"serial": "B"}),
        recorded(3, feed="ledger", facts={"serial": "B"}, name="市税"),
        recorded(4, facts={"serial": "B"}, name="市税", section="一時"),
        recorded(5, facts={"serial": "B"}, name="市税"),
    ]
    found = {one.field: (one.before, one.after, one.by.revision) for one in differences(before, between)}
    assert found == {"name": ("税", "市税", 3), "facts.serial": ("A", "B", 2)}


def test_what_came_is_told_with_the_revision_that_brought_it_back() -> None:
    (came,) = differences(state(status="retired"), [recorded(4), recorded(5, name="税")])
    assert (came.field, came.before, came.after, came.by.revision) == ("status", "retired", "active", 4)
    (new,) = differences(None, [recorded(1), recorded(2, name="市税")])
    assert (new.field, new.before, new.after, new.by.revision) == ("status", None, "active", 1)


def telling(
    number: int, *relations: tuple[str, str], body: str = "mayor", active: bool = True, day: int = 0
) -> Telling:
    return Telling(number, START + timedelta(days=day or number), body, relations, active, {})


def lasted(*tellings: Telling) -> list[tuple[str, int, int | None]]:
    spans = Spans()
    for one in tellings:
        spans.look(one)
    return sorted((one.target_id, one.since.revision, one.until and one.until.revision) for one in spans.all())


def test_a_relation_lasts_from_the_revision_that_first_tells_of_it_to_the_first_that_does_not() -> None:
    told = [
        telling(1, ("stores", "b")),
        telling(2, ("stores", "b"), ("stores", "c")),
        telling(3, ("stores", "c")),
        telling(4, ("stores", "b")),
    ]
    assert lasted(*told) == [("b", 1, 3), ("b", 4, None), ("c", 2, 4)]


def test_it_ends_with_the_asset_that_tells_of_it() -> None:
    gone, back = telling(2, ("stores", "b"), active=False), telling(3, ("stores", "b"))
    assert lasted(telling(1, ("stores", "b")), gone) == [("b", 1, 2)]
    assert lasted(telling(1, ("stores", "b")), gone, back) == [("b", 1, 2), ("b", 3, None)]


def test_it_goes_on_where_the_asset_moves_to_another_body() -> None:
    first, leaves = telling(1, ("stores", "b")), telling(2, ("stores", "b"), active=False)
    arrives = telling(3, ("stores", "b"), body="fire", day=2)
    assert lasted(first, leaves, arrives) == [("b", 1, None)]
    # who reads the first body alone sees it leave, and come back by a later revision
    assert lasted(first, leaves, telling(5, ("stores", "b"), day=2)) == [("b", 1, 2), ("b", 5, None)]


@pytest.mark.parametrize(
    "more",
    [
        {},
        {
            "section": "税務課",
            "zone": "lgwan",
            "declared": {"integrity": "2"},
            "facts": {"n": 1, "tags": ["x"]},
            "relations": stores("b"),
        },
    ],
)
def test_what_a_page_shows_is_what_the_models_would(more: dict[str, Any]) -> None:
    one = state(**more)
    Asset.model_validate(one)
    row = Listed("a", 3, START, one)  # type: ignore[arg-type]
    expected = RegisteredAsset.model_validate({**one, "revision": 3, "updated_at": START}).model_dump(mode="json")
    assert {**shown(row), "updated_at": expected["updated_at"]} == expected
