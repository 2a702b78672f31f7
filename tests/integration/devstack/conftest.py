# SPDX-License-Identifier: Apache-2.0
"""Helpers for tests that start stacks of their own: a folder with an awkward name, and a look for left processes."""

from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from libs.devstack import down


def processes_on(data: Path) -> list[psutil.Process]:
    """Every live process that was started for a data folder, by its arguments or its working directory."""
    found = []
    for process in psutil.process_iter():
        try:
            here = str(data) in " ".join(process.cmdline()) or process.cwd().startswith(str(data))
            if here and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    """A data folder whose name needs care (space, Japanese); whatever runs on it is stopped at the end."""
    folder = tmp_path / "台 帳"
    yield folder
    down(folder)


@pytest.fixture
def left_on() -> Callable[[Path], list[psutil.Process]]:
    return processes_on
