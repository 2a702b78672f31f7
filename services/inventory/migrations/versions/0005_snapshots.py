# SPDX-License-Identifier: Apache-2.0
"""Snapshots of feeds, when each feed was last heard of, and what was told of its silence."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from libs.persistence import disable_body_rls, enable_body_rls

revision = "0005"
down_revision = "0004"

_OF_BODIES = ("snapshot_missing", "feed_finding")


def upgrade() -> None:
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "feed_snapshot",
        sa.Column("snapshot_id", sa.Uuid(), primary_key=True),
        sa.Column("feed", sa.String(), nullable=False),
        sa.Column("network", sa.String(), nullable=False),
        sa.Column("session", sa.String(), nullable=False),
        sa.Column("bodies", postgresql.ARRAY(sa.String()), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("begun_at", moment, nullable=False),
        sa.Column("ended_at", moment),
        sa.Column("end_reason", sa.String()),
        sa.Column("sent", sa.BigInteger()),
        sa.Column("accepted", sa.BigInteger()),
        sa.Column("known", sa.BigInteger()),
        sa.Column("missing", sa.BigInteger()),
        sa.Column("retired", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("decided_by", sa.String()),
        sa.Column("decided_at", moment),
        sa.Column("decision_reason", sa.String()),
        sa.Column("revision", sa.BigInteger(), nullable=False),
    )
    listening = sa.text("state IN ('open', 'waiting', 'retiring')")
    op.create_index("ix_feed_snapshot_listening", "feed_snapshot", ["feed", "network"], postgresql_where=listening)
    op.create_index("ix_feed_snapshot_begun_at", "feed_snapshot", ["begun_at", "snapshot_id"])
    op.create_table(
        "snapshot_mention",
        sa.Column("snapshot_id", sa.Uuid(), primary_key=True),
        sa.Column("source_key", sa.String(), primary_key=True),
        sa.Column("in_session", sa.Boolean(), nullable=False),
    )
    op.create_table(
        "snapshot_missing",
        sa.Column("snapshot_id", sa.Uuid(), primary_key=True),
        sa.Column("source_key", sa.String(), primary_key=True),
        sa.Column("body", sa.String(), nullable=False),
        sa.Column("asset_id", sa.Uuid(), nullable=False),
    )
    op.create_table(
        "feed_heard",
        sa.Column("feed", sa.String(), primary_key=True),
        sa.Column("partition", sa.Integer(), primary_key=True),
        sa.Column("heard_at", moment, nullable=False),
        postgresql_with={"fillfactor": 50},
    )
    op.create_table(
        "feed_finding",
        sa.Column("feed", sa.String(), primary_key=True),
        sa.Column("body", sa.String(), primary_key=True),
        sa.Column("since", moment),
        sa.Column("told", sa.String()),
        sa.Column("told_at", moment),
        sa.Column("revision", sa.BigInteger(), server_default="0", nullable=False),
    )
    for table in _OF_BODIES:
        enable_body_rls(op, table)


def downgrade() -> None:
    for table in _OF_BODIES:
        disable_body_rls(op, table)
    for table in ("feed_finding", "feed_heard", "snapshot_missing", "snapshot_mention", "feed_snapshot"):
        op.drop_table(table)
