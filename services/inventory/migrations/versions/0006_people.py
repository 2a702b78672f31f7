# SPDX-License-Identifier: Apache-2.0
"""What people do to the register by hand: requests for a second person, records of disposal, references to documents."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from libs.persistence import disable_body_rls, enable_body_rls

revision = "0006"
down_revision = "0005"

_TABLES = ("act_request", "disposal", "attachment")

# also for the owner: what is on record of a disposal is corrected by a further record
_KEPT = """
CREATE FUNCTION keep_disposal() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'a record of disposal is neither changed nor deleted' USING ERRCODE = 'integrity_constraint_violation';
END $$
"""
_NEVER_CHANGED = (
    "CREATE TRIGGER keep_disposal BEFORE UPDATE OR DELETE ON disposal FOR EACH ROW EXECUTE FUNCTION keep_disposal()"
)


def upgrade() -> None:
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "act_request",
        sa.Column("request_id", sa.Uuid(), primary_key=True),
        sa.Column("body", sa.String(), nullable=False),
        sa.Column("asset_id", sa.Uuid(), nullable=False),
        sa.Column("act", sa.String(), nullable=False),
        sa.Column("given", postgresql.JSONB(), nullable=False),
        sa.Column("rested_on", postgresql.JSONB(), nullable=False),
        sa.Column("asked_by", sa.String(), nullable=False),
        sa.Column("asked_at", moment, nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("decided_by", sa.String()),
        sa.Column("decided_at", moment),
        sa.Column("note", sa.String()),
        sa.Column("revision", sa.BigInteger(), nullable=False),
    )
    op.create_index("ix_act_request_asked_at", "act_request", ["asked_at", "request_id"])
    op.create_index("ix_act_request_asset_id", "act_request", ["asset_id"])
    op.create_table(
        "disposal",
        sa.Column("disposal_id", sa.Uuid(), primary_key=True),
        sa.Column("body", sa.String(), nullable=False),
        sa.Column("asset_id", sa.Uuid(), nullable=False),
        sa.Column("medium", sa.String(), nullable=False),
        sa.Column("methods", postgresql.ARRAY(sa.String()), nullable=False),
        sa.Column("disposed_on", sa.Date(), nullable=False),
        sa.Column("done_by", sa.String(), nullable=False),
        sa.Column("approved_by", sa.String(), nullable=False),
        sa.Column("witnessed_by", sa.String()),
        sa.Column("certificate", sa.String()),
        sa.Column("note", sa.String()),
        sa.Column("corrects", sa.Uuid()),
        sa.Column("zone", sa.String()),
        sa.Column("confidentiality", sa.String()),
        sa.Column("leased", sa.Boolean(), nullable=False),
        sa.Column("recorded_by", sa.String(), nullable=False),
        sa.Column("recorded_at", moment, nullable=False),
        sa.Column("confirmed_by", sa.String()),
    )
    op.create_index("ix_disposal_asset_id", "disposal", ["asset_id"])
    op.create_index("ix_disposal_recorded_at", "disposal", ["recorded_at", "disposal_id"])
    op.create_index("ux_disposal_corrects", "disposal", ["corrects"], unique=True)
    op.execute(_KEPT)
    op.execute(_NEVER_CHANGED)
    op.create_table(
        "attachment",
        sa.Column("attachment_id", sa.Uuid(), primary_key=True),
        sa.Column("body", sa.String(), nullable=False),
        sa.Column("asset_id", sa.Uuid(), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("uri", sa.String()),
        sa.Column("number", sa.String()),
        sa.Column("sha256", sa.String()),
        sa.Column("note", sa.String()),
        sa.Column("added_by", sa.String(), nullable=False),
        sa.Column("added_at", moment, nullable=False),
        sa.Column("removed_by", sa.String()),
        sa.Column("removed_at", moment),
        sa.Column("reason", sa.String()),
        sa.Column("revision", sa.BigInteger(), nullable=False),
    )
    op.create_index("ix_attachment_asset_id", "attachment", ["asset_id"])
    # of the retired, which are few, those are listed whose disposal is not on record
    op.create_index("ix_asset_retired", "asset", ["asset_id"], postgresql_where=sa.text("status = 'retired'"))
    for table in _TABLES:
        enable_body_rls(op, table)


def downgrade() -> None:
    op.drop_index("ix_asset_retired", "asset")
    for table in reversed(_TABLES):
        disable_body_rls(op, table)
        op.drop_table(table)
    op.execute("DROP FUNCTION keep_disposal()")
