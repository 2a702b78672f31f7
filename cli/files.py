# SPDX-License-Identifier: Apache-2.0
"""Files that a person names: what cannot be read or written is told in a sentence with the file's name."""

from __future__ import annotations

from pathlib import Path

from cli.errors import MISUSED, CliError


def content_of(file: Path) -> bytes:
    """Raises CliError."""
    try:
        return file.read_bytes()
    except OSError as error:
        raise CliError("cli.unreadable", code=MISUSED, file=file, detail=error.strerror or error) from error


def text_of(file: Path) -> str:
    """The text of a YAML file. Raises CliError, also where it is not UTF-8, with the line and column at which it ceases to be."""
    try:
        return content_of(file).decode("utf-8")
    except UnicodeDecodeError as error:
        lines = error.object[: error.start].decode("utf-8").split("\n")
        place = f"{file}:{len(lines)}:{len(lines[-1]) + 1}"
        raise CliError("cli.not_utf8", code=MISUSED, place=place) from error


def write(file: Path, content: bytes) -> None:
    """Raises CliError."""
    try:
        file.write_bytes(content)
    except OSError as error:
        raise CliError("cli.unwritable", code=MISUSED, file=file, detail=error.strerror or error) from error


def write_all(folder: Path, files: dict[str, bytes]) -> None:
    """Files by name into a folder, which is made where it is not there. Raises CliError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CliError("cli.unwritable", code=MISUSED, file=folder, detail=error.strerror or error) from error
    for name, content in files.items():
        write(folder / name, content)
