# SPDX-License-Identifier: Apache-2.0
"""A whole instance on this machine: Kafka, PostgreSQL, an issuer of tokens and the services, from nothing to ready.

with Instance(Path("data"), profile=Path("samples/city/profile.yaml")) as instance:
    httpx.get(instance.addresses["inventory"] + "/v1/assets", headers=bearer(instance.token("body-mayor")))
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import httpx
from pydantic import SecretStr

from cli import kafka
from cli.errors import CliError
from cli.layout import PARTITIONS, TOGETHER, Layout, Process, services
from cli.processes import Keeper
from cli.profile import read_profile
from cli.running import ISSUER, Running, forget, ready_path
from libs.bus import KafkaSettings
from libs.devstack import Stack, devstack
from libs.devstack.credentials import write_private
from libs.devstack.ports import LOOPBACK, Ports
from libs.devstack.processes import Child, ProcessId, telling_line
from libs.persistence import owner_of, provision

READY_WITHIN: Final = 60.0
MIGRATED_WITHIN: Final = 120.0
FEED_TOKENS: Final = "feed-tokens.json"
"""Where the person who runs it puts the tokens of the sources that are pulled, by feed; mode 600."""
_PORTS: Final = "service-ports.json"
_DOORS: Final = "inventory"
"""The service that feeds call."""


class Instance:
    """Runs for as long as the `with` block, or this process, lasts; none of its processes outlives them.

    `layout` says which processes the services run in; `settings` are further environment variables for them.
    Raises CliError or DevstackError, each one sentence, where it cannot start.
    """

    def __init__(
        self,
        data: Path,
        *,
        profile: Path,
        layout: Layout = TOGETHER,
        partitions: int = PARTITIONS,
        kafka_port: int | None = None,
        postgres_port: int | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.data = data.expanduser().absolute()
        self.profile_file = profile.expanduser().absolute()
        self.profile = read_profile(self.profile_file)
        self.stack: Stack
        self.running: Running
        self._layout = {process.name: process for process in layout}
        self._partitions = partitions
        self._given = settings or {}
        self._stack = devstack(self.data, kafka_port=kafka_port, postgres_port=postgres_port)
        self._children: dict[str, Child] = {}
        self._ports = Ports()
        self._keeper = Keeper(self.data / "logs")
        self._undo = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as undo:
            self._start(undo)
            self._undo = undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._undo.close()

    @property
    def addresses(self) -> Mapping[str, str]:
        """`http://127.0.0.1:port` by service (its API), by process (its health), and of the `issuer`."""
        return self.running.addresses

    def token(self, client: str) -> str:
        """An access token for a client of the local issuer: `security-office`, `security-office-2`, `body-<body>`, `feed-<feed>`."""
        return self.running.token(client)

    def client_secret(self, client: str) -> str:
        """The secret with which that client gets tokens itself, at `addresses["issuer"]`/token."""
        return self.running.client_secret(client)

    @property
    def feed_secrets(self) -> Mapping[str, str]:
        """By feed, what its webhooks are to be signed with."""
        return {feed.id: self.stack.secret(f"feed/{feed.id}") for feed in self.profile.feeds if feed.format == "netbox"}

    def kill(self, name: str) -> None:
        """SIGKILL a process of the layout, and return when it is gone."""
        child = self._children[name]
        child.process.kill()
        child.process.wait()

    def start(self, name: str, *, wait: bool = True) -> None:
        """Start a process of the layout that has ended or was killed; `wait` until it says that it is ready."""
        self._spawn(self._layout[name])
        self._remember()
        if wait:
            self.await_ready([name])

    def ended(self) -> Sequence[str]:
        """The processes of the layout that are not running."""
        return [name for name, child in self._children.items() if name != ISSUER and child.ended]

    def await_ready(self, names: Sequence[str], within: float = READY_WITHIN) -> None:
        """Return when each of the processes answers /health/ready with 200; raises CliError for one that ends or takes longer."""
        waiting, deadline = list(names), time.monotonic() + within
        with httpx.Client(timeout=2.0) as client:
            while waiting := [name for name in waiting if not self._is_ready(client, name)]:
                if time.monotonic() > deadline:
                    raise CliError(
                        "cli.not_ready", process=waiting[0], seconds=int(within), log=self._children[waiting[0]].log
                    )
                time.sleep(0.05)

    def _start(self, undo: ExitStack) -> None:
        self.stack = undo.enter_context(self._stack)
        undo.callback(self._stop)
        # only now, when the folder is ours: an issuer on another instance's folder would spoil its tokens
        self._take_ports()
        self._spawn_issuer()
        with ThreadPoolExecutor() as pool:
            steps = [pool.submit(self._apply_topics)]
            steps += [pool.submit(self._prepare_database, name) for name in services(tuple(self._layout.values()))]
            for step in steps:
                step.result()
        for process in self._layout.values():
            self._spawn(process)
        undo.callback(forget, self.data)
        self._remember()
        self.await_ready([ISSUER, *self._layout])

    def _stop(self) -> None:
        """Services first: they need the issuer and the stack to end in order."""
        issuer = self._children.pop(ISSUER, None)
        self._keeper.stop(list(self._children.values()))
        self._keeper.stop([issuer] if issuer else [])
        self._keeper.close()
        for held in self._ports.held:
            held.close()

    def _take_ports(self) -> None:
        """The ports of last time if they are still free, for what people and tokens know the instance by."""
        file = self.data / _PORTS
        before = json.loads(file.read_text()) if file.exists() else {}
        for name in (ISSUER, *self._layout):
            self._ports.take(name, None, before.get(name))
        write_private(file, json.dumps(before | self._ports.numbers) + "\n")

    def _spawn_issuer(self) -> None:
        folder = self.data / ISSUER
        arguments = ["--directory", folder, "--profile", self.profile_file, "--port", self._ports.numbers[ISSUER]]
        self._children[ISSUER] = self._keeper.spawn(ISSUER, "libs.security.issuer", [str(one) for one in arguments], {})

    def _spawn(self, process: Process) -> None:
        module = f"services.{process.service}.main"
        child = self._keeper.spawn(process.name, module, process.rooms, self._settings(process))
        os.setpriority(os.PRIO_PROCESS, child.process.pid, process.niceness)
        self._children[process.name] = child

    def _settings(self, process: Process) -> dict[str, str]:
        """The settings of a service process, as environment variables; secrets go no other way."""
        username, password = self.stack.kafka_account(process.service)
        settings = {
            "DAICHO_PROFILE": str(self.profile_file),
            "DAICHO_KAFKA__BOOTSTRAP": self.stack.kafka_bootstrap,
            "DAICHO_KAFKA__USERNAME": username,
            "DAICHO_KAFKA__PASSWORD": password,
            "DAICHO_POSTGRES__DSN": self.stack.postgres_dsn(process.service, process.service),
            "DAICHO_OIDC__ISSUER": self._url(ISSUER),
            "DAICHO_HTTP__HOST": LOOPBACK,
            "DAICHO_HTTP__PORT": str(self._ports.numbers[process.name]),
        }
        if process.service == _DOORS:
            settings["DAICHO_FEED_SECRETS"] = json.dumps(self.feed_secrets)
            settings["DAICHO_FEED_TOKENS_FILE"] = str(self.data / FEED_TOKENS)
        return settings | self._given

    def _apply_topics(self) -> None:
        username, password = self.stack.kafka_account("admin")
        settings = KafkaSettings(bootstrap=self.stack.kafka_bootstrap, username=username, password=SecretStr(password))
        kafka.apply(settings, self._partitions, replication=1, profile=self.profile)

    def _prepare_database(self, service: str) -> None:
        """Make the service's database and roles, and have the service migrate it as its owner."""
        owner = owner_of(service)
        passwords = self.stack.postgres_password(owner), self.stack.postgres_password(service)
        asyncio.run(provision(self.stack.postgres_dsn("postgres", "postgres"), service, *passwords))
        settings = {"DAICHO_POSTGRES__DSN": self.stack.postgres_dsn(owner, service)}
        child = self._keeper.spawn(f"{service}-migrate", f"services.{service}.main", ["migrate"], settings)
        if child.process.wait(MIGRATED_WITHIN) != 0:
            raise self._ended(f"{service}-migrate", child)

    def _is_ready(self, client: httpx.Client, name: str) -> bool:
        child = self._children[name]
        if child.ended:
            raise self._ended(name, child)
        try:
            return client.get(self._url(name) + ready_path(name)).status_code == 200
        except httpx.TransportError:
            return False

    def _ended(self, name: str, child: Child) -> CliError:
        return CliError("cli.process_ended", process=name, said=telling_line(child.output()), log=child.log)

    def _remember(self) -> None:
        addresses = {name: self._url(name) for name in self._children}
        for process in self._layout.values():
            if "api" in process.rooms:
                addresses[process.service] = self._url(process.name)
        self.running = Running(
            data=self.data,
            profile=self.profile_file,
            kafka=self.stack.kafka_bootstrap,
            addresses=addresses,
            supervisor=ProcessId.of(os.getpid()),
            processes={name: ProcessId.of(one.process.pid) for name, one in self._children.items() if not one.ended},
        )
        self.running.remember()

    def _url(self, name: str) -> str:
        return f"http://{LOOPBACK}:{self._ports.numbers[name]}"
