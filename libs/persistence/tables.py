# SPDX-License-Identifier: Apache-2.0
"""The tables that every service has, as mixins for its own SQLModel classes.

Base = model_base()

class Outbox(OutboxTable, Base, table=True): ...
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from alembic.operations import Operations
from sqlalchemy import BigInteger, Column, DateTime, Identity, Integer, LargeBinary, String, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel


def model_base() -> type[SQLModel]:
    """A base class with metadata of its own: two services in one process do not see each other's tables."""

    class Base(SQLModel, registry=registry()):
        pass

    return Base


class OffsetsTable(SQLModel):
    """How far a consumer has come in a partition: moved in the transaction that writes what it consumed."""

    __tablename__ = "consumer_offset"

    consumer: str = Field(primary_key=True)
    topic: str = Field(primary_key=True)
    partition: int = Field(primary_key=True)
    next_offset: int = Field(sa_type=BigInteger)


class OutboxTable(SQLModel):
    """Messages to be sent, in the order of `id`; deleted once they are on the bus. `headers` is `[[name, value], …]`."""

    __tablename__ = "outbox"

    id: int | None = Field(default=None, primary_key=True, sa_type=BigInteger, sa_column_args=[Identity(always=True)])
    topic: str
    key: bytes = Field(sa_type=LargeBinary)
    value: bytes | None = Field(default=None, sa_type=LargeBinary)
    headers: list[Any] = Field(
        default_factory=list, sa_type=JSONB, nullable=False, sa_column_kwargs={"server_default": text("'[]'::jsonb")}
    )
    created_at: datetime | None = Field(
        default=None,
        nullable=False,
        sa_type=DateTime(timezone=True),
        sa_column_kwargs={"server_default": func.now()},
    )


class ParkedKeyTable(SQLModel):
    """A key whose messages a consumer puts aside until it is released."""

    __tablename__ = "parked_key"

    consumer: str = Field(primary_key=True)
    topic: str = Field(primary_key=True)
    partition: int = Field(primary_key=True)
    key: bytes = Field(primary_key=True, sa_type=LargeBinary)
    reason: str
    parked_at: datetime = Field(sa_type=DateTime(timezone=True))


def create_service_tables(op: Operations) -> None:
    """Make these tables in a service's first migration. What it makes never changes: a later shape is a migration of its own."""
    op.create_table(
        OffsetsTable.__tablename__,
        Column("consumer", String, primary_key=True),
        Column("topic", String, primary_key=True),
        Column("partition", Integer, primary_key=True),
        Column("next_offset", BigInteger, nullable=False),
    )
    op.create_table(
        OutboxTable.__tablename__,
        Column("id", BigInteger, Identity(always=True), primary_key=True),
        Column("topic", String, nullable=False),
        Column("key", LargeBinary, nullable=False),
        Column("value", LargeBinary),
        Column("headers", JSONB, server_default=text("'[]'::jsonb"), nullable=False),
        Column("created_at", DateTime(timezone=True), server_default=func.now(), nullable=False),
    )
    op.create_table(
        ParkedKeyTable.__tablename__,
        Column("consumer", String, primary_key=True),
        Column("topic", String, primary_key=True),
        Column("partition", Integer, primary_key=True),
        Column("key", LargeBinary, primary_key=True),
        Column("reason", String, nullable=False),
        Column("parked_at", DateTime(timezone=True), nullable=False),
    )


def drop_service_tables(op: Operations) -> None:
    """Undo `create_service_tables`, in a downgrade."""
    for table in (ParkedKeyTable, OutboxTable, OffsetsTable):
        op.drop_table(table.__tablename__)
