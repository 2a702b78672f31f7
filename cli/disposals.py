# SPDX-License-Identifier: Apache-2.0
"""`daicho assets dispose | disposals`: how media were disposed of, and those of which nobody has said."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from cli.api import Api
from cli.command import DATA, Client, Data, OfBody, command
from cli.identity import SECURITY_OFFICE
from cli.language import pick, say
from cli.naming import Asset, OfFeed
from cli.people import Note, act_on, given, tell
from cli.rows import NOTHING
from cli.running import load
from cli.tables import table_with
from libs.contracts import Text

Methods = Annotated[list[str], typer.Option("--method", help=say("cli.help.disposal_method"))]
Day = Annotated[datetime, typer.Option("--on", help=say("cli.help.disposal_on"), formats=["%Y-%m-%d"])]
DoneBy = Annotated[str, typer.Option("--done-by", help=say("cli.help.disposal_done_by"))]
ApprovedBy = Annotated[str, typer.Option("--approved-by", help=say("cli.help.disposal_approved_by"))]
Witness = Annotated[str | None, typer.Option("--witness", help=say("cli.help.disposal_witness"), show_default=False)]
Medium = Annotated[str | None, typer.Option("--medium", help=say("cli.help.disposal_medium"), show_default=False)]
Certificate = Annotated[
    str | None, typer.Option("--certificate", help=say("cli.help.disposal_certificate"), show_default=False)
]
Corrects = Annotated[str | None, typer.Option("--corrects", help=say("cli.help.disposal_corrects"), show_default=False)]
Missing = Annotated[bool, typer.Option("--missing", help=say("cli.help.disposals_missing"))]


def add_to(assets: typer.Typer) -> None:
    command(assets, "dispose", "cli.help.assets_dispose")(dispose)
    command(assets, "disposals", "cli.help.assets_disposals")(disposals)


def dispose(
    asset: Asset,
    method: Methods,
    on: Day,
    done_by: DoneBy,
    approved_by: ApprovedBy,
    witness: Witness = None,
    medium: Medium = None,
    certificate: Certificate = None,
    note: Note = None,
    corrects: Corrects = None,
    feed: OfFeed = None,
    data: Data = DATA,
    client: Client = None,
) -> None:
    content = {
        "methods": method,
        "disposed_on": on.date().isoformat(),
        "done_by": done_by,
        "approved_by": approved_by,
        "witnessed_by": witness,
        "medium": medium,
        "certificate": certificate,
        "note": note,
        "corrects": corrects,
    }
    answer = act_on(asset, feed, data, client, given(content), "/disposals")
    tell(answer, say("cli.disposal.recorded", id=answer.get("disposal_id")))


def disposals(body: OfBody = None, missing: Missing = False, data: Data = DATA, client: Client = None) -> None:
    with Api(load(data), "inventory", client or SECURITY_OFFICE) as api:
        if missing:
            found = list(api.pages("/v1/disposals/missing", body=body))
            Console().print(_undisposed(found))
        else:
            Console().print(disposals_table(api.pages("/v1/disposals", body=body)))


def disposals_table(records: Iterable[Mapping[str, Any]]) -> Table:
    """Records of disposal; one that was corrected says by which."""
    table = table_with(
        "id", "asset", "method", "time", "who", "remark", title=say("cli.disposal.records"), title_justify="left"
    )
    for one in records:
        methods = "、".join(_told(method["name"]) for method in one["methods"])
        who = [say("cli.disposal.who", done=one["done_by"], approved=one["approved_by"]), one["witnessed_by"]]
        remarks = [_told(remark["text"]) for remark in one["remarks"]]
        if one["corrected_by"]:
            remarks.append(say("cli.disposal.corrected", id=one["corrected_by"]))
        table.add_row(
            one["disposal_id"],
            one["asset_id"],
            f"{one['medium']} {methods}",
            one["disposed_on"],
            "\n".join(filter(None, [*who, one["certificate"], one["note"]])),
            "\n".join(remarks) or NOTHING,
        )
    return table


def _undisposed(assets: list[dict[str, Any]]) -> Table:
    table = table_with(
        "asset", "body", "section", "time", "id", caption=say("cli.disposal.missing_count", count=len(assets))
    )
    for one in assets:
        table.add_row(one["name"], one["body"], one["section"] or NOTHING, one["updated_at"][:10], one["asset_id"])
    return table


def _told(text: Mapping[str, str]) -> str:
    return pick(Text.model_validate(text))
