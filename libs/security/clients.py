# SPDX-License-Identifier: Apache-2.0
"""The local issuer's folder: its signing key, its clients, and the tokens it signs.

`signing-key.json`, `clients.json` and `issuer.json`, each 0600 in a 0700 folder, made at first start.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey
from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError

from libs.contracts import Profile
from libs.security.identity import EVERY_BODY, Role
from libs.security.private_files import PrivateFileError, locked, read_private, write_private

ALGORITHM: Final = "ES256"
SECURITY_OFFICE: Final = "security-office"
SECOND_OFFICER: Final = "security-office-2"
"""Another person of that office: what one asks for or publishes, the other decides on."""
_KEY: Final = "signing-key.json"
_CLIENTS: Final = "clients.json"
_ISSUER: Final = "issuer.json"


class Client(BaseModel):
    """A machine that may have tokens: what they say, and the secret it gets them with."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    secret: SecretStr
    roles: tuple[Role, ...]
    bodies: tuple[str, ...]
    feeds: tuple[str, ...] = ()


class UnknownClientError(Exception):
    """There is no such client at this issuer."""


class IssuerFolder:
    """A local issuer that was started at least once on a folder. Raises PrivateFileError where it was not, or is broken."""

    def __init__(self, folder: Path, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._folder = folder
        self._clock = clock

    @classmethod
    def prepare(
        cls, folder: Path, url: str, profile: Profile, *, audience: str = "daicho", lifetime: int = 3600
    ) -> IssuerFolder:
        """Make what is not there yet; bring the clients to those of the profile, keeping the secrets they have.

        A client that the profile no longer calls for gets no more tokens. `lifetime` of a token is in seconds.
        """
        with locked(folder):
            if read_private(folder / _KEY) is None:
                key = ECKey.generate_key("P-256", {"use": "sig", "alg": ALGORITHM}, auto_kid=True)
                write_private(folder / _KEY, dict(key.as_dict(private=True)))
            known = read_private(folder / _CLIENTS) or {}
            wanted = {
                name: client | {"secret": _secret_of(known.get(name)) or secrets.token_urlsafe(32)}
                for name, client in declared_clients(profile).items()
            }
            if wanted != known:
                write_private(folder / _CLIENTS, wanted)
            write_private(folder / _ISSUER, {"issuer": url, "audience": audience, "lifetime": lifetime})
        return cls(folder)

    @property
    def url(self) -> str:
        """The `iss` of its tokens, where it listens as well."""
        return self._issuer.issuer

    @property
    def lifetime(self) -> int:
        """How long its tokens are valid, in seconds."""
        return self._issuer.lifetime

    @cached_property
    def clients(self) -> Mapping[str, Client]:
        """All clients by id, as `prepare` left them."""
        try:
            return {name: Client.model_validate(entry) for name, entry in self._read(_CLIENTS).items()}
        except ValidationError:
            raise PrivateFileError(f"{self._folder / _CLIENTS} is broken: remove it to have it made anew.") from None

    def client(self, client_id: str) -> Client:
        """Raises UnknownClientError."""
        if client_id not in self.clients:
            raise UnknownClientError(client_id)
        return self.clients[client_id]

    def authenticate(self, client_id: str, secret: str) -> Client | None:
        """The client if the secret is its own; as long for an unknown client as for a wrong secret."""
        client = self.clients.get(client_id)
        expected = client.secret.get_secret_value() if client else secrets.token_urlsafe(32)
        same = hmac.compare_digest(expected.encode(), secret.encode())
        return client if same else None

    def token(self, client_id: str) -> str:
        """An access token for a client (RFC 9068). Raises UnknownClientError."""
        client, now = self.client(client_id), int(self._clock().timestamp())
        claims: dict[str, Any] = {
            "iss": self.url,
            "aud": self._issuer.audience,
            "sub": client_id,
            "client_id": client_id,
            "iat": now,
            "exp": now + self.lifetime,
            "jti": secrets.token_urlsafe(16),
            "roles": list(client.roles),
            "bodies": list(client.bodies),
            "feeds": list(client.feeds),
        }
        header = {"alg": ALGORITHM, "kid": self._key.kid, "typ": "at+jwt"}
        return jwt.encode(header, claims, self._key, algorithms=[ALGORITHM])

    def public_keys(self) -> dict[str, Any]:
        """Its JWKS (RFC 7517 §5)."""
        return {"keys": [dict(self._key.as_dict(private=False))]}

    @cached_property
    def _key(self) -> ECKey:
        try:
            return ECKey.import_key(self._read(_KEY))
        except (JoseError, ValueError, KeyError):
            raise PrivateFileError(f"{self._folder / _KEY} is broken: remove it to have it made anew.") from None

    @cached_property
    def _issuer(self) -> _Issuer:
        try:
            return _Issuer.model_validate(self._read(_ISSUER))
        except ValidationError:
            raise PrivateFileError(f"{self._folder / _ISSUER} is broken: start the issuer again.") from None

    def _read(self, name: str) -> dict[str, Any]:
        document = read_private(self._folder / name)
        if document is None:
            raise PrivateFileError(f"{self._folder / name} is not there: start the issuer on this folder first.")
        return document


def declared_clients(profile: Profile) -> dict[str, dict[str, Any]]:
    """The clients that a profile calls for: two persons of the security office, one for each body, one for each feed."""
    office = [Role.SECURITY_OFFICER, Role.OPERATOR, Role.READER]
    clients = {name: _entry(office, [EVERY_BODY]) for name in (SECURITY_OFFICE, SECOND_OFFICER)}
    for body in profile.bodies:
        clients[f"body-{body.id}"] = _entry([Role.READER, Role.EDITOR], [body.id])
    for feed in profile.feeds:
        clients[f"feed-{feed.id}"] = _entry([Role.FEEDER], sorted(feed.bodies), [feed.id])
    return clients


def mint_token(folder: Path, client_id: str, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> str:
    """An access token, signed here with the issuer's key, for those who may read its folder; no HTTP.

    Raises UnknownClientError or PrivateFileError.
    """
    return IssuerFolder(folder, clock).token(client_id)


def _entry(roles: list[Role], bodies: list[str], feeds: list[str] | None = None) -> dict[str, Any]:
    return {"roles": [role.value for role in roles], "bodies": bodies, "feeds": feeds or []}


def _secret_of(entry: object) -> str | None:
    secret = entry.get("secret") if isinstance(entry, dict) else None
    return secret if isinstance(secret, str) and secret else None


class _Issuer(BaseModel):
    issuer: str
    audience: str
    lifetime: int
