# SPDX-License-Identifier: Apache-2.0
"""Rows of another body cannot be seen or written, whatever the run-time role tries."""

from __future__ import annotations

from typing import TYPE_CHECKING

import asyncpg
import pytest
from pydantic import ValidationError
from sqlalchemy.exc import DBAPIError
from sqlmodel import col, select

from libs.persistence import Pool, PoolConnection, Sessions, StagingTable, copy_staging, scoped

if TYPE_CHECKING:
    from register_service.store import Register

STAGING = StagingTable("staged", {"asset_id": "text", "body": "text", "name": "text", "facts": "jsonb"})
MERGE = "INSERT INTO register SELECT * FROM pg_temp.staged"
ALL = "SELECT body FROM register ORDER BY body"


async def seen(connection: PoolConnection) -> list[str]:
    return [row["body"] for row in await connection.fetch(ALL)]


async def test_only_rows_of_the_scope_are_seen(connection: PoolConnection) -> None:
    for bodies in (["mayor"], ["fire"], ["fire", "mayor"], ["waterworks"], []):
        async with scoped(connection, bodies):
            assert await seen(connection) == [body for body in bodies if body != "waterworks"]


async def test_without_a_scope_nothing_is_seen_or_changed(connection: PoolConnection) -> None:
    assert await seen(connection) == []
    async with connection.transaction():
        assert await seen(connection) == []
    assert await connection.execute("DELETE FROM register") == "DELETE 0"
    assert await connection.execute("UPDATE register SET name = 'x'") == "UPDATE 0"
    async with scoped(connection, ["fire", "mayor"]):
        assert await seen(connection) == ["fire", "mayor"]


async def test_a_scope_ends_with_its_transaction(pool: Pool, connection: PoolConnection) -> None:
    async with scoped(connection, ["mayor"]):
        pass
    assert await seen(connection) == []
    with pytest.raises(RuntimeError):
        async with scoped(connection, ["mayor"]):
            raise RuntimeError
    assert await seen(connection) == []


async def test_a_scope_inside_another_gives_way_to_it(connection: PoolConnection) -> None:
    async with scoped(connection, ["mayor"]):
        async with scoped(connection, ["fire"]):
            assert await seen(connection) == ["fire"]
        assert await seen(connection) == ["mayor"]
        with pytest.raises(asyncpg.DivisionByZeroError):
            async with scoped(connection, ["fire"]):
                await connection.execute("SELECT 1/0")
        assert await seen(connection) == ["mayor"]
    async with connection.transaction():
        async with scoped(connection, ["fire"]):
            assert await seen(connection) == ["fire"]
        assert await seen(connection) == []


@pytest.mark.parametrize("body", ["mayor,fire", "*", "", "Mayor", "mayor'", "m%"])
async def test_what_is_no_body_is_no_scope(connection: PoolConnection, sessions: Sessions, body: str) -> None:
    with pytest.raises(ValidationError):
        async with scoped(connection, [body]):
            pass
    with pytest.raises(ValidationError):
        async with sessions.session([body]):
            pass


async def test_a_row_of_another_body_cannot_be_written(connection: PoolConnection) -> None:
    for statement in (
        "INSERT INTO register VALUES ('x', 'fire', 'x', '{}')",
        "UPDATE register SET body = 'fire' WHERE asset_id = 'mayor-1'",
        "INSERT INTO register VALUES ('fire-1', 'mayor', 'taken over', '{}') "
        "ON CONFLICT (asset_id) DO UPDATE SET name = EXCLUDED.name, body = EXCLUDED.body",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
            async with scoped(connection, ["mayor"]):
                await connection.execute(statement)
    async with scoped(connection, ["mayor"]):
        assert await connection.execute("UPDATE register SET name = 'x' WHERE body = 'fire'") == "UPDATE 0"
        assert await connection.execute("DELETE FROM register WHERE asset_id = 'fire-1'") == "DELETE 0"


async def test_copy_into_the_table_is_refused(connection: PoolConnection) -> None:
    with pytest.raises(asyncpg.FeatureNotSupportedError, match="row-level security"):
        async with scoped(connection, ["mayor"]):
            await connection.copy_records_to_table("register", records=[("x", "mayor", "x", {})])


async def test_copy_out_gives_rows_of_the_scope_only(connection: PoolConnection) -> None:
    lines: list[bytes] = []

    async def keep(data: bytes) -> None:
        lines.append(data)

    async with scoped(connection, ["mayor"]):
        await connection.copy_from_table("register", columns=["body"], output=keep)
    assert b"".join(lines) == b"mayor\n"


async def test_a_merge_of_staged_rows_is_checked(connection: PoolConnection) -> None:
    async with scoped(connection, ["mayor"]):
        await copy_staging(connection, STAGING, [("mayor-2", "mayor", "本庁の機器", {"台数": 2})])
        await connection.execute(MERGE)
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
        async with scoped(connection, ["mayor"]):
            await copy_staging(connection, STAGING, [("m", "mayor", "x", {}), ("f", "fire", "x", {})])
            await connection.execute(MERGE)
    async with scoped(connection, ["mayor", "fire"]):
        assert await seen(connection) == ["fire", "mayor", "mayor"]
        assert await connection.fetchval("SELECT facts FROM register WHERE asset_id = 'mayor-2'") == {"台数": 2}


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE register DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE register NO FORCE ROW LEVEL SECURITY",
        "ALTER TABLE register ADD COLUMN x int",
        "ALTER TABLE register OWNER TO CURRENT_USER",
        "DROP POLICY body_scope ON register",
        "CREATE POLICY all_rows ON register USING (true)",
        "ALTER POLICY body_scope ON register USING (true)",
        "DROP TABLE register",
        "TRUNCATE register",
        "CREATE INDEX ON register (name)",
        "CREATE TABLE mine (x int)",
        "CREATE VIEW mine AS SELECT * FROM register",
        "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE SCHEMA mine",
        "CREATE TRIGGER t BEFORE UPDATE ON register FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        'SET ROLE "persistence-Test_owner"',
        "SET SESSION AUTHORIZATION postgres",
        "ALTER ROLE CURRENT_USER BYPASSRLS",
        "ALTER ROLE CURRENT_USER SUPERUSER",
        "CREATE ROLE other",
        'GRANT "persistence-Test_owner" TO CURRENT_USER',
        "UPDATE alembic_version SET version_num = 'x'",
        "DELETE FROM alembic_version",
        "SELECT pg_read_file('postgresql.conf')",
        "COPY register TO PROGRAM 'cat'",
        "SET row_security = off; SELECT * FROM register",
    ],
)
async def test_the_runtime_role_cannot_get_round_it(connection: PoolConnection, statement: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.execute(statement)


async def test_a_session_sees_and_writes_its_bodies_only(connection: PoolConnection, sessions: Sessions) -> None:
    from register_service.store import Register

    async with sessions.session(["mayor"]) as session:
        found: list[Register] = list((await session.exec(select(Register))).all())
        assert [(one.body, one.facts) for one in found] == [("mayor", {"n": 1})]
        session.add(Register(asset_id="mayor-9", body="mayor", name="新規", facts={"a": [1, "二"]}))
    async with sessions.session(["mayor"]) as session:
        assert (await session.exec(select(Register.facts).where(col(Register.asset_id) == "mayor-9"))).one() == {
            "a": [1, "二"]
        }
    with pytest.raises(DBAPIError, match="row-level security") as refused:
        async with sessions.session(["mayor"]) as session:
            session.add(Register(asset_id="fire-9", body="fire", name="秘密の名前", facts={}))
    assert "秘密の名前" not in str(refused.value)


async def test_sessions_on_one_connection_do_not_hand_on_their_scope(
    connection: PoolConnection, sessions: Sessions
) -> None:
    from register_service.store import Register

    for bodies in (["mayor"], [], ["fire"], []):
        for _ in range(3):
            async with sessions.session(bodies) as session:
                assert list((await session.exec(select(Register.body))).all()) == bodies


async def test_a_failed_session_keeps_nothing(connection: PoolConnection, sessions: Sessions) -> None:
    from register_service.store import Register

    with pytest.raises(RuntimeError):
        async with sessions.session(["mayor"]) as session:
            session.add(Register(asset_id="mayor-9", body="mayor", name="x", facts={}))
            await session.flush()
            raise RuntimeError
    async with scoped(connection, ["mayor"]):
        assert await seen(connection) == ["mayor"]
