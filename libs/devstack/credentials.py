# SPDX-License-Identifier: Apache-2.0
"""The made secrets of one stack: random, made on first use, kept in a file that only its owner may read."""

import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from libs.devstack import errors

KAFKA_ACCOUNTS = (
    "admin",
    "inventory",
    "classification",
    "access-control",
    "cloud-registry",
    "alerting",
    "feed",
    "reader",
)
"""Kafka accounts made when the data folder is first formatted; `admin` is a super user, the others start with no right."""

BROKER_ACCOUNT = "broker"
"""The account with which the broker and its controller speak to each other; not handed out."""


def kafka_secret(account: str) -> str:
    """The name under which the password of a Kafka account is kept."""
    return f"kafka/{account}"


def postgres_secret(role: str) -> str:
    """The name under which the password of a PostgreSQL role is kept."""
    return f"postgres/{role}"


class Credentials:
    """The secrets of one data folder, in `<data>/credentials/secrets.json` (0600, in a 0700 folder).

    Safe to use from several processes at once: a lock file orders them, and the file is replaced whole.
    """

    def __init__(self, data: Path) -> None:
        self.folder = data / "credentials"
        self.file = self.folder / "secrets.json"

    def get(self, name: str) -> str:
        """Return the secret of that name, making it (32 random bytes, URL-safe) if there is none yet."""
        with self._locked():
            known = self._read()
            if name not in known:
                known[name] = secrets.token_urlsafe(32)
                self._write(known)
            return known[name]

    def require(self, name: str) -> str:
        """Return the secret of that name; raises `DevstackError` if it was never made or has been lost."""
        with self._locked():
            known = self._read()
        if name not in known:
            raise errors.credentials_lost(name, self.file)
        return known[name]

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise errors.credentials_unreadable(self.file, error.strerror or str(error)) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def _read(self) -> dict[str, str]:
        try:
            mode = self.file.stat().st_mode & 0o777
            text = self.file.read_text()
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise errors.credentials_unreadable(self.file, error.strerror or str(error)) from error
        if mode & 0o077:
            raise errors.credentials_exposed(self.file, mode)
        try:
            known: dict[str, str] = json.loads(text)
        except ValueError as error:
            raise errors.credentials_unreadable(self.file, "it is not JSON") from error
        return known

    def _write(self, known: dict[str, str]) -> None:
        write_private(self.file, json.dumps(known, indent=2, sort_keys=True) + "\n")


def write_private(file: Path, text: str, uid: int = -1, gid: int = -1) -> None:
    """Replace `file` at once by one that holds `text` and only its owner (`uid`, `gid`; -1: the caller) may read."""
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        os.fchmod(handle, 0o600)
        if uid >= 0:
            os.fchown(handle, uid, gid)
        stream.write(text)
        stream.flush()
        os.fsync(handle)
    part.replace(file)
