# SPDX-License-Identifier: Apache-2.0
"""Where the models are."""

from register_service.store import Base

from libs.persistence.alembic_env import run

run(Base.metadata)
