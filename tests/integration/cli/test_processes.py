# SPDX-License-Identifier: Apache-2.0
"""No process outlives its keeper, however the keeper ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from cli.processes import ROOT, Keeper

OWNER = """
import sys, time
from pathlib import Path
from cli.processes import Keeper
keeper = Keeper(Path(sys.argv[1]))
child = keeper.spawn("web", "http.server", ["0", "--bind", "127.0.0.1"], {})
print(child.process.pid, flush=True)
time.sleep(60)
"""


def awaited(condition: Callable[[], bool], seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_owner_takes_its_children_along(tmp_path: Path, how: signal.Signals):
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path / "logs")],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    try:
        child = int(owner.stdout.readline())
        assert runs(child)
    finally:
        owner.send_signal(how)
        owner.communicate()
    assert awaited(lambda: not runs(child))


def test_children_stop_when_asked_and_write_to_their_log(tmp_path: Path):
    keeper = Keeper(tmp_path / "logs")
    child = keeper.spawn("web", "http.server", ["0", "--bind", "127.0.0.1"], {})
    assert awaited(lambda: "Serving HTTP" in child.output())
    keeper.stop([child])
    assert child.ended
    keeper.close()


def test_a_child_sees_its_settings_and_none_of_the_persons(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DAICHO_PROFILE", "of the person")
    monkeypatch.setenv("PYTHONSTARTUP", "of the person")
    keeper = Keeper(tmp_path / "logs")
    (tmp_path / "show.py").write_text("import json, os; print(json.dumps(dict(os.environ)))", encoding="utf-8")
    settings = {"DAICHO_KAFKA__PASSWORD": "secret", "PYTHONPATH": str(tmp_path)}
    child = keeper.spawn("show", "show", [], settings)
    assert child.process.wait(20) == 0
    shown = child.output()
    assert '"DAICHO_KAFKA__PASSWORD": "secret"' in shown
    assert "of the person" not in shown
    keeper.close()


def test_closing_ends_what_was_not_stopped(tmp_path: Path):
    keeper = Keeper(tmp_path / "logs")
    child = keeper.spawn("web", "http.server", ["0", "--bind", "127.0.0.1"], {})
    assert awaited(lambda: "Serving HTTP" in child.output())
    keeper.close()
    assert awaited(lambda: child.ended)
