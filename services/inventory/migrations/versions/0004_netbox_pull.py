# SPDX-License-Identifier: Apache-2.0
"""How far each feed's NetBox was read. The rows name no asset and no body, and so know no scope."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"

_TABLE = "netbox_pull"


def upgrade() -> None:
    op.create_table(
        _TABLE,
        sa.Column("feed", sa.String(), primary_key=True),
        sa.Column("newest", sa.DateTime(timezone=True)),
        sa.Column("seen_ids", postgresql.ARRAY(sa.BigInteger()), server_default="{}", nullable=False),
        sa.Column("seen_times", postgresql.ARRAY(sa.DateTime(timezone=True)), server_default="{}", nullable=False),
        sa.Column("pulled_at", sa.DateTime(timezone=True)),
        sa.Column("compared_at", sa.DateTime(timezone=True)),
        sa.Column("held", sa.Integer(), server_default="0", nullable=False),
        sa.Column("failure", sa.String()),
        sa.Column("failed_at", sa.DateTime(timezone=True)),
        sa.Column("asked_at", sa.DateTime(timezone=True)),
        sa.Column("asked_by", sa.String()),
        sa.Column("asked_compare", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("asked_retire", sa.BigInteger()),
    )


def downgrade() -> None:
    op.drop_table(_TABLE)
