# SPDX-License-Identifier: Apache-2.0
"""`daicho oscal`: the standards of an instance for tools that speak OSCAL, and a profile as an overlay."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.command import PROFILE, command, group
from cli.errors import MISUSED, CliError
from cli.files import content_of, write_all
from cli.language import say
from cli.profile import read_profile
from cli.standard_folders import BASE
from cli.standards import BaseFolder, ProfileFile, read_standard

if TYPE_CHECKING:
    from libs.standards import StandardDocument
    from libs.standards.overlay import Overlay

Into = Annotated[Path, typer.Argument(help=say("cli.help.oscal_into"), metavar="FOLDER", file_okay=False)]
File = Annotated[Path, typer.Argument(help=say("cli.help.oscal_profile"), metavar="PROFILE.json", dir_okay=False)]
Folder = Annotated[Path, typer.Option("--into", help=say("cli.help.oscal_overlay"), file_okay=False)]


def add_to(app: typer.Typer) -> None:
    oscal = group("oscal")
    command(oscal, "export", "cli.help.oscal_export")(export_)
    command(oscal, "import", "cli.help.oscal_import")(import_)
    app.add_typer(oscal, name="oscal")


def export_(into: Into, profile: ProfileFile = PROFILE, base: BaseFolder = BASE) -> None:
    from libs.oscal import export

    instance = read_profile(profile)
    overlays: list[Overlay] = []
    resolved: dict[str, StandardDocument] = {}
    for network in instance.networks:
        if network.standard is not None:
            resolved[network.id], overlay = read_standard(base.parent / network.standard, base)
            if overlay is not None:
                overlays.append(overlay)
    files = export(read_standard(base, base)[0], overlays, resolved, instance)
    write_all(into, files)
    typer.echo(say("cli.oscal.exported", count=len(files), folder=into))


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
