# SPDX-License-Identifier: Apache-2.0
"""An issuer's keys, the tokens it may sign, and a verifier that knows the public half."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, RSAKey

from libs.contracts import Profile
from libs.security import OidcSettings, TokenVerifier
from libs.security.keys import KeySet, UnknownKeyError

ISSUER = "https://login.example.lg.jp/realms/city"
NOW = datetime(2027, 7, 1, 9, 0, tzinfo=UTC)

SignToken = Callable[..., str]


class KnownKeys:
    """A key source whose keys are at hand."""

    def __init__(self, keys: KeySet) -> None:
        self.keys = keys

    async def key(self, kid: str | None, algorithm: str) -> ECKey | RSAKey:
        found = self.keys.find(kid, algorithm)
        if found is None:
            raise UnknownKeyError
        return found


@pytest.fixture(scope="session")
def signing_keys() -> Mapping[str, ECKey | RSAKey]:
    use = {"use": "sig"}
    return {
        "ES256": ECKey.generate_key("P-256", {**use, "kid": "ec"}),
        "RS256": RSAKey.generate_key(2048, {**use, "kid": "rsa", "alg": "RS256"}),
        "PS256": RSAKey.generate_key(2048, {**use, "kid": "pss", "alg": "PS256"}),
    }


@pytest.fixture(scope="session")
def jwks(signing_keys: Mapping[str, ECKey | RSAKey]) -> dict[str, Any]:
    return {"keys": [key.as_dict(private=False) for key in signing_keys.values()]}


@pytest.fixture
def settings() -> OidcSettings:
    return OidcSettings(issuer=ISSUER)


@pytest.fixture
def clock() -> Callable[[], datetime]:
    return lambda: NOW


@pytest.fixture
def verifier(settings: OidcSettings, jwks: dict[str, Any], clock: Callable[[], datetime]) -> TokenVerifier:
    return TokenVerifier(settings, KnownKeys(KeySet(jwks)), clock)


@pytest.fixture
def claims() -> dict[str, Any]:
    now = int(NOW.timestamp())
    return {
        "iss": ISSUER,
        "aud": "daicho",
        "sub": "section-manager",
        "iat": now,
        "exp": now + 600,
        "roles": ["reader"],
        "bodies": ["waterworks"],
    }


@pytest.fixture
def sign(signing_keys: Mapping[str, ECKey | RSAKey], claims: dict[str, Any]) -> SignToken:
    """Sign the usual claims with changes (None takes a claim away), by the usual key unless told otherwise."""

    def signed(
        algorithm: str = "ES256",
        *,
        key: ECKey | RSAKey | OctKey | None = None,
        header: Mapping[str, Any] | None = None,
        **changes: Any,
    ) -> str:
        chosen = key or signing_keys[algorithm]
        full = {"alg": algorithm, "typ": "at+jwt", "kid": chosen.kid, **(header or {})}
        protected = {name: value for name, value in full.items() if value is not None}
        wanted = {name: value for name, value in (claims | changes).items() if value is not None}
        return jwt.encode(protected, wanted, chosen, algorithms=[algorithm], default_type=None)

    return signed


@pytest.fixture
def profile() -> Profile:
    return Profile.model_validate(
        {
            "municipality": "990019",
            "name": {"ja": "青浜市", "en": "Aohama City"},
            "networks": [{"id": "mayor", "in_charge": "mayor"}],
            "bodies": [
                {"id": "mayor", "name": {"ja": "市長部局", "en": "Mayor"}, "network": "mayor"},
                {"id": "fire", "name": {"ja": "消防本部", "en": "Fire"}, "network": "mayor"},
            ],
            "feeds": [
                {"id": "netbox", "name": {"ja": "機器", "en": "Devices"}, "bodies": ["fire"], "format": "netbox"}
            ],
        }
    )
