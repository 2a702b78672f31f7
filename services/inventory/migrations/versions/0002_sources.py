# SPDX-License-Identifier: Apache-2.0
"""What each source last told, by what assets are known again, and what people merged or told apart."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from libs.persistence import disable_body_rls, enable_body_rls

revision = "0002"
down_revision = "0001"

_OF_BODIES = ("asset", "source_link")

# Until now an asset had one source. A relation names what another source knows by that source's key, and by the id alone what was
# not seen yet: an id does not give its key back.
_TOLD = """
UPDATE source_link SET
  gone = asset.status = 'retired',
  told = (asset.state - '{asset_id,network,status,relations}'::text[] || jsonb_build_object('relations', (
    SELECT coalesce(jsonb_agg(jsonb_build_array(one ->> 'type', coalesce(other.feed, ''), coalesce(other.source_key, one ->> 'asset_id'))), '[]')
    FROM jsonb_array_elements(asset.relations) AS one
    LEFT JOIN source_link other ON other.asset_id = (one ->> 'asset_id')::uuid)))::json
FROM asset WHERE asset.asset_id = source_link.asset_id
"""

_RELATIONS = """
INSERT INTO asset_relation (target_id, asset_id)
SELECT DISTINCT (one ->> 'asset_id')::uuid, asset_id FROM asset, jsonb_array_elements(relations) AS one
"""


def upgrade() -> None:
    op.add_column("source_link", sa.Column("told", postgresql.JSON()))
    op.add_column("source_link", sa.Column("gone", sa.Boolean(), server_default=sa.false(), nullable=False))
    keys = sa.Column("keys", postgresql.ARRAY(sa.BigInteger()), server_default="{}", nullable=False)
    op.add_column("source_link", keys)
    op.create_index("ix_source_link_asset_id", "source_link", ["asset_id"])
    op.create_table(
        "match_key",
        sa.Column("key", sa.BigInteger(), primary_key=True),
        sa.Column("feed", sa.String(), primary_key=True),
        sa.Column("source_key", sa.String(), primary_key=True),
    )
    op.create_table(
        "asset_relation",
        sa.Column("target_id", sa.Uuid(), primary_key=True),
        sa.Column("asset_id", sa.Uuid(), primary_key=True),
    )
    # what it was for, row-level security did not let it do: its operator is not leakproof, and so every row was read
    op.drop_index("ix_asset_relations", "asset")
    _create_merge_tables()
    _fill_from_the_register()


def _fill_from_the_register() -> None:
    """As the owner, whom row-level security binds but here: the rows of every body are to be filled."""
    for table in _OF_BODIES:
        op.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
    op.execute(_TOLD)
    op.execute(_RELATIONS)
    for table in _OF_BODIES:
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")


def _create_merge_tables() -> None:
    op.create_table(
        "merge_candidate",
        sa.Column("candidate_id", sa.Uuid(), primary_key=True),
        sa.Column("body", sa.String(), nullable=False),
        sa.Column("other_body", sa.String(), nullable=False),
        sa.Column("asset_id", sa.Uuid(), nullable=False),
        sa.Column("other_id", sa.Uuid(), nullable=False),
        sa.Column("feed", sa.String(), nullable=False),
        sa.Column("source_key", sa.String(), nullable=False),
        sa.Column("evidence", postgresql.JSONB(), nullable=False),
        sa.Column("told_apart", sa.Boolean(), nullable=False),
        sa.Column("proposed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("decided_by", sa.String()),
        sa.Column("decided_at", sa.DateTime(timezone=True)),
        sa.Column("note", sa.String()),
    )
    op.create_index("ix_merge_candidate_state", "merge_candidate", ["state", "candidate_id"])
    op.create_table(
        "asset_merge",
        sa.Column("merge_id", sa.Uuid(), primary_key=True),
        sa.Column("body", sa.String(), nullable=False),
        sa.Column("other_body", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("from_id", sa.Uuid(), nullable=False),
        sa.Column("into_id", sa.Uuid(), nullable=False),
        sa.Column("sources", postgresql.JSONB(), nullable=False),
        sa.Column("candidate_id", sa.Uuid()),
        sa.Column("done_by", sa.String(), nullable=False),
        sa.Column("done_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("note", sa.String()),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("undone_by", sa.String()),
        sa.Column("undone_at", sa.DateTime(timezone=True)),
        sa.Column("undo_note", sa.String()),
    )
    op.create_index("ix_asset_merge_from_id", "asset_merge", ["from_id"])
    op.create_index("ix_asset_merge_into_id", "asset_merge", ["into_id"])
    for table in ("merge_candidate", "asset_merge"):
        enable_body_rls(op, table)


def downgrade() -> None:
    for table in ("asset_merge", "merge_candidate"):
        disable_body_rls(op, table)
        op.drop_table(table)
    op.create_index(
        "ix_asset_relations",
        "asset",
        ["relations"],
        postgresql_using="gin",
        postgresql_ops={"relations": "jsonb_path_ops"},
    )
    op.drop_table("asset_relation")
    op.drop_table("match_key")
    op.drop_index("ix_source_link_asset_id", "source_link")
    op.drop_column("source_link", "keys")
    op.drop_column("source_link", "gone")
    op.drop_column("source_link", "told")
