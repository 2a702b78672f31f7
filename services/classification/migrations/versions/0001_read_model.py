# SPDX-License-Identifier: Apache-2.0
"""The read model: levels and obligations of every asset."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from libs.persistence import disable_body_rls, enable_body_rls
from libs.persistence.tables import create_service_tables, drop_service_tables

revision = "0001"
down_revision = None

_TABLE = "asset_classification"


def upgrade() -> None:
    op.create_table(
        _TABLE,
        sa.Column("body", sa.String(), primary_key=True),
        sa.Column("asset_id", sa.Uuid(), primary_key=True),
        sa.Column("network", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("zone", sa.String()),
        sa.Column("section", sa.String()),
        sa.Column("asset_revision", sa.BigInteger(), nullable=False),
        sa.Column("standard", sa.String()),
        sa.Column("levels_revision", sa.BigInteger(), nullable=False, server_default=sa.text("0")),
        sa.Column("confidentiality", sa.String()),
        sa.Column("integrity", sa.String()),
        sa.Column("availability", sa.String()),
        sa.Column("explanations", postgresql.JSONB()),
        sa.Column("duties_revision", sa.BigInteger(), nullable=False, server_default=sa.text("0")),
        sa.Column(
            "in_force",
            sa.ARRAY(sa.String()),
            nullable=False,
            server_default=sa.text("'{}'::character varying[]"),
        ),
    )
    op.create_index("ix_asset_classification_asset", _TABLE, ["asset_id"])
    op.create_index("ix_asset_classification_in_force", _TABLE, ["in_force"], postgresql_using="gin")
    enable_body_rls(op, _TABLE)
    create_service_tables(op)


def downgrade() -> None:
    drop_service_tables(op)
    disable_body_rls(op, _TABLE)
    op.drop_table(_TABLE)
