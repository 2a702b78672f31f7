# SPDX-License-Identifier: Apache-2.0
"""The folders of standards and overlays, as commands read them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from cli.errors import CliError
from cli.files import text_of
from libs.standards.overlay import OverlayRefusedError

BASE: Final = Path(__file__).resolve().parents[1] / "standards" / "base"
"""The standard in force: an instance uses the one that it is shipped with."""


def files_in(folder: Path) -> dict[str, str]:
    """The texts of its YAML files by their paths in it. Raises CliError."""
    return {file.relative_to(folder).as_posix(): text_of(file) for file in sorted(folder.rglob("*.yaml"))}


def refused(overlay: object, error: OverlayRefusedError) -> CliError:
    """That the policy does not allow an overlay, as a sentence."""
    return CliError(
        f"cli.standards.refused.{error.why}",
        overlay=overlay,
        body=error.body,
        network=error.network,
        in_charge=error.in_charge,
    )
