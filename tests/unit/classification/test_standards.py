# SPDX-License-Identifier: Apache-2.0
"""Which version of a standard may hold, what state it is in, and how much of it is applied."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from libs.contracts import Profile, StandardState
from libs.standards import Standard, StandardsInForce, compile_standard
from services.classification.standards.domain import (
    Edition,
    Part,
    Refusal,
    Situation,
    Version,
    base_version,
    in_force,
    ready,
    refuse_activating,
    share_of,
    state_of,
)

NOW = datetime(2026, 11, 1, tzinfo=UTC)
PROFILE = Profile.model_validate(yaml.safe_load(Path("samples/city/profile.yaml").read_text(encoding="utf-8")))


def version(standard: Standard, network: str | None = None, **changed: Any) -> Version:
    return base_version({}, standard.document, network)._replace(**{"published_by": "author", **changed})


def situation(standard: Standard, **changed: Any) -> Situation:
    return Situation(StandardsInForce(standard), None, {"base/2026.1"})._replace(**changed)


@pytest.mark.parametrize(
    ("network", "changed", "refusal"),
    [
        (None, {}, None),
        ("waterworks", {"base": "base/2026.1"}, None),
        (None, {"published_by": None}, None),
        (None, {"published_by": "officer"}, Refusal.OWN_PUBLICATION),
        (None, {"effective_from": NOW + timedelta(seconds=1)}, Refusal.TOO_EARLY),
        (None, {"effective_from": NOW}, None),
        ("mayor", {}, Refusal.NOT_SEPARATED),
        ("waterworks", {"base": "base/2026.2"}, Refusal.BASE_NEVER_HELD),
    ],
)
def test_who_may_let_what_hold_when(
    standard: Standard, network: str | None, changed: dict[str, Any], refusal: Refusal | None
) -> None:
    one = version(standard, network, **changed)

    assert refuse_activating(one, situation(standard), PROFILE, "officer", NOW) is refusal


def test_what_holds_already_is_not_activated_again(standard: Standard) -> None:
    one = version(standard)

    held = situation(standard, holds=one.edition)
    assert refuse_activating(one, held, PROFILE, "officer", NOW) is Refusal.HOLDS_ALREADY
    other = situation(standard, holds=Edition(one.edition.full_name, "another digest"))
    assert refuse_activating(one, other, PROFILE, "officer", NOW) is None


def with_other_scales(standard: Standard) -> Standard:
    scales = {dimension: levels[-2:] for dimension, levels in standard.document.scales.items()}
    return compile_standard(standard.document.model_copy(update={"scales": scales, "rules": (), "obligations": ()}))


def test_scales_are_those_of_what_holds_elsewhere(standard: Standard) -> None:
    other = version(with_other_scales(standard))

    alone = refuse_activating(other, situation(standard), PROFILE, "officer", NOW)
    own = situation(standard, standards=StandardsInForce(standard, {"waterworks": standard}))
    assert (alone, refuse_activating(other, own, PROFILE, "officer", NOW)) == (None, Refusal.OTHER_SCALES)


def test_what_is_activated_stands_in_the_place_of_what_is_shipped_and_only_on_separated_networks(
    standard: Standard,
) -> None:
    own, later = (compile_standard(standard.document.model_copy(update={"name": name})) for name in ("own", "later"))
    shipped = ready([version(standard), version(own, "waterworks")])

    assert shipped.of("waterworks").version.startswith("own/")
    held = in_force(shipped, [(None, later), ("education", own), ("mayor", own)], PROFILE)
    found = {network: held.of(network).document.name for network in ("mayor", "waterworks", "education", "hospital")}
    assert found == {"mayor": "later", "waterworks": "own", "education": "own", "hospital": "later"}


def test_a_state_is_of_the_edition_not_of_the_name(standard: Standard) -> None:
    one = version(standard)
    other = Edition(one.edition.full_name, "another digest")

    assert state_of(one, one.edition, {one.edition}, 0.5) is StandardState.ACTIVATING
    assert state_of(one, one.edition, {one.edition}, 1.0) is StandardState.ACTIVE
    assert state_of(one, other, {one.edition, other}, 1.0) is StandardState.SUPERSEDED
    assert state_of(one, other, {other}, 1.0) is StandardState.PUBLISHED


@pytest.mark.parametrize(
    ("parts", "share"),
    [
        ([], 0.0),
        ([Part(1, 1, 5, 5, 5)], 0.0),  # of the activation before
        ([Part(2, 1, 0, 0, 4)], 0.0),
        ([Part(2, 1, 4, 0, 4)], 0.5),
        ([Part(2, 1, 4, 3, 4)], 0.875),
        ([Part(2, 1, 4, 4, 4)], 1.0),
        ([Part(2, 2, 4, 4, 4)], 0.5),
        ([Part(2, 2, 4, 4, 4), Part(1, 2, 9, 9, 9)], 0.5),
        ([Part(2, 2, 4, 4, 4), Part(2, 2, 0, 0, 0)], 1.0),
        ([Part(2, 2, 0, 0, 0), Part(2, 2, 2, 0, 2)], 0.5),
        ([Part(2, 2, 0, 0, 0), Part(2, 2, 999, 998, 999)], 0.99),
    ],
)
def test_a_share_is_whole_only_where_every_partition_is_done(parts: list[Part], share: float) -> None:
    assert share_of(2, parts) == share
