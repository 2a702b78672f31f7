# SPDX-License-Identifier: Apache-2.0
"""The tree of an explanation: what is said of the source stands below the source, what is said of the asset itself below the asset."""

from __future__ import annotations

from typing import Any

from rich.text import Text

from cli.explain import tree
from cli.language import speaking
from cli.rows import Names
from libs.contracts import Dimension

PLAIN: dict[str, Any] = {
    "level": "1", "definition": {"ja": "軽微", "en": "minor"}, "origin": "derived", "declared": None, "derived": "1",
    "rule": None, "path": [], "omitted": 0, "at_source": None, "other_body": None, "override": None,
}  # fmt: skip
STEP = {"asset_id": "a-1", "relation": "stores", "name": "帳票", "kind": "information", "level": "3A"}
OVERRIDE = {"override_id": "o", "reason": "監査中", "approved_by": "officer", "expires_at": "2027-01-01T00:00:00Z"}


def lines(**confidentiality: Any) -> list[tuple[int, str]]:
    """What is said of 機密性, with how deep it stands."""
    told = {**PLAIN, "level": "3A", "origin": "inherited", "declared": "2", "derived": "2", "path": [STEP]}
    dimensions = {**dict.fromkeys(Dimension, PLAIN), Dimension.CONFIDENTIALITY: told | confidentiality}

    def of(node: Any, depth: int) -> list[tuple[int, str]]:
        return [(depth, str(node.label)), *(line for child in node.children for line in of(child, depth + 1))]

    with speaking("ja"):
        return of(tree(Text("媒体"), dimensions, Names()).children[0], 0)


def test_what_the_ledger_declares_at_the_source_is_told_there() -> None:
    assert lines(at_source="declared") == [
        (0, "機密性 3A — 他の資産からの継承"),
        (1, "軽微"),
        (1, "← 格納  帳票  3A  a-1"),
        (2, "台帳の申告による区分は 3A"),
        (1, "台帳の申告による区分は 2"),
        (1, "分類の規則による区分は 2"),
    ]


def test_an_override_at_the_source_is_told_there() -> None:
    told = lines(at_source="override", override=OVERRIDE)
    assert [depth for depth, said in told if "監査中" in said] == [2]
    assert not [said for depth, said in told if depth == 2 and "申告" in said]


def test_a_rule_of_our_own_is_not_shown_as_if_it_had_a_source() -> None:
    rule = {
        "id": "CR-09",
        "text": {"ja": "規則", "en": "rule"},
        "when": "true",
        "reads": [],
        "basis": {"source": "project default"},
    }
    assert (3, "根拠 独自の定め") in lines(at_source="derived", rule=rule)
