# SPDX-License-Identifier: Apache-2.0
"""`daicho assets requests`: what people ask for and others approve."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from cli.api import Api
from cli.command import DATA, Client, Data, OfBody, command, group
from cli.identity import SECURITY_OFFICE
from cli.language import say
from cli.people import Note, decide_on, given
from cli.rows import NOTHING
from cli.running import load
from cli.tables import table_with

Request = Annotated[str, typer.Argument(help=say("cli.help.request_id"), metavar="REQUEST")]
OfAsset = Annotated[str | None, typer.Option("--asset", help=say("cli.help.request_asset"), show_default=False)]
Decided = Annotated[bool, typer.Option("--decided", help=say("cli.help.requests_decided"))]


class Decision(StrEnum):
    APPROVE = "approve"
    REFUSE = "refuse"
    WITHDRAW = "withdraw"


def add_to(assets: typer.Typer) -> None:
    requests = group("requests")
    command(requests, "list", "cli.help.requests_list")(list_)
    command(requests, "show", "cli.help.requests_show")(show)
    command(requests, "approve", "cli.help.requests_approve")(_decide(Decision.APPROVE))
    command(requests, "refuse", "cli.help.requests_refuse")(_decide(Decision.REFUSE))
    command(requests, "withdraw", "cli.help.requests_withdraw")(_decide(Decision.WITHDRAW))
    assets.add_typer(requests, name="requests")


def list_(
    body: OfBody = None, asset: OfAsset = None, decided: Decided = False, data: Data = DATA, client: Client = None
) -> None:
    state = None if decided else "asked"
    with Api(load(data), "inventory", client or SECURITY_OFFICE) as api:
        Console().print(requests_table(api.pages("/v1/requests", body=body, asset_id=asset, state=state)))


def show(request: Request, data: Data = DATA, client: Client = None) -> None:
    with Api(load(data), "inventory", client or SECURITY_OFFICE) as api:
        found = api.get(f"/v1/requests/{request}")
    table = Table(box=None, show_header=False)
    table.add_row(say("cli.column.state"), say(f"cli.override_state.{found['state']}"))
    table.add_row(say("cli.column.asset"), found["asset_id"])
    table.add_row(say("cli.column.change"), say(f"cli.act.{found['act']}"))
    table.add_row(say("cli.column.content"), json.dumps(found["given"], ensure_ascii=False, indent=2))
    table.add_row(say("cli.column.who"), f"{found['asked_by']} {found['asked_at'][:10]}")
    table.add_row(say("cli.column.changed_since"), ", ".join(found["changed_since"]) or NOTHING)
    table.add_row(say("cli.column.decided"), _decided(found))
    Console().print(table)


def requests_table(requests: Iterable[Mapping[str, Any]]) -> Table:
    """Requests with who asked and who decided."""
    table = table_with(
        "id",
        "asset",
        "change",
        "who",
        "changed_since",
        "decided",
        title=say("cli.people.requests"),
        title_justify="left",
    )
    for one in requests:
        who = [f"{one['asked_by']} {one['asked_at'][:10]}", one["given"].get("reason")]
        fields = [field for field in one["given"] if field != "reason"]
        change = "\n".join([say(f"cli.act.{one['act']}"), ", ".join(fields)]).strip()
        changed = ", ".join(one["changed_since"]) or NOTHING
        table.add_row(one["request_id"], one["asset_id"], change, "\n".join(filter(None, who)), changed, _decided(one))
    return table


def _decided(request: Mapping[str, Any]) -> str:
    if request["decided_at"] is None:
        return NOTHING
    told = (say(f"cli.override_state.{request['state']}"), request["decided_by"], request["decided_at"][:10])
    return " ".join(filter(None, (*told, request["note"])))


def _decide(decision: Decision) -> Any:
    def decide(request: Request, note: Note = None, data: Data = DATA, client: Client = None) -> None:
        decided = decide_on(f"/v1/requests/{request}", decision, data, client, given({"note": note}))
        typer.echo(say("cli.people.request_now", id=request, state=say(f"cli.override_state.{decided['state']}")))

    return decide
