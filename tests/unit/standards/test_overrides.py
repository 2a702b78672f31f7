# SPDX-License-Identifier: Apache-2.0
"""Who may ask and approve an override, and until when it holds, by the table of cases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from libs.contracts import Dimension, OverrideChange
from libs.standards import Standard
from libs.standards.overrides import in_force, next_expiry, refuse_approving

NOW = datetime(2026, 11, 24, tzinfo=UTC)
CASES = yaml.safe_load((Path(__file__).parents[2] / "data/standards/overrides.yaml").read_text("utf-8"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["case"])
def test_an_override_is_judged_as_the_table_says(case: dict[str, Any], base: Standard) -> None:
    override = OverrideChange(
        override_id="o",
        asset_id="a",
        dimension=Dimension.CONFIDENTIALITY,
        level=case["level"],
        reason=case.get("reason", "理由"),
        asked_by="申請者",
        asked_at=NOW,
        state=case.get("state", "asked"),
        expires_at=NOW + timedelta(days=case.get("days", 30)),
        revision=1,
    )
    refused = refuse_approving(
        override,
        base,
        NOW,
        approver=case.get("approver", "承認者"),
        otherwise=base.rank(Dimension.CONFIDENTIALITY, "3B"),
        higher_role=case.get("higher_role", False),
    )
    assert refused == case["refused"]
    holds = case.get("in_force", False)
    assert in_force([override], NOW) == ([override] if holds else [])
    assert next_expiry([override], NOW) == (override.expires_at if holds else None)
