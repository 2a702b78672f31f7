# SPDX-License-Identifier: Apache-2.0
"""Start, watch and stop the child processes of a supervisor, and recognise a process again after its pid was written."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from libs.devstack import errors

CHILD = Path(__file__).with_name("child.py")
LOG_LIMIT = 16 * 2**20
LEFTOVERS_END_WITHIN = 10.0


@dataclass(frozen=True)
class ProcessId:
    """A pid with the moment that process began (seconds since the epoch), so that a reused pid is not mistaken."""

    pid: int
    created: float

    @classmethod
    def of(cls, pid: int) -> "ProcessId":
        """Describe a process that is running now; raises `psutil.NoSuchProcess` if it is not."""
        return cls(pid, psutil.Process(pid).create_time())

    def find(self) -> psutil.Process | None:
        """Return the process if it still runs (a zombie does not)."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.created) < 1 and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return None
        return process if same else None


def end_leftovers(leftovers: Sequence[ProcessId], patience: float) -> None:
    """Wait up to `patience` seconds for processes that lost their supervisor to end, then kill those that have not."""
    deadline = time.monotonic() + patience
    while any(left.find() for left in leftovers) and time.monotonic() < deadline:
        time.sleep(0.02)
    for left in leftovers:
        if process := left.find():
            with suppress(psutil.NoSuchProcess):
                process.kill()
                process.wait(10)


@dataclass(frozen=True)
class User:
    """The system user that a child runs as; -1 for the user of the supervisor."""

    uid: int = -1
    gid: int = -1


class Child:
    """One child process, in the foreground, which the kernel ends when the supervisor is killed."""

    def __init__(self, service: str, process: "subprocess.Popen[bytes]", log: Path, log_start: int) -> None:
        self.service = service
        self.process = process
        self.log = log
        self.log_start = log_start

    @property
    def ended(self) -> bool:
        return self.process.poll() is not None

    def output(self) -> str:
        """What this run of the child has written to its log so far."""
        with self.log.open("rb") as stream:
            stream.seek(self.log_start)
            return stream.read().decode("utf-8", "replace")

    def failure(self, data: Path, more: str = "") -> errors.DevstackError:
        """The one sentence for a child that ended by itself; `more` is the text of another log of the same run."""
        text = f"{more}\n{self.output()}"
        if "No space left on device" in text:
            return errors.disk_ran_full(data, self.service)
        return errors.service_failed(self.service, telling_line(text), self.log)


def telling_line(text: str) -> str:
    """The line of a log that best says why its process ended: the last that speaks of an error, else the last."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    trace = ("at ", "... ")
    told = [line for line in lines if not line.startswith(trace)]
    bad = [line for line in told if any(word in line for word in ("ERROR", "FATAL", "PANIC", "Exception", "error:"))]
    return (bad or told or [""])[-1][:300]


def spawn(
    service: str, command: Sequence[str], *, log: Path, death_signal: int, user: User | None = None, cwd: Path
) -> Child:
    """Start `command` as a child of this process, output to `log`, ended by `death_signal` if this process is killed.

    Call it from the main thread: the kernel ties the child to the thread that made it.
    """
    user = user or User()
    _rotate(log)
    start = log.stat().st_size if log.exists() else 0
    begin = [sys.executable, "-I", "-S", str(CHILD), str(death_signal), str(os.getpid()), str(user.uid), str(user.gid)]
    with log.open("ab") as output:
        process = subprocess.Popen(
            [*begin, *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=cwd,
            env=_environment(),
            start_new_session=True,
        )
    return Child(service, process, log, start)


def stop(children: Sequence[tuple[Child, int]], patience: float) -> None:
    """Send each child its stop signal and wait until all have ended; kill those that take over `patience` seconds."""
    for child, how in children:
        if not child.ended:
            child.process.send_signal(how)
    deadline = time.monotonic() + patience
    for child, _ in children:
        try:
            child.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            child.process.send_signal(signal.SIGKILL)
            child.process.wait()


def _environment() -> dict[str, str]:
    """The variables handed to a server: none that could change its settings (JAVA_TOOL_OPTIONS, PGDATA, …)."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH") if name in os.environ}
    return kept | {"LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}


def _rotate(log: Path) -> None:
    if log.exists() and log.stat().st_size > LOG_LIMIT:
        log.replace(log.with_name(f"{log.name}.1"))
