# SPDX-License-Identifier: Apache-2.0
"""The issuer's public keys: found by OIDC discovery, fetched, kept, and fetched anew when a new one shows up."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

import httpx
import structlog
from joserfc.jwk import ECKey, JWKRegistry, RSAKey
from pydantic import BaseModel

from libs.contracts.addresses import SecureUrl
from libs.security.settings import OidcSettings

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
            raise IssuerUnavailableError("its key set has no keys")
        self._keys = [key for entry in entries if (key := _public_key(entry)) is not None]

    def __bool__(self) -> bool:
        return bool(self._keys)

    def find(self, kid: str | None, algorithm: str) -> ECKey | RSAKey | None:
        """The key of that id; without an id, the only key there is for the algorithm."""
        fitting = [key for key in self._keys if _fits(key, algorithm) and (kid is None or key.kid == kid)]
        return fitting[0] if len(fitting) == 1 else None


class RemoteKeys:
    """Keys of an issuer by OpenID Connect Discovery 1.0.

    One fetch at a time, and none sooner than `refresh_at_most_every` after the last, whatever ids callers make up; a second
    after one that failed. Known keys are renewed in the background, and stay in use while the issuer cannot be reached, up to
    `keys_kept_for`: by then few tokens that it signed are still valid, and it can sign no new ones.
    """

    def __init__(
        self, settings: OidcSettings, client: httpx.AsyncClient, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings = settings
        self._client = client
        self._clock = clock
        self._lock = asyncio.Lock()
        self._keys: KeySet | None = None
        self._fetched_at = -math.inf
        self._next_try = -math.inf
        self._tries = 0
        self._renewal: asyncio.Task[None] | None = None

    async def key(self, kid: str | None, algorithm: str) -> ECKey | RSAKey:
        found = self._kept().find(kid, algorithm)
        if found is None:
            await self._refresh()
            if not self._kept():
                raise IssuerUnavailableError("its keys could not be fetched")
            found = self._kept().find(kid, algorithm)
        elif self._clock() - self._fetched_at >= self._settings.keys_fresh_for and self._may_try():
            self._renewal = asyncio.create_task(self._refresh())
        if found is None:
            raise UnknownKeyError
        return found

    def _kept(self) -> KeySet:
        if self._keys is None or self._clock() - self._fetched_at >= self._settings.keys_kept_for:
            return KeySet({"keys": []})
        return self._keys

    async def _refresh(self) -> None:
        """Fetch, if it is time to; who waited while another did takes what that one got."""
        tries = self._tries
        async with self._lock:
            if tries == self._tries and self._may_try():
                await self._fetch()
                self._tries += 1

    def _may_try(self) -> bool:
        return self._clock() >= self._next_try

    async def _fetch(self) -> None:
        self._next_try = self._clock() + self._settings.retry_after
        try:
            async with asyncio.timeout(self._settings.timeout):
                self._keys = KeySet(await self._get(await self._jwks_uri()))
        except (
            httpx.HTTPError,
            httpx.InvalidURL,
            TimeoutError,
            IssuerUnavailableError,
            ValueError,
            RecursionError,
        ) as error:
            detail = str(error) or type(error).__name__
            _log.error("issuer keys not fetched", issuer=self._settings.issuer, detail=detail)
            return
        self._fetched_at = self._clock()
        self._next_try = self._fetched_at + self._settings.refresh_at_most_every

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
    except Exception:  # whatever is wrong with one entry, the others stand
        return None
    if isinstance(key, ECKey):
        return key if key.curve_name == "P-256" else None
    if isinstance(key, RSAKey):
        return key if key.public_key.key_size >= MIN_RSA_BITS else None
    return None


def _fits(key: ECKey | RSAKey, algorithm: str) -> bool:
    return isinstance(key, _KEY_TYPE[algorithm]) and key.get("alg", algorithm) == algorithm
