# SPDX-License-Identifier: Apache-2.0
"""`daicho assets add | edit | take-back | retire | restore`: what a person changes of the register by hand."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any

import typer
from rich.table import Table

from cli.api import Api
from cli.command import DATA, Body, Client, Data, command
from cli.errors import MISUSED, CliError
from cli.identity import SECURITY_OFFICE
from cli.language import say
from cli.naming import Asset, OfFeed
from cli.people import Why, act_on, given, tell
from cli.rows import NOTHING
from cli.running import load
from cli.tables import table_with
from libs.contracts import AssetKind, Dimension, Zone

Name = Annotated[str | None, typer.Option("--name", help=say("cli.help.edit_name"), show_default=False)]
Named = Annotated[str, typer.Option("--name", help=say("cli.help.edit_name"))]
Section = Annotated[str | None, typer.Option("--section", help=say("cli.help.edit_section"), show_default=False)]
InZone = Annotated[Zone | None, typer.Option("--zone", help=say("cli.help.edit_zone"), show_default=False)]
Kind = Annotated[AssetKind | None, typer.Option("--kind", help=say("cli.help.kind"), show_default=False)]
OfKind = Annotated[AssetKind, typer.Option("--kind", help=say("cli.help.kind"))]
Facts = Annotated[list[str] | None, typer.Option("--fact", help=say("cli.help.edit_fact"), show_default=False)]
Declared = Annotated[list[str] | None, typer.Option("--level", help=say("cli.help.edit_level"), show_default=False)]
Relations = Annotated[list[str] | None, typer.Option("--relate", help=say("cli.help.edit_relate"), show_default=False)]
Cleared = Annotated[list[str] | None, typer.Option("--clear", help=say("cli.help.edit_clear"), show_default=False)]
Fields = Annotated[list[str], typer.Argument(help=say("cli.help.edit_fields"), metavar="FIELD…")]


def add_to(assets: typer.Typer) -> None:
    command(assets, "add", "cli.help.assets_add")(add)
    command(assets, "edit", "cli.help.assets_edit")(edit)
    command(assets, "take-back", "cli.help.assets_take_back")(take_back)
    command(assets, "retire", "cli.help.assets_retire")(retire)
    command(assets, "restore", "cli.help.assets_restore")(restore)


def add(
    body: Body,
    kind: OfKind,
    name: Named,
    reason: Why,
    section: Section = None,
    zone: InZone = None,
    fact: Facts = None,
    level: Declared = None,
    relate: Relations = None,
    data: Data = DATA,
    client: Client = None,
) -> None:
    single = {"body": body, "kind": kind, "name": name, "section": section, "zone": zone, "reason": reason}
    with Api(load(data), "inventory", client or SECURITY_OFFICE) as api:
        answer = api.change("/v1/assets", given(single) | _groups(fact, level, relate))
    tell(answer, say("cli.people.added", id=answer["asset_id"]))


def edit(
    asset: Asset,
    reason: Why,
    name: Name = None,
    section: Section = None,
    zone: InZone = None,
    kind: Kind = None,
    fact: Facts = None,
    level: Declared = None,
    relate: Relations = None,
    clear: Cleared = None,
    feed: OfFeed = None,
    data: Data = DATA,
    client: Client = None,
) -> None:
    single = {"kind": kind, "name": name, "section": section, "zone": zone, "reason": reason}
    content = given(single) | _groups(fact, level, relate)
    for field in clear or ():
        group, _, inner = field.partition(".")
        if inner:
            content.setdefault(group, {})[inner] = None
        else:
            content[group] = None
    answer = act_on(asset, feed, data, client, content, method="PATCH")
    tell(answer, say("cli.people.edited", revision=answer["revision"]))


def take_back(
    asset: Asset, fields: Fields, reason: Why, feed: OfFeed = None, data: Data = DATA, client: Client = None
) -> None:
    answer = act_on(asset, feed, data, client, {"fields": fields, "reason": reason}, "/edits/take-back")
    tell(answer, say("cli.people.taken_back", revision=answer["revision"]))


def retire(asset: Asset, reason: Why, feed: OfFeed = None, data: Data = DATA, client: Client = None) -> None:
    answer = act_on(asset, feed, data, client, {"reason": reason}, "/retire")
    tell(answer, say("cli.people.retired", revision=answer["revision"]))


def restore(asset: Asset, reason: Why, feed: OfFeed = None, data: Data = DATA, client: Client = None) -> None:
    answer = act_on(asset, feed, data, client, {"reason": reason}, "/restore")
    tell(answer, say("cli.people.restored", revision=answer["revision"]))


def edits_table(edits: Iterable[Mapping[str, Any]]) -> Table:
    """The edits that stand of an asset, each beside what the feeds tell."""
    table = table_with("field", "value", "otherwise", "who", title=say("cli.people.edits"), title_justify="left")
    for one in edits:
        who = " ".join(filter(None, (one["by"], one["at"][:10], one["reason"])))
        table.add_row(one["field"], _shown(one["value"]), _shown(one["otherwise"]), who)
    return table


def _groups(fact: list[str] | None, level: list[str] | None, relate: list[str] | None) -> dict[str, Any]:
    levels = dict(_pairs(level, "--level"))
    unknown = levels.keys() - set(Dimension)
    if unknown:
        raise CliError("cli.people.pair", code=MISUSED, option="--level", given=", ".join(sorted(unknown)))
    groups = {
        "facts": {name: _value(told) for name, told in _pairs(fact, "--fact")},
        "declared": levels,
        "relations": {kind: ids.split(",") for kind, ids in _pairs(relate, "--relate")},
    }
    return {name: content for name, content in groups.items() if content}


def _pairs(told: list[str] | None, option: str) -> Iterator[tuple[str, str]]:
    for one in told or ():
        name, sign, value = one.partition("=")
        if not (name and sign):
            raise CliError("cli.people.pair", code=MISUSED, option=option, given=one)
        yield name, value


def _value(told: str) -> Any:
    """A fact as it is written: JSON where it is some (`4`, `true`, `["a"]`), else a text."""
    try:
        return json.loads(told, parse_constant=str)
    except ValueError:
        return told


def _shown(value: Any) -> str:
    if value is None or value == []:
        return NOTHING
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
