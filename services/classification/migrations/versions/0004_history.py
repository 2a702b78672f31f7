# SPDX-License-Identifier: Apache-2.0
"""What held of an asset when: every change of levels and of obligations, to be asked for as of a moment."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from libs.persistence import disable_body_rls, enable_body_rls

revision = "0004"
down_revision = "0003"

_TABLE = "asset_classification_history"


def upgrade() -> None:
    op.create_table(
        _TABLE,
        sa.Column("body", sa.String(), primary_key=True),
        sa.Column("asset_id", sa.Uuid(), primary_key=True),
        sa.Column("told", sa.String(), primary_key=True),
        sa.Column("revision", sa.BigInteger(), primary_key=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("network", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("zone", sa.String()),
        sa.Column("section", sa.String()),
        sa.Column("asset_revision", sa.BigInteger(), nullable=False),
        sa.Column("standard", sa.String()),
        sa.Column("confidentiality", sa.String()),
        sa.Column("integrity", sa.String()),
        sa.Column("availability", sa.String()),
        sa.Column("explanations", postgresql.JSONB()),
        sa.Column("in_force", postgresql.ARRAY(sa.String())),
    )
    enable_body_rls(op, _TABLE)


def downgrade() -> None:
    disable_body_rls(op, _TABLE)
    op.drop_table(_TABLE)
