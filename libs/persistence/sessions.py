# SPDX-License-Identifier: Apache-2.0
"""SQLModel sessions for the API's reads and writes, each scoped to the caller's bodies."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import asyncpg
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlmodel.ext.asyncio.session import AsyncSession

from libs.persistence.pool import PoolConnection, connect_options, prepare
from libs.persistence.scope import setting_of
from libs.persistence.settings import PostgresSettings


class Sessions:
    """The sessions of one service. Close it at the end."""

    def __init__(self, settings: PostgresSettings) -> None:
        async def connect() -> asyncpg.Connection[asyncpg.Record]:
            connection: asyncpg.Connection[asyncpg.Record]
            connection = await asyncpg.connect(settings.dsn.get_secret_value(), **connect_options(settings))
            try:
                await prepare(connection)
            except BaseException:
                connection.terminate()
                raise
            return connection

        self._engine = create_async_engine(
            "postgresql+asyncpg://",
            async_creator=connect,
            pool_size=settings.session_pool_size,
            max_overflow=0,
            pool_timeout=settings.connect_timeout,
            pool_pre_ping=True,
            hide_parameters=True,
        )

    @asynccontextmanager
    async def session(self, bodies: Iterable[str]) -> AsyncIterator[AsyncSession]:
        """One transaction that sees and writes rows of `bodies` only; commits at the end, rolls back on an error."""
        setting = setting_of(bodies)
        async with AsyncSession(self._engine, expire_on_commit=False) as session, session.begin():
            connection = await session.connection()
            await connection.execute(text("SELECT set_config('daicho.bodies', :bodies, true)"), {"bodies": setting})
            yield session

    async def close(self) -> None:
        await self._engine.dispose()


async def driver_of(session: AsyncSession) -> PoolConnection:
    """The connection below a session, in the same transaction: for what asyncpg alone can do."""
    raw = await (await session.connection()).get_raw_connection()
    driver: PoolConnection | None = raw.driver_connection
    if driver is None:
        raise RuntimeError("the session has lost its connection")
    return driver
