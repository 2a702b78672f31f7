# SPDX-License-Identifier: Apache-2.0
"""What the person proposes: the folder of a standard, and a file of facts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from pathlib import Path
from typing import Final

import yaml
from pydantic import TypeAdapter, ValidationError

from cli.errors import MISUSED, CliError
from cli.profile import one_line
from libs.contracts.words import FactName, FactValue
from libs.standards import Standard, StandardError, compile_standard, parse

BASE: Final = Path(__file__).resolve().parents[2] / "standards" / "base"
"""The standard in force: an instance uses the one that it is shipped with."""

FactFile = dict[str, dict[FactName, FactValue | None]]
_FACT_FILE: Final = TypeAdapter(FactFile)


def read_standard(folder: Path, day: date) -> Standard:
    """A standard as it holds on a day. Raises CliError that tells every mistake with file, line and column."""
    files = {file.relative_to(folder).as_posix(): _text(file) for file in sorted(folder.rglob("*.yaml"))}
    try:
        return compile_standard(parse(files), day)
    except StandardError as error:
        mistakes = "\n".join(f"{folder}/{mistake}" for mistake in error.mistakes)
        raise CliError("cli.what_if.mistakes", folder=folder, mistakes=mistakes) from error


def read_facts(file: Path) -> FactFile:
    """`{asset id: {fact: value}}`; null takes a fact away. Raises CliError naming the file and what is wrong in it."""
    try:
        content = yaml.safe_load(_text(file))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise CliError("cli.not_yaml", code=MISUSED, file=file, detail=one_line(error)) from error
    try:
        return _FACT_FILE.validate_python(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        # further on it names a type that the value might have been meant as
        place = ": ".join(map(str, first["loc"][:2])) or "-"
        raise CliError(
            "cli.what_if.facts_invalid", code=MISUSED, file=file, place=place, detail=first["msg"]
        ) from error


def check_facts(
    changes: Mapping[str, Mapping[str, FactValue | None]], known: Iterable[str], standard: Standard
) -> None:
    """Raises CliError for the first asset that is not among the `known`, or fact that the standard cannot use."""
    for asset_id in sorted(changes.keys() - set(known)):
        raise CliError("cli.what_if.unknown_asset", code=MISUSED, asset=asset_id)
    for asset_id, facts in sorted(changes.items()):
        for name in sorted(facts.keys() - standard.document.facts.keys()):
            raise CliError("cli.what_if.unknown_fact", code=MISUSED, asset=asset_id, fact=name)
        given = {name: value for name, value in facts.items() if value is not None}
        for problem in standard.fact_problems(given):
            raise CliError(
                "cli.what_if.unfit", code=MISUSED, asset=asset_id, fact=problem.fact, expected=problem.expected
            )


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise CliError("cli.not_yaml", code=MISUSED, file=file, detail=one_line(error)) from error
    except OSError as error:
        raise CliError("cli.unreadable", code=MISUSED, file=file, detail=error.strerror or error) from error
