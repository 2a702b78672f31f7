# SPDX-License-Identifier: Apache-2.0
"""`daicho up`, `down` and `status`: an instance that outlives the command that started it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

import httpx
import psutil
import typer
from rich.console import Console
from rich.table import Table

from cli.command import DATA, PROFILE, Data, command
from cli.errors import FAILED, CliError
from cli.language import say
from cli.processes import ROOT
from cli.profile import read_profile
from cli.running import Running, forget, load, ready_path, recall
from libs.devstack import DevstackError
from libs.devstack import down as stack_down
from libs.devstack import load as stack_load
from libs.devstack.jars import ensure_jars
from libs.devstack.processes import LEFTOVERS_END_WITHIN, end_leftovers

STOPPED_WITHIN: Final = 90.0
_LOG: Final = "instance.log"

Profile = Annotated[Path, typer.Option("--profile", help=say("cli.help.profile"), dir_okay=False)]
Port = Annotated[int | None, typer.Option(help=say("cli.help.port"), min=1024, max=65535, show_default=False)]
RefreshJars = Annotated[bool, typer.Option("--refresh-jars", help=say("cli.help.refresh_jars"))]


def add_to(app: typer.Typer) -> None:
    command(app, "up")(up)
    command(app, "down")(down)
    command(app, "status")(status)


def up(
    data: Data = DATA,
    profile: Profile = PROFILE,
    kafka_port: Port = None,
    postgres_port: Port = None,
    refresh_jars: RefreshJars = False,
) -> None:
    console = Console()
    read_profile(profile)
    ensure_jars(refresh=refresh_jars)
    with console.status(say("cli.starting")):
        running = start(data, profile, kafka_port, postgres_port)
    console.print(_addresses(running))


def down(data: Data = DATA) -> None:
    if not stop(data):
        raise CliError("cli.not_running", data=data)
    typer.echo(say("cli.stopped"))


def status(data: Data = DATA) -> None:
    running = load(data)
    table = Table("", say("cli.column.pid"), say("cli.column.state"), say("cli.column.address"))
    well = True
    for name, pid, state, address in _states(running):
        well &= state == "ready"
        table.add_row(name, pid, say(f"cli.state.{state}"), address)
    table.caption = say("cli.credentials", file=running.data / "credentials" / "secrets.json")
    Console().print(table)
    if not well:
        raise typer.Exit(FAILED)


def start(data: Path, profile: Path, kafka_port: int | None = None, postgres_port: int | None = None) -> Running:
    """Leave an instance running on a folder, and return when it is ready. Raises CliError or DevstackError."""
    data = data.expanduser().absolute()
    if (known := recall(data)) and known.supervisor.find():
        raise CliError("cli.already_running", data=data)
    logs = data / "logs"
    try:
        logs.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise CliError("cli.folder_unusable", data=data, detail=error.strerror) from error
    command_line = [sys.executable, "-m", "cli.supervisor", "--data", str(data), "--profile", str(profile.absolute())]
    for option, port in (("--kafka-port", kafka_port), ("--postgres-port", postgres_port)):
        command_line += [option, str(port)] if port is not None else []
    with (logs / _LOG).open("ab") as log:
        supervisor = subprocess.Popen(
            command_line,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            cwd="/",
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            start_new_session=True,
        )
    try:
        _await_ready(supervisor, logs / _LOG)
    except BaseException:
        supervisor.terminate()
        supervisor.wait(STOPPED_WITHIN)
        raise
    # it goes on by itself: not waiting for it is meant
    supervisor.returncode = 0
    return load(data)


def stop(data: Path) -> bool:
    """Stop the instance on a folder, or clear away what a killed one left; False if there was nothing."""
    data = data.expanduser().absolute()
    known = recall(data)
    if known and (supervisor := known.supervisor.find()):
        supervisor.terminate()
        try:
            supervisor.wait(STOPPED_WITHIN)
        except psutil.TimeoutExpired:
            raise CliError("cli.not_stopped", data=data, pid=supervisor.pid, seconds=int(STOPPED_WITHIN)) from None
    if known:
        end_leftovers(list(known.processes.values()), LEFTOVERS_END_WITHIN)
        forget(data)
    return stack_down(data) or known is not None


def _await_ready(supervisor: subprocess.Popen[bytes], log: Path) -> None:
    line = supervisor.stdout.readline() if supervisor.stdout else b""
    said = json.loads(line) if line else {}
    if "error" in said:
        raise CliError(said["error"]["key"], **said["error"]["args"])
    if "ready" not in said:
        raise CliError("cli.supervisor_ended", log=log)


def _states(running: Running) -> Iterator[tuple[str, str, str, str]]:
    """Name, pid, state (`ready`, `not-ready`, `ended`) and address of each part of an instance."""
    try:
        stack = stack_load(running.data)
    except DevstackError:
        yield from ((name, "", "ended", "") for name in ("kafka", "postgres"))
    else:
        yield "kafka", str(stack.kafka_pid), "ready", stack.kafka_bootstrap
        yield "postgres", str(stack.postgres_pid), "ready", f"127.0.0.1:{stack.postgres_port}"
    with httpx.Client(timeout=5.0) as client:
        for name, process in running.processes.items():
            address = running.addresses[name]
            yield (
                name,
                str(process.pid),
                _state(client, address + ready_path(name), process.find()),
                address,
            )


def _state(client: httpx.Client, url: str, process: psutil.Process | None) -> str:
    if process is None:
        return "ended"
    try:
        return "ready" if client.get(url).status_code == 200 else "not-ready"
    except httpx.TransportError:
        return "not-ready"


def _addresses(running: Running) -> Table:
    table = Table(box=None, show_header=False)
    table.add_row("Kafka", running.kafka)
    for name in ("issuer", "inventory", "classification"):
        table.add_row(name, running.addresses[name])
    table.add_row(say("cli.data"), str(running.data))
    return table
