# SPDX-License-Identifier: Apache-2.0
"""What assets are found by, and a way to the revisions between two moments."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from libs.persistence import disable_body_rls, enable_body_rls
from services.inventory.register.searching import findable

revision = "0007"
down_revision = "0006"

_TABLE = "asset_findable"
_INDEX = "ix_asset_revision_recorded_at"
_PAGE = 1000


def upgrade() -> None:
    op.create_table(
        _TABLE,
        sa.Column("asset_id", sa.Uuid(), primary_key=True),
        sa.Column("body", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
    )
    _fill_from_the_register()
    enable_body_rls(op, _TABLE)
    op.create_index(
        _INDEX, "asset_revision", ["recorded_at"], postgresql_using="brin", postgresql_with={"autosummarize": True}
    )


def _fill_from_the_register() -> None:
    """As the owner, whom row-level security binds but here: the rows of every body are to be filled."""
    asset = sa.table("asset", sa.column("asset_id", sa.Uuid()), sa.column("state", postgresql.JSONB()))
    columns = ("asset_id", "body", "kind", "active", "text")
    filled = sa.table(_TABLE, sa.column("asset_id", sa.Uuid(as_uuid=False)), *map(sa.column, columns[1:]))
    page = sa.select(asset.c.asset_id, asset.c.state).order_by(asset.c.asset_id).limit(_PAGE)
    op.execute("ALTER TABLE asset NO FORCE ROW LEVEL SECURITY")
    connection = op.get_bind()
    rows = connection.execute(page).all()
    while rows:
        connection.execute(sa.insert(filled), [findable(row.state)._asdict() for row in rows])
        rows = connection.execute(page.where(asset.c.asset_id > rows[-1].asset_id)).all()
    op.execute("ALTER TABLE asset FORCE ROW LEVEL SECURITY")


def downgrade() -> None:
    op.drop_index(_INDEX, "asset_revision")
    disable_body_rls(op, _TABLE)
    op.drop_table(_TABLE)
