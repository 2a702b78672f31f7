# SPDX-License-Identifier: Apache-2.0
"""What a data folder says about its stack: the lock of the supervisor, who runs where, and the ports used last.

`<data>/lock` is held (flock) by the supervisor for as long as it lives and holds its pid; `<data>/stack.json` exists
while the stack is ready; `<data>/ports.json` stays, so that a stack keeps its ports between starts.
"""

import fcntl
import json
import os
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from libs.devstack.credentials import write_private
from libs.devstack.processes import ProcessId

LOCK = "lock"
STACK = "stack.json"
PORTS = "ports.json"


def try_lock(data: Path) -> int | None:
    """Take the lock of a data folder and write this process's pid in it; None if another process has it.

    Returns the open file that holds it: close it, or end, to release it.
    """
    handle = os.open(data / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    os.ftruncate(handle, 0)
    os.pwrite(handle, str(os.getpid()).encode(), 0)
    return handle


def lock_holder(data: Path) -> int | None:
    """The pid that holds the lock of a data folder; None if nobody does. May be 0 for an instant while it is taken."""
    try:
        handle = os.open(data / LOCK, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return int(os.pread(handle, 32, 0) or b"0")
    finally:
        os.close(handle)
    return None


def remember(data: Path, ports: dict[str, int], pids: dict[str, ProcessId]) -> None:
    """Write down a stack that is ready."""
    write_private(data / PORTS, json.dumps(ports) + "\n")
    running = {"ports": ports, "pids": {name: asdict(pid) for name, pid in pids.items()}}
    write_private(data / STACK, json.dumps(running, indent=2) + "\n")


def recall(data: Path) -> tuple[dict[str, int], dict[str, ProcessId]] | None:
    """The ports and processes of the stack that was ready last and not forgotten; None if there is none."""
    found = _read(data / STACK)
    if not found:
        return None
    return found["ports"], {name: ProcessId(**pid) for name, pid in found["pids"].items()}


def leftovers(data: Path) -> list[ProcessId]:
    """The servers of a stack whose supervisor ended without stopping them."""
    known = recall(data)
    return [pid for name, pid in known[1].items() if name != "supervisor"] if known else []


def forget(data: Path) -> None:
    """Remove what `remember` wrote, except the ports."""
    (data / STACK).unlink(missing_ok=True)


def ports_before(data: Path) -> dict[str, int]:
    """The ports used by the last start, by service name."""
    return _read(data / PORTS)


def _read(file: Path) -> dict[str, Any]:
    with suppress(OSError, ValueError):
        read: dict[str, Any] = json.loads(file.read_text())
        return read
    return {}
