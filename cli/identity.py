# SPDX-License-Identifier: Apache-2.0
"""`daicho token`, and the token with which a command speaks to an instance."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import httpx
import typer

from cli.command import DATA, Data, command
from cli.errors import MISUSED, CliError
from cli.language import say
from cli.profile import read_profile
from cli.running import Running, load
from libs.devstack.credentials import write_private

if TYPE_CHECKING:
    from libs.security import Identity

SECURITY_OFFICE: Final = "security-office"
SECOND_OFFICER: Final = "security-office-2"
ClientName = Annotated[str, typer.Argument(help=say("cli.help.client"), metavar="CLIENT")]
File = Annotated[Path | None, typer.Option("--file", help=say("cli.help.token_file"), dir_okay=False)]


def add_to(app: typer.Typer) -> None:
    command(app, "token")(token)


def token(client: ClientName = SECURITY_OFFICE, data: Data = DATA, file: File = None) -> None:
    minted = load(data).token(client)
    if file is None:
        typer.echo(minted)
        return
    try:
        write_private(file.absolute(), minted + "\n")
    except OSError as error:
        raise CliError("cli.unwritable", code=MISUSED, file=file, detail=error.strerror) from error
    typer.echo(say("cli.token_written", file=file))


def client_of(body: str) -> str:
    """The client of the local issuer that may read one body."""
    return f"body-{body}"


def check_body(running: Running, body: str) -> str:
    """The network of a body of the instance's profile; raises CliError for one that is not declared."""
    profile = read_profile(running.profile)
    if body not in profile.body_by_id:
        known = ", ".join(profile.body_by_id)
        raise CliError("cli.unknown_body", code=MISUSED, body=body, known=known)
    return profile.network_of(body)


def check_may_read(running: Running, client: str, body: str) -> None:
    """Raises CliError unless the client's token, checked as a service would check it, lets it read the body's data."""
    from libs.security import Role

    identity = _identity(running, client)
    if not (identity.may_read(body) and identity.has(Role.READER, Role.SECURITY_OFFICER)):
        raise CliError("cli.may_not_read", client=client, body=body)


def check_operator(running: Running, client: str) -> None:
    """Raises CliError unless the client's token makes it an operator."""
    from libs.security import Role

    if not _identity(running, client).has(Role.OPERATOR):
        raise CliError("cli.no_operator", client=client)


def _identity(running: Running, client: str) -> Identity:
    from libs.security import OidcSettings, RemoteKeys, TokenVerifier

    async def verified() -> Identity:
        settings = OidcSettings(issuer=running.addresses["issuer"])
        async with httpx.AsyncClient() as http:
            verifier = TokenVerifier(settings, RemoteKeys(settings, http), lambda: datetime.now(UTC))
            return await verifier.verify(running.token(client))

    return asyncio.run(verified())
