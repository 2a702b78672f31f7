# SPDX-License-Identifier: Apache-2.0
"""`daicho feed pull`: how the pulls of a feed stand, and the wish for one now."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.table import Table

from cli.api import Api
from cli.command import DATA, Client, Data
from cli.errors import CliError
from cli.identity import SECURITY_OFFICE
from cli.language import say
from cli.rows import NOTHING, local
from cli.running import load
from libs.catalogue import messages

Feed = Annotated[str, typer.Argument(help=say("cli.help.feed_id"), metavar="FEED")]
Now = Annotated[bool, typer.Option("--now", help=say("cli.help.pull_now"))]
Compare = Annotated[bool, typer.Option("--compare", help=say("cli.help.pull_compare"))]
Retire = Annotated[int | None, typer.Option("--retire", help=say("cli.help.pull_retire"), show_default=False, min=0)]

DONE_WITHIN: Final = 60.0
_TIMES: Final = ("newest_change", "pulled_at", "compared_at", "asked_at")


def pull(
    feed: Feed,
    now: Now = False,
    compare: Compare = False,
    retire: Retire = None,
    data: Data = DATA,
    client: Client = None,
) -> None:
    place = f"/v1/feeds/{feed}/pull"
    with Api(load(data), "inventory", client or SECURITY_OFFICE) as api:
        if now or compare or retire is not None:
            asked = api.change(place, {"compare": compare, "retire_up_to": retire})
            state = _done(api, place, asked)
        else:
            state = api.get(place)
    Console().print(shown(state))
    if state["asked_at"] is not None:
        raise CliError("cli.pull_not_done", feed=feed, reason=_reason(state["failure"]))


def _done(api: Api, place: str, state: dict[str, Any]) -> dict[str, Any]:
    """The state once what was asked is done, or has failed, or takes too long."""
    asked, deadline = datetime.fromisoformat(state["asked_at"]), time.monotonic() + DONE_WITHIN
    while state["asked_at"] is not None and not _failed_since(state, asked) and time.monotonic() < deadline:
        time.sleep(0.5)
        state = api.get(place)
    return state


def _failed_since(state: dict[str, Any], asked: datetime) -> bool:
    return state["failed_at"] is not None and datetime.fromisoformat(state["failed_at"]) >= asked


def shown(state: dict[str, Any]) -> Table:
    """A state as a table of two columns."""
    table = Table(box=None, show_header=False)
    for name in _TIMES:
        told = state[name]
        table.add_row(say(f"cli.pull.{name}"), local(datetime.fromisoformat(told)) if told else NOTHING)
    table.add_row(say("cli.pull.held"), str(state["held"]))
    table.add_row(say("cli.pull.failure"), _reason(state["failure"]))
    return table


def _reason(code: str | None) -> str:
    if code is None:
        return NOTHING
    key = f"cli.pull.reason.{code}"
    return say(key) if key in messages() else code
