# SPDX-License-Identifier: Apache-2.0
"""Histories of any content: what differs between two of its revisions, and how long relations lasted, against a naive replay."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import combinations
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.inventory.register.domain import Recorded, Spans, Telling, changes, differences, what

START = datetime(2026, 4, 1, tzinfo=UTC)

states = st.fixed_dictionaries(
    {
        "asset_id": st.just("a"),
        "body": st.just("mayor"),
        "network": st.just("mayor"),
        "kind": st.sampled_from(["system", "media"]),
        "name": st.sampled_from(["税", "市税"]),
        "status": st.sampled_from(["active", "active", "retired"]),
        "facts": st.dictionaries(st.sampled_from(["serial", "personal_data"]), st.sampled_from(["A", "B", True, 1])),
        "declared": st.dictionaries(st.just("integrity"), st.sampled_from(["1", "2"])),
        "relations": st.lists(st.sampled_from(["b", "c"]), unique=True).map(
            lambda ids: [{"type": "stores", "asset_id": one} for one in sorted(ids)]
        ),
    },
    optional={"section": st.sampled_from(["税務課", "市民課"])},
)
histories = st.lists(states, min_size=1, max_size=7)


def value(state: dict[str, Any] | None, field: str) -> Any:
    """A field's value, told from others of its like: True is not 1."""
    if state is None:
        return None
    group, _, name = field.partition(".")
    if group == "relations":
        return [one["asset_id"] for one in state["relations"]] or None
    found = state[group].get(name) if name else state.get(group)
    return (type(found), found) if isinstance(found, bool) else found


@given(histories)
def test_differences_are_those_of_the_two_states_each_by_the_last_revision_that_changed_it(told: list[Any]) -> None:
    revisions = [Recorded(number, START, state, {}) for number, state in enumerate(told, 1)]
    for first, last in combinations(range(len(told) + 1), 2):
        before, after = (told[first - 1] if first else None), told[last - 1]
        found = differences(before, revisions[first:last])
        assert [(one.field, one.before, one.after) for one in found] == list(changes(before, after))
        fields = {one.field for one in found}
        assert bool(fields) or before == after or what(before, after) is None or before is None
        for one in found:
            path = [before, *told[first:last]]
            changed = [at for at in range(1, len(path)) if value(path[at - 1], one.field) != value(path[at], one.field)]
            assert one.by.revision == first + changed[-1]


@given(histories)
def test_a_relation_spans_the_revisions_that_tell_of_it(told: list[Any]) -> None:
    spans = Spans()
    for number, state in enumerate(told, 1):
        relations = [(one["type"], one["asset_id"]) for one in state["relations"]]
        active = state["status"] == "active"
        spans.look(Telling(number, START + timedelta(days=number), "mayor", relations, active, {}))
    lasted = spans.all()
    for number, state in enumerate(told, 1):
        here = {
            one.target_id
            for one in lasted
            if one.since.revision <= number < (one.until.revision if one.until else len(told) + 1)
        }
        expected = {one["asset_id"] for one in state["relations"]} if state["status"] == "active" else set()
        assert here == expected
    ends = [(one.target_id, one.since.revision) for one in lasted]
    assert len(ends) == len(set(ends))
