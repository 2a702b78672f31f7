# SPDX-License-Identifier: Apache-2.0
"""Where access tokens come from and how they are checked."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Algorithm = Literal["ES256", "RS256", "PS256"]


def _secure_url(url: str) -> str:
    """TLS, or loopback: keys fetched in the clear could be anybody's."""
    parts = urlsplit(url)
    if parts.scheme == "https" and parts.hostname:
        return url
    if parts.scheme == "http" and parts.hostname and is_loopback(parts.hostname):
        return url
    raise ValueError("must be an https:// address, or http:// on loopback")


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine's own."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


SecureUrl = Annotated[str, AfterValidator(_secure_url)]


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
