# SPDX-License-Identifier: Apache-2.0
"""`daicho assets merges`: assets that may be one, and what people made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.console import Console

from cli.api import Api
from cli.command import DATA, Client, Data, OfBody, command, group
from cli.identity import SECURITY_OFFICE
from cli.language import say
from cli.people import decide_on, given
from cli.running import load
from cli.tables import table_with

Candidate = Annotated[str, typer.Argument(help=say("cli.help.candidate_id"), metavar="CANDIDATE")]
Merge = Annotated[str, typer.Argument(help=say("cli.help.merge_id"), metavar="MERGE")]
Keep = Annotated[str | None, typer.Option("--keep", help=say("cli.help.keep_asset"), show_default=False)]
Note = Annotated[str | None, typer.Option("--note", help=say("cli.help.note"), show_default=False)]
Done = Annotated[bool, typer.Option("--done", help=say("cli.help.merges_done"))]


def add_to(assets: typer.Typer) -> None:
    merges = group("merges")
    command(merges, "list", "cli.help.merges_list")(list_)
    command(merges, "accept", "cli.help.merges_accept")(accept)
    command(merges, "reject", "cli.help.merges_reject")(reject)
    command(merges, "undo", "cli.help.merges_undo")(undo)
    assets.add_typer(merges, name="merges")


def list_(body: OfBody = None, done: Done = False, data: Data = DATA, client: Client = None) -> None:
    table = table_with(
        *(("id", "asset", "other_asset", "evidence") if not done else ("id", "state", "asset", "other_asset"))
    )
    with Api(load(data), "inventory", client or SECURITY_OFFICE) as api:
        rows = map(_done, api.pages("/v1/merges")) if done else map(_candidate, _proposed(api, body))
        for row in rows:
            table.add_row(*row)
    Console().print(table)


def accept(
    candidate: Candidate, keep: Keep = None, note: Note = None, data: Data = DATA, client: Client = None
) -> None:
    merged = decide_on(f"/v1/merge-candidates/{candidate}", "accept", data, client, given({"keep": keep, "note": note}))
    typer.echo(say("cli.merges.merged", lost=merged["from_id"], kept=merged["into_id"], id=merged["merge_id"]))


def reject(candidate: Candidate, note: Note = None, data: Data = DATA, client: Client = None) -> None:
    decide_on(f"/v1/merge-candidates/{candidate}", "reject", data, client, given({"note": note}))
    typer.echo(say("cli.merges.rejected", id=candidate))


def undo(merge: Merge, data: Data = DATA, client: Client = None) -> None:
    undone = decide_on(f"/v1/merges/{merge}", "undo", data, client, {})
    typer.echo(say("cli.merges.undone", lost=undone["from_id"], kept=undone["into_id"]))


def _proposed(api: Api, body: str | None) -> Any:
    return api.pages("/v1/merge-candidates", state="proposed", body=body)


def _candidate(found: Mapping[str, Any]) -> tuple[str, ...]:
    evidence = [_evidence(one) for one in found["evidence"]]
    if found["told_apart"]:
        evidence.append(say("cli.merges.told_apart", feed=found["feed"]))
    source = f"{found['feed']}/{found['source_key']}"
    return found["candidate_id"], f"{source}\n{found['asset_id']}", found["other_id"], "\n".join(evidence)


def _evidence(one: Mapping[str, Any]) -> str:
    here, there = _values(one["here"]), _values(one["there"])
    key = "cli.merges.agrees" if one["agrees"] else "cli.merges.disagrees"
    return say(key, names=" + ".join(one["names"]), here=here, there=there)


def _values(values: Sequence[Sequence[str]]) -> str:
    return ", ".join(" + ".join(value) for value in values)


def _done(merge: Mapping[str, Any]) -> tuple[str, ...]:
    state = say(f"cli.merge_state.{'undone' if merge['undone_by'] else merge['kind']}")
    who = merge["undone_by"] or merge["done_by"]
    return merge["merge_id"], f"{state}\n{who}", merge["from_id"], merge["into_id"]
