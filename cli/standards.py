# SPDX-License-Identifier: Apache-2.0
"""`daicho standards`: check a standard or an overlay, show what holds for a body, compare two; publish and activate (`cli.activation`)."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, Final

import typer
import yaml
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli import activation
from cli.active import Active, read_active
from cli.command import DATA, PROFILE, AsJson, Body, Client, Data, command, group
from cli.errors import MISUSED, CliError
from cli.identity import check_body, client_of
from cli.language import say
from cli.profile import read_profile
from cli.rows import NOTHING
from cli.running import Running, load
from cli.standard_folders import BASE, Folder, checked, files_of, refused
from cli.tables import table_with
from libs.contracts import Profile
from libs.standards import StandardDocument, parse
from libs.standards.document import Entry
from libs.standards.overlay import (
    HEAD,
    Change,
    Drop,
    Overlay,
    OverlayRefusedError,
    apply_overlay,
    entries_of,
    parse_overlay,
    refuse_overlay,
    section_of,
)

Other = Annotated[Path, typer.Argument(help=say("cli.help.standard_other"), metavar="OTHER", file_okay=False)]
BaseFolder = Annotated[Path, typer.Option("--base", help=say("cli.help.base_folder"), file_okay=False)]
Candidate = Annotated[
    Path | None, typer.Option("--overlay", help=say("cli.help.overlay_folder"), file_okay=False, show_default=False)
]
ProfileFile = Annotated[Path, typer.Option("--profile", help=say("cli.help.profile"), dir_okay=False)]

_ADDED: Final = "added"
_CHANGED: Final = "changed"
_DROPPED: Final = "dropped"


@dataclass(frozen=True)
class Difference:
    """One entry that one standard has and the other has not, or one field in which they differ."""

    section: str
    id: str
    what: str
    field: str | None = None
    before: Any = None
    after: Any = None


def add_to(app: typer.Typer) -> None:
    standards = group("standards")
    command(standards, "validate", "cli.help.standards_validate")(validate)
    command(standards, "resolve", "cli.help.standards_resolve")(resolve)
    command(standards, "diff", "cli.help.standards_diff")(diff)
    activation.add_to(standards)
    app.add_typer(standards, name="standards")


def validate(path: Folder, base: BaseFolder = BASE) -> None:
    document, overlay = read_standard(path, base)
    if overlay is not None:
        count, on = len(overlay.document.changes), overlay.document.base
        typer.echo(say("cli.standards.overlay_valid", version=overlay.version, count=count, base=on))
    counts = {section: len(entries) for section, entries in entries_of(document).items()}
    typer.echo(say("cli.standards.valid", version=version_of(document), **counts))


def resolve(
    body: Body,
    profile: ProfileFile = PROFILE,
    overlay: Candidate = None,
    base: BaseFolder = BASE,
    active: Active = False,
    data: Data = DATA,
    client: Client = None,
) -> None:
    if active and overlay is not None:
        raise CliError("cli.standards.active_alone", code=MISUSED)
    if active:
        document, applied = _active_of_body(body, load(data), client)
    else:
        document, applied = _of_body(body, read_profile(profile), overlay, base)
        typer.echo(say("cli.standards.as_in_folders"), err=True)
    typer.echo(yaml.safe_dump(_described(document, applied), allow_unicode=True, sort_keys=False, width=120), nl=False)


def diff(path: Folder, other: Other, base: BaseFolder = BASE, as_json: AsJson = False) -> None:
    (before, _), (after, _) = read_standard(path, base), read_standard(other, base)
    differences = compare(before, after)
    if as_json:
        listed = [asdict(one) for one in differences]
        document = {"before": version_of(before), "after": version_of(after), "differences": listed}
        typer.echo(json.dumps(document, ensure_ascii=False, indent=2))
    else:
        Console().print(_table(differences, before, after))


def compare(before: StandardDocument, after: StandardDocument) -> list[Difference]:
    """What differs, by section and in the order of the entries; neither the head nor the scales."""
    old, new = entries_of(before), entries_of(after)
    return [
        difference
        for section in old
        for key in dict.fromkeys([*old[section], *new[section]])
        for difference in _compared(section, key, old[section].get(key), new[section].get(key))
    ]


def _compared(section: str, key: str, before: Entry | None, after: Entry | None) -> list[Difference]:
    if before is None or after is None:
        return [Difference(section, key, _ADDED if before is None else _DROPPED)]
    old, new = before.model_dump(mode="json"), after.model_dump(mode="json")
    return [Difference(section, key, _CHANGED, name, old[name], new[name]) for name in old if old[name] != new[name]]


def read_standard(folder: Path, base: Path) -> tuple[StandardDocument, Overlay | None]:
    """A standard, or what an overlay makes of the base. Raises CliError with every mistake after telling each on a line."""
    files = files_of(folder)
    if HEAD not in files:
        return checked(folder, parse, files), None
    overlay = checked(folder, parse_overlay, files)
    on = checked(base, parse, files_of(base))
    return checked(folder, apply_overlay, on, overlay), overlay


def _of_body(
    body: str, profile: Profile, candidate: Path | None, base: Path
) -> tuple[StandardDocument, Overlay | None]:
    """What holds on the body's network by the profile, or would with a candidate overlay."""
    if body not in profile.body_by_id:
        raise CliError("cli.unknown_body", code=MISUSED, body=body, known=", ".join(profile.body_by_id))
    network = next(one for one in profile.networks if one.id == profile.network_of(body))
    folder = candidate or (base if network.standard is None else base.parent / network.standard)
    document, overlay = read_standard(folder, base)
    if overlay is not None:
        _check_allowed(profile, overlay)
        if (of := profile.network_of(overlay.document.body)) != network.id:
            raise CliError("cli.standards.refused.other_network", overlay=overlay.version, network=of, body=body)
    elif candidate is not None:
        raise CliError("cli.standards.no_overlay", code=MISUSED, folder=candidate)
    return document, overlay


def _active_of_body(body: str, running: Running, client: str | None) -> tuple[StandardDocument, Overlay | None]:
    network = check_body(running, body)
    held = read_active(running, client or client_of(body))
    found = held.get(network, held[None])
    return found.document, found.overlay


def _check_allowed(profile: Profile, overlay: Overlay) -> None:
    try:
        refuse_overlay(profile, overlay)
    except OverlayRefusedError as error:
        raise refused(overlay.version, error) from error


def version_of(document: StandardDocument) -> str:
    """By name and version, as overlays name their base."""
    return f"{document.name}/{document.version}"


def _described(document: StandardDocument, overlay: Overlay | None) -> dict[str, Any]:
    """The standard, each entry with the standard or overlay that it is from; and what the overlay dropped."""
    changes = {} if overlay is None else overlay.by_entry()
    origin = version_of(document) if overlay is None else overlay.document.base
    described = document.model_dump(mode="json")
    for section in entries_of(document):
        entries = described[section]
        for key, entry in _keyed(section, entries):
            change = changes.get((section, key))
            entry["from"] = origin if change is None or overlay is None else _from(overlay, change)
    if overlay is not None:
        dropped = [change for change in overlay.document.changes if isinstance(change, Drop)]
        described[_DROPPED] = [
            {"section": section_of(one), "id": one.id, "from": origin, "reason": one.reason.model_dump()}
            for one in dropped
        ]
    return described


def _keyed(section: str, entries: Any) -> list[tuple[str, dict[str, Any]]]:
    if section == "facts":
        return list(entries.items())
    return [(entry["relation" if section == "inheritance" else "id"], entry) for entry in entries]


def _from(overlay: Overlay, change: Any) -> dict[str, Any]:
    how = _CHANGED if isinstance(change, Change) else _ADDED
    fields = {"fields": sorted(change.to)} if isinstance(change, Change) else {}
    return {"overlay": overlay.version, "how": how, **fields, "reason": change.reason.model_dump()}


def _table(differences: list[Difference], before: StandardDocument, after: StandardDocument) -> Table:
    table = table_with(
        "kind", "id", "change", "field", "before", "after", title=f"{version_of(before)} → {version_of(after)}"
    )
    for one in differences:
        values = (_plain(one.before), _plain(one.after)) if one.what == _CHANGED else (NOTHING, NOTHING)
        told = (say(f"cli.section.{one.section}"), one.id, say(f"cli.standards.{one.what}"), one.field or NOTHING)
        # conditions have brackets, which rich would read as its own
        table.add_row(*map(Text, chain(told, values)))
    table.caption = say("cli.standards.differences", count=len({(one.section, one.id) for one in differences}))
    return table


def _plain(value: Any) -> str:
    if value is None:
        return NOTHING
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
