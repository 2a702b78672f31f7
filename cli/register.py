# SPDX-License-Identifier: Apache-2.0
"""`daicho assets history | relations | diff | search`: what the register was, what changed, and what is found in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.api import Api
from cli.command import DATA, Client, Data, OfBody, command
from cli.errors import FAILED, CliError
from cli.identity import SECURITY_OFFICE
from cli.language import say
from cli.moments import asked, moment_of
from cli.naming import Asset, OfFeed, id_of
from cli.rows import NOTHING, local, source_of
from cli.running import load
from cli.tables import table_with
from libs.contracts import Change

AsOf = Annotated[str | None, typer.Option("--as-of", help=say("cli.help.as_of"), metavar="MOMENT", show_default=False)]
From = Annotated[str, typer.Argument(help=say("cli.help.diff_from"), metavar="FROM")]
To = Annotated[str, typer.Argument(help=say("cli.help.diff_to"), metavar="TO")]
Kind = Annotated[str | None, typer.Option("--kind", help=say("cli.help.kind"), show_default=False)]
Name = Annotated[str | None, typer.Option("--name", help=say("cli.help.name"), show_default=False)]
Limit = Annotated[int, typer.Option("--limit", help=say("cli.help.limit"), min=1)]
What = Annotated[str | None, typer.Option("--what", help=say("cli.help.diff_what"), show_default=False)]
Csv = Annotated[Path | None, typer.Option("--csv", help=say("cli.help.diff_csv"), dir_okay=False, show_default=False)]
Words = Annotated[list[str], typer.Argument(help=say("cli.help.search_words"), metavar="WORD…")]
Retired = Annotated[bool, typer.Option("--retired", help=say("cli.help.search_retired"))]

MOST_A_PAGE: Final = 500
_STYLES: Final = {"came": "green", "went": "red", "changed": "yellow"}


def add_to(assets: typer.Typer) -> None:
    command(assets, "history", "cli.help.assets_history")(history)
    command(assets, "relations", "cli.help.assets_relations")(relations)
    command(assets, "diff", "cli.help.assets_diff")(diff)
    command(assets, "search", "cli.help.assets_search")(search)


def history(
    asset: Asset, feed: OfFeed = None, as_of: AsOf = None, limit: Limit = 100, data: Data = DATA, client: Client = None
) -> None:
    running = load(data)
    place = f"/v1/assets/{id_of(running, asset, feed)}/history"
    table = table_with("revision", "time", "source", "reason", "field", "before", "after")
    with Api(running, "inventory", client or SECURITY_OFFICE) as api:
        query = {"as_of": asked(as_of), "limit": min(limit, MOST_A_PAGE)}
        for one in islice(api.pages(place, by="before", **query), limit):
            for number, row in enumerate(_fields(one["fields"])):
                table.add_row(*(_of_revision(one) if number == 0 else ("",) * 4), *row)
    Console().print(table)


def relations(asset: Asset, feed: OfFeed = None, limit: Limit = 100, data: Data = DATA, client: Client = None) -> None:
    running = load(data)
    table = table_with("relation", "asset", "since", "source", "until", "ended_by")
    with Api(running, "inventory", client or SECURITY_OFFICE) as api:
        pages = api.pages(f"/v1/assets/{id_of(running, asset, feed)}/relations/history", limit=min(limit, MOST_A_PAGE))
        for one in islice(pages, limit):
            until = _ended(one["until"]) if one["until"] else (NOTHING, "")
            table.add_row(arrow(one), one["name"] or one["asset_id"], *_ended(one["since"]), *until)
    Console().print(table)


def diff(
    since: From,
    until: To,
    body: OfBody = None,
    kind: Kind = None,
    name: Name = None,
    what: What = None,
    csv: Csv = None,
    limit: Limit = 1000,
    data: Data = DATA,
    client: Client = None,
) -> None:
    query = {"from": moment_of(since).isoformat(), "to": moment_of(until).isoformat()}
    wanted = {"body": body, "kind": kind, "name": name, "what": what}
    with Api(load(data), "inventory", client or SECURITY_OFFICE) as api:
        if csv is not None:
            _download(api, csv, query | wanted)
            return
        table = table_with("difference", "asset", "field", "before", "after", "revision", "time", "source", "reason")
        counts = dict.fromkeys(_STYLES, 0)
        for one in islice(api.pages("/v1/differences", **query, **wanted, limit=min(limit, MOST_A_PAGE)), limit):
            counts[one["what"]] += 1
            _add_difference(table, one)
    table.caption = say("cli.diff_count", **counts)
    Console().print(table)


def search(
    words: Words,
    body: OfBody = None,
    kind: Kind = None,
    retired: Retired = False,
    limit: Limit = 100,
    data: Data = DATA,
    client: Client = None,
) -> None:
    table = table_with("asset", "kind", "section", "body", "state", "id")
    query = {"q": " ".join(words), "body": body, "kind": kind, "retired": str(retired).lower()}
    with Api(load(data), "inventory", client or SECURITY_OFFICE) as api:
        for one in islice(api.pages("/v1/search", **query, limit=min(limit, MOST_A_PAGE)), limit):
            kind_told, state = say(f"words.kind.{one['kind']}"), say(f"cli.asset.{one['status']}")
            table.add_row(one["name"], kind_told, one["section"] or NOTHING, one["body"], state, one["asset_id"])
    table.caption = say("cli.assets_count", count=table.row_count)
    Console().print(table)


def arrow(relation: Mapping[str, Any]) -> str:
    """Which way a relation points."""
    kind = say(f"words.relation.{relation['type']}")
    return f"{kind} →" if relation["direction"] == "to" else f"← {kind}"


def _download(api: Api, path: Path, query: Mapping[str, str | None]) -> None:
    try:
        with path.open("wb") as file:
            api.download("/v1/differences", file, **query, format="csv")
    except OSError as error:
        raise CliError("cli.unwritable", code=FAILED, file=path, detail=error.strerror) from error
    typer.echo(say("cli.diff_written", file=path))


def _add_difference(table: Table, one: Mapping[str, Any]) -> None:
    what = Text(say(f"words.what.{one['what']}"), style=_STYLES[one["what"]])
    for number, (field, row) in enumerate(zip(one["fields"], _fields(one["fields"]), strict=True)):
        head = (what, f"{one['asset']['name']}\n{one['asset_id']}") if number == 0 else ("", "")
        table.add_row(*head, *row, *_of_revision(field))


def _of_revision(one: Mapping[str, Any]) -> tuple[str, str, str, str]:
    change = Change.model_validate(one["change"])
    return str(one["revision"]), _time(one), source_of(change), change.reason or NOTHING


def _ended(one: Mapping[str, Any]) -> tuple[str, str]:
    change = Change.model_validate(one["change"])
    return _time(one), source_of(change) if change.reason is None else f"{source_of(change)}\n{change.reason}"


def _time(one: Mapping[str, Any]) -> str:
    return local(datetime.fromisoformat(one["recorded_at"]))


def _fields(fields: Iterable[Mapping[str, Any]]) -> list[tuple[str, str, str]]:
    return [(one["field"], _value(one["before"]), _value(one["after"])) for one in fields]


def _value(value: Any) -> str:
    if value is None:
        return NOTHING
    return ", ".join(value) if isinstance(value, list) else str(value)
