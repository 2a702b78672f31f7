# SPDX-License-Identifier: Apache-2.0
"""Start the processes of an instance so that none of them outlives it, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from libs.devstack.processes import CHILD, Child, stop

ROOT: Final = Path(__file__).resolve().parents[1]
STOPPED_WITHIN: Final = 20.0
_INHERITED: Final = ("PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH", "TZ")
"""No DAICHO_ setting of the person's shell reaches a service: an instance is what its profile and folder say."""


class Keeper:
    """Starts Python modules as children, each with a log of its own.

    The kernel kills a child when the *thread* that started it ends, so one thread that lives as long as the keeper starts them all.
    """

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="keeper")

    def spawn(self, name: str, module: str, arguments: Sequence[str], settings: Mapping[str, str]) -> Child:
        """Run `python -m <module> <arguments>` with `settings` as its environment and output to `<logs>/<name>.log`."""
        return self._thread.submit(self._spawn, name, [sys.executable, "-m", module, *arguments], settings).result()

    def stop(self, children: Sequence[Child]) -> None:
        """Ask all to end, wait, and kill what has not ended within 20 seconds."""
        stop([(child, signal.SIGTERM) for child in children], STOPPED_WITHIN)

    def close(self) -> None:
        """End the thread, and with it whatever child still runs."""
        self._thread.shutdown()

    def _spawn(self, name: str, command: Sequence[str], settings: Mapping[str, str]) -> Child:
        self._logs.mkdir(mode=0o700, parents=True, exist_ok=True)
        log = self._logs / f"{name}.log"
        leash = [sys.executable, "-I", "-S", str(CHILD), str(int(signal.SIGKILL)), str(os.getpid()), "-1", "-1"]
        with log.open("ab") as output:
            start = output.tell()
            process = subprocess.Popen(
                [*leash, *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self._logs.parent,
                env={**_environment(), **settings},
                start_new_session=True,
            )
        return Child(name, process, log, start)


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    # PYTHONSAFEPATH: nothing that lies in the data folder is imported
    fixed = {
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
        "PYTHONPATH": str(ROOT),
        "PYTHONSAFEPATH": "1",
        "PYTHONUNBUFFERED": "1",
    }
    return kept | fixed
