# SPDX-License-Identifier: Apache-2.0
"""The embedded Apache Kafka and PostgreSQL: real servers, started with no Docker and no root, for one machine.

    with devstack(Path("data")) as stack:
        print(stack.kafka_bootstrap, stack.postgres_dsn("postgres", "postgres"))

`up`, `load` and `down` do the same for a stack that outlives the process that started it.
"""

from libs.devstack.credentials import KAFKA_ACCOUNTS
from libs.devstack.errors import DevstackError
from libs.devstack.stack import Stack, devstack, down, load, up

__all__ = ["KAFKA_ACCOUNTS", "DevstackError", "Stack", "devstack", "down", "load", "up"]
