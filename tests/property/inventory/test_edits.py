# SPDX-License-Identifier: Apache-2.0
"""Edits by people beside feeds that tell of the same things: whatever comes when, the edit stands; taken back, it is as if it had not been."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from libs.contracts import FeedItem, asset_id
from services.inventory.acts import By
from services.inventory.composition import BY_ID, PERSON
from services.inventory.domain import Register, Source
from services.inventory.edits.domain import edit_of, edited, edits_in, standing, taken_back, told_by
from services.inventory.merges.domain import MergeKind, move, value_of
from tests.property.inventory.test_feeds import (
    FEEDS,
    Whole,
    active,
    assets_of,
    authorities,
    first_words_first,
    histories,
    key_of,
    profile,
)

DAY = datetime(2026, 4, 1, tzinfo=UTC)
SOMEWHERE = asset_id("990019", "ledger", "elsewhere")
VALUES: Mapping[str, st.SearchStrategy[Any]] = {
    "name": st.sampled_from(("丁", "戊")),
    "section": st.sampled_from(("丁", None)),
    "zone": st.sampled_from(("mynumber", None)),
    "facts.model": st.sampled_from(("丁", 1, None)),
    "declared.integrity": st.sampled_from(("2", None)),
    "relations.stores": st.sampled_from(([], [Source(BY_ID, SOMEWHERE)])),
}
edits = st.fixed_dictionaries({}, optional=dict(VALUES)).filter(bool)


def edit(register: Register, asset: str, fields: Mapping[str, Any], day: int = 0) -> None:
    by = By("officer", DAY + timedelta(days=day))
    link = edited(edit_of(asset, register.links_of(asset)), fields, by, "確認した")
    register.tell([link], by.change("確認した"))


def take_back(register: Register, asset: str, fields: Sequence[str]) -> None:
    links = [link for link in register.links_of(asset) if link.feed == PERSON and edits_in(told_by(link))]
    if links:
        register.tell([taken_back(link, fields) for link in links], {"actor": "officer", "reason": "誤り"})


def shown(value: Any, field: str) -> Any:
    """What of an edit's value the state of an asset has."""
    return [source.source_key for source in value] if field.startswith("relations.") else value


@given(histories(), authorities, edits, st.data())
def test_an_edit_stands_whatever_feeds_tell_and_in_whatever_order(
    history: list[FeedItem],
    authority: tuple[frozenset[str], frozenset[str]],
    fields: dict[str, Any],
    data: st.DataObject,
) -> None:
    """Two registers are told the same in different orders; each is edited somewhere on the way."""
    city = profile(match=True, authority=authority)
    wholes = []
    for _ in range(2):
        ordered = first_words_first(data.draw(st.permutations(history)))
        first = next((one for one in ordered if one.source_key == key_of(0)), None)
        if first is None:
            return
        place = data.draw(st.integers(ordered.index(first) + 1, len(ordered)))
        whole = Whole(city)
        whole.take(ordered[:place])
        (edited_here,) = {
            link.asset_id
            for feed in FEEDS
            for link in whole.register.links_of(asset_id(city.municipality, feed, key_of(0)))
        }
        edit(whole.register, edited_here, fields)
        whole.take(ordered[place:])
        wholes.append(whole)
        state = whole.register.held(edited_here).state
        assert state is not None
        assert {field: value_of(state, field) for field in fields} == {
            field: shown(value, field) for field, value in fields.items()
        }

    assert active(wholes[0].register, city) == active(wholes[1].register, city)


@given(histories(), authorities, edits, edits, histories(), st.data())
def test_edited_and_taken_back_it_is_as_if_nothing_had_been_done(
    history: list[FeedItem],
    authority: tuple[frozenset[str], frozenset[str]],
    first: dict[str, Any],
    second: dict[str, Any],
    since: list[FeedItem],
    data: st.DataObject,
) -> None:
    """Also where feeds go on to tell in between, in any order of taking back."""
    city = profile(match=False, authority=authority)
    whole, other = Whole(city), Whole(city)
    for register in (whole, other):
        register.take(history)
    known = sorted(assets_of(whole))
    if not known:
        return
    asset = data.draw(st.sampled_from(known))
    edit(whole.register, asset, first)
    edit(whole.register, asset, second, day=1)
    later = [one.model_copy(update={"source_version": one.source_version + 10}) for one in since]
    for register in (whole, other):
        register.take(later)
    for field in data.draw(st.permutations(sorted({*first, *second}))):
        take_back(whole.register, asset, [field])

    assert assets_of(whole) == assets_of(other)


@given(histories(), edits, edits, st.data())
def test_edits_follow_their_asset_through_a_merge_and_come_back_with_its_undo(
    history: list[FeedItem], of_lost: dict[str, Any], of_kept: dict[str, Any], data: st.DataObject
) -> None:
    """What was edited of both stands at the one, the newer first; what is edited meanwhile is of the one that stayed."""
    city = profile(match=False)
    whole, other = Whole(city), Whole(city)
    for register in (whole, other):
        register.take(history)
    known = sorted(assets_of(whole))
    if len(known) < 2:
        return
    lost, kept = data.draw(st.permutations(known))[:2]
    for register in (whole, other):
        edit(register.register, kept, of_kept)
        edit(register.register, lost, of_lost, day=1)
    links = whole.register.links_of(lost)
    sources = [Source(link.feed, link.source_key) for link in links]
    move(whole.register, sources, kept, left=lost, kind=MergeKind.MERGED, actor="officer")
    told = [told_by(link) for link in whole.register.links_of(kept) if link.feed == PERSON]
    assert {field: one.value for field, one in standing(told).items()} == {**of_kept, **of_lost}
    for register in (whole, other):
        edit(register.register, kept, {"facts.room": "301"}, day=2)
    move(whole.register, sources, lost, left=kept, kind=MergeKind.UNDONE, actor="officer")

    assert assets_of(whole) == assets_of(other)


@given(histories(), edits)
def test_edits_alone_keep_nothing_alive_and_what_is_brought_back_is_there(
    history: list[FeedItem], fields: dict[str, Any]
) -> None:
    city = profile(match=False)
    whole = Whole(city)
    whole.take(history)
    for asset in sorted(assets_of(whole)):
        edit(whole.register, asset, fields)
    there = [asset for asset, state in assets_of(whole).items() if state["status"] == "active"]
    for asset in there:
        whole.register.retire(asset, {"actor": "officer", "reason": "廃棄"})
    assert {state["status"] for state in assets_of(whole).values()} <= {"retired"}

    for asset in there:
        whole.register.restore(asset, {"actor": "officer", "reason": "誤り"})
        assert assets_of(whole)[asset]["status"] == "active"
