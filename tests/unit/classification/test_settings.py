# SPDX-License-Identifier: Apache-2.0
"""Which standard an instance reads for which of its networks."""

from __future__ import annotations

import shutil
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from libs.contracts import Profile
from libs.standards import StandardError, StandardsInForce
from libs.standards.overlay import OverlayRefusedError
from services.classification.settings import BASE, Settings

PROFILE = BASE.parents[1] / "samples" / "city" / "profile.yaml"


@pytest.fixture
def standards(tmp_path: Path) -> Path:
    """The base, the waterworks' overlay beside it, and the hospital's own standard written out whole, without one part."""
    shutil.copytree(BASE, tmp_path / "base")
    shutil.copytree(BASE.parent / "waterworks", tmp_path / "waterworks")
    shutil.copytree(BASE, tmp_path / "whole")
    (tmp_path / "whole" / "obligations" / "review.yaml").unlink()
    return tmp_path


def profile(**standard_of: str) -> Profile:
    content: dict[str, Any] = yaml.safe_load(PROFILE.read_text(encoding="utf-8"))
    for network in content["networks"]:
        network.pop("standard", None)
        if network["id"] in standard_of:
            network["standard"] = standard_of[network["id"]]
    return Profile.model_validate(content)


def read(standards: Path, profile: Profile) -> StandardsInForce:
    return Settings.model_construct(standard=standards / "base").read_standards(profile)


def test_the_sample_city_has_overlays_for_two_networks() -> None:
    found = read(BASE.parent, Profile.model_validate(yaml.safe_load(PROFILE.read_text(encoding="utf-8"))))

    assert {one.version for one in found} == {"base/2026.1", "base-waterworks/2026.1", "base-education/2026.1"}
    assert found.of("mayor") is found.of("hospital") is found.base
    assert found.of("waterworks").version == "base-waterworks/2026.1"


def test_a_separated_network_may_have_an_overlay_or_a_standard_of_its_own(standards: Path) -> None:
    found = read(standards, profile(waterworks="waterworks", hospital="whole"))

    assert found.of("mayor") is found.of("education") is found.base
    own = {rule.id for rule in found.of("waterworks").document.rules}
    assert own - {rule.id for rule in found.base.document.rules}
    assert len(found.of("hospital").document.obligations) < len(found.base.document.obligations)


def test_an_overlay_that_is_another_networks_is_refused(standards: Path) -> None:
    with pytest.raises(OverlayRefusedError, match="the network hospital names it, but it is of waterworks"):
        read(standards, profile(hospital="waterworks"))


def test_an_overlay_of_who_is_not_in_charge_of_a_separated_network_is_refused(standards: Path) -> None:
    head = standards / "waterworks" / "overlay.yaml"
    head.write_text(head.read_text(encoding="utf-8").replace("body: waterworks", "body: fire"), encoding="utf-8")

    with pytest.raises(OverlayRefusedError, match="the network mayor of fire is not separated"):
        read(standards, profile(waterworks="waterworks"))


def test_a_mistake_in_an_overlay_is_told_with_its_place(standards: Path) -> None:
    head = standards / "waterworks" / "overlay.yaml"
    head.write_text(
        head.read_text(encoding="utf-8").replace("base: base/2026.1", "base: base/2020.1"), encoding="utf-8"
    )

    with pytest.raises(StandardError) as refused:
        read(standards, profile(waterworks="waterworks"))
    assert str(refused.value.mistakes[0]).startswith("overlay.yaml:6:")


def test_a_folder_that_is_not_there_is_told(standards: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere has no standard"):
        read(standards, profile(waterworks="nowhere"))


def test_a_standard_with_other_scales_is_refused(standards: Path) -> None:
    scales = standards / "whole" / "scales.yaml"
    content = yaml.safe_load(scales.read_text(encoding="utf-8"))
    content["availability"].append({**deepcopy(content["availability"][-1]), "code": "9"})
    scales.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")

    with pytest.raises(ValueError, match=r"of hospital, has other scales than the base"):
        read(standards, profile(hospital="whole"))
