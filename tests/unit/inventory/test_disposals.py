# SPDX-License-Identifier: Apache-2.0
"""Which disposals are enough for which media: the table of methods, and the remarks on a record (tests/data/inventory/disposals.yaml)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from libs.catalogue import messages
from services.inventory.disposals.answers import DisposalRecord, after_retirement
from services.inventory.disposals.domain import Done, Medium, Remark, has_medium, medium_of, remarks_on, table
from services.inventory.register.answers import RegisteredAsset

ROOT = Path(__file__).parents[3]
CASES = yaml.safe_load((ROOT / "tests/data/inventory/disposals.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['medium']} {'+'.join(case['methods'])}")
def test_a_record_is_remarked_on_where_it_falls_short(case: dict[str, Any]) -> None:
    done = Done(
        medium=Medium(case["medium"]),
        methods=tuple(case["methods"]),
        zone=case.get("zone"),
        confidentiality=case.get("confidentiality"),
        leased=case.get("leased", False),
        witnessed=case.get("witnessed", False),
        certified=case.get("certified", False),
    )
    assert list(remarks_on(done)) == case["remarks"]


def test_every_medium_of_the_facts_is_known_and_has_a_method_that_is_enough() -> None:
    facts = yaml.safe_load((ROOT / "standards/base/facts.yaml").read_text(encoding="utf-8"))
    assert set(Medium) == set(facts["medium"]["values"])
    for medium in Medium:
        need = table().needed_for(medium, None, "3A")
        assert need is not None
        (method, *_) = [one.id for one in table().methods if medium in one.media and one.strength == need.strength]
        assert Remark.TOO_WEAK not in remarks_on(Done(medium, (method,), None, "3A", False, False, False))


def test_ids_stand_once_and_every_remark_has_a_sentence() -> None:
    ids = [method.id for method in table().methods]
    assert len(set(ids)) == len(ids)
    wanted = {f"inventory.disposal.remark.{one}" for one in Remark if one is not Remark.TOO_WEAK}
    wanted |= {f"inventory.disposal.remark.too_weak.{need.strength}" for need in table().needed}
    assert wanted <= messages().keys()


@pytest.mark.parametrize(
    ("kind", "facts", "medium", "expected"),
    [
        ("media", {}, None, True),
        ("system", {"medium": "ssd"}, Medium.SSD, True),
        ("system", {"medium": "粘土板"}, None, True),
        ("system", {}, None, False),
        ("information", {"medium": ""}, None, False),
    ],
)
def test_what_has_a_medium_needs_a_record(
    kind: str, facts: dict[str, Any], medium: Medium | None, expected: bool
) -> None:
    state = {"kind": kind, "facts": facts}
    assert (has_medium(state), medium_of(state)) == (expected, medium)


@pytest.mark.parametrize(
    ("facts", "recorded", "expected"),
    [
        ({"medium": "hdd"}, False, DisposalRecord.MISSING),
        ({"medium": "hdd"}, True, DisposalRecord.RECORDED),
        ({}, False, DisposalRecord.NOT_NEEDED),
    ],
)
def test_the_answer_to_a_retirement_says_what_is_missing(
    facts: dict[str, Any], recorded: bool, expected: DisposalRecord
) -> None:
    asset = RegisteredAsset.model_validate(
        {
            "asset_id": "a",
            "body": "mayor",
            "network": "mayor",
            "kind": "system",
            "name": "端末",
            "facts": facts,
            "revision": 2,
            "updated_at": "2026-04-01T00:00:00Z",
        }
    )
    retired = after_retirement(asset, recorded=recorded)
    assert retired.disposal_record is expected
    assert (retired.notice is not None) == (expected is DisposalRecord.MISSING)
