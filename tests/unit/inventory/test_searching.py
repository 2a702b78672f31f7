# SPDX-License-Identifier: Apache-2.0
"""What an asset is found by, in whichever way it and the question are written."""

from __future__ import annotations

from typing import Any

import pytest

from services.inventory.register.searching import findable, fold, reads_the_same, words_of

STATE: dict[str, Any] = {
    "asset_id": "a-1",
    "body": "mayor",
    "network": "mayor",
    "kind": "system",
    "name": "住民情報 システム",
    "status": "active",
    "section": "市民課",
    "facts": {"serial": "ＡＢ－１２", "data_kinds": ["resident", "tax"], "record_count": 12, "personal_data": True},
    "declared": {},
    "relations": [],
}


@pytest.mark.parametrize(
    ("written", "asked"),
    [
        ("ｻｰﾊﾞｰ", "サーバー"),
        ("サーバー", "さーばー"),
        ("ｶﾞｽ設備", "ガス設備"),
        ("ＷＥＢ　サーバ", "web サーバ"),
        ("給水装置 1号機", "給水装置１号機"),
        ("AB‐12", "ab－12"),
        ("AB−12", "AB-12"),
        ("①号棟", "1号棟"),
        ("㈱試験", "(株)試験"),
        ("ヴァイオリン", "ゔぁいおりん"),
    ],
)
def test_ways_of_writing_count_for_nothing(written: str, asked: str) -> None:
    assert fold(written) == fold(asked)


@pytest.mark.parametrize(
    ("one", "other"), [("はは", "ばば"), ("つき", "っき"), ("サーバ", "サーバー"), ("齋藤", "斎藤")]
)
def test_what_reads_differently_stays_different(one: str, other: str) -> None:
    assert fold(one) != fold(other)


def test_folding_twice_changes_nothing() -> None:
    for text in ("ｻｰﾊﾞｰ Ａ", "ẞ ŉ ﷺ", "‐−", "Ⅷ", "İstanbul"):
        assert fold(fold(text)) == fold(text)


def test_it_is_found_by_its_name_its_section_and_facts_that_are_texts() -> None:
    found = findable(STATE)
    assert found == ("a-1", "mayor", "system", True, "住民情報しすてむ\n市民課\nresident\ntax\nab-12")
    bare = findable(
        {name: value for name, value in STATE.items() if name != "section"} | {"facts": {}, "status": "retired"}
    )
    assert (bare.active, bare.text) == (False, "住民情報しすてむ\n")


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"declared": {"integrity": "2"}}, True),
        ({"relations": [{"type": "stores", "asset_id": "b"}]}, True),
        ({"facts": {**STATE["facts"], "record_count": 13}}, True),
        ({"facts": dict(reversed([*STATE["facts"].items(), ("cloud_service", False)]))}, True),
        ({"facts": {**STATE["facts"], "serial": "AB-13"}}, False),
        ({"name": "別"}, False),
        ({"section": "税務課"}, False),
        ({"status": "retired"}, False),
        ({"body": "fire"}, False),
        ({"kind": "media"}, False),
    ],
)
def test_it_is_written_down_anew_only_where_it_is_found_by_something_else(change: dict[str, Any], same: bool) -> None:
    after = {**STATE, **change}
    assert reads_the_same(STATE, after) is same
    assert (findable(STATE) == findable(after)) is same


def test_a_question_has_words_each_once() -> None:
    assert words_of("住民　情報  住民 ＤＢ") == ("住民", "情報", "db")
    assert words_of(" 　") == ()
