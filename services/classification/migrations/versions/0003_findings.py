# SPDX-License-Identifier: Apache-2.0
"""Which obligations are seen to be met at which assets."""

import sqlalchemy as sa
from alembic import op

from libs.persistence import disable_body_rls, enable_body_rls

revision = "0003"
down_revision = "0002"

_TABLE = "asset_finding"


def upgrade() -> None:
    op.create_table(
        _TABLE,
        sa.Column("body", sa.String(), primary_key=True),
        sa.Column("asset_id", sa.Uuid(), primary_key=True),
        sa.Column("obligation", sa.String(), primary_key=True),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
    )
    op.create_index("ix_asset_finding_state", _TABLE, ["state", "obligation", "asset_id"])
    enable_body_rls(op, _TABLE)


def downgrade() -> None:
    disable_body_rls(op, _TABLE)
    op.drop_table(_TABLE)
