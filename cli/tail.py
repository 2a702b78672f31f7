# SPDX-License-Identifier: Apache-2.0
"""`daicho tail`: the events of one body as they come, in a live table; any number of people may watch at once."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, nullcontext
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table

from cli.command import DATA, Body, Client, Data, command, group
from cli.errors import CliError
from cli.identity import check_body, check_may_read, client_of
from cli.language import say
from cli.profile import names_of, read_profile
from cli.rows import Row, Teller, local
from cli.running import load
from libs.contracts import make_key

Once = Annotated[int | None, typer.Option("--once", help=say("cli.help.once"), min=1, show_default=False)]

NAMES: Final = ("obligations", "classifications", "findings", "assets")
ACCOUNT: Final = "reader"


def add_to(app: typer.Typer) -> None:
    tail = group("tail")
    for name in NAMES:
        command(tail, name, f"cli.help.tail_{name}")(_command(name))
    app.add_typer(tail, name="tail")


def _command(name: str) -> Callable[..., None]:
    def tail(body: Body, data: Data = DATA, once: Once = None, client: Client = None) -> None:
        from aiokafka.errors import KafkaError

        from cli.kafka import STREAMS, account, events

        running = load(data)
        network = check_body(running, body)
        check_may_read(running, client or client_of(body), body)
        arriving = events(STREAMS[name], account(data, ACCOUNT), make_key(network, body, ""))
        teller = Teller(names_of(read_profile(running.profile)))
        rows = (teller.row(event) async for event in arriving)
        try:
            asyncio.run(_show(rows, once))
        except KafkaError as error:
            raise CliError("cli.kafka", bootstrap=running.kafka, detail=type(error).__name__) from error

    return tail


async def _show(arriving: AsyncGenerator[Row, None], once: int | None) -> None:
    """A live table on a terminal; elsewhere a line for each event, or a table at the end of `once`."""
    console = Console()
    shown: deque[Row] = deque(maxlen=once or max(5, console.height - 6))
    live = Live(_table(shown), console=console, refresh_per_second=4) if console.is_terminal else None
    with live or nullcontext():
        async with aclosing(arriving):
            async for row in _first(arriving, once):
                shown.append(row)
                if live:
                    live.update(_table(shown))
                elif once is None:
                    typer.echo("\t".join((local(row.time), row.asset, row.levels, row.what.plain.replace("\n", "; "))))
    if not live:
        console.print(_table(shown))


async def _first(arriving: AsyncGenerator[Row, None], count: int | None) -> AsyncGenerator[Row, None]:
    told = 0
    async for row in arriving:
        yield row
        told += 1
        if told == count:
            return


def _table(rows: deque[Row]) -> Table:
    table = Table(expand=True)
    for name in ("time", "asset", "levels", "what"):
        table.add_column(say(f"cli.column.{name}"), no_wrap=name == "time", overflow="fold")
    for row in rows:
        table.add_row(local(row.time)[11:], row.asset, row.levels, row.what)
    return table
