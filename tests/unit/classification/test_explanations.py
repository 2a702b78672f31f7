# SPDX-License-Identifier: Apache-2.0
"""What an auditor is told of a level, and the picture of the way that it came down."""

from __future__ import annotations

from typing import Any
from uuid import UUID
from xml.etree import ElementTree

import pytest

from libs.contracts import Dimension
from libs.standards import Standard
from services.classification.drawing import draw
from services.classification.explanations import ExplainedAsset, explain, on_the_way
from services.classification.store import ClassificationRow

SYSTEM, DISK, ROLL = (UUID(int=number) for number in (1, 2, 3))
SVG = "{http://www.w3.org/2000/svg}"


def row(asset_id: UUID, name: str, level: str, **confidentiality: Any) -> ClassificationRow:
    plain = {"level": "1", "origin": "derived", "derived": "1"}
    explanations = {
        "confidentiality": {"level": level, "origin": "derived", "derived": level, **confidentiality},
        "integrity": plain,
        "availability": plain,
    }
    return ClassificationRow(
        body="mayor", asset_id=asset_id, network="mayor", name=name, kind="system", asset_revision=1,
        standard="base/2026.1", confidentiality=level, integrity="1", availability="1", explanations=explanations,
    )  # fmt: skip


def inherited(relation: str, *path: UUID) -> dict[str, Any]:
    source = {"body": "mayor", "asset_id": str(path[-1]), "relation": relation, "path": [str(one) for one in path]}
    return {"origin": "inherited", "derived": "2", "inherited": "3B", "inherited_from": source, **RULE}


RULE = {"rule": "CR-11", "text": {"ja": "住民記録の個人情報", "en": "Personal data of resident records"}}
CHAIN = {
    SYSTEM: row(SYSTEM, "窓口 <端末>", "3B", **inherited("runs_on", DISK, ROLL)),
    DISK: row(DISK, "共用ディスク", "3B", **inherited("stores", ROLL)),
    ROLL: row(ROLL, "住民記録", "3B", **RULE),
}


@pytest.fixture
def chain(standard: Standard) -> ExplainedAsset:
    return explain(CHAIN[SYSTEM], standard, CHAIN)


def drawn(asset: ExplainedAsset, language: Any = "ja") -> ElementTree.Element:
    return ElementTree.fromstring(draw(asset, Dimension.CONFIDENTIALITY, language))  # noqa: S314 - it is our own


def said(svg: ElementTree.Element) -> list[str]:
    return [one.text or "" for one in svg.iter(f"{SVG}text")]


def test_a_derived_level_names_its_rule_as_it_is_written(standard: Standard) -> None:
    found = explain(CHAIN[ROLL], standard, {}).dimensions[Dimension.CONFIDENTIALITY]

    [rule] = [one for one in standard.document.rules if one.id == "CR-11"]
    assert found.rule is not None
    assert (found.rule.when, found.rule.basis, found.rule.text) == (rule.when, rule.basis, rule.text)
    assert [one.fact for one in found.rule.reads] == ["data_kinds", "mynumber_data", "personal_data"]
    assert found.name.ja == "自治体機密性3B"
    assert (found.path, found.other_body, found.override) == ((), None, None)


def test_an_inherited_level_tells_the_way_with_every_relation(chain: ExplainedAsset) -> None:
    found = chain.dimensions[Dimension.CONFIDENTIALITY]

    assert on_the_way(CHAIN[SYSTEM]) == {DISK, ROLL}
    assert [(step.asset_id, step.relation, step.name, step.level) for step in found.path] == [
        (DISK, "runs_on", "共用ディスク", "3B"),
        (ROLL, "stores", "住民記録", "3B"),
    ]
    assert found.rule is not None
    assert (found.derived, found.rule.id, found.at_source) == ("2", "CR-11", "derived")


def test_a_level_that_the_ledger_declares_at_its_source_is_told_as_that(standard: Standard) -> None:
    asset = row(SYSTEM, "端末", "3A", **inherited("stores", ROLL) | {"rule": None, "text": None})
    known = {ROLL: row(ROLL, "内部資料", "3A", origin="declared", declared="3A", derived="2")}

    explained = explain(asset, standard, known)

    found = explained.dimensions[Dimension.CONFIDENTIALITY]
    assert (found.at_source, found.rule, found.declared, found.derived) == ("declared", None, None, "2")
    assert said(drawn(explained))[:2] == ["内部資料", "3A  台帳の申告"]


def test_an_asset_gone_since_keeps_its_place_on_the_way(standard: Standard) -> None:
    found = explain(CHAIN[SYSTEM], standard, {ROLL: CHAIN[ROLL]}).dimensions[Dimension.CONFIDENTIALITY]

    assert [(step.name, step.relation) for step in found.path] == [(None, "runs_on"), ("住民記録", None)]


def test_of_another_bodys_asset_only_the_body_is_told(standard: Standard) -> None:
    foreign = {"body": "election", "asset_id": None, "relation": "connects", "path": []}
    asset = row(SYSTEM, "端末", "3B", origin="inherited", derived="2", inherited="3B", inherited_from=foreign)

    explained = explain(asset, standard, {})

    assert explained.dimensions[Dimension.CONFIDENTIALITY].other_body == "election"
    assert on_the_way(asset) == frozenset()
    assert said(drawn(explained, "en")) == ["An asset of another body", "3B", "端末", "3B  inherited"]


def test_an_override_is_told_with_who_and_until_when(standard: Standard) -> None:
    override = {
        "override_id": "o", "reason": "公開した抜粋", "approved_by": "officer", "expires_at": "2027-01-01T00:00:00Z",
    }  # fmt: skip
    explained = explain(row(ROLL, "名簿", "2", origin="override", derived="3B", override=override), standard, {})

    found = explained.dimensions[Dimension.CONFIDENTIALITY]
    assert found.override is not None
    assert (found.level, found.derived, found.override.approved_by, found.rule) == ("2", "3B", "officer", None)
    assert said(drawn(explained)) == ["名簿", "2  承認された特例  公開した抜粋"]


def test_a_rule_and_a_level_that_the_standard_no_longer_has_are_still_told(standard: Standard) -> None:
    text = {"ja": "昔の規則", "en": "An old rule"}
    found = explain(row(ROLL, "名簿", "9", rule="OLD-01", text=text), standard, {}).dimensions["confidentiality"]

    assert found.rule is not None
    assert (found.rule.id, found.rule.when, found.rule.basis, found.rule.reads) == ("OLD-01", None, None, ())
    assert found.name.ja == "9"


def test_the_picture_goes_from_the_source_down_to_the_asset(chain: ExplainedAsset) -> None:
    svg = drawn(chain)

    assert said(svg) == [
        "住民記録", "3B  CR-11 住民記録の個人情報", "格納", "共用ディスク", "3B", "稼働", "窓口 <端末>", "3B  他の資産からの継承",
    ]  # fmt: skip
    title, desc = svg.find(f"{SVG}title"), svg.find(f"{SVG}desc")
    assert title is not None
    assert desc is not None
    assert title.text == "「窓口 <端末>」の機密性の区分の理由"
    assert (desc.text or "").startswith("住民記録 3B")
    assert {one.get("href") for one in svg.iter()} == {None}
    assert not list(svg.iter(f"{SVG}script"))


def test_a_name_that_no_picture_could_hold_is_drawn_without_what_harms_it(standard: Standard) -> None:
    asset = explain(row(ROLL, "名簿\x00\x1b]" + "長" * 200, "3B", **RULE), standard, {})

    name = said(drawn(asset))[0]
    assert name.startswith("名簿]長")
    assert name.endswith("…")
    assert len(name) < 40
