# SPDX-License-Identifier: Apache-2.0
"""Start, find and stop a stack: one embedded Kafka and one embedded PostgreSQL, with all their data in one folder.

The servers are children of a supervisor process (see `supervisor`); these functions start it and speak to it.
"""

import json
import os
import pwd
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psutil
from rich.progress import Progress

from libs.devstack import errors, state
from libs.devstack.credentials import KAFKA_ACCOUNTS, Credentials, kafka_secret, postgres_secret
from libs.devstack.jars import ensure_jars
from libs.devstack.ports import LOOPBACK
from libs.devstack.processes import LEFTOVERS_END_WITHIN, end_leftovers

ROOT = Path(__file__).resolve().parents[2]
STOPPED_WITHIN = 60
FIRST_START_NEEDS = 512 * 2**20
LATER_START_NEEDS = 128 * 2**20


@dataclass(frozen=True)
class Stack:
    """A running stack: where its servers listen (always on loopback) and how to sign in to them."""

    data: Path
    kafka_port: int
    postgres_port: int
    supervisor_pid: int
    kafka_pid: int
    postgres_pid: int

    @property
    def kafka_bootstrap(self) -> str:
        """Kafka's address, `127.0.0.1:port`; clients use SASL_PLAINTEXT with SCRAM-SHA-512."""
        return f"{LOOPBACK}:{self.kafka_port}"

    def kafka_account(self, name: str) -> tuple[str, str]:
        """User name and password of one of `KAFKA_ACCOUNTS`; raises `DevstackError` for any other name."""
        if name not in KAFKA_ACCOUNTS:
            raise errors.account_unknown(name, KAFKA_ACCOUNTS)
        return name, Credentials(self.data).require(kafka_secret(name))

    def postgres_password(self, role: str) -> str:
        """The password of a PostgreSQL role, made on first use; giving it to the role is up to who creates the role."""
        return self.secret(postgres_secret(role))

    def postgres_dsn(self, role: str, database: str) -> str:
        """`postgresql://role:password@127.0.0.1:port/database`, with the password of `postgres_password(role)`.

        The superuser's role is `postgres`: for provisioning only.
        """
        password = quote(self.postgres_password(role), safe="")
        user = quote(role, safe="")
        return f"postgresql://{user}:{password}@{LOOPBACK}:{self.postgres_port}/{quote(database, safe='')}"

    def secret(self, name: str) -> str:
        """A secret of this stack by name: random, made on first use, kept in `<data>/credentials/`."""
        return Credentials(self.data).get(name)


@contextmanager
def devstack(
    data: Path,
    *,
    kafka_port: int | None = None,
    postgres_port: int | None = None,
    progress: Progress | None = None,
    refresh_jars: bool = False,
) -> Iterator[Stack]:
    """Run a stack for as long as the block, or this process, lasts; its data stay in the folder `data`.

    Arguments and errors are those of `up`.
    """
    process = _start(data, _ports(kafka_port, postgres_port), progress, refresh_jars=refresh_jars, owned=True)
    try:
        yield load(data)
    finally:
        _end(process, data)


def up(
    data: Path,
    *,
    kafka_port: int | None = None,
    postgres_port: int | None = None,
    progress: Progress | None = None,
    refresh_jars: bool = False,
) -> Stack:
    """Start a stack that goes on after this process has ended, and return when it is ready.

    Ports not given are those of the last start if still free, else any free ones. `progress` shows the download of jars;
    `refresh_jars` downloads them even if they are there. Raises `DevstackError` (one sentence) for a folder in use, a
    taken port, a full disk, a missing or altered jar, or a server that would not start.
    """
    process = _start(data, _ports(kafka_port, postgres_port), progress, refresh_jars=refresh_jars, owned=False)
    # it goes on by itself: not waiting for it is meant
    process.returncode = 0
    return load(data)


def down(data: Path) -> bool:
    """Stop the stack on `data` and return when all its processes have ended; False if none was running.

    Also clears away what a killed supervisor left. Raises `DevstackError` if it does not stop in 60 seconds.
    """
    data = _absolute(data)
    _refuse_other_user(data)
    was_running = _ask_to_stop(data)
    return _clear_leftovers(data) or was_running


def load(data: Path) -> Stack:
    """Return the stack that is running on `data`; raises `DevstackError` if there is none."""
    data = _absolute(data)
    _refuse_other_user(data)
    known = state.recall(data)
    if known is None:
        raise errors.not_running(data)
    ports, pids = known
    if any(pid.find() is None for pid in pids.values()):
        raise errors.not_running(data)
    return Stack(
        data=data,
        kafka_port=ports["kafka"],
        postgres_port=ports["postgres"],
        supervisor_pid=pids["supervisor"].pid,
        kafka_pid=pids["kafka"].pid,
        postgres_pid=pids["postgres"].pid,
    )


def _absolute(data: Path) -> Path:
    return data.expanduser().absolute()


def _ports(kafka: int | None, postgres: int | None) -> list[str]:
    named = (("--kafka-port", kafka), ("--postgres-port", postgres))
    return [word for name, port in named if port is not None for word in (name, str(port))]


def _start(
    data: Path, options: list[str], progress: Progress | None, *, refresh_jars: bool, owned: bool
) -> "subprocess.Popen[str]":
    data = _absolute(data)
    _prepare_folder(data)
    if state.lock_holder(data) is not None:
        raise errors.folder_busy(data)
    ensure_jars(progress, refresh=refresh_jars)
    command = [sys.executable, "-m", "libs.devstack.supervisor", "--data", str(data), *options]
    log = data / "logs" / "supervisor.log"
    with log.open("a") as output:
        process = subprocess.Popen(
            [*command, "--owned"] if owned else command,
            stdin=subprocess.PIPE if owned else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=output,
            text=True,
            cwd="/",
            env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])},
            start_new_session=True,
        )
    try:
        _await_ready(process, log)
    except BaseException:
        _end(process, data)
        raise
    return process


def _prepare_folder(data: Path) -> None:
    """Make the folder, and refuse one that this user may not use or whose disk is nearly full."""
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        _refuse_other_user(data)
        (data / "logs").mkdir(mode=0o700, exist_ok=True)
        (data / "logs" / "supervisor.log").touch()
    except OSError as error:
        raise errors.folder_unusable(data, error.strerror or str(error)) from error
    needed = LATER_START_NEEDS if (data / "postgres").exists() else FIRST_START_NEEDS
    free = shutil.disk_usage(data).free
    if free < needed:
        raise errors.disk_full(data, free, needed)


def _refuse_other_user(data: Path) -> None:
    with suppress(FileNotFoundError):
        owner = data.stat().st_uid
        if os.geteuid() not in (0, owner):
            raise errors.other_user(data, _user_name(owner))


def _user_name(uid: int) -> str:
    with suppress(KeyError):
        return pwd.getpwuid(uid).pw_name
    return str(uid)


def _await_ready(process: "subprocess.Popen[str]", log: Path) -> None:
    with process.stdout or nullcontext() as stream:
        line = stream.readline() if stream else ""
    said = json.loads(line) if line else {}
    if "error" in said:
        raise errors.DevstackError(said["error"])
    if "ready" not in said:
        raise errors.supervisor_failed(log)


def _end(process: "subprocess.Popen[str]", data: Path) -> None:
    """Let go of an owned supervisor, or ask a detached one to stop, and wait until it has ended."""
    if process.stdin is not None:
        process.stdin.close()
    else:
        process.terminate()
    try:
        process.wait(STOPPED_WITHIN)
    except subprocess.TimeoutExpired as error:
        raise errors.supervisor_stuck(data, process.pid, STOPPED_WITHIN) from error
    _clear_leftovers(_absolute(data))


def _clear_leftovers(data: Path) -> bool:
    """Clear away what a killed supervisor left on `data`; False if there was nothing, or another one has taken over."""
    if not data.is_dir() or (lock := state.try_lock(data)) is None:
        return False
    try:
        left = [one for one in state.leftovers(data) if one.find()]
        end_leftovers(left, LEFTOVERS_END_WITHIN)
        state.forget(data)
        return bool(left)
    finally:
        os.close(lock)


def _ask_to_stop(data: Path) -> bool:
    """Ask the supervisor, if there is one, to stop; return when it has ended."""
    asked: psutil.Process | None = None
    deadline = time.monotonic() + STOPPED_WITHIN
    while (holder := state.lock_holder(data)) is not None:
        if time.monotonic() > deadline:
            raise errors.supervisor_stuck(data, holder, STOPPED_WITHIN)
        if holder and asked is None:
            with suppress(psutil.NoSuchProcess):
                asked = psutil.Process(holder)
                asked.terminate()
        time.sleep(0.02)
    if asked is not None:
        asked.wait(STOPPED_WITHIN)
    return asked is not None
