# SPDX-License-Identifier: Apache-2.0
"""`daicho feed snapshot`: tell all that a feed has, and decide where that would retire too much."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from pydantic import TypeAdapter, ValidationError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from cli.api import Api
from cli.command import DATA, Client, Data, command, group
from cli.errors import FAILED, MISUSED, CliError
from cli.files import content_of
from cli.identity import SECURITY_OFFICE
from cli.language import say
from cli.naming import feed_of
from cli.people import decide_on, given
from cli.rows import NOTHING, local
from cli.running import load
from cli.tables import table_with

Feed = Annotated[str, typer.Argument(help=say("cli.help.feed_id"), metavar="FEED")]
OfFeed = Annotated[str | None, typer.Option("--feed", help=say("cli.help.snapshot_feed"), show_default=False)]
File = Annotated[Path, typer.Argument(help=say("cli.help.snapshot_file"), metavar="FILE", dir_okay=False)]
Session = Annotated[str, typer.Argument(help=say("cli.help.snapshot_session"), metavar="SESSION")]
Snapshot = Annotated[str, typer.Argument(help=say("cli.help.snapshot_id"), metavar="SNAPSHOT")]
Bodies = Annotated[list[str] | None, typer.Option("--body", help=say("cli.help.snapshot_bodies"), show_default=False)]
Items = Annotated[list[str], typer.Option("--items", help=say("cli.help.snapshot_items"), metavar="BODY=NUMBER")]
Waiting = Annotated[bool, typer.Option("--waiting", help=say("cli.help.snapshot_waiting"))]
Limit = Annotated[int, typer.Option("--limit", help=say("cli.help.limit"), min=1)]
Reason = Annotated[str, typer.Option("--reason", help=say("cli.help.snapshot_reason"))]
OptionalReason = Annotated[
    str | None, typer.Option("--reason", help=say("cli.help.snapshot_reason"), show_default=False)
]

AT_ONCE: Final = 1_000
"""Items that the door takes together."""
DONE_WITHIN: Final = 60.0
_OPEN: Final = "open"
_UNDER_WAY: Final = frozenset({_OPEN, "retiring"})
_WELL: Final = frozenset({"retiring", "done"})
_LINES: Final = frozenset({".ndjson", ".jsonl"})
_ITEMS: Final = TypeAdapter(list[dict[str, Any]])

Item = Mapping[str, Any]


def add_to(feed: typer.Typer) -> None:
    snapshot = group("snapshot")
    command(snapshot, "send", "cli.help.snapshot_send")(send)
    command(snapshot, "begin", "cli.help.snapshot_begin")(begin)
    command(snapshot, "end", "cli.help.snapshot_end")(end)
    command(snapshot, "abort", "cli.help.snapshot_abort")(abort)
    command(snapshot, "list", "cli.help.snapshot_list")(list_)
    command(snapshot, "show", "cli.help.snapshot_show")(show)
    command(snapshot, "approve", "cli.help.snapshot_approve")(approve)
    command(snapshot, "refuse", "cli.help.snapshot_refuse")(refuse)
    feed.add_typer(snapshot, name="snapshot")


def send(feed: Feed, file: File, bodies: Bodies = None, data: Data = DATA, client: Client = None) -> None:
    running = load(data)
    declared = feed_of(running, feed)
    if declared.format != "plain":
        raise CliError("cli.snapshot.not_plain", code=MISUSED, feed=feed, format=declared.format)
    items = items_of(file)
    with Api(running, "inventory", client or f"feed-{feed}") as api:
        begun = _begin(api, feed, bodies)
        session = begun["session"]
        try:
            counts = _send(api, feed, session, items)
        except BaseException:
            api.change(f"/v1/feeds/{feed}/snapshots/{session}/abort", {})
            raise
        told = {body: counts.pop(body, 0) for part in begun["snapshots"] for body in part["bodies"]}
        if counts:
            api.change(f"/v1/feeds/{feed}/snapshots/{session}/abort", {})
            raise CliError("cli.snapshot.other_bodies", code=MISUSED, bodies=", ".join(sorted(counts)))
        api.change(f"/v1/feeds/{feed}/snapshots/{session}/end", {"items": told})
        found = ended(api, session, len(begun["snapshots"]))
    Console().print(table_of(found))
    if {one["state"] for one in found} - _WELL:
        raise typer.Exit(FAILED)


def begin(feed: Feed, bodies: Bodies = None, data: Data = DATA, client: Client = None) -> None:
    with Api(load(data), "inventory", client or f"feed-{feed}") as api:
        typer.echo(_begin(api, feed, bodies)["session"])


def end(feed: Feed, session: Session, items: Items, data: Data = DATA, client: Client = None) -> None:
    counts = dict(_count(one) for one in items)
    with Api(load(data), "inventory", client or f"feed-{feed}") as api:
        marked = api.change(f"/v1/feeds/{feed}/snapshots/{session}/end", {"items": counts})
        Console().print(table_of(ended(api, session, len(marked["snapshots"]))))


def abort(
    feed: Feed, session: Session, reason: OptionalReason = None, data: Data = DATA, client: Client = None
) -> None:
    with Api(load(data), "inventory", client or f"feed-{feed}") as api:
        api.change(f"/v1/feeds/{feed}/snapshots/{session}/abort", given({"reason": reason}))
    typer.echo(say("cli.snapshot.aborted", session=session))


def list_(
    feed: OfFeed = None, waiting: Waiting = False, limit: Limit = 50, data: Data = DATA, client: Client = None
) -> None:
    with Api(load(data), "inventory", client or SECURITY_OFFICE) as api:
        found = api.pages("/v1/snapshots", feed=feed, state="waiting" if waiting else None)
        Console().print(table_of(islice(found, limit)))


def show(snapshot: Snapshot, limit: Limit = 50, data: Data = DATA, client: Client = None) -> None:
    place = f"/v1/snapshots/{snapshot}"
    with Api(load(data), "inventory", client or SECURITY_OFFICE) as api:
        found = api.get(place)
        missing = list(islice(api.pages(f"{place}/missing"), limit))
    console = Console()
    console.print(table_of([found]))
    if found["decided_by"]:
        typer.echo(say("cli.snapshot.decided", by=found["decided_by"], reason=found["decision_reason"]))
    if missing:
        console.print(_missing(missing, found["remaining"]))


def approve(snapshot: Snapshot, reason: Reason, data: Data = DATA, client: Client = None) -> None:
    decided = decide_on(f"/v1/snapshots/{snapshot}", "approve", data, client, {"reason": reason})
    typer.echo(say("cli.snapshot.approved", count=decided["remaining"]))


def refuse(snapshot: Snapshot, reason: Reason, data: Data = DATA, client: Client = None) -> None:
    decide_on(f"/v1/snapshots/{snapshot}", "refuse", data, client, {"reason": reason})
    typer.echo(say("cli.snapshot.refused"))


def items_of(file: Path) -> list[dict[str, Any]]:
    """The items in a file: one a line, or a JSON document of `items` as the door takes them. Raises CliError."""
    content = content_of(file)
    try:
        if file.suffix.lower() in _LINES:
            return [json.loads(line) for line in content.splitlines() if line.strip()]
        return _ITEMS.validate_python(json.loads(content)["items"])
    except (ValueError, ValidationError, KeyError, TypeError) as error:
        raise CliError("cli.snapshot.no_items", code=MISUSED, file=file) from error


def ended(api: Api, session: str, parts: int) -> list[dict[str, Any]]:
    """How the parts of a session stand once each has come to its end, or after a while."""
    deadline = time.monotonic() + DONE_WITHIN
    while True:
        found = list(api.pages("/v1/snapshots", session=session))
        done = len(found) == parts and not any(one["state"] in _UNDER_WAY for one in found)
        if done or time.monotonic() > deadline:
            return found
        time.sleep(0.3)


def table_of(snapshots: Iterable[Item]) -> Table:
    """Snapshots as a table."""
    table = table_with("time", "feed", "bodies", "state", "items", "missing_of", "retired", "id")
    for one in snapshots:
        table.add_row(
            local(datetime.fromisoformat(one["begun_at"])),
            f"{one['feed']}\n{one['network']}",
            ", ".join(one["bodies"]),
            say(f"cli.snapshot.state.{one['state']}"),
            NOTHING if one["sent"] is None else f"{one['accepted']}/{one['sent']}",
            NOTHING if one["known"] is None else f"{one['missing']}/{one['known']}",
            str(one["retired"]),
            one["snapshot_id"],
        )
    return table


def _missing(missing: Sequence[Item], remaining: int) -> Table:
    table = table_with("asset", "kind", "source", "told_by")
    for one in missing:
        kind = say(f"words.kind.{one['kind']}") if one["kind"] else NOTHING
        table.add_row(one["name"] or NOTHING, kind, one["source_key"], ", ".join(one["told_by"]) or NOTHING)
    if remaining > len(missing):
        table.caption = say("cli.and_more", count=remaining - len(missing))
    return table


def _begin(api: Api, feed: str, bodies: Sequence[str] | None) -> Any:
    return api.change(f"/v1/feeds/{feed}/snapshots", given({"bodies": bodies or None}))


def _send(api: Api, feed: str, session: str, items: Sequence[Item]) -> dict[str, int]:
    """Send the items with a bar of how far it is; of each body, how many assets they tell of."""
    keys: dict[str, set[str]] = {}
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    with bar:
        task = bar.add_task(say("cli.snapshot.sending"), total=len(items))
        for piece in _pieces(items):
            api.change(f"/v1/feeds/{feed}/items", {"items": piece}, snapshot=session)
            for item in piece:
                keys.setdefault(item["body"], set()).add(item["source_key"])
            bar.advance(task, len(piece))
    return {body: len(found) for body, found in keys.items()}


def _pieces(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    return (items[start : start + AT_ONCE] for start in range(0, len(items), AT_ONCE))


def _count(given: str) -> tuple[str, int]:
    body, _, number = given.partition("=")
    if not body or not number.isascii() or not number.isdigit():
        raise CliError("cli.snapshot.items", code=MISUSED, given=given)
    return body, int(number)
