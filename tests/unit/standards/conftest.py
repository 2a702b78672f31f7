# SPDX-License-Identifier: Apache-2.0
"""The base standard as it is shipped."""

from __future__ import annotations

from pathlib import Path

import pytest

from libs.standards import Standard, compile_standard, parse

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def base_files() -> dict[str, str]:
    """The files of the base standard, by their paths in its folder."""
    folder = ROOT / "standards" / "base"
    return {
        path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8") for path in sorted(folder.rglob("*.yaml"))
    }


@pytest.fixture(scope="session")
def base(base_files: dict[str, str]) -> Standard:
    return compile_standard(parse(base_files))
