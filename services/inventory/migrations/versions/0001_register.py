# SPDX-License-Identifier: Apache-2.0
"""The register, its history, and the source keys behind it."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from libs.persistence import disable_body_rls, enable_body_rls
from libs.persistence.tables import create_service_tables, drop_service_tables

revision = "0001"
down_revision = None

_TABLES = ("asset", "asset_revision", "source_link")


def upgrade() -> None:
    op.create_table(
        "asset",
        sa.Column("asset_id", sa.Uuid(), primary_key=True),
        sa.Column("body", sa.String(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", postgresql.JSONB(), nullable=False),
        sa.Column("kind", sa.String(), sa.Computed("state ->> 'kind'::text", persisted=True)),
        sa.Column("name", sa.String(), sa.Computed("state ->> 'name'::text", persisted=True)),
        sa.Column("status", sa.String(), sa.Computed("state ->> 'status'::text", persisted=True)),
        sa.Column("relations", postgresql.JSONB(), sa.Computed("state -> 'relations'::text", persisted=True)),
        # room for the next revision beside the last, so that most updates touch no index
        postgresql_with={"fillfactor": 70},
    )
    op.create_index("ix_asset_body", "asset", ["body", "asset_id"])
    op.create_index(
        "ix_asset_relations",
        "asset",
        ["relations"],
        postgresql_using="gin",
        postgresql_ops={"relations": "jsonb_path_ops"},
    )
    op.create_table(
        "asset_revision",
        sa.Column("asset_id", sa.Uuid(), primary_key=True),
        sa.Column("revision", sa.BigInteger(), primary_key=True),
        sa.Column("body", sa.String(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", postgresql.JSONB(), nullable=False),
        sa.Column("change", postgresql.JSONB(), nullable=False),
    )
    op.create_table(
        "source_link",
        sa.Column("feed", sa.String(), primary_key=True),
        sa.Column("source_key", sa.String(), primary_key=True),
        sa.Column("asset_id", sa.Uuid(), nullable=False),
        sa.Column("body", sa.String(), nullable=False),
        sa.Column("source_version", sa.BigInteger(), nullable=False),
        postgresql_with={"fillfactor": 70},
    )
    for table in _TABLES:
        enable_body_rls(op, table)
    create_service_tables(op)


def downgrade() -> None:
    drop_service_tables(op)
    for table in reversed(_TABLES):
        disable_body_rls(op, table)
        op.drop_table(table)
