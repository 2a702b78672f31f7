# SPDX-License-Identifier: Apache-2.0
"""The standards that hold on a running instance, as its classification service tells them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, NamedTuple

import typer

from cli.api import Api
from cli.language import say
from cli.running import Running
from libs.contracts import StandardState
from libs.standards import StandardDocument
from libs.standards.overlay import HEAD, Overlay, parse_overlay

Active = Annotated[bool, typer.Option("--active", help=say("cli.help.active"))]

_HOLDS: Final = frozenset({StandardState.ACTIVE, StandardState.ACTIVATING})


class Held(NamedTuple):
    """What holds at a place, with the overlay that it is made by; `base` is what that stands on, else it is the whole itself."""

    document: StandardDocument
    overlay: Overlay | None
    base: StandardDocument


def read_active(running: Running, client: str) -> Mapping[str | None, Held]:
    """By network, None for the base; of the networks that the client may read. Raises CliError."""
    with Api(running, "classification", client) as api:
        holding = [one for one in api.get("/v1/standards") if StandardState(one["state"]) in _HOLDS]
        return {one["network"]: _held(api, f"{one['name']}/{one['version']}") for one in holding}


def _held(api: Api, named: str) -> Held:
    told = _version(api, named)
    document = StandardDocument.model_validate(told["document"])
    if HEAD not in told["files"]:
        return Held(document, None, document)
    base = StandardDocument.model_validate(_version(api, told["base"])["document"])
    return Held(document, parse_overlay(told["files"]), base)


def _version(api: Api, named: str) -> dict[str, Any]:
    found: dict[str, Any] = api.get(f"/v1/standards/{named}")
    return found
