# SPDX-License-Identifier: Apache-2.0
"""`daicho admin apply`: make the topics, their settings and the accounts' rights what the topic table says."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.command import DATA, PROFILE, Data, command, group
from cli.language import pick, say
from cli.layout import PARTITIONS
from cli.profile import read_profile
from cli.standards import ProfileFile
from libs.contracts.topics import TOPICS

Partitions = Annotated[int, typer.Option(help=say("cli.help.partitions"), min=1, max=1000)]
Replication = Annotated[int, typer.Option(help=say("cli.help.replication"), min=1, max=9)]


def add_to(app: typer.Typer) -> None:
    admin = group("admin")
    command(admin, "apply", "cli.help.apply")(apply)
    app.add_typer(admin, name="admin")


def apply(
    data: Data = DATA,
    partitions: Partitions = PARTITIONS,
    replication: Replication = 1,
    profile: ProfileFile = PROFILE,
) -> None:
    from cli import kafka

    settings = kafka.administrator(data)
    for change in kafka.apply(settings, partitions, replication, read_profile(profile)):
        typer.echo(pick(change))
    typer.echo(say("cli.applied", count=len(TOPICS), bootstrap=settings.bootstrap))
