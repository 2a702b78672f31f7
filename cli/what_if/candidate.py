# SPDX-License-Identifier: Apache-2.0
"""What the person proposes: the folder of a standard or of an overlay, and a file of facts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import TypeAdapter, ValidationError

from cli.errors import MISUSED, CliError
from cli.files import text_of
from cli.language import current
from cli.profile import one_line
from cli.standard_folders import BASE, files_in, files_of, refused
from libs.catalogue import field_sentence
from libs.contracts import Profile
from libs.contracts.words import FactName, FactValue
from libs.standards import Standard, StandardDocument, StandardError, compile_standard, parse
from libs.standards.overlay import HEAD, Overlay, OverlayRefusedError, own_standard, parse_overlay, refuse_overlay

BASE_NETWORK: Final = ""
"""No network's id: what holds where no other standard does."""

FactFile = dict[str, dict[FactName, FactValue | None]]
_FACT_FILE: Final = TypeAdapter(FactFile)


@dataclass(frozen=True)
class Candidate:
    """A standard, or an overlay of the base, that a person proposes."""

    folder: Path
    files: Mapping[str, str]
    proposed: StandardDocument | Overlay


def read_candidate(folder: Path) -> Candidate:
    """Raises CliError that tells every mistake that shows without the base, with file, line and column."""
    files = files_of(folder)
    return Candidate(folder, files, _checked(folder, parse_overlay if HEAD in files else parse, files))


def read_standards(
    profile: Profile,
    day: date,
    candidate: Candidate | None = None,
    activated: Mapping[str | None, StandardDocument] | None = None,
) -> dict[str, Standard]:
    """By network, the standard as it holds there on a day, or would with a candidate; under `BASE_NETWORK`, first, the base.

    What was `activated` (by network; None: the base) holds in the place of what is shipped.

    A candidate overlay stands in the place of what its body's network has. A candidate base holds wherever the base does, and below the
    overlays that are meant for its version; other networks keep what they have. Raises CliError as `read_candidate`.
    """
    held, shipped = activated or {}, _shipped()
    base = held.get(None, shipped)
    own = {
        network.id: (folder := BASE.parent / network.standard, files_in(folder))
        for network in profile.networks
        if network.standard is not None and network.id not in held
    }
    found = {one.id: held[one.id] for one in profile.networks if one.separation is not None and one.id in held}
    if candidate is not None and isinstance(candidate.proposed, Overlay):
        _checked(candidate.folder, refuse_overlay, profile, candidate.proposed)
        network = profile.network_of(candidate.proposed.document.body)
        own[network] = (candidate.folder, candidate.files)
    elif candidate is not None:
        base = candidate.proposed
    for network, (folder, files) in own.items():
        on = base if _stands_on(base, folder, files) else shipped
        found[network] = _checked(folder, own_standard, files, on, profile, network)
    return {network: compile_standard(one, day) for network, one in ({BASE_NETWORK: base} | found).items()}


def standard_of(standards: Mapping[str, Standard], network: str) -> Standard:
    """Of what `read_standards` has found, the one that holds on a network."""
    return standards.get(network, standards[BASE_NETWORK])


@cache
def _shipped() -> StandardDocument:
    document: StandardDocument = _checked(BASE, parse, files_in(BASE))
    return document


def _stands_on(base: StandardDocument, folder: Path, files: Mapping[str, str]) -> bool:
    return HEAD in files and _checked(folder, parse_overlay, files).document.base == f"{base.name}/{base.version}"


def _checked(folder: Path, read: Any, *given: Any) -> Any:
    try:
        return read(*given)
    except StandardError as error:
        mistakes = "\n".join(f"{folder}/{mistake.within(current())}" for mistake in error.mistakes)
        raise CliError("cli.what_if.mistakes", folder=folder, mistakes=mistakes) from error
    except OverlayRefusedError as error:
        raise refused(folder, error) from error


def read_facts(file: Path) -> FactFile:
    """`{asset id: {fact: value}}`; null takes a fact away. Raises CliError naming the file and what is wrong in it."""
    try:
        content = yaml.safe_load(text_of(file))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise CliError("cli.not_yaml", code=MISUSED, file=file, detail=one_line(error)) from error
    try:
        return _FACT_FILE.validate_python(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        # further on it names a type that the value might have been meant as
        place = ": ".join(map(str, first["loc"][:2])) or "-"
        raise CliError(
            "cli.what_if.facts_invalid", code=MISUSED, file=file, place=place, detail=field_sentence(first)
        ) from error


def check_facts(changes: Mapping[str, Mapping[str, FactValue | None]], standards: Mapping[str, Standard]) -> None:
    """Raises CliError for the first asset that is not there, or fact that the standard for it cannot use; `standards` by asset."""
    for asset_id in sorted(changes.keys() - standards.keys()):
        raise CliError("cli.what_if.unknown_asset", code=MISUSED, asset=asset_id)
    for asset_id, facts in sorted(changes.items()):
        standard = standards[asset_id]
        for name in sorted(facts.keys() - standard.document.facts.keys()):
            raise CliError("cli.what_if.unknown_fact", code=MISUSED, asset=asset_id, fact=name)
        given = {name: value for name, value in facts.items() if value is not None}
        for problem in standard.fact_problems(given):
            raise CliError(
                "cli.what_if.unfit", code=MISUSED, asset=asset_id, fact=problem.fact, expected=problem.expected
            )
