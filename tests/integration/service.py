# SPDX-License-Identifier: Apache-2.0
"""A service as a process of its own, with an issuer beside it, as an operator would run them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Final

import httpx
from pydantic import SecretStr

from libs.bus import KafkaSettings
from libs.devstack import Stack
from libs.devstack.ports import Ports
from libs.devstack.processes import CHILD
from libs.security.clients import IssuerFolder

READY_WITHIN: Final = 120.0
PROFILE = Path(__file__).parents[2] / "samples/city/profile.yaml"


_held, _names = Ports(), count()


def free_port() -> int:
    """Held for as long as this process lives: no test that runs beside it is handed the same."""
    return _held.take(f"test-{next(_names)}", None, None)


def with_parent(module: str, *arguments: str) -> list[str]:
    """The command of a process that the kernel ends when the thread that starts it ends."""
    child = [sys.executable, "-I", "-S", str(CHILD), str(int(signal.SIGKILL)), str(os.getpid()), "-1", "-1"]
    return [*child, sys.executable, "-m", module, *arguments]


def account(stack: Stack, name: str) -> KafkaSettings:
    username, password = stack.kafka_account(name)
    return KafkaSettings(bootstrap=stack.kafka_bootstrap, username=username, password=SecretStr(password))


def environment_of(stack: Stack, name: str, issuer: str) -> dict[str, str]:
    """What an instance tells a service."""
    username, password = stack.kafka_account(name)
    return {
        "DAICHO_PROFILE": str(PROFILE),
        "DAICHO_KAFKA__BOOTSTRAP": stack.kafka_bootstrap,
        "DAICHO_KAFKA__USERNAME": username,
        "DAICHO_KAFKA__PASSWORD": password,
        "DAICHO_POSTGRES__DSN": stack.postgres_dsn(name, name),
        "DAICHO_OIDC__ISSUER": issuer,
        "DAICHO_HTTP__PORT": str(free_port()),
    }


@contextmanager
def running_issuer(folder: Path, profile: Path = PROFILE) -> Iterator[IssuerFolder]:
    arguments = ["--directory", str(folder), "--profile", str(profile), "--port", str(free_port())]
    process = subprocess.Popen(with_parent("libs.security.issuer", *arguments), stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdout.readline()
        yield IssuerFolder(folder)
    finally:
        process.terminate()
        process.wait()


class Service:
    """`python -m services.<name>.main`, started and stopped."""

    def __init__(self, name: str, environment: Mapping[str, str], log: Path) -> None:
        self._command = with_parent(f"services.{name}.main")
        self._environment, self._log = environment, log
        self.url = f"http://127.0.0.1:{environment['DAICHO_HTTP__PORT']}"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        """What it has written."""
        return self._log.read_text()

    def start(self, **changed: str) -> None:
        """Start it, with its settings `changed`, and return when it is ready."""
        with self._log.open("ab") as log:
            environment = os.environ | self._environment | changed
            self._process = subprocess.Popen(self._command, env=environment, stderr=log)
        deadline = time.monotonic() + READY_WITHIN
        with httpx.Client(base_url=self.url) as client:
            while not _is_ready(client):
                assert self._process.poll() is None, self.log[-4000:]
                assert time.monotonic() < deadline, self.log[-4000:]
                time.sleep(0.1)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self) -> int:
        assert self._process is not None
        self._process.terminate()
        return self._process.wait(20)


def _is_ready(client: httpx.Client) -> bool:
    try:
        return client.get("/health/ready").status_code == 200
    except httpx.TransportError:
        return False
