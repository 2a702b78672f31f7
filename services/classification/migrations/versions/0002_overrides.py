# SPDX-License-Identifier: Apache-2.0
"""Overrides, each with who asked, decided and ended it."""

import sqlalchemy as sa
from alembic import op

from libs.persistence import disable_body_rls, enable_body_rls

revision = "0002"
down_revision = "0001"

_TABLE = "asset_override"


def upgrade() -> None:
    moment = sa.DateTime(timezone=True)
    op.create_table(
        _TABLE,
        sa.Column("override_id", sa.Uuid(), primary_key=True),
        sa.Column("body", sa.String(), nullable=False),
        sa.Column("network", sa.String(), nullable=False),
        sa.Column("asset_id", sa.Uuid(), nullable=False),
        sa.Column("dimension", sa.String(), nullable=False),
        sa.Column("level", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("asked_by", sa.String(), nullable=False),
        sa.Column("asked_at", moment, nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("decided_by", sa.String()),
        sa.Column("decided_at", moment),
        sa.Column("decision_note", sa.String()),
        sa.Column("ended_by", sa.String()),
        sa.Column("ended_at", moment),
        sa.Column("end_note", sa.String()),
        sa.Column("expires_at", moment, nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
    )
    op.create_index("ix_asset_override_asked_at", _TABLE, ["asked_at", "override_id"])
    still_open = sa.text("state IN ('asked', 'approved')")
    op.create_index("ix_asset_override_open", _TABLE, ["expires_at"], postgresql_where=still_open)
    for state in ("asked", "approved"):
        one_a_place = ["body", "asset_id", "dimension"]
        condition = sa.text(f"state = '{state}'")
        op.create_index(f"ux_asset_override_{state}", _TABLE, one_a_place, unique=True, postgresql_where=condition)
    enable_body_rls(op, _TABLE)


def downgrade() -> None:
    disable_body_rls(op, _TABLE)
    op.drop_table(_TABLE)
