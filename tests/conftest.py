# SPDX-License-Identifier: Apache-2.0
"""The real parts, shared by every test of a run: one Kafka and one PostgreSQL, started when first asked for."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadFileScheduling

from libs.devstack import Stack, devstack

LONG = os.environ.get("DAICHO_TEST_LONG") == "1"

settings.register_profile(
    "short", max_examples=60, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile(
    "long", max_examples=1500, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("long" if LONG else "short")

OWN_STACK = ("bus", "classification", "cli")
"""Folders of tests/integration with a stack of their own, which is to be started once."""


class ByStack(LoadFileScheduling):
    """To one worker what shares a stack or an instance: a file, or a folder with a stack of its own."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return next((folder for folder in OWN_STACK if file.startswith(f"tests/integration/{folder}/")), file)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByStack | None:
    return ByStack(config, log) if config.getoption("dist") == "loadfile" else None


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    # not under pytest's own folder: a second run resets that one's rights, which PostgreSQL's user needs
    with tempfile.TemporaryDirectory(prefix="daicho-") as data, devstack(Path(data)) as running:
        yield running
