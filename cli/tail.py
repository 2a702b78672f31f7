# SPDX-License-Identifier: Apache-2.0
"""`daicho tail`: the events of one body as they come, in a live table; any number of people may watch at once."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table

from cli.command import DATA, Body, Client, Data, command, group
from cli.errors import CliError
from cli.identity import check_body, check_may_read, client_of
from cli.language import say
from cli.rows import Row, Teller
from cli.running import load
from libs.contracts import AssetChanged, ClassificationChanged, ObligationsChanged, make_key

Once = Annotated[int | None, typer.Option("--once", help=say("cli.help.once"), min=1, show_default=False)]

NAMES: Final = ("obligations", "classifications", "assets")
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
        try:
            asyncio.run(_show(arriving, once))
        except KafkaError as error:
            raise CliError("cli.kafka", bootstrap=running.kafka, detail=type(error).__name__) from error

    return tail


async def _show(
    arriving: AsyncGenerator[AssetChanged | ClassificationChanged | ObligationsChanged, None], once: int | None
) -> None:
    console, teller, told = Console(), Teller(), 0
    rows: deque[Row] = deque(maxlen=once or max(5, console.height - 6))
    with Live(_table(rows), console=console, refresh_per_second=4) as live:
        async with aclosing(arriving):
            async for event in arriving:
                rows.append(teller.row(event))
                live.update(_table(rows))
                told += 1
                if told == once:
                    return


def _table(rows: deque[Row]) -> Table:
    table = Table(expand=True)
    for name in ("time", "asset", "levels", "what"):
        table.add_column(say(f"cli.column.{name}"), no_wrap=name == "time", overflow="fold")
    for row in rows:
        table.add_row(row.time.astimezone().strftime("%H:%M:%S"), row.asset, row.levels, row.what)
    return table
