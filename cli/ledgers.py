# SPDX-License-Identifier: Apache-2.0
"""`daicho ledger`: check what a ledger would do, import it, and export one from the register."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from pydantic_core import to_json
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn, TransferSpeedColumn
from rich.table import Table

from cli.api import Api
from cli.assets import decision_told
from cli.command import DATA, AsJson, Body, Client, Data, command, group
from cli.errors import FAILED, MISUSED, CliError
from cli.identity import SECURITY_OFFICE
from cli.language import pick, say
from cli.naming import feed_of
from cli.running import load
from cli.snapshots import ended, table_of
from cli.tables import table_with
from libs.contracts import Text

File = Annotated[Path, typer.Argument(help=say("cli.help.ledger_file"), metavar="FILE", dir_okay=False)]
ToFile = Annotated[Path, typer.Argument(help=say("cli.help.ledger_to"), metavar="FILE", dir_okay=False)]
Feed = Annotated[str, typer.Option("--feed", help=say("cli.help.ledger_feed"))]
OfFeed = Annotated[str | None, typer.Option("--feed", help=say("cli.help.ledger_feed"), show_default=False)]
Copy = Annotated[
    Path | None, typer.Option("--copy", help=say("cli.help.ledger_copy"), dir_okay=False, show_default=False)
]
ByRow = Annotated[bool, typer.Option("--rows", help=say("cli.help.ledger_rows"))]
AsSnapshot = Annotated[bool, typer.Option("--snapshot", help=say("cli.help.ledger_snapshot"))]
Replace = Annotated[bool, typer.Option("--replace", help=say("cli.help.ledger_replace"))]
Retired = Annotated[bool, typer.Option("--retired", help=say("cli.help.ledger_retired"))]

SHOWN: Final = 50
"""Faults on the screen; the copy has them all."""
_CHUNK: Final = 256 * 1024
_XLSX: Final = ".xlsx"
_MEDIA: Final = {_XLSX: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"}


class Encoding(StrEnum):
    UTF8 = "utf-8-sig"
    CP932 = "cp932"


InEncoding = Annotated[Encoding, typer.Option("--encoding", help=say("cli.help.ledger_encoding"))]


def add_to(app: typer.Typer) -> None:
    ledger = group("ledger")
    command(ledger, "check", "cli.help.ledger_check")(check)
    command(ledger, "import", "cli.help.ledger_import")(import_)
    command(ledger, "export", "cli.help.ledger_export")(export)
    app.add_typer(ledger, name="ledger")


def check(
    file: File,
    body: Body,
    feed: Feed,
    copy: Copy = None,
    as_json: AsJson = False,
    data: Data = DATA,
    client: Client = None,
) -> None:
    found = _sent(file, f"/v1/feeds/{feed}/ledger/check", feed, data, client, body=body)
    if as_json:
        typer.echo(to_json(found, indent=2).decode())
    else:
        typer.echo(say("cli.ledger.would", **found["rows"]))
        _tell(found)
    if not found["refused"]:
        return
    from cli.marking import mark

    place = copy or file.with_name(f"{file.stem}.checked{_XLSX}")
    mark(file, place, found["refused"])
    typer.echo(say("cli.ledger.marked", file=place), err=as_json)
    raise typer.Exit(FAILED)


def import_(
    file: File,
    body: Body,
    feed: Feed,
    by_row: ByRow = False,
    snapshot: AsSnapshot = False,
    data: Data = DATA,
    client: Client = None,
) -> None:
    query = {"body": body, "mode": "rows" if by_row else "file", "snapshot": "true" if snapshot else "false"}
    done = _sent(file, f"/v1/feeds/{feed}/ledger", feed, data, client, **query, receipts="false")
    typer.echo(say("cli.accepted", count=done["accepted"]))
    _tell(done)
    if done["snapshot"] is not None:
        with Api(load(data), "inventory", client or f"feed-{feed}") as api:
            Console().print(table_of(ended(api, done["snapshot"], 1)))
    if done["refused"]:
        raise typer.Exit(FAILED)


def export(
    file: ToFile,
    body: Body,
    feed: OfFeed = None,
    encoding: InEncoding = Encoding.UTF8,
    replace: Replace = False,
    retired: Retired = False,
    data: Data = DATA,
    client: Client = None,
) -> None:
    form = "xlsx" if file.suffix.lower() == _XLSX else "csv"
    wanted = {"body": body, "feed": feed, "format": form, "encoding": encoding.value}
    running = load(data)
    # a file that was there stays as it was until the new one is whole
    part = file.with_name(f"{file.name}.part")
    try:
        with Api(running, "inventory", client or SECURITY_OFFICE) as api, part.open("wb") as content:
            told = api.download("/v1/ledger", content, **wanted, replace=replace, retired=retired)
        part.replace(file)
    except OSError as error:
        raise CliError("cli.unwritable", code=MISUSED, file=file, detail=error.strerror or error) from error
    finally:
        part.unlink(missing_ok=True)
    typer.echo(say("cli.ledger.written", count=told["Daicho-Rows"], file=file))
    for header, key in (("Daicho-Replaced", "cli.ledger.replaced"), ("Daicho-Not-Held", "cli.ledger.not_held")):
        if told[header] != "0":
            typer.echo(say(key, count=told[header]), err=True)


def _sent(file: Path, path: str, feed: str, data: Path, client: str | None, **query: str) -> Any:
    """Send a file with a bar of how far it is, and wait for what is answered."""
    running = load(data)
    feed_of(running, feed)
    headers = {"Content-Type": _MEDIA.get(file.suffix.lower(), "text/csv")}
    with Api(running, "inventory", client or f"feed-{feed}") as api, _pieces(file) as pieces:
        return api.post(path, pieces, headers, patience=None, **query)


@contextmanager
def _pieces(file: Path) -> Iterator[Iterator[bytes]]:
    """A file's content piece by piece; the bar stays until the block ends. Raises CliError."""
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    try:
        with file.open("rb") as content, bar:
            task = bar.add_task(say("cli.ledger.sending"), total=file.stat().st_size)

            def pieces() -> Iterator[bytes]:
                while piece := content.read(_CHUNK):
                    yield piece
                    bar.advance(task, len(piece))
                # how long the service reads is not known: the bar says that it does
                bar.update(task, description=say("cli.ledger.reading"), total=None)

            yield pieces()
    except OSError as error:
        raise CliError("cli.unreadable", code=MISUSED, file=file, detail=error.strerror or error) from error


def _tell(answer: Mapping[str, Any]) -> None:
    for one in answer["sheets_passed_over"]:
        typer.echo(f"  {one['sheet']}: {_detail(one)}")
    for one in answer["decisions"]:
        typer.echo(decision_told(one))
    if answer["refused"]:
        Console().print(_faults(answer["refused"]))


def _faults(faults: Sequence[Mapping[str, Any]]) -> Table:
    table = table_with("sheet", "row", "cell", "what_to_do")
    for one in faults[:SHOWN]:
        cell = " ".join(filter(None, (one["cell"], one["column"])))
        table.add_row(one["sheet"] or "", str(one["row"] or ""), cell, _detail(one))
    if len(faults) > SHOWN:
        table.caption = say("cli.and_more", count=len(faults) - SHOWN)
    return table


def _detail(one: Mapping[str, Any]) -> str:
    return pick(Text.model_validate(one["detail"]))
