# SPDX-License-Identifier: Apache-2.0
"""Where access tokens come from and how they are checked."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from libs.contracts.addresses import SecureUrl

Algorithm = Literal["ES256", "RS256", "PS256"]


class OidcSettings(BaseModel):
    """`DAICHO_OIDC__ISSUER` and so on. Durations are in seconds."""

    model_config = ConfigDict(frozen=True)

    issuer: SecureUrl
    audience: str = "daicho"
    algorithms: tuple[Algorithm, ...] = ("ES256", "RS256", "PS256")
    leeway: Annotated[int, Field(ge=0, le=30)] = 10
    keys_fresh_for: Annotated[float, Field(gt=0)] = 600
    keys_kept_for: Annotated[float, Field(gt=0)] = 3600
    refresh_at_most_every: Annotated[float, Field(gt=0)] = 30
    retry_after: Annotated[float, Field(gt=0)] = 1
    timeout: Annotated[float, Field(gt=0)] = 5
