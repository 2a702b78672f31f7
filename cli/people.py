# SPDX-License-Identifier: Apache-2.0
"""What a person's writes have in common: each is on the revision that is read at this moment, and may wait for a second person."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

import typer

from cli.api import Api
from cli.command import Client, Data
from cli.identity import SECURITY_OFFICE
from cli.language import pick, say
from cli.naming import id_of
from cli.running import load
from libs.contracts import Text

Why = Annotated[str, typer.Option("--reason", help=say("cli.help.why"))]
Note = Annotated[str | None, typer.Option("--note", help=say("cli.help.people_note"), show_default=False)]

_REQUEST: Final = "request_id"


def act_on(
    asset: str,
    feed: str | None,
    data: Data,
    client: Client,
    content: Mapping[str, Any],
    at: str = "",
    method: str = "POST",
) -> Any:
    """Send a person's write to an asset, at `at` below it; what the service answers."""
    running = load(data)
    with Api(running, "inventory", client or SECURITY_OFFICE) as api:
        place = f"/v1/assets/{id_of(running, asset, feed)}"
        return api.change(place + at, content, api.get(place)["revision"], method=method)


def decide_on(
    place: str, decision: str, data: Data, client: Client, content: Mapping[str, Any], service: str = "inventory"
) -> Any:
    """Decide on what stands at `place` as it is read."""
    with Api(load(data), service, client or SECURITY_OFFICE) as api:
        return api.change(f"{place}/{decision}", content, api.get(place)["revision"])


def given(content: Mapping[str, Any]) -> dict[str, Any]:
    """Without what was not given."""
    return {name: value for name, value in content.items() if value is not None}


def tell(answer: Mapping[str, Any], done: str) -> None:
    """Say that it is done, or waits; and what the service has to say on it."""
    waits = _REQUEST in answer
    typer.echo(say("cli.people.waits", id=answer[_REQUEST]) if waits else done)
    if answer.get("notice"):
        typer.echo(pick(Text.model_validate(answer["notice"])))
    for one in answer.get("remarks", ()):
        typer.echo(say("cli.disposal.remark", text=pick(Text.model_validate(one["text"]))))
