# SPDX-License-Identifier: Apache-2.0
"""Alembic, run by the owner role from `services/<service>/migrations`; no ini file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

import asyncpg
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, MetaData, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

ResultT = TypeVar("ResultT")

_LOCK: Final = 0x6461_6963_686F
"""Two instances that start at once migrate one after the other."""

_PROTECT_VERSION: Final = """
DO $$
DECLARE grantee text;
BEGIN
  FOR grantee IN SELECT DISTINCT acl.grantee::regrole::text FROM pg_class, aclexplode(relacl) acl
                 WHERE pg_class.oid = 'public.alembic_version'::regclass AND acl.grantee NOT IN (0, relowner)
  LOOP
    EXECUTE format('REVOKE INSERT, UPDATE, DELETE ON public.alembic_version FROM %s', grantee);
  END LOOP;
END $$
"""

_UNPROTECTED: Final = """
SELECT class.relname FROM pg_class class
JOIN pg_namespace schema ON schema.oid = class.relnamespace AND schema.nspname = 'public'
JOIN pg_attribute attribute ON attribute.attrelid = class.oid AND attribute.attname = 'body'
WHERE class.relkind IN ('r', 'p') AND NOT (
  class.relrowsecurity AND class.relforcerowsecurity
  -- permissive policies add up: a second one would let more rows through
  AND (SELECT array_agg(polname::text) FROM pg_policy WHERE polrelid = class.oid) = ARRAY['body_scope']
  AND EXISTS (SELECT FROM pg_policy WHERE polrelid = class.oid AND polcmd = '*'
              AND pg_get_expr(polqual, polrelid) LIKE '%daicho.bodies%'
              AND pg_get_expr(polwithcheck, polrelid) = pg_get_expr(polqual, polrelid)))
ORDER BY class.relname
"""


class SchemaDriftError(AssertionError):
    """The migrated schema is not what the models say, or a table with a body lacks row-level security."""


async def upgrade(service_package: str, owner_dsn: str, revision: str = "head") -> None:
    """Bring the database of a service (`services.inventory`) to `revision`, in one transaction. Idempotent."""
    await _with_connection(owner_dsn, lambda connection: _upgrade(connection, service_package, revision))


async def downgrade(service_package: str, owner_dsn: str, revision: str = "base") -> None:
    """Take the database of a service back to `revision`, in one transaction."""
    await _with_connection(
        owner_dsn, lambda connection: command.downgrade(_config(service_package, connection), revision)
    )


async def assert_no_drift(metadata: MetaData, owner_dsn: str) -> None:
    """For tests: raises SchemaDriftError where a migrated database differs from the models, or a row of a body is unprotected."""
    await _with_connection(owner_dsn, lambda connection: _compare(connection, metadata))


def _upgrade(connection: Connection, service_package: str, revision: str) -> None:
    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    command.upgrade(_config(service_package, connection), revision)
    connection.execute(text(_PROTECT_VERSION))


def _compare(connection: Connection, metadata: MetaData) -> None:
    context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
    differences = compare_metadata(context, metadata)
    if differences:
        raise SchemaDriftError(f"the models and the migrations differ: {differences}")
    unprotected = connection.execute(text(_UNPROTECTED)).scalars().all()
    if unprotected:
        raise SchemaDriftError(f"tables with a body and no row-level security: {', '.join(unprotected)}")


def _config(service_package: str, connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", f"{service_package}:migrations")
    config.attributes["connection"] = connection
    return config


async def _with_connection(owner_dsn: str, work: Callable[[Connection], ResultT]) -> ResultT:
    async def connect() -> asyncpg.Connection[asyncpg.Record]:
        return await asyncpg.connect(owner_dsn, server_settings={"search_path": "public", "timezone": "UTC"})

    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=NullPool)
    try:
        async with engine.begin() as connection:
            return await connection.run_sync(work)
    finally:
        await engine.dispose()
