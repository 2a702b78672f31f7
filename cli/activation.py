# SPDX-License-Identifier: Apache-2.0
"""`daicho standards publish | list | activate`: a version is put where another person can let it hold, with how far it is applied."""

from __future__ import annotations

import gc
import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from cli.api import Api
from cli.command import DATA, AsJson, Client, Data, command
from cli.errors import MISUSED, CliError
from cli.identity import SECURITY_OFFICE, client_of
from cli.language import pick, say
from cli.profile import read_profile
from cli.rows import NOTHING, local
from cli.running import Running, load
from cli.standard_folders import Folder, checked, files_of
from cli.tables import table_with
from libs.contracts import Profile, StandardState, Text
from libs.standards import parse
from libs.standards.overlay import HEAD, parse_overlay

Named = Annotated[str, typer.Argument(help=say("cli.help.standard_version"), metavar="NAME/VERSION")]
Yes = Annotated[bool, typer.Option("--yes", help=say("cli.help.yes"))]

_LOOK: Final = 0.5


def add_to(standards: typer.Typer) -> None:
    command(standards, "publish", "cli.help.standards_publish")(publish)
    command(standards, "list", "cli.help.standards_list")(list_)
    command(standards, "activate", "cli.help.standards_activate")(activate)


def publish(path: Folder, data: Data = DATA, client: Client = None) -> None:
    files = files_of(path)
    running = load(data)
    publisher = client or client_of(_publisher(path, files, read_profile(running.profile)))
    with Api(running, "classification", publisher) as api:
        published = api.change("/v1/standards", {"files": files})
    typer.echo(say("cli.standards.published", version=_named(published), by=published["published_by"] or NOTHING))


def list_(as_json: AsJson = False, data: Data = DATA, client: Client = None) -> None:
    with Api(load(data), "classification", client or SECURITY_OFFICE) as api:
        found = api.get("/v1/standards")
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False, indent=2))
        return
    table = table_with("standard", "network", "title", "state", "published", "activated")
    for one in found:
        table.add_row(
            _named(one),
            one["network"] or say("cli.standards.as_base"),
            pick(Text.model_validate(one["title"])),
            _state(one),
            _step(one["published_by"], one["published_at"]) or say("cli.standards.shipped"),
            _step(one["activated_by"], one["activated_at"]) or NOTHING,
        )
    Console().print(table)


def activate(named: Named, yes: Yes = False, data: Data = DATA, client: Client = None) -> None:
    if named.count("/") != 1:
        raise CliError("cli.standards.no_version", code=MISUSED, named=named)
    running, officer = load(data), client or SECURITY_OFFICE
    place = f"/v1/standards/{named}"
    with Api(running, "classification", officer) as api:
        seen = api.get(place)
        if StandardState(seen["state"]) not in (StandardState.ACTIVATING, StandardState.ACTIVE):
            _preview(running, officer, seen)
            if not (yes or _agreed(named)):
                raise CliError("cli.standards.not_activated", version=named)
            api.post(f"{place}/activation", b"", {"If-Match": f'"{seen["activation"]}"'})
    try:
        _follow(running, officer, place, named)
    except KeyboardInterrupt:
        typer.echo(say("cli.standards.goes_on", version=named))
        raise
    typer.echo(say("cli.standards.holds", version=named))


def _publisher(folder: Path, files: dict[str, str], profile: Profile) -> str:
    """The body whose standard it is. Raises CliError, after telling every mistake that shows without a base."""
    if HEAD in files:
        return str(checked(folder, parse_overlay, files).document.body)
    checked(folder, parse, files)
    in_charge = [one.in_charge for one in profile.networks if one.separation is None]
    return in_charge[0] if in_charge else profile.networks[0].in_charge


def _preview(running: Running, client: str, seen: dict[str, Any]) -> None:
    """What would change of the register, counted by body. Slow to import."""
    from cli.what_if.candidate import BASE_NETWORK, read_standards
    from cli.what_if.command import compared, register_of
    from cli.what_if.report import table
    from libs.standards import StandardDocument, compile_standard, day_of

    profile, today = read_profile(running.profile), day_of(datetime.now(UTC))
    register = register_of(running, None, client)
    now = read_standards(profile, today, activated=register.activated)
    candidate = compile_standard(StandardDocument.model_validate(seen["document"]), today)
    proposed = now | {seen["network"] or BASE_NETWORK: candidate}
    Console().print(table(compared(register, profile, now, proposed)))
    gc.enable()


def _agreed(named: str) -> bool:
    """Where nobody is there to say so, or who is there breaks off, it is not."""
    try:
        return typer.confirm(say("cli.standards.confirm", version=named))
    except typer.Abort:
        return False


def _follow(running: Running, client: str, place: str, named: str) -> None:
    """Show how far it is until it is applied whole. Raises CliError where another is activated in its place meanwhile.

    A client of its own for each look: a token lasts an hour, and this may take longer.
    """
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    with bar:
        task = bar.add_task(say("cli.standards.applying", version=named), total=1.0)
        while True:
            with Api(running, "classification", client) as api:
                seen = api.get(place)
            if seen["share"] is None:
                raise CliError("cli.standards.gave_way", version=named)
            bar.update(task, completed=seen["share"])
            if StandardState(seen["state"]) is StandardState.ACTIVE:
                return
            time.sleep(_LOOK)


def _named(version: dict[str, Any]) -> str:
    return f"{version['name']}/{version['version']}"


def _state(version: dict[str, Any]) -> str:
    told = say(f"cli.standard_state.{version['state']}")
    share = f" {version['share']:.0%}" if version["state"] == StandardState.ACTIVATING else ""
    return f"{told}{share}"


def _step(by: str | None, at: str | None) -> str:
    return f"{by}\n{local(datetime.fromisoformat(at))}" if by and at else ""
