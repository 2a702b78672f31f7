# SPDX-License-Identifier: Apache-2.0
"""`daicho deadletters`: what could not be taken and why, and what a person makes of it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias
from urllib.parse import quote

import click
import typer
from rich.console import Console
from rich.table import Table

from cli import direct_letters
from cli.api import Api
from cli.command import DATA, AsJson, Client, Data, OfBody, command, group
from cli.errors import MISUSED, CliError
from cli.files import content_of
from cli.identity import SECURITY_OFFICE
from cli.language import current, pick, say
from cli.people import given
from cli.rows import NOTHING, local
from cli.running import load
from cli.tables import table_with
from libs.contracts import Reason, Text

Consumer = Annotated[str | None, typer.Option("--consumer", help=say("cli.help.consumer"), show_default=False)]
OfReason = Annotated[Reason | None, typer.Option("--reason", help=say("cli.help.letter_reason"), show_default=False)]
OfFeed = Annotated[str | None, typer.Option("--feed", help=say("cli.help.letter_feed"), show_default=False)]
OfKey = Annotated[str | None, typer.Option("--key", help=say("cli.help.key"), show_default=False)]
Key = Annotated[str | None, typer.Argument(help=say("cli.help.key_or_letter"), metavar="KEY", show_default=False)]
Letter = Annotated[str, typer.Argument(help=say("cli.help.letter"), metavar="LETTER")]
Note = Annotated[str, typer.Option("--note", help=say("cli.help.letter_note"))]
OptionalNote = Annotated[str | None, typer.Option("--note", help=say("cli.help.letter_note"), show_default=False)]
Direct = Annotated[bool, typer.Option("--direct", help=say("cli.help.direct"))]
Newest = Annotated[bool, typer.Option("--newest", help=say("cli.help.newest"))]
Decided = Annotated[bool, typer.Option("--decided", help=say("cli.help.decided"))]
Most = Annotated[int, typer.Option("--limit", help=say("cli.help.letter_limit"), min=1)]
ItemFile = Annotated[
    Path | None, typer.Option("--file", help=say("cli.help.item_file"), dir_okay=False, show_default=False)
]
Partition = Annotated[int, typer.Argument(help=say("cli.help.partition"), metavar="PARTITION", min=0)]
OfConsumer = Annotated[str, typer.Argument(help=say("cli.help.consumer"), metavar="CONSUMER")]
OfTopic = Annotated[str, typer.Option("--topic", help=say("cli.help.topic"))]

Answer: TypeAlias = Mapping[str, Any]

_LETTERS: Final = "/v1/dead-letters"
_FEED_TOPIC: Final = "daicho.feed.v1"


def add_to(app: typer.Typer) -> None:
    deadletters = group("deadletters")
    command(deadletters, "list", "cli.help.deadletters_list")(list_)
    command(deadletters, "keys", "cli.help.deadletters_keys")(keys)
    command(deadletters, "show", "cli.help.deadletters_show")(show)
    command(deadletters, "edit", "cli.help.deadletters_edit")(edit)
    command(deadletters, "release", "cli.help.deadletters_release")(release)
    command(deadletters, "discard", "cli.help.deadletters_discard")(discard)
    command(deadletters, "resume", "cli.help.deadletters_resume")(resume)
    app.add_typer(deadletters, name="deadletters")


def list_(
    data: Data = DATA,
    reason: OfReason = None,
    body: OfBody = None,
    feed: OfFeed = None,
    key: OfKey = None,
    consumer: Consumer = None,
    newest: Newest = False,
    decided: Decided = False,
    limit: Most = 100,
    direct: Direct = False,
    client: Client = None,
) -> None:
    who = client or SECURITY_OFFICE
    if direct:
        letters = list(direct_letters.waiting(data, who, body, consumer))
        _print_letters(letters, say("cli.deadletters_count", count=len(letters)))
        return
    chosen = {"reason": reason, "body": body, "feed": feed, "key": key, "consumer": consumer}
    order = "newest" if newest else "oldest"
    with Api(load(data), "inventory", who) as api:
        found = api.pages(_LETTERS, state="decided" if decided else None, order=order, **chosen)
        letters = list(islice(found, limit))
        waiting = sum(api.get(f"{_LETTERS}/summary")["by_reason"].values())
    _print_letters(letters, say("cli.deadletters_count", count=waiting))


def keys(
    data: Data = DATA,
    reason: OfReason = None,
    body: OfBody = None,
    feed: OfFeed = None,
    consumer: Consumer = None,
    limit: Most = 100,
    client: Client = None,
) -> None:
    with Api(load(data), "inventory", client or SECURITY_OFFICE) as api:
        pages = api.pages(f"{_LETTERS}/keys", reason=reason, body=body, feed=feed, consumer=consumer)
        found = list(islice(pages, limit))
        summary = api.get(f"{_LETTERS}/summary")
    table = table_with("time", "key", "consumer", "letters", "reason")
    for one in found:
        place = f"{one['consumer']}\n{one['topic']}/{one['partition']}"
        since = local(datetime.fromisoformat(one["parked_at"]))
        table.add_row(since, one["key"], place, str(one["letters"]), say(f"reason.{one['reason']}"))
    console = Console()
    console.print(table)
    for one in summary["parked"]:
        most = summary["caps"]["max_parked_keys"]
        place = f"{one['consumer']} {one['topic']}/{one['partition']}"
        console.print(say("cli.parked_of", place=place, keys=one["keys"], letters=one["letters"], most=most))


def show(letter: Letter, data: Data = DATA, as_json: AsJson = False, client: Client = None) -> None:
    with Api(load(data), "inventory", client or SECURITY_OFFICE) as api:
        found = api.get(_path(letter))
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False, indent=2))
        return
    table = Table(show_header=False, expand=True)
    table.add_column()
    table.add_column(overflow="fold")
    for name, value in _rows(found):
        table.add_row(say(f"cli.column.{name}"), value)
    Console().print(table)


def edit(letter: Letter, note: Note, file: ItemFile = None, data: Data = DATA, client: Client = None) -> None:
    with Api(load(data), "inventory", client or SECURITY_OFFICE) as api:
        sent = _edited(api, letter, note) if file is None else _corrected(api, letter, content_of(file), note)
    typer.echo(say("cli.letter_corrected", id=letter, count=sent["records"]))


def release(
    key: Key = None,
    data: Data = DATA,
    reason: OfReason = None,
    body: OfBody = None,
    feed: OfFeed = None,
    consumer: Consumer = None,
    note: OptionalNote = None,
    direct: Direct = False,
    client: Client = None,
) -> None:
    who = client or SECURITY_OFFICE
    if (key is None) == (reason is None):
        raise CliError("cli.key_or_reason", code=MISUSED)
    if direct:
        if key is None:
            raise CliError("cli.direct_key", code=MISUSED)
        typer.echo(say("cli.released", count=direct_letters.release(data, who, key, consumer, note), key=key))
        return
    with Api(load(data), "inventory", who) as api:
        if key is not None and "/" not in key:
            sent = api.change(f"{_path(key)}/release", given({"note": note}))
            typer.echo(say("cli.letter_released", id=key, count=sent["records"]))
            return
        if key is not None:
            wanted = given({"key": key, "consumer": consumer, "note": note})
            typer.echo(say("cli.released", count=api.change(f"{_LETTERS}/release", wanted)["records"], key=key))
            return
        chosen = given({"reason": reason, "body": body, "feed": feed, "consumer": consumer, "note": note})
        done = list(_all_released(api, chosen))
    released, records = sum(one["keys"] for one in done), sum(one["records"] for one in done)
    typer.echo(say("cli.all_released", keys=released, count=records))


def discard(letter: Letter, note: Note, data: Data = DATA, client: Client = None) -> None:
    with Api(load(data), "inventory", client or SECURITY_OFFICE) as api:
        sent = api.change(f"{_path(letter)}/discard", {"note": note})
    typer.echo(say("cli.letter_discarded", id=letter, count=sent["records"]))


def resume(
    consumer: OfConsumer,
    partition: Partition,
    note: Note,
    topic: OfTopic = _FEED_TOPIC,
    data: Data = DATA,
    client: Client = None,
) -> None:
    wanted = {"consumer": consumer, "topic": topic, "partition": partition, "note": note}
    with Api(load(data), "inventory", client or SECURITY_OFFICE) as api:
        api.change(f"{_LETTERS}/resume", wanted)
    typer.echo(say("cli.resumed", consumer=consumer, place=f"{topic}/{partition}"))


def _edited(api: Api, letter: str, note: str) -> Answer:
    """Let the person edit the item, again where it is refused and they want to."""
    found = api.get(_path(letter))
    content = json.dumps(found["item"], ensure_ascii=False, indent=2) if found["item"] else found["value"]["text"]
    while True:
        edited = click.edit(content or "{}", extension=".json")
        if edited is None:
            raise CliError("cli.not_edited", code=MISUSED, id=letter)
        try:
            return _corrected(api, letter, edited, note)
        except CliError as refused:
            typer.echo(refused.sentence(current()), err=True)
            if not typer.confirm(say("cli.edit_again")):
                raise
        content = edited


def _corrected(api: Api, letter: str, content: str | bytes, note: str) -> Answer:
    try:
        item = json.loads(content)
    except ValueError as error:
        raise CliError("cli.item_not_json", code=MISUSED, detail=error) from None
    return api.change(f"{_path(letter)}/correct", {"item": item, "note": note})


def _all_released(api: Api, chosen: dict[str, Any]) -> Iterable[Answer]:
    """What is put aside again meanwhile is not released again."""
    more = True
    while more:
        answer = api.change(f"{_LETTERS}/release-all", chosen)
        yield answer
        more, chosen = answer["more"], {**chosen, "before": answer["before"]}


def _path(letter: str) -> str:
    return f"{_LETTERS}/{quote(letter, safe=':')}"


def _print_letters(letters: Iterable[Answer], caption: str) -> None:
    table = table_with("time", "id", "key", "reason", caption=caption)
    for one in letters:
        table.add_row(_since(one), one["id"], one["key"], "\n".join(filter(None, (_why(one), _decision(one)))))
    Console().print(table)


def _rows(letter: Answer) -> Iterable[tuple[str, str]]:
    yield "id", letter["id"]
    yield "time", _since(letter)
    yield "body", letter["body"] or NOTHING
    yield "key", letter["key"]
    yield "consumer", f"{letter['consumer']}\n{letter['topic']}/{letter['partition']}/{letter['offset']}"
    yield "reason", _why(letter)
    yield "behind", str(letter["behind"])
    yield "headers", "\n".join(f"{one['name']}: {_text(one)}" for one in letter["headers"]) or NOTHING
    yield "content", _text(letter["value"])
    if letter["decision"]:
        yield "decided", _decision(letter)
    if letter["correction"]:
        yield "corrected", f"{letter['correction']['key']}\n{_text(letter['correction']['value'])}"


def _text(content: Answer) -> str:
    return str(content["text"] if content["text"] is not None else content["base64"] or NOTHING)


def _since(letter: Answer) -> str:
    return local(_time(letter["parked_at"]))


def _time(told: str | datetime) -> datetime:
    return told if isinstance(told, datetime) else datetime.fromisoformat(told)


def _why(letter: Answer) -> str:
    place = f" {letter['field']}" if letter["field"] else ""
    return f"{pick(Text.model_validate(letter['reason_text']))}{place}\n{letter['detail']}"


def _decision(letter: Answer) -> str:
    decision = letter.get("decision")
    if not decision:
        return ""
    what = say(f"cli.letter_state.{letter['state']}")
    return " ".join(filter(None, (what, decision["by"], local(_time(decision["at"])), decision["note"])))
