# SPDX-License-Identifier: Apache-2.0
"""PostgreSQL: pools and sessions scoped to bodies, staging by COPY, the tables every service has, migrations, roles."""

from libs.persistence.migrations import SchemaDriftError, assert_no_drift, downgrade, upgrade
from libs.persistence.pool import Pool, PoolConnection, PrivilegedRoleError, WrittenJson, create_pool
from libs.persistence.probes import OutboxProbe, PostgresProbe
from libs.persistence.provisioning import dsn_for, owner_of, provision
from libs.persistence.rls import disable_body_rls, enable_body_rls
from libs.persistence.scope import scoped
from libs.persistence.sessions import Sessions, driver_of
from libs.persistence.settings import PostgresSettings
from libs.persistence.staging import StagingTable, copy_staging
from libs.persistence.tables import (
    OffsetsTable,
    OutboxTable,
    ParkedKeyTable,
    create_service_tables,
    drop_service_tables,
    model_base,
)

__all__ = [
    "OffsetsTable",
    "OutboxProbe",
    "OutboxTable",
    "ParkedKeyTable",
    "Pool",
    "PoolConnection",
    "PostgresProbe",
    "PostgresSettings",
    "PrivilegedRoleError",
    "SchemaDriftError",
    "Sessions",
    "StagingTable",
    "WrittenJson",
    "assert_no_drift",
    "copy_staging",
    "create_pool",
    "create_service_tables",
    "disable_body_rls",
    "downgrade",
    "driver_of",
    "drop_service_tables",
    "dsn_for",
    "enable_body_rls",
    "model_base",
    "owner_of",
    "provision",
    "scoped",
    "upgrade",
]
