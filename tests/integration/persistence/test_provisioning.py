# SPDX-License-Identifier: Apache-2.0
"""What provisioning makes, and that doing it again changes nothing but passwords."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest
from pydantic import SecretStr

from libs.devstack import Stack
from libs.persistence import (
    PostgresSettings,
    PrivilegedRoleError,
    Sessions,
    create_pool,
    dsn_for,
    owner_of,
    provision,
)

SERVICE = "provision test"


async def provision_it(stack: Stack, runtime_password: str) -> str:
    admin = stack.postgres_dsn("postgres", "postgres")
    await provision(admin, SERVICE, stack.postgres_password(owner_of(SERVICE)), runtime_password)
    return dsn_for(admin, SERVICE, runtime_password, SERVICE)


async def test_the_roles_have_no_privilege_and_the_runtime_role_owns_nothing(stack: Stack) -> None:
    runtime = await asyncpg.connect(await provision_it(stack, "first"))
    roles = await runtime.fetch(
        "SELECT rolname, rolsuper OR rolbypassrls OR rolcreatedb OR rolcreaterole OR rolreplication AS privileged "
        "FROM pg_roles WHERE rolname LIKE $1 ORDER BY 1",
        f"{SERVICE}%",
    )
    assert [tuple(role) for role in roles] == [(SERVICE, False), (owner_of(SERVICE), False)]
    owner = await runtime.fetchval("SELECT datdba::regrole::text FROM pg_database WHERE datname = $1", SERVICE)
    assert owner == f'"{owner_of(SERVICE)}"'
    assert (
        await runtime.fetchval("SELECT count(*) FROM pg_auth_members WHERE member = $1::regrole", f'"{SERVICE}"') == 0
    )
    await runtime.close()


async def test_it_can_be_done_again_also_by_two_at_once_and_sets_the_password(stack: Stack) -> None:
    before = await provision_it(stack, "before")
    after, _ = await asyncio.gather(provision_it(stack, "it's new"), provision_it(stack, "it's new"))
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(before)
    connection = await asyncpg.connect(after)
    assert await connection.fetchval("SELECT current_user") == SERVICE
    await connection.close()


async def test_no_other_role_may_connect(stack: Stack) -> None:
    await provision_it(stack, "first")
    admin_dsn = stack.postgres_dsn("postgres", "postgres")
    await provision(admin_dsn, "neighbour", "owner", "runtime")
    for role, password in (("neighbour", "runtime"), (owner_of("neighbour"), "owner")):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await asyncpg.connect(dsn_for(admin_dsn, role, password, SERVICE))


async def test_a_password_is_on_the_server_as_a_verifier_only(stack: Stack) -> None:
    await provision_it(stack, "a password in the clear")
    admin = await asyncpg.connect(stack.postgres_dsn("postgres", "postgres"))
    kept = await admin.fetchval("SELECT rolpassword FROM pg_authid WHERE rolname = $1", SERVICE)
    await admin.close()
    assert kept.startswith("SCRAM-SHA-256$4096:")


@pytest.mark.parametrize("password", ["", "パスワード", "a\nb"])
async def test_a_password_that_could_be_read_two_ways_is_refused(stack: Stack, password: str) -> None:
    with pytest.raises(ValueError, match="printable ASCII"):
        await provision(stack.postgres_dsn("postgres", "postgres"), SERVICE, "owner", password)


@pytest.mark.parametrize("role", ["postgres", owner_of(SERVICE)])
async def test_a_pool_or_session_of_a_privileged_role_is_refused(stack: Stack, role: str) -> None:
    await provision_it(stack, "first")
    settings = PostgresSettings(dsn=SecretStr(stack.postgres_dsn(role, SERVICE)))
    with pytest.raises(PrivilegedRoleError, match=role):
        await create_pool(settings)
    sessions = Sessions(settings)
    with pytest.raises(PrivilegedRoleError, match=role):
        async with sessions.session(["mayor"]):
            pass
    await sessions.close()
