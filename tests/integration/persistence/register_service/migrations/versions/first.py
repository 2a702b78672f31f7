# SPDX-License-Identifier: Apache-2.0
"""The register, and the tables that every service has."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from libs.persistence import disable_body_rls, enable_body_rls
from libs.persistence.tables import create_service_tables, drop_service_tables

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "register",
        sa.Column("asset_id", sa.String(), primary_key=True),
        sa.Column("body", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("facts", postgresql.JSONB(), nullable=False),
    )
    op.create_index("ix_register_body", "register", ["body"])
    enable_body_rls(op, "register")
    create_service_tables(op)


def downgrade() -> None:
    drop_service_tables(op)
    disable_body_rls(op, "register")
    op.drop_table("register")
