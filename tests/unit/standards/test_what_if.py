# SPDX-License-Identifier: Apache-2.0
"""What a change of the base standard, or of facts, would bring."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from libs.contracts import Asset, AssetStatus, Dimension, Part, Relation, RelationType
from libs.standards import Standard, compile_standard, parse
from libs.standards.what_if import compare, with_facts


def asset(name: str, body: str = "mayor", network: str = "mayor", **more: Any) -> Asset:
    return Asset(
        **{"asset_id": name, "body": body, "network": network, "kind": "system", "name": name, "facts": {}} | more
    )


INFORMATION = asset("residents", "fire", kind="information", facts={"personal_data": True})
SYSTEM = asset("terminal", relations=(Relation(type=RelationType.STORES, asset_id="residents"),))
NO_PERSONAL_DATA = {"residents": {"personal_data": None}}


def test_levels_go_down_with_the_facts_on_every_asset_that_took_them_from_there(base: Standard) -> None:
    comparison = compare([SYSTEM, INFORMATION], base, base, NO_PERSONAL_DATA)
    assert [one.asset.asset_id for one in comparison.differences] == ["residents", "terminal"]
    for one in comparison.differences:
        assert Dimension.CONFIDENTIALITY in one.lowered
        assert one.raised == ()
        assert one.lifted
    fire, mayor = comparison.bodies
    assert (fire.body, fire.assets, fire.changed, fire.lowered[Dimension.CONFIDENTIALITY]) == ("fire", 1, 1, 1)
    assert mayor.lowered[Dimension.CONFIDENTIALITY] == 1
    assert set(mayor.lifted) == set(Part)


def test_the_asset_is_shown_with_the_facts_that_it_has(base: Standard) -> None:
    shown = compare([INFORMATION], base, base, NO_PERSONAL_DATA).differences[0].asset
    assert shown == INFORMATION


def test_one_body_sees_its_own_assets_only_and_still_what_they_take_from_another(base: Standard) -> None:
    own = compare([SYSTEM, INFORMATION], base, base, NO_PERSONAL_DATA).of_body("mayor")
    assert [one.asset.asset_id for one in own.differences] == ["terminal"]
    assert [counts.body for counts in own.bodies] == ["mayor"]
    assert own.assets == 1


def test_nothing_is_handed_on_between_networks(base: Standard) -> None:
    elsewhere = INFORMATION.model_copy(update={"network": "school"})
    comparison = compare([SYSTEM, elsewhere], base, base, NO_PERSONAL_DATA)
    assert [one.asset.asset_id for one in comparison.differences] == ["residents"]


@pytest.mark.parametrize("changes", [{}, {"unheard-of": {"personal_data": True}}])
def test_what_is_retired_or_not_there_does_not_count(base: Standard, changes: Mapping[str, Any]) -> None:
    retired = INFORMATION.model_copy(update={"status": AssetStatus.RETIRED})
    comparison = compare([retired], base, base, changes)
    assert (comparison.bodies, comparison.differences, comparison.assets) == ((), (), 0)


def test_an_obligation_that_is_left_out_is_lifted_under_its_part(base: Standard, base_files: dict[str, str]) -> None:
    document = parse(base_files)
    gone = next(one for one in document.obligations if one.when == "true")
    rest = tuple(one for one in document.obligations if one != gone)
    candidate = compile_standard(document.model_copy(update={"obligations": rest}))

    lifted = compare([SYSTEM], base, candidate)
    assert [(one.imposed, one.lifted, one.raised, one.lowered) for one in lifted.differences] == [
        ((), (gone.id,), (), ())
    ]
    assert lifted.bodies[0].lifted[gone.part] == 1
    imposed = compare([SYSTEM], candidate, base)
    assert imposed.differences[0].imposed == (gone.id,)
    assert imposed.bodies[0].imposed[gone.part] == 1


def test_another_code_of_the_same_rank_is_no_change(base: Standard, base_files: dict[str, str]) -> None:
    document = parse(base_files)
    lowest = document.scales[Dimension.AVAILABILITY][0]
    scale = (lowest.model_copy(update={"code": "0"}), *document.scales[Dimension.AVAILABILITY][1:])
    rules = tuple(
        one.model_copy(update={"level": "0"})
        if one.dimension is Dimension.AVAILABILITY and one.level == lowest.code
        else one
        for one in document.rules
    )
    scales = document.scales | {Dimension.AVAILABILITY: scale}
    obligations = tuple(
        one.model_copy(update={"when": one.when.replace(f"A{lowest.code}", "A0")}) for one in document.obligations
    )
    renamed = document.model_copy(update={"scales": scales, "rules": rules, "obligations": obligations})
    assert compare([SYSTEM, INFORMATION], base, compile_standard(renamed)).differences == ()


def test_facts_are_added_replaced_and_taken_away() -> None:
    changed = with_facts(asset("a", facts={"role": "x", "status": "y"}), {"role": None, "status": "z", "rack": "1"})
    assert changed.facts == {"status": "z", "rack": "1"}
