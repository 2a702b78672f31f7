# SPDX-License-Identifier: Apache-2.0
"""Classification's tests, apart from the others."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from libs.devstack import Stack, devstack


@pytest.fixture(scope="package")
def stack() -> Iterator[Stack]:
    """A stack of its own: these tests count what is on topics to which others write as well."""
    with tempfile.TemporaryDirectory(prefix="daicho-") as data, devstack(Path(data)) as running:
        yield running
