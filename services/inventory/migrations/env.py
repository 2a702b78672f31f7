# SPDX-License-Identifier: Apache-2.0
"""Where the models are."""

from libs.persistence.alembic_env import run
from services.inventory import idempotency
from services.inventory.attachments import store as attachments
from services.inventory.dead_letters import store as dead_letters
from services.inventory.disposals import store as disposals
from services.inventory.netbox_pull import store as netbox_pull
from services.inventory.receipts import store as receipts
from services.inventory.requests import store as requests
from services.inventory.rhythm import store as rhythm
from services.inventory.snapshots import store as snapshots
from services.inventory.store import Base

MODELS = (
    dead_letters,
    receipts,
    idempotency,
    netbox_pull,
    snapshots,
    rhythm,
    requests,
    disposals,
    attachments,
)
"""Each adds its tables to `Base` when it is imported."""

run(Base.metadata)
