# SPDX-License-Identifier: Apache-2.0
"""An instance without services, for the commands that need none, and a way to run commands on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cli.instance import Instance
from cli.main import app

PROFILE = Path(__file__).parents[3] / "samples" / "city" / "profile.yaml"


@pytest.fixture(scope="package")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    with Instance(tmp_path_factory.mktemp("instance"), profile=PROFILE, layout=()) as running:
        yield running


@pytest.fixture
def daicho(instance: Instance) -> Callable[..., Result]:
    """Run a command of `daicho` on the instance, in Japanese."""

    def run(*arguments: str) -> Result:
        # wide enough that no cell is folded
        return CliRunner(env={"COLUMNS": "240"}).invoke(app, [*arguments, "--data", str(instance.data), "--lang", "ja"])

    return run
