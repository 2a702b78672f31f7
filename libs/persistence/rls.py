# SPDX-License-Identifier: Apache-2.0
"""Row-level security by body, for migrations."""

from __future__ import annotations

from typing import Final

from alembic.operations import Operations

from libs.persistence.identifiers import quoted

POLICY: Final = "body_scope"

# the sub-select is evaluated once for a statement, not once for a row; a setting that was never made gives no row
_PREDICATE: Final = "body = ANY ((SELECT string_to_array(current_setting('daicho.bodies', true), ','))::text[])"


def enable_body_rls(op: Operations, table: str) -> None:
    """Let `table`, which has a text column `body`, show and take only rows of the bodies in scope (`scoped`, `session`)."""
    name = quoted(table)
    op.execute(f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY")
    op.execute(f"ALTER TABLE {name} FORCE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY {POLICY} ON {name} USING ({_PREDICATE}) WITH CHECK ({_PREDICATE})")


def disable_body_rls(op: Operations, table: str) -> None:
    """Undo `enable_body_rls`, in a downgrade."""
    name = quoted(table)
    op.execute(f"DROP POLICY {POLICY} ON {name}")
    op.execute(f"ALTER TABLE {name} NO FORCE ROW LEVEL SECURITY")
    op.execute(f"ALTER TABLE {name} DISABLE ROW LEVEL SECURITY")
