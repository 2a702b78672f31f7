# SPDX-License-Identifier: Apache-2.0
"""Where the models are."""

from libs.persistence.alembic_env import run
from services.classification.store import Base

run(Base.metadata)
