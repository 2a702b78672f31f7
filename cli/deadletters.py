# SPDX-License-Identifier: Apache-2.0
"""`daicho deadletters`: what could not be taken and why, and sending it back to its topic once the cause is mended."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from cli.command import DATA, Client, Data, OfBody, command, group
from cli.errors import MISUSED, CliError
from cli.identity import SECURITY_OFFICE, check_operator
from cli.language import say
from cli.profile import read_profile
from cli.running import load
from libs.contracts import parse_key

if TYPE_CHECKING:
    from libs.bus.release import ParkedLetter

Consumer = Annotated[str | None, typer.Option("--consumer", help=say("cli.help.consumer"), show_default=False)]
Key = Annotated[str, typer.Argument(help=say("cli.help.key"), metavar="KEY")]
Discard = Annotated[list[str] | None, typer.Option("--discard", help=say("cli.help.discard"), show_default=False)]


def add_to(app: typer.Typer) -> None:
    deadletters = group("deadletters")
    command(deadletters, "list", "cli.help.deadletters_list")(list_)
    command(deadletters, "release", "cli.help.deadletters_release")(release)
    app.add_typer(deadletters, name="deadletters")


def list_(data: Data = DATA, body: OfBody = None, consumer: Consumer = None, client: Client = None) -> None:
    from cli.kafka import administrator
    from libs.bus.release import parked_letters

    check_operator(load(data), client or SECURITY_OFFICE)
    letters = asyncio.run(parked_letters(administrator(data), consumer=consumer))
    shown = [letter for letter in letters if body is None or _body_of(letter) == body]
    table = Table(expand=True, caption=say("cli.deadletters_count", count=len(shown)))
    for name in ("time", "id", "key", "reason"):
        table.add_column(say(f"cli.column.{name}"), overflow="fold")
    for letter in shown:
        table.add_row(letter.time.astimezone().strftime("%m-%d %H:%M:%S"), letter.id, _shown(letter.key), _why(letter))
    Console().print(table)


def release(
    key: Key, data: Data = DATA, consumer: Consumer = None, discard: Discard = None, client: Client = None
) -> None:
    from cli.kafka import administrator
    from libs.bus.release import parked_letters, release_key

    running, actor = load(data), client or SECURITY_OFFICE
    check_operator(running, actor)
    settings, municipality = administrator(data), read_profile(running.profile).municipality

    async def released() -> int:
        letters = await parked_letters(settings, consumer=consumer, key=key.encode())
        if unknown := set(discard or ()) - {letter.id for letter in letters}:
            raise CliError("cli.no_such_letter", code=MISUSED, id=min(unknown), key=key)
        count = 0
        for of_consumer, topic in sorted({(one.letter.consumer, one.letter.topic) for one in letters}):
            count += await release_key(
                settings,
                of_consumer,
                topic,
                key.encode(),
                actor,
                municipality=municipality,
                discard=frozenset(discard or ()),
            )
        if not letters:
            raise CliError("cli.not_parked", key=key)
        return count

    typer.echo(say("cli.released", count=asyncio.run(released()), key=key))


def _body_of(letter: ParkedLetter) -> str | None:
    try:
        return parse_key(letter.key or b"").body
    except ValueError:
        return None


def _shown(key: bytes | None) -> str:
    return "" if key is None else key.decode(errors="replace")


def _why(letter: ParkedLetter) -> str:
    dead = letter.letter
    place = f" {dead.field}" if dead.field else ""
    return f"{say(f'reason.{dead.reason}')}{place}\n{dead.detail}"
