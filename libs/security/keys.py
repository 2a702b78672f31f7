# SPDX-License-Identifier: Apache-2.0
"""The issuer's public keys: found by OIDC discovery, fetched, kept, and fetched anew when a new one shows up."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

import httpx
import structlog
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, JWKRegistry, RSAKey
from pydantic import BaseModel

from libs.security.settings import OidcSettings, SecureUrl

MAX_DOCUMENT_BYTES: Final = 256 * 1024
MIN_RSA_BITS: Final = 2048
_KEY_TYPE: Final = {"ES256": ECKey, "RS256": RSAKey, "PS256": RSAKey}

_log = structlog.get_logger(__name__)


class IssuerUnavailableError(Exception):
    """The issuer's keys cannot be had, or what it sends is no key set."""


class UnknownKeyError(Exception):
    """The issuer has no such key."""


class KeySource(Protocol):
    """Where a verifier gets public keys."""

    async def key(self, kid: str | None, algorithm: str) -> ECKey | RSAKey:
        """The key with that id for that algorithm. Raises UnknownKeyError or IssuerUnavailableError."""
        ...


class KeySet:
    """The signing keys of one JWKS (RFC 7517), others left out: secrets, private, weak or encryption keys."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        entries = document.get("keys")
        if not isinstance(entries, list):
            raise IssuerUnavailableError("the key set has no keys")
        self._keys = [key for entry in entries if (key := _public_key(entry)) is not None]

    def find(self, kid: str | None, algorithm: str) -> ECKey | RSAKey | None:
        """The key of that id; without an id, the only key there is for the algorithm."""
        fitting = [key for key in self._keys if _fits(key, algorithm) and (kid is None or key.kid == kid)]
        return fitting[0] if len(fitting) == 1 else None


class RemoteKeys:
    """Keys of an issuer by OpenID Connect Discovery 1.0.

    One fetch at a time, and none sooner than `refresh_at_most_every` after the last, whatever ids callers make up. Old keys
    stay in use while the issuer cannot be reached, up to `keys_kept_for`: by then no token that it signed is still valid.
    """

    def __init__(
        self, settings: OidcSettings, client: httpx.AsyncClient, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings = settings
        self._client = client
        self._clock = clock
        self._lock = asyncio.Lock()
        self._keys: KeySet | None = None
        self._fetched = 0.0
        self._tried: float | None = None

    async def key(self, kid: str | None, algorithm: str) -> ECKey | RSAKey:
        keys = self._usable(self._settings.keys_fresh_for) or await self._refreshed(self._tried)
        found = keys.find(kid, algorithm)
        if found is None:
            keys = await self._refreshed(self._tried)
            found = keys.find(kid, algorithm)
        if found is None:
            raise UnknownKeyError
        return found

    def _usable(self, age: float) -> KeySet | None:
        return self._keys if self._clock() - self._fetched < age else None

    async def _refreshed(self, seen: float | None) -> KeySet:
        """The newest keys that may be fetched now; who waited while another fetched (`seen`) takes what that one got."""
        async with self._lock:
            if self._tried == seen and self._may_try():
                await self._fetch()
        keys = self._usable(self._settings.keys_kept_for)
        if keys is None:
            raise IssuerUnavailableError("its keys could not be fetched")
        return keys

    def _may_try(self) -> bool:
        return self._tried is None or self._clock() - self._tried >= self._settings.refresh_at_most_every

    async def _fetch(self) -> None:
        self._tried = self._clock()
        try:
            async with asyncio.timeout(self._settings.timeout):
                self._keys = KeySet(await self._get(await self._jwks_uri()))
        except (httpx.HTTPError, TimeoutError, IssuerUnavailableError, ValueError) as error:
            _log.error(
                "issuer keys not fetched", issuer=self._settings.issuer, detail=str(error) or type(error).__name__
            )
            return
        self._fetched = self._clock()

    async def _jwks_uri(self) -> str:
        found = _Discovery.model_validate(
            await self._get(self._settings.issuer.rstrip("/") + "/.well-known/openid-configuration")
        )
        if found.issuer != self._settings.issuer:
            raise IssuerUnavailableError("its discovery document names another issuer")
        return found.jwks_uri

    async def _get(self, url: str) -> Mapping[str, Any]:
        body = b""
        async with self._client.stream(
            "GET", url, headers={"Accept": "application/json"}, follow_redirects=False
        ) as answer:
            if answer.status_code != 200:
                raise IssuerUnavailableError(f"status {answer.status_code}")
            async for chunk in answer.aiter_bytes():
                body += chunk
                if len(body) > MAX_DOCUMENT_BYTES:
                    raise IssuerUnavailableError("its document is too large")
        document = json.loads(body)
        if not isinstance(document, dict):
            raise IssuerUnavailableError("its document is no JSON object")
        return document


class _Discovery(BaseModel):
    issuer: str
    jwks_uri: SecureUrl


def _public_key(entry: object) -> ECKey | RSAKey | None:
    if not isinstance(entry, dict) or entry.get("use", "sig") != "sig" or "d" in entry:
        return None
    try:
        key = JWKRegistry.import_key(entry)
    except (JoseError, ValueError, TypeError, KeyError):
        return None
    if isinstance(key, ECKey):
        return key if key.curve_name == "P-256" else None
    if isinstance(key, RSAKey):
        return key if key.public_key.key_size >= MIN_RSA_BITS else None
    return None


def _fits(key: ECKey | RSAKey, algorithm: str) -> bool:
    return isinstance(key, _KEY_TYPE[algorithm]) and key.get("alg", algorithm) == algorithm
