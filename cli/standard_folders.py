# SPDX-License-Identifier: Apache-2.0
"""The folders of standards and overlays, as commands read them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

import typer

from cli.errors import MISUSED, CliError
from cli.files import text_of
from cli.language import current, say
from libs.standards import StandardError
from libs.standards.overlay import OverlayRefusedError

Folder = Annotated[Path, typer.Argument(help=say("cli.help.standard_folder"), metavar="PATH", file_okay=False)]

BASE: Final = Path(__file__).resolve().parents[1] / "standards" / "base"
"""The standard that is shipped: it holds until another is activated."""


def files_in(folder: Path) -> dict[str, str]:
    """The texts of its YAML files by their paths in it. Raises CliError."""
    return {file.relative_to(folder).as_posix(): text_of(file) for file in sorted(folder.rglob("*.yaml"))}


def checked(folder: Path, read: Any, *given: Any) -> Any:
    """What `read` makes of the files of a folder. Raises CliError after telling every mistake on a line."""
    try:
        return read(*given)
    except StandardError as error:
        for mistake in error.mistakes:
            typer.echo(f"{folder}/{mistake.within(current())}")
        raise CliError("cli.standards.mistakes", folder=folder, count=len(error.mistakes)) from error


def files_of(folder: Path) -> dict[str, str]:
    """As `files_in`; raises CliError also where there is no folder."""
    if not folder.is_dir():
        raise CliError("cli.standards.no_folder", code=MISUSED, folder=folder)
    return files_in(folder)


def refused(overlay: object, error: OverlayRefusedError) -> CliError:
    """That the policy does not allow an overlay, as a sentence."""
    return CliError(
        f"cli.standards.refused.{error.why}",
        overlay=overlay,
        body=error.body,
        network=error.network,
        in_charge=error.in_charge,
    )
