# SPDX-License-Identifier: Apache-2.0
"""`daicho explain`: why an asset has the levels it has, as a tree that an auditor can check, and what it therefore owes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from cli.api import Api
from cli.assets import described, line
from cli.command import DATA, AsJson, Client, Data, command
from cli.files import write
from cli.identity import SECURITY_OFFICE
from cli.language import current, pick, say
from cli.naming import Asset, OfFeed, id_of
from cli.profile import names_of, read_profile
from cli.rows import Names, override_told
from cli.running import load
from cli.tables import table_with
from libs.contracts import Basis, Dimension, Duty, FindingState, OverrideRef
from libs.contracts import Text as Sentence

Svg = Annotated[Path | None, typer.Option("--svg", help=say("cli.help.svg"), dir_okay=False)]
InDimension = Annotated[Dimension, typer.Option("--dimension", help=say("cli.help.svg_dimension"))]


def add_to(app: typer.Typer) -> None:
    command(app, "explain")(explain)


def explain(
    asset: Asset,
    feed: OfFeed = None,
    as_json: AsJson = False,
    svg: Svg = None,
    dimension: InDimension = Dimension.CONFIDENTIALITY,
    data: Data = DATA,
    client: Client = None,
) -> None:
    running = load(data)
    with Api(running, "classification", client or SECURITY_OFFICE) as api:
        place = f"/v1/classifications/{id_of(running, asset, feed)}"
        found = api.get(f"{place}/explanation")
        if svg is not None:
            write(svg, api.content(f"{place}/explanation.svg", dimension=dimension, language=current()))
        duties, findings = api.get(f"{place}/obligations"), api.get(f"{place}/findings")
    if as_json:
        told = {"explanation": found, "obligations": duties, "findings": findings}
        typer.echo(json.dumps(told, ensure_ascii=False, indent=2))
        return
    names = names_of(read_profile(running.profile))
    head = line(found["name"], names.body(found["body"]), *described(found), found["standard"] or "", found["asset_id"])
    states = {one["obligation"]: FindingState(one["state"]) for one in findings}
    owed = [Duty.model_validate(one) for one in duties]
    Console().print(Group(tree(head, found["dimensions"], names), _duties(owed, states)))


def tree(head: Text, dimensions: Mapping[str, Any], names: Names) -> Tree:
    """Each level of an explanation, with what it rests on below."""
    root = Tree(head)
    for dimension in Dimension:
        level = dimensions[dimension]
        origin = level["origin"]
        title = f"{say(f'words.dimension.{dimension}')} {level['level']} — {say(f'words.origin.{origin}')}"
        _add_reasons(root.add(Text(title, style="bold")), level, names)
    return root


def _add_reasons(own: Tree, level: Mapping[str, Any], names: Names) -> None:
    branch = own
    own.add(Text(_sentence(level["definition"])))
    if level["other_body"] is not None:
        own.add(Text(say("cli.explain.other_body", body=names.body(level["other_body"]))))
    for step in level["path"]:
        if level["omitted"] and step is level["path"][-1]:
            branch = branch.add(Text(say("words.omitted", count=level["omitted"])))
        name = step["name"] or say("cli.explain.gone")
        relation = say(f"words.relation.{step['relation']}") if step["relation"] else ""
        branch = branch.add(line(f"← {relation}", name, step["level"] or "", step["asset_id"]))
    if level["at_source"] == "declared":
        branch.add(_told("declared", level["level"]))
    if level["override"] is not None:
        branch.add(Text(override_told(OverrideRef.model_validate(level["override"]))))
    if level["rule"] is not None:
        _add_rule(branch, level["rule"])
    told = {"declared": level["declared"], "derived": level["derived"]}
    for origin, code in told.items():
        if code is not None and origin != level["origin"]:
            own.add(_told(origin, code))


def _told(origin: str, level: str) -> Text:
    return Text(say("cli.explain.besides", origin=say(f"words.origin.{origin}"), level=level))


def _add_rule(branch: Tree, rule: Mapping[str, Any]) -> None:
    node = branch.add(Text(f"{rule['id']} {_sentence(rule['text'])}"))
    if rule["when"] is not None:
        node.add(Text(say("cli.explain.when", when=rule["when"])))
    for one in rule["reads"]:
        node.add(Text(say("cli.explain.reads", fact=one["fact"], meaning=_sentence(one["meaning"]))))
    if rule["basis"] is not None:
        node.add(Text(say("cli.explain.basis", basis=_basis(Basis.model_validate(rule["basis"])))))


def _duties(duties: list[Duty], states: Mapping[str, FindingState]) -> Table:
    table = table_with("duty", "audience", "finding", "basis", caption=say("cli.duties_count", count=len(duties)))
    for duty in duties:
        state = say(f"cli.finding.{states[duty.id]}") if duty.id in states else ""
        table.add_row(f"{duty.id} {pick(duty.title)}", say(f"cli.audience.{duty.audience}"), state, _basis(duty.basis))
    return table


def _basis(basis: Basis) -> str:
    if basis.grade is None:
        return say("cli.explain.our_own")
    return " ".join(part for part in (basis.source, basis.place, f"[{basis.grade}]" if basis.grade else None) if part)


def _sentence(told: Mapping[str, str]) -> str:
    return pick(Sentence.model_validate(told))
