# SPDX-License-Identifier: Apache-2.0
"""The bodies whose rows a transaction may see and write."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Final, Literal

from pydantic import TypeAdapter

from libs.contracts.words import Slug
from libs.persistence.pool import PoolConnection

SETTING: Final = "daicho.bodies"
NO_BODY: Final = "-"
"""In the place of a body on rows that are of none, or of one that is not known: for those who answer for the whole instance."""
_SCOPE: Final = TypeAdapter(frozenset[Slug | Literal["-"]])


@asynccontextmanager
async def scoped(connection: PoolConnection, bodies: Iterable[str]) -> AsyncIterator[None]:
    """A transaction (inside another: a savepoint) that sees and writes rows of `bodies` only; commits at the end.

    Outside of it, and with no bodies, tables with row-level security look empty and refuse rows. Raises ValueError for what is
    no body's id.
    """
    nested = connection.is_in_transaction()
    async with connection.transaction():
        before = await connection.fetchval(
            "SELECT current_setting('daicho.bodies', true), set_config('daicho.bodies', $1, true)", setting_of(bodies)
        )
        yield
        if nested:
            # a released savepoint leaves the setting to the outer transaction
            await connection.execute("SELECT set_config('daicho.bodies', $1, true)", before or "")


def setting_of(bodies: Iterable[str]) -> str:
    """The value of the setting; ids hold no comma."""
    return ",".join(sorted(_SCOPE.validate_python(frozenset(bodies))))
