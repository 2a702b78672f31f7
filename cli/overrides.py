# SPDX-License-Identifier: Apache-2.0
"""`daicho override`: a level other than the one that holds, asked by one person and decided on by another."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.console import Console

from cli.api import Api
from cli.command import DATA, Client, Data, OfBody, command, group
from cli.identity import SECURITY_OFFICE
from cli.language import say
from cli.naming import Asset, OfFeed, id_of
from cli.people import decide_on, given
from cli.profile import names_of, read_profile
from cli.rows import NOTHING, local
from cli.running import load
from cli.tables import table_with
from libs.contracts import Dimension, OverrideChange, OverrideState

InDimension = Annotated[Dimension, typer.Option("--dimension", help=say("cli.help.dimension"))]
Level = Annotated[str, typer.Option("--level", help=say("cli.help.level"))]
Reason = Annotated[str, typer.Option("--reason", help=say("cli.help.reason"))]
Until = Annotated[
    datetime, typer.Option("--until", help=say("cli.help.until"), formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"])
]
InState = Annotated[OverrideState | None, typer.Option("--state", help=say("cli.help.state"), show_default=False)]
Override = Annotated[str, typer.Argument(help=say("cli.help.override_id"), metavar="OVERRIDE")]
Note = Annotated[str | None, typer.Option("--note", help=say("cli.help.note"), show_default=False)]


class Decision(StrEnum):
    APPROVE = "approve"
    REFUSE = "refuse"
    WITHDRAW = "withdraw"


def add_to(app: typer.Typer) -> None:
    override = group("override")
    command(override, "ask", "cli.help.override_ask")(ask)
    command(override, "list", "cli.help.override_list")(list_)
    command(override, "approve", "cli.help.override_approve")(_decide(Decision.APPROVE))
    command(override, "refuse", "cli.help.override_refuse")(_decide(Decision.REFUSE))
    command(override, "withdraw", "cli.help.override_withdraw")(_decide(Decision.WITHDRAW))
    app.add_typer(override, name="override")


def ask(
    asset: Asset,
    dimension: InDimension,
    level: Level,
    reason: Reason,
    until: Until,
    feed: OfFeed = None,
    data: Data = DATA,
    client: Client = None,
) -> None:
    running = load(data)
    wanted = {"dimension": dimension, "level": level, "reason": reason, "expires_at": until.astimezone().isoformat()}
    with Api(running, "classification", client or SECURITY_OFFICE) as api:
        place = f"/v1/classifications/{id_of(running, asset, feed)}/overrides"
        asked = api.change(place, wanted)
    typer.echo(say("cli.override.asked", id=asked["override_id"]))


def list_(
    asset: Annotated[str | None, typer.Option("--asset", help=say("cli.help.asset"), show_default=False)] = None,
    state: InState = None,
    body: OfBody = None,
    data: Data = DATA,
    client: Client = None,
) -> None:
    running = load(data)
    names = names_of(read_profile(running.profile))
    table = table_with("id", "body", "level", "state", "reason", "decided")
    with Api(running, "classification", client or SECURITY_OFFICE) as api:
        for item in api.pages("/v1/overrides", asset_id=asset, state=state, body=body):
            table.add_row(item["override_id"], names.body(item["body"]), *_row(OverrideChange.model_validate(item)))
    Console().print(table)


def _decide(decision: Decision) -> Any:
    def decide(override: Override, note: Note = None, data: Data = DATA, client: Client = None) -> None:
        place, content = f"/v1/overrides/{override}", given({"note": note})
        decided = decide_on(place, decision, data, client, content, "classification")
        typer.echo(say("cli.override.now", id=override, state=say(f"cli.override_state.{decided['state']}")))

    return decide


def _row(override: OverrideChange) -> tuple[str, ...]:
    asked = f"{override.asked_by} {local(override.asked_at)}\n{override.reason}"
    level = f"{say(f'words.dimension.{override.dimension}')} {override.level}\n{override.asset_id}"
    state = f"{say(f'cli.override_state.{override.state}')}\n{local(override.expires_at)}"
    decided = _step(override.decided_by, override.decided_at, override.decision_note)
    ended = _step(override.ended_by, override.ended_at, override.end_note)
    return level, state, asked, "\n".join(filter(None, (decided, ended))) or NOTHING


def _step(by: str | None, at: datetime | None, note: str | None) -> str:
    return " ".join(filter(None, (by, local(at), note))) if at else ""
