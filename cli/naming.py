# SPDX-License-Identifier: Apache-2.0
"""Which asset is meant: by its id, or by the key under which a feed knows it."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.errors import MISUSED, CliError
from cli.language import say
from cli.profile import read_profile
from cli.running import Running
from libs.contracts import Feed, asset_id

Asset = Annotated[str, typer.Argument(help=say("cli.help.asset"), metavar="ASSET")]
OfFeed = Annotated[str | None, typer.Option("--feed", help=say("cli.help.of_feed"), show_default=False)]


def id_of(running: Running, asset: str, feed: str | None) -> str:
    """The id of an asset, told by itself or as the key under which a feed knows it."""
    if feed is None:
        return asset
    return asset_id(read_profile(running.profile).municipality, feed_of(running, feed).id, asset)


def feed_of(running: Running, feed: str) -> Feed:
    known = read_profile(running.profile).feed_by_id
    if feed not in known:
        raise CliError("cli.unknown_feed", code=MISUSED, feed=feed, known=", ".join(known))
    return known[feed]
