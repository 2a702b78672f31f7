# SPDX-License-Identifier: Apache-2.0
"""Standards as they were published, which of them were activated where, and how far each partition is with that."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "standard_version",
        sa.Column("name", sa.String(), primary_key=True),
        sa.Column("version", sa.String(), primary_key=True),
        sa.Column("network", sa.String()),
        sa.Column("base", sa.String()),
        sa.Column("title", postgresql.JSONB(), nullable=False),
        sa.Column("effective_from", moment, nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("document", sa.String(), nullable=False),
        sa.Column("files", postgresql.JSONB(), nullable=False),
        sa.Column("published_by", sa.String(), nullable=False),
        sa.Column("published_at", moment, nullable=False),
    )
    op.create_table(
        "standard_activation",
        sa.Column("place", sa.String(), primary_key=True),
        sa.Column("revision", sa.Integer(), primary_key=True),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("network", sa.String()),
        sa.Column("base", sa.String()),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("document", sa.String(), nullable=False),
        sa.Column("published_by", sa.String()),
        sa.Column("activated_by", sa.String(), nullable=False),
        sa.Column("activated_at", moment, nullable=False),
    )
    op.create_table(
        "standard_applied",
        sa.Column("place", sa.String(), primary_key=True),
        sa.Column("partition", sa.Integer(), primary_key=True),
        sa.Column("activation", sa.Integer(), nullable=False),
        sa.Column("partitions", sa.Integer(), nullable=False),
        sa.Column("evaluated", sa.BigInteger(), nullable=False),
        sa.Column("told", sa.BigInteger(), nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=False),
    )


def downgrade() -> None:
    for table in ("standard_applied", "standard_activation", "standard_version"):
        op.drop_table(table)
