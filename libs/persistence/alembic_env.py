# SPDX-License-Identifier: Apache-2.0
"""What `migrations/env.py` of every service does:

from libs.persistence.alembic_env import run
from services.inventory.store import Base

run(Base.metadata)
"""

from __future__ import annotations

from alembic import context
from sqlalchemy import MetaData


def run(metadata: MetaData) -> None:
    """Migrate on the connection that `upgrade` gives, all in its one transaction."""
    connection = context.config.attributes["connection"]
    context.configure(connection=connection, target_metadata=metadata, compare_server_default=True)
    context.run_migrations()
