# SPDX-License-Identifier: Apache-2.0
"""`daicho assets attach | detach`: documents of an asset, by reference."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import typer
from rich.table import Table

from cli.command import DATA, Client, Data, command
from cli.language import say
from cli.naming import Asset, OfFeed
from cli.people import Note, Why, act_on, decide_on, given
from cli.tables import table_with

Title = Annotated[str, typer.Option("--title", help=say("cli.help.attach_title"))]
Kind = Annotated[str, typer.Option("--kind", help=say("cli.help.attach_kind"))]
Uri = Annotated[str | None, typer.Option("--uri", help=say("cli.help.attach_uri"), show_default=False)]
Number = Annotated[str | None, typer.Option("--number", help=say("cli.help.attach_number"), show_default=False)]
Digest = Annotated[str | None, typer.Option("--sha256", help=say("cli.help.attach_sha256"), show_default=False)]
Attachment = Annotated[str, typer.Argument(help=say("cli.help.attachment_id"), metavar="ATTACHMENT")]


def add_to(assets: typer.Typer) -> None:
    command(assets, "attach", "cli.help.assets_attach")(attach)
    command(assets, "detach", "cli.help.assets_detach")(detach)


def attach(
    asset: Asset,
    title: Title,
    kind: Kind = "other",
    uri: Uri = None,
    number: Number = None,
    sha256: Digest = None,
    note: Note = None,
    feed: OfFeed = None,
    data: Data = DATA,
    client: Client = None,
) -> None:
    content = {"title": title, "kind": kind, "uri": uri, "number": number, "sha256": sha256, "note": note}
    answer = act_on(asset, feed, data, client, given(content), "/attachments")
    typer.echo(say("cli.people.attached", id=answer["attachment_id"]))


def detach(attachment: Attachment, reason: Why, data: Data = DATA, client: Client = None) -> None:
    decide_on(f"/v1/attachments/{attachment}", "remove", data, client, {"reason": reason})
    typer.echo(say("cli.people.detached", id=attachment))


def attachments_table(attachments: Iterable[Mapping[str, Any]]) -> Table:
    """The documents of an asset: where each is, never what it says."""
    table = table_with(
        "title", "kind", "reference", "who", "id", title=say("cli.people.attachments"), title_justify="left"
    )
    for one in attachments:
        kind, who = say(f"cli.attachment.{one['kind']}"), f"{one['added_by']} {one['added_at'][:10]}"
        table.add_row(one["title"], kind, one["uri"] or one["number"], who, one["attachment_id"])
    return table
