# SPDX-License-Identifier: Apache-2.0
"""`daicho assets`, `explain` and `feed post`: the register, the reasons for its levels, and a way to tell it of changes."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console, Group
from rich.table import Table

from cli.api import Api
from cli.command import DATA, Client, Data, command
from cli.errors import MISUSED, CliError
from cli.identity import SECURITY_OFFICE
from cli.language import pick, say
from cli.profile import read_profile
from cli.rows import explained
from cli.running import Running, load
from libs.contracts import Basis, Dimension, Duty, Explanation, asset_id

Asset = Annotated[str, typer.Argument(help=say("cli.help.asset"), metavar="ASSET")]
OfFeed = Annotated[str | None, typer.Option("--feed", help=say("cli.help.of_feed"), show_default=False)]


def add_to(app: typer.Typer) -> None:
    command(app, "explain")(explain)


def explain(asset: Asset, feed: OfFeed = None, data: Data = DATA, client: Client = None) -> None:
    running = load(data)
    place = f"/v1/classifications/{id_of(running, asset, feed)}"
    with Api(running, "classification", client or SECURITY_OFFICE) as api:
        found, duties = api.get(place), [Duty.model_validate(one) for one in api.get(f"{place}/obligations")]
    Console().print(Group(_head(found), _levels(found), _duties(duties)))


def id_of(running: Running, asset: str, feed: str | None) -> str:
    """The id of an asset, told by itself or as the key under which a feed knows it."""
    if feed is None:
        return asset
    profile = read_profile(running.profile)
    if feed not in profile.feed_by_id:
        raise CliError("cli.unknown_feed", code=MISUSED, feed=feed, known=", ".join(profile.feed_by_id))
    return asset_id(profile.municipality, feed, asset)


def _head(found: dict[str, str]) -> Table:
    table = Table(box=None, show_header=False)
    table.add_row(found["name"], found["body"], found["kind"], found["zone"] or "", found["asset_id"])
    return table


def _levels(found: dict[str, dict[str, object]]) -> Table:
    table = Table(expand=True)
    for name in ("dimension", "level", "why"):
        table.add_column(say(f"cli.column.{name}"), overflow="fold")
    for dimension in Dimension:
        explanation = Explanation.model_validate(found["explanations"][dimension])
        table.add_row(say(f"cli.dimension.{dimension}"), explanation.level, explained(explanation))
    return table


def _duties(duties: list[Duty]) -> Table:
    table = Table(expand=True, caption=say("cli.duties_count", count=len(duties)))
    for name in ("duty", "audience", "basis"):
        table.add_column(say(f"cli.column.{name}"), overflow="fold")
    for duty in duties:
        table.add_row(pick(duty.title), say(f"cli.audience.{duty.audience}"), _basis(duty.basis))
    return table


def _basis(basis: Basis) -> str:
    return " ".join(part for part in (basis.source, basis.place, f"[{basis.grade}]" if basis.grade else None) if part)
