# SPDX-License-Identifier: Apache-2.0
"""`daicho what-if`, as it is registered: what it is given, what it reads, and where it writes."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from cli.command import DATA, Client, Data, OfBody, command
from cli.errors import MISUSED, CliError
from cli.identity import SECURITY_OFFICE, check_body, check_may_read, client_of
from cli.language import say
from cli.profile import names_of, read_profile
from cli.running import Running, load

if TYPE_CHECKING:
    from cli.what_if.candidate import FactFile
    from cli.what_if.register import Register
    from cli.what_if.report import Report
    from libs.contracts import Profile
    from libs.standards import Standard

Candidate = Annotated[
    Path | None, typer.Argument(help=say("cli.help.candidate"), metavar="CANDIDATE_FOLDER", file_okay=False)
]
Facts = Annotated[Path | None, typer.Option("--facts", help=say("cli.help.candidate_facts"), dir_okay=False)]
Json = Annotated[Path | None, typer.Option("--json", help=say("cli.help.as_json"), dir_okay=False)]
Csv = Annotated[Path | None, typer.Option("--csv", help=say("cli.help.as_csv"), dir_okay=False)]
Html = Annotated[Path | None, typer.Option("--html", help=say("cli.help.as_html"), dir_okay=False)]
Day = Annotated[
    datetime | None, typer.Option("--on", help=say("cli.help.on_day"), formats=["%Y-%m-%d"], metavar="YYYY-MM-DD")
]

ACCOUNT: Final = "reader"


def add_to(app: typer.Typer) -> None:
    command(app, "what-if", "cli.help.what_if")(what_if)


def what_if(
    candidate: Candidate = None,
    facts: Facts = None,
    body: OfBody = None,
    json: Json = None,
    csv: Csv = None,
    html: Html = None,
    on: Day = None,
    data: Data = DATA,
    client: Client = None,
) -> None:
    from cli.what_if.page import to_html
    from cli.what_if.report import table, to_csv, to_json

    if candidate is None and facts is None and on is None:
        raise CliError("cli.what_if.nothing_given", code=MISUSED)
    report = _report(candidate, facts, on, body, data, client)
    Console().print(table(report))
    # a spreadsheet takes a file for UTF-8 only by its byte order mark
    for file, render, encoding in ((json, to_json, "utf-8"), (csv, to_csv, "utf-8-sig"), (html, to_html, "utf-8")):
        if file is not None:
            _write(file, render(report), encoding)


def _report(
    candidate: Path | None, facts: Path | None, on: datetime | None, body: str | None, data: Path, client: str | None
) -> Report:
    """Reads what was proposed first: a mistake in it is told before the register is read."""
    from cli.what_if.candidate import check_facts, read_candidate, read_facts, read_standards, standard_of
    from libs.standards import day_of

    today = day_of(datetime.now(UTC))
    given = None if candidate is None else read_candidate(candidate)
    changes = {} if facts is None else read_facts(facts)
    running = load(data)
    profile = read_profile(running.profile)
    register = register_of(running, body, client)
    now = read_standards(profile, today, activated=register.activated)
    proposed = read_standards(profile, on.date() if on else today, given, register.activated)
    # of an asset of another body not even that it exists is said
    shown = {one.asset_id: one.network for one in register.assets if body in (None, one.body)}
    check_facts(changes, {asset_id: standard_of(proposed, network) for asset_id, network in shown.items()})
    return compared(register, profile, now, proposed, changes, body)


def compared(
    register: Register,
    profile: Profile,
    now: Mapping[str, Standard],
    proposed: Mapping[str, Standard],
    changes: FactFile | None = None,
    body: str | None = None,
) -> Report:
    """What would change of the register under other standards, by network as `read_standards` gives them, and other facts."""
    from cli.what_if.candidate import standard_of
    from cli.what_if.report import Report
    from libs.standards.what_if import Comparison, compare

    # what is made lives until the end: there is nothing to collect, and looking for it takes a fifth of the time
    gc.disable()
    comparison = Comparison.joined(
        compare(
            register.of(network),
            standard_of(now, network),
            standard_of(proposed, network),
            changes or {},
            register.overrides.of(network),
        )
        for network in sorted({one.network for one in register.assets})
    )
    if body is None:
        return Report(comparison, tuple(now.values()), tuple(proposed.values()), names_of(profile))
    here, there = (standard_of(side, profile.network_of(body)) for side in (now, proposed))
    return Report(comparison.of_body(body), (here,), (there,), names_of(profile))


def register_of(running: Running, body: str | None, client: str | None) -> Register:
    """Every asset of the body's network, for its levels may come from there; without `body`, of every network."""
    from aiokafka.errors import KafkaError

    from cli.kafka import account
    from cli.what_if.register import read_register

    network = None if body is None else check_body(running, body)
    shown = read_profile(running.profile).body_by_id if body is None else (body,)
    for one in shown:
        check_may_read(running, client or (SECURITY_OFFICE if body is None else client_of(body)), one)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    with bar:
        task = bar.add_task(say("cli.what_if.reading"), total=None)
        reading = read_register(
            account(running.data, ACCOUNT),
            network,
            lambda done, total: bar.update(task, completed=done, total=total),
            datetime.now(UTC),
        )
        try:
            return asyncio.run(reading)
        except KafkaError as error:
            raise CliError("cli.kafka", bootstrap=running.kafka, detail=type(error).__name__) from error


def _write(file: Path, content: str, encoding: str) -> None:
    try:
        # `newline`: CSV has its own line ends
        file.write_text(content, encoding=encoding, newline="")
    except OSError as error:
        raise CliError("cli.unwritable", file=file, detail=error.strerror or error) from error
    typer.echo(say("cli.what_if.written", file=file))
