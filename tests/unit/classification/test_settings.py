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
from services.classification.settings import BASE, Settings

PROFILE = BASE.parents[1] / "samples" / "city" / "profile.yaml"


@pytest.fixture
def standards(tmp_path: Path) -> Path:
    """The base, and beside it the waterworks' own, without the obligations of one part."""
    for name in ("base", "water"):
        shutil.copytree(BASE, tmp_path / name)
    (tmp_path / "water" / "obligations" / "review.yaml").unlink()
    return tmp_path


@pytest.fixture
def profile() -> Profile:
    content: dict[str, Any] = yaml.safe_load(PROFILE.read_text(encoding="utf-8"))
    for network in content["networks"]:
        if network["id"] == "waterworks":
            network["standard"] = "water"
    return Profile.model_validate(content)


def test_a_separated_network_has_the_standard_that_the_profile_names(standards: Path, profile: Profile) -> None:
    read = Settings.model_construct(standard=standards / "base").read_standards(profile)

    assert read.of("mayor") is read.of("education") is read.base
    assert read.of("waterworks") is not read.base
    assert len(read.of("waterworks").document.obligations) < len(read.base.document.obligations)
    assert list(read) == [read.base, read.of("waterworks")]


def test_a_standard_with_other_scales_is_refused(standards: Path, profile: Profile) -> None:
    scales = standards / "water" / "scales.yaml"
    content = yaml.safe_load(scales.read_text(encoding="utf-8"))
    content["availability"].append({**deepcopy(content["availability"][-1]), "code": "9"})
    scales.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")

    with pytest.raises(ValueError, match=r"of waterworks, has other scales than the base"):
        Settings.model_construct(standard=standards / "base").read_standards(profile)
