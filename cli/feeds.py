# SPDX-License-Identifier: Apache-2.0
"""`daicho feed list`: which feeds there are, and when each was last heard of."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import typer
from rich.console import Console

from cli.api import Api
from cli.command import DATA, Client, Data, command
from cli.identity import SECURITY_OFFICE
from cli.language import pick, say
from cli.rows import NOTHING, local
from cli.running import load
from cli.tables import table_with
from libs.contracts import Text

Silent = Annotated[bool, typer.Option("--silent", help=say("cli.help.feeds_silent"))]


def add_to(feed: typer.Typer) -> None:
    command(feed, "list", "cli.help.feeds_list")(list_)


def list_(silent: Silent = False, data: Data = DATA, client: Client = None) -> None:
    with Api(load(data), "inventory", client or SECURITY_OFFICE) as api:
        found = api.get("/v1/feeds", silent="true" if silent else None)
    table = table_with("feed", "name", "every", "heard_at", "silent_since")
    for one in found:
        name = pick(Text.model_validate(one["name"]))
        table.add_row(
            one["feed"], name, one["every"] or NOTHING, _moment(one, "heard_at"), _moment(one, "silent_since")
        )
    Console().print(table)


def _moment(one: dict[str, Any], name: str) -> str:
    return local(datetime.fromisoformat(one[name])) if one[name] else NOTHING
