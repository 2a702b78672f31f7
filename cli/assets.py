# SPDX-License-Identifier: Apache-2.0
"""`daicho assets` and `feed post`: the register, and a way to tell it of changes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from cli import attachments, disposals, edits, feeds, merges, register, requests, snapshots
from cli.api import Api
from cli.command import DATA, Client, Data, OfBody, command, group
from cli.errors import MISUSED, CliError
from cli.files import content_of
from cli.identity import SECURITY_OFFICE
from cli.language import pick, say
from cli.moments import asked
from cli.naming import Asset, OfFeed, feed_of, id_of
from cli.profile import names_of, read_profile
from cli.pull import pull
from cli.register import MOST_A_PAGE, AsOf, Kind, Limit, Name, arrow
from cli.rows import NOTHING, local, source_of
from cli.running import load
from cli.tables import table_with
from libs.contracts import Change
from libs.contracts import Text as Texts

Feed = Annotated[str, typer.Argument(help=say("cli.help.feed_id"), metavar="FEED")]
InSnapshot = Annotated[
    str | None, typer.Option("--snapshot", help=say("cli.help.in_snapshot"), metavar="SESSION", show_default=False)
]
File = Annotated[Path, typer.Argument(help=say("cli.help.file"), metavar="FILE", dir_okay=False)]

_DOORS: Final = {
    "plain": ("items", "application/json"),
    "netbox": ("netbox/objects", "application/json"),
    "csv": ("ledger", "text/csv"),
}
"""The door and the content of a feed's format."""


def add_to(app: typer.Typer) -> None:
    assets, feed = group("assets"), group("feed")
    command(assets, "list", "cli.help.assets_list")(list_)
    command(assets, "show", "cli.help.assets_show")(show)
    command(feed, "post", "cli.help.feed_post")(post)
    command(feed, "pull", "cli.help.feed_pull")(pull)
    feeds.add_to(feed)
    snapshots.add_to(feed)
    for part in (register, edits, disposals, attachments, requests, merges):
        part.add_to(assets)
    app.add_typer(assets, name="assets")
    app.add_typer(feed, name="feed")


def list_(
    data: Data = DATA,
    body: OfBody = None,
    kind: Kind = None,
    name: Name = None,
    as_of: AsOf = None,
    limit: Limit = 100,
    client: Client = None,
) -> None:
    table = table_with("asset", "kind", "section", "zone", "state", "id")
    wanted = {"body": body, "kind": kind, "name": name, "as_of": asked(as_of)}
    with Api(load(data), "inventory", client or SECURITY_OFFICE) as api:
        for asset in islice(api.pages("/v1/assets", **wanted, limit=min(limit, MOST_A_PAGE)), limit):
            state = say(f"cli.asset.{asset['status']}")
            table.add_row(asset["name"], *described(asset), state, asset["asset_id"])
    table.caption = say("cli.assets_count", count=table.row_count)
    Console().print(table)


def show(asset: Asset, feed: OfFeed = None, as_of: AsOf = None, data: Data = DATA, client: Client = None) -> None:
    running, moment = load(data), asked(as_of)
    place = f"/v1/assets/{id_of(running, asset, feed)}"
    with Api(running, "inventory", client or SECURITY_OFFICE) as api:
        found, relations, history = (api.get(f"{place}{part}", as_of=moment) for part in ("", "/relations", "/history"))
        by_hand = [] if moment else _by_hand(api, place, found["asset_id"])
    body = names_of(read_profile(running.profile)).body(found["body"])
    head = line(found["name"], body, *described(found), found["asset_id"])
    Console().print(Group(head, _facts(found), _relations(relations), *by_hand, _history(history["items"])))


def post(
    feed: Feed,
    file: File,
    data: Data = DATA,
    body: OfBody = None,
    snapshot: InSnapshot = None,
    client: Client = None,
) -> None:
    running = load(data)
    declared = feed_of(running, feed)
    content = content_of(file)
    if declared.format == "csv" and body is None:
        raise CliError("cli.body_needed", code=MISUSED, feed=feed)
    if declared.format == "csv" and snapshot is not None:
        raise CliError("cli.snapshot.ledger", code=MISUSED, feed=feed)
    door, content_type = _DOORS[declared.format]
    place, headers = f"/v1/feeds/{feed}/{door}", {"Content-Type": content_type}
    with Api(running, "inventory", client or f"feed-{feed}") as api:
        accepted = api.post(place, content, headers, body=body, snapshot=snapshot)
    typer.echo(say("cli.accepted", count=len(accepted["receipts"])))
    for one in accepted.get("decisions", ()):
        typer.echo(decision_told(one))


def decision_told(one: Mapping[str, Any]) -> str:
    """What a person must decide of a ledger's cell, and by what."""
    detail, decide = (pick(Texts.model_validate(one[name])) for name in ("detail", "decide"))
    return f"  {one['field']}: {detail} ({decide})"


def described(asset: dict[str, Any]) -> tuple[str, str, str]:
    zone = say(f"cli.zone.{asset['zone']}") if asset["zone"] else NOTHING
    return say(f"words.kind.{asset['kind']}"), asset["section"] or NOTHING, zone


def line(*parts: str) -> Text:
    return Text("  ".join(part for part in parts if part != NOTHING))


def _by_hand(api: Api, place: str, asset_id: str) -> list[Table]:
    """What people have done to the asset by hand, as far as there is any."""
    found = (
        edits.edits_table(api.get(f"{place}/edits")),
        attachments.attachments_table(api.get(f"{place}/attachments")),
        disposals.disposals_table(api.get(f"{place}/disposals")),
        requests.requests_table(api.pages("/v1/requests", asset_id=asset_id, state="asked")),
    )
    return [table for table in found if table.row_count]


def _facts(found: dict[str, Any]) -> Table:
    table = Table(box=None, show_header=False)
    for name, value in sorted(found["facts"].items()):
        table.add_row(name, ", ".join(value) if isinstance(value, list) else str(value))
    return table


def _relations(relations: list[dict[str, Any]]) -> Table:
    table = table_with("relation", "asset", "id")
    for one in relations:
        table.add_row(arrow(one), one["asset"]["name"] if one["asset"] else NOTHING, one["asset_id"])
    return table


def _history(revisions: list[dict[str, Any]]) -> Table:
    table = table_with("revision", "time", "asset", "source")
    for one in revisions:
        time, source = datetime.fromisoformat(one["recorded_at"]), source_of(Change.model_validate(one["change"]))
        table.add_row(str(one["revision"]), local(time), one["asset"]["name"], source)
    return table
