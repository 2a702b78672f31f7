# SPDX-License-Identifier: Apache-2.0
"""The register's tables and the batch write, on a real PostgreSQL."""

from __future__ import annotations

from libs.persistence import assert_no_drift
from services.inventory.store import Base


async def test_the_migrations_make_what_the_models_say(owner_dsn: str) -> None:
    await assert_no_drift(Base.metadata, owner_dsn)
