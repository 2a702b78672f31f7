# SPDX-License-Identifier: Apache-2.0
"""Where the models are."""

import services.inventory.netbox_pull.store  # noqa: F401 - its table
from libs.persistence.alembic_env import run
from services.inventory.store import Base

run(Base.metadata)
