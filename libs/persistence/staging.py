# SPDX-License-Identifier: Apache-2.0
"""COPY into a temporary table, from which one statement merges a whole batch.

PostgreSQL refuses COPY into a table with row-level security, and that is right: the merge is checked, row by row.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from libs.persistence.identifiers import quoted
from libs.persistence.pool import PoolConnection


@dataclass(frozen=True)
class StagingTable:
    """A temporary table of one connection, emptied at each commit: its name, and its columns with their SQL types.

    Names and types are written in the source, never taken from input. Refer to it as `pg_temp.<name>`.
    """

    name: str
    columns: Mapping[str, str]

    @cached_property
    def ddl(self) -> str:
        columns = ", ".join(f"{quoted(name)} {kind}" for name, kind in self.columns.items())
        return f"CREATE TEMPORARY TABLE IF NOT EXISTS {quoted(self.name)} ({columns}) ON COMMIT DELETE ROWS"


async def copy_staging(connection: PoolConnection, staging: StagingTable, records: Iterable[tuple[Any, ...]]) -> None:
    """Append records (in the order of `columns`) to the staging table, making it first where this connection has none.

    Call it inside a transaction: without one, the rows would be gone at once (raises ValueError).
    """
    if not connection.is_in_transaction():
        raise ValueError("copy_staging needs a transaction")
    if await connection.fetchval("SELECT to_regclass($1)", f"pg_temp.{quoted(staging.name)}") is None:
        await connection.execute(staging.ddl)
    await connection.copy_records_to_table(
        staging.name, records=records, columns=list(staging.columns), schema_name="pg_temp"
    )
