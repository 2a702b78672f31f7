# SPDX-License-Identifier: Apache-2.0
"""A database and two roles for a service: the owner, who migrates, and the run-time role, which owns nothing."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from base64 import b64encode
from typing import Final
from urllib.parse import quote, urlsplit, urlunsplit

import asyncpg

_LOCK: Final = 0x6461_6963_686F
"""Two who provision the same server wait for each other (an advisory lock; "daicho" in ASCII)."""

_ROLE: Final = "LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE NOREPLICATION"


def owner_of(service: str) -> str:
    """The name of the owner role; the run-time role and the database have the service's own name."""
    return f"{service}_owner"


def dsn_for(dsn: str, role: str, password: str, database: str) -> str:
    """`dsn` with another role, password and database."""
    parts = urlsplit(dsn)
    at = f"{quote(role, safe='')}:{quote(password, safe='')}@{parts.netloc.rpartition('@')[2]}"
    return urlunsplit(parts._replace(netloc=at, path="/" + quote(database, safe="")))


async def provision(admin_dsn: str, service: str, owner_password: str, runtime_password: str) -> None:
    """Make the database and roles of a service, or bring what is there to what it must be; safe to call at each start.

    `admin_dsn` is of a superuser. Afterwards the run-time role may connect, make temporary tables, and read and
    write the rows of what the owner makes; it can change no table and no policy.
    """
    owner, runtime = owner_of(service), service
    admin = await asyncpg.connect(admin_dsn)
    try:
        await admin.execute("SELECT pg_advisory_lock($1)", _LOCK)
        await _make_role(admin, owner, owner_password)
        await _make_role(admin, runtime, runtime_password)
        if not await admin.fetchval("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", service):
            await _run(admin, "CREATE DATABASE %I OWNER %I", service, owner)
        await _run(admin, "ALTER DATABASE %I OWNER TO %I", service, owner)
        await _run(admin, "REVOKE ALL ON DATABASE %I FROM PUBLIC", service)
        await _run(admin, "GRANT CONNECT, TEMPORARY ON DATABASE %I TO %I", service, runtime)
    finally:
        await admin.close()
    await _grant_inside(dsn_for(admin_dsn, owner, owner_password, service), runtime)


async def _grant_inside(owner_dsn: str, runtime: str) -> None:
    """Done by the owner: default privileges are of who makes the tables."""
    connection = await asyncpg.connect(owner_dsn)
    try:
        async with connection.transaction():
            await _run(connection, "GRANT USAGE ON SCHEMA public TO %I", runtime)
            await _run(
                connection,
                "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO %I",
                runtime,
            )
            await _run(connection, "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE ON SEQUENCES TO %I", runtime)
    finally:
        await connection.close()


async def _make_role(admin: asyncpg.Connection[asyncpg.Record], role: str, password: str) -> None:
    if not await admin.fetchval("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)", role):
        await _run(admin, f"CREATE ROLE %I {_ROLE}", role)
    await _run(admin, f"ALTER ROLE %I {_ROLE} PASSWORD %L", role, scram_verifier(password, secrets.token_bytes(16)))


def scram_verifier(password: str, salt: bytes, iterations: int = 4096) -> str:
    """What PostgreSQL keeps of a password (RFC 5802 §3, RFC 7677), so that the password itself is in no statement or log.

    Raises ValueError for a password outside printable ASCII, which SASLprep would have to change.
    """
    if not (password and password.isascii() and password.isprintable()):
        raise ValueError("a database password must be of printable ASCII characters")
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)
    stored_key = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    encoded = (b64encode(part).decode() for part in (salt, stored_key, server_key))
    return "SCRAM-SHA-256${}:{}${}:{}".format(iterations, *encoded)


async def _run(connection: asyncpg.Connection[asyncpg.Record], statement: str, *names: str) -> None:
    """Run a statement with names (%I) and literals (%L) quoted by the server itself."""
    marks = ", ".join(f"${number}::text" for number in range(2, len(names) + 2))
    await connection.execute(await connection.fetchval(f"SELECT format($1, {marks})", statement, *names))
