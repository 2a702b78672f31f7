# SPDX-License-Identifier: Apache-2.0
"""A service as a process of its own, with an issuer beside it, as an operator would run them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
from pydantic import SecretStr

from libs.bus import KafkaSettings
from libs.devstack import Stack
from libs.security.clients import IssuerFolder

PROFILE = Path(__file__).parents[2] / "samples/city/profile.yaml"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return listening.getsockname()[1]


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
    process = subprocess.Popen([sys.executable, "-m", "libs.security.issuer", *arguments], stdout=subprocess.PIPE)
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
        self._command = [sys.executable, "-m", f"services.{name}.main"]
        self._environment, self._log = environment, log
        self.url = f"http://127.0.0.1:{environment['DAICHO_HTTP__PORT']}"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        """What it has written."""
        return self._log.read_text()

    def start(self) -> None:
        """Returns when it is ready."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, env={**os.environ, **self._environment}, stderr=log)
        deadline = time.monotonic() + 40
        while True:
            assert self._process.poll() is None, self.log[-4000:]
            assert time.monotonic() < deadline, self.log[-4000:]
            try:
                if httpx.get(f"{self.url}/health/ready").status_code == 200:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.05)

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> int:
        assert self._process is not None
        self._process.terminate()
        return self._process.wait(20)
