# SPDX-License-Identifier: Apache-2.0
"""The README's first five minutes, command by command, as a person would type them."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PREPARED = ("make setup", "source .venv/bin/activate")
"""What `make test` has done already."""


def commands(file: str) -> list[str]:
    block = re.search(r"```sh\n(.*?)```", (ROOT / file).read_text(encoding="utf-8"), re.DOTALL)
    assert block is not None
    return [line for line in block[1].splitlines() if line and not line.startswith("#")]


@pytest.fixture
def somewhere(tmp_path: Path) -> Iterator[Path]:
    """A folder that looks like a checkout, with no instance in it."""
    for name in ("examples", "samples", "standards"):
        (tmp_path / name).symlink_to(ROOT / name)
    yield tmp_path
    run("daicho down", tmp_path)


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "LANG": "en_US.UTF-8", "COLUMNS": "160"}
    return subprocess.run(
        shlex.split(command), cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def test_both_languages_have_the_same_commands() -> None:
    assert commands("README.md") == commands("README.ja.md")
    assert tuple(commands("README.md")[:2]) == PREPARED


def test_the_first_five_minutes(somewhere: Path) -> None:
    told: dict[str, str] = {}
    for command in commands("README.md")[len(PREPARED) :]:
        done = run(command, somewhere)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        told[command] = done.stdout

    first, second = (out for command, out in told.items() if command.startswith("daicho tail"))
    assert "水道料金調定データ" in first
    assert len(second) > len(first)
    explained = next(out for command, out in told.items() if command.startswith("daicho explain"))
    assert "3B" in explained
    assert "水道料金" in explained
