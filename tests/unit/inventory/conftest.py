# SPDX-License-Identifier: Apache-2.0
"""The profile of the sample city, and a whole register held in memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from libs.contracts import EarlierScales, Profile
from services.inventory.domain import Register
from services.inventory.settings import BASE, Settings

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def profile() -> Profile:
    return Profile.model_validate(yaml.safe_load((ROOT / "samples/city/profile.yaml").read_text(encoding="utf-8")))


@pytest.fixture(scope="session")
def empty_register(profile: Profile) -> Callable[[], Register]:
    return lambda: Register(profile)


@pytest.fixture(scope="session")
def earlier() -> EarlierScales:
    """The levels of the earlier scales, as the base standard has them."""
    return Settings.model_construct(standard=BASE).read_earlier_scales()
