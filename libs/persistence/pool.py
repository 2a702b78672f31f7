# SPDX-License-Identifier: Apache-2.0
"""Connections of a service's run-time role."""

from __future__ import annotations

from typing import Any, TypeAlias

import asyncpg
from asyncpg.pool import PoolConnectionProxy
from pydantic_core import from_json, to_json

from libs.persistence.settings import PostgresSettings

Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
PoolConnection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]"

_BY_KEY = {"enable_seqscan": "off"}
"""A plan made while a table is small is kept while it grows, and what a pool's users read, they read by key."""
_PRIVILEGED = """
SELECT rolname FROM pg_catalog.pg_roles role
WHERE rolname = current_user
  AND (rolsuper OR rolbypassrls OR rolcreaterole
       OR EXISTS (SELECT FROM pg_catalog.pg_class WHERE relowner = role.oid AND relpersistence <> 't')
       OR EXISTS (SELECT FROM pg_catalog.pg_database WHERE datdba = role.oid AND datname = current_database()))
"""


class PrivilegedRoleError(RuntimeError):
    """The DSN is of a role to which row-level security does not apply: the owner, or a superuser."""


async def create_pool(settings: PostgresSettings) -> Pool:
    """Open a pool; JSON columns are read and written as Python values, also by COPY.

    Raises PrivilegedRoleError, or what asyncpg raises where the server cannot be reached or refuses the password.
    """
    return await asyncpg.create_pool(
        settings.dsn.get_secret_value(),
        min_size=1,
        max_size=settings.pool_size,
        init=prepare,
        reset=_leave,
        **connect_options(settings, **_BY_KEY),
    )


def connect_options(settings: PostgresSettings, **more: str) -> dict[str, Any]:
    """What pools and sessions give to `asyncpg.connect` alike; `more` are settings of the server."""
    return {
        "timeout": settings.connect_timeout,
        "command_timeout": settings.command_timeout,
        "server_settings": {
            "application_name": "daicho",
            "timezone": "UTC",
            "search_path": "public",
            # compiling a plan costs more than the short statements here ever win by it
            "jit": "off",
            "idle_in_transaction_session_timeout": "60s",
            **more,
        },
    }


async def prepare(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    """Make a new connection ready: refuse a privileged role, set the codecs."""
    privileged = await connection.fetchval(_PRIVILEGED)
    if privileged is not None:
        raise PrivilegedRoleError(
            f"the role {privileged} is not subject to row-level security; use the service's run-time role"
        )
    await connection.set_type_codec("json", schema="pg_catalog", format="binary", encoder=to_json, decoder=from_json)
    await connection.set_type_codec(
        "jsonb", schema="pg_catalog", format="binary", encoder=_jsonb_encode, decoder=_jsonb_decode
    )


async def _leave(_connection: object) -> None:
    """Instead of asyncpg's four statements at each release: what is set here ends with its transaction, locks and listeners with their owner."""


class WrittenJson(str):
    """JSON that is text already, for a JSON column: it is not written anew."""

    __slots__ = ()


def _jsonb_encode(value: object) -> bytes:
    return b"\x01" + (value.encode() if isinstance(value, WrittenJson) else to_json(value))


def _jsonb_decode(data: bytes) -> object:
    return from_json(memoryview(data)[1:].tobytes())
