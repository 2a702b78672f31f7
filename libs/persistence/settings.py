# SPDX-License-Identifier: Apache-2.0
"""Where a service's database is."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr


class PostgresSettings(BaseModel):
    """`DAICHO_POSTGRES__DSN` and so on; the DSN is of the run-time role, never the owner's. Durations are in seconds."""

    model_config = ConfigDict(frozen=True)

    dsn: SecretStr
    pool_size: Annotated[int, Field(ge=1)] = 8
    session_pool_size: Annotated[int, Field(ge=1)] = 8
    connect_timeout: Annotated[float, Field(gt=0)] = 10
    command_timeout: Annotated[float, Field(gt=0)] = 60
