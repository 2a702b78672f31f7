# SPDX-License-Identifier: Apache-2.0
"""Addresses that an instance calls: over TLS, or on its own machine."""

from __future__ import annotations

import ipaddress
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator


def _secure_url(url: str) -> str:
    """TLS, or loopback: what is fetched in the clear could be anybody's, and a token sent in the clear anybody's too."""
    parts = urlsplit(url)
    if parts.scheme == "https" and parts.hostname:
        return url
    if parts.scheme == "http" and parts.hostname and is_loopback(parts.hostname):
        return url
    raise ValueError("must be an https:// address, or http:// on loopback")


def _without_more(url: str) -> str:
    parts = urlsplit(url)
    if parts.query or parts.fragment or "@" in parts.netloc:
        raise ValueError("must be an address alone: take user, password, query and fragment away")
    return url


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine's own."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


SecureUrl = Annotated[str, AfterValidator(_secure_url)]
BaseUrl = Annotated[SecureUrl, AfterValidator(_without_more)]
"""What paths are added to."""
