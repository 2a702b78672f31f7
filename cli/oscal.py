# SPDX-License-Identifier: Apache-2.0
"""`daicho oscal`: the standards of an instance for tools that speak OSCAL, and a profile as an overlay."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

import typer

from cli.active import Active, Held, read_active
from cli.command import DATA, PROFILE, Client, Data, command, group
from cli.errors import MISUSED, CliError
from cli.files import content_of, write_all
from cli.identity import SECURITY_OFFICE
from cli.language import say
from cli.profile import read_profile
from cli.running import load
from cli.standard_folders import BASE
from cli.standards import BaseFolder, ProfileFile, read_standard, version_of
from libs.contracts import Profile

Into = Annotated[Path, typer.Argument(help=say("cli.help.oscal_into"), metavar="FOLDER", file_okay=False)]
File = Annotated[Path, typer.Argument(help=say("cli.help.oscal_profile"), metavar="PROFILE.json", dir_okay=False)]
Folder = Annotated[Path, typer.Option("--into", help=say("cli.help.oscal_overlay"), file_okay=False)]


def add_to(app: typer.Typer) -> None:
    oscal = group("oscal")
    command(oscal, "export", "cli.help.oscal_export")(export_)
    command(oscal, "import", "cli.help.oscal_import")(import_)
    app.add_typer(oscal, name="oscal")


def export_(
    into: Into,
    profile: ProfileFile = PROFILE,
    base: BaseFolder = BASE,
    active: Active = False,
    data: Data = DATA,
    client: Client = None,
) -> None:
    if active:
        running = load(data)
        instance, held = read_profile(running.profile), read_active(running, client or SECURITY_OFFICE)
    else:
        instance = read_profile(profile)
        held = _in_folders(instance, base)
        typer.echo(say("cli.standards.as_in_folders"), err=True)
    for folder, files in _documents(into, instance, held):
        write_all(folder, files)
        typer.echo(say("cli.oscal.exported", count=len(files), folder=folder))


def _in_folders(instance: Profile, base: Path) -> Mapping[str | None, Held]:
    whole, _ = read_standard(base, base)
    held: dict[str | None, Held] = {None: Held(whole, None, whole)}
    for network in instance.networks:
        if network.standard is not None:
            document, overlay = read_standard(base.parent / network.standard, base)
            held[network.id] = Held(document, overlay, document if overlay is None else whole)
    return held


def _documents(
    into: Path, instance: Profile, held: Mapping[str | None, Held]
) -> Iterator[tuple[Path, Mapping[str, bytes]]]:
    """By folder: a catalog is of one base, so an overlay that stands on an earlier one goes beside that one's catalog, in a folder of its own."""
    from libs.oscal import export

    base = held[None].document
    on = {one.id: found.base for one in instance.networks if (found := held.get(one.id)) and found.overlay is not None}
    bases = {version_of(base): base} | {version_of(one): one for one in on.values()}
    for named, one in bases.items():
        networks = {each.id for each in instance.networks if version_of(on.get(each.id, base)) == named}
        own = {network: held[network] for network in networks if network in held}
        bodies = tuple(body for body in instance.bodies if body.network in networks)
        yield (
            into if named == version_of(base) else into / named.replace("/", "-"),
            export(
                one,
                [found.overlay for found in own.values() if found.overlay is not None],
                {network: found.document for network, found in own.items()},
                instance.model_copy(update={"bodies": bodies}),
            ),
        )


def import_(file: File, into: Folder) -> None:
    from libs.oscal import OscalError, overlay_files

    try:
        # what it points at lies beside it: an address or another folder is not followed
        files = overlay_files(content_of(file), lambda href: (file.parent / Path(href).name).read_bytes())
    except OscalError as error:
        raise CliError("cli.oscal.refused", file=file, detail=error.sentence) from error
    if into.exists():
        raise CliError("cli.oscal.exists", code=MISUSED, folder=into)
    write_all(into, {name: content.encode() for name, content in files.items()})
    typer.echo(say("cli.oscal.imported", folder=into))
