# SPDX-License-Identifier: Apache-2.0
"""The dead letters of all consumers, as people read them; what became of each item; answers that may be asked for again."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from libs.persistence import disable_body_rls, enable_body_rls

revision = "0003"
down_revision = "0002"

_LETTERS = "dead_letter"
_OUTCOMES = "feed_outcomes"
_ANSWERS = "idempotent_answer"


def upgrade() -> None:
    moment = sa.DateTime(timezone=True)
    op.create_table(
        _LETTERS,
        sa.Column("letter_id", sa.String(), primary_key=True),
        sa.Column("first_id", sa.String(), nullable=False),
        sa.Column("body", sa.String(), nullable=False),
        sa.Column("consumer", sa.String(), nullable=False),
        sa.Column("topic", sa.String(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("parks", sa.Boolean(), nullable=False),
        sa.Column("feed", sa.String()),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("field", sa.String()),
        sa.Column("detail", sa.String(), nullable=False),
        sa.Column("parked_at", moment, nullable=False),
        sa.Column("letter", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.String(), nullable=False, server_default="parked"),
        sa.Column("decided_by", sa.String()),
        sa.Column("decided_at", moment),
        sa.Column("decision_reason", sa.String()),
        sa.Column("outcome", sa.Integer()),
        sa.Column("correction", postgresql.JSONB()),
    )
    waiting = sa.text("state = 'parked'")
    op.create_index("ix_dead_letter_parked_at", _LETTERS, ["parked_at", "letter_id"])
    op.create_index("ix_dead_letter_first", _LETTERS, ["first_id"])
    op.create_index(
        "ix_dead_letter_waiting_key",
        _LETTERS,
        ["consumer", "topic", "partition", "key", "parked_at"],
        postgresql_where=waiting,
    )
    op.create_index(
        "ix_dead_letter_waiting", _LETTERS, ["body", "reason", "parked_at", "letter_id"], postgresql_where=waiting
    )
    enable_body_rls(op, _LETTERS)
    op.create_table(
        _OUTCOMES,
        sa.Column("partition", sa.Integer(), primary_key=True),
        sa.Column("first_offset", sa.BigInteger(), primary_key=True),
        sa.Column("recorded_at", moment, nullable=False),
        sa.Column("codes", sa.LargeBinary(), nullable=False),
    )
    op.create_table(
        _ANSWERS,
        sa.Column("subject", sa.String(), primary_key=True),
        sa.Column("key", sa.String(), primary_key=True),
        sa.Column("body", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("created_at", moment, nullable=False),
        sa.Column("answer", postgresql.JSONB()),
    )
    op.create_index("ix_idempotent_answer_created_at", _ANSWERS, ["created_at"])
    enable_body_rls(op, _ANSWERS)


def downgrade() -> None:
    disable_body_rls(op, _ANSWERS)
    op.drop_table(_ANSWERS)
    op.drop_table(_OUTCOMES)
    disable_body_rls(op, _LETTERS)
    op.drop_table(_LETTERS)
