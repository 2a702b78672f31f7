# SPDX-License-Identifier: Apache-2.0
"""The check of an access token (RFC 7519, RFC 8725, RFC 9068)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import Any, Final, Literal

from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from libs.security.identity import EVERY_BODY, ROLES_OF_EVERY_BODY, Identity, Role
from libs.security.keys import KeySource, UnknownKeyError
from libs.security.settings import OidcSettings

MAX_TOKEN_CHARS: Final = 8192
_ROLES: Final = frozenset[str](Role)
_TYPES: Final = frozenset({"at+jwt", "application/at+jwt", "jwt"})

Reason = Literal["token_malformed", "token_forged", "token_expired", "token_early", "token_elsewhere", "token_claims"]


class InvalidTokenError(Exception):
    """Why a token is not taken: the code of a sentence in the catalogue, `security.<reason>`."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason


class TokenVerifier:
    """Checks the access tokens of one issuer for one audience."""

    def __init__(self, settings: OidcSettings, keys: KeySource, clock: Callable[[], datetime]) -> None:
        self._settings = settings
        self._keys = keys
        self._clock = clock

    async def verify(self, token: str) -> Identity:
        """The caller whom a token names. Raises InvalidTokenError, or IssuerUnavailableError where its keys cannot be had."""
        header = self._header(token)
        try:
            key = await self._keys.key(header.get("kid"), header["alg"])
        except UnknownKeyError:
            raise InvalidTokenError("token_forged") from None
        claims = _signed_claims(token, key, header["alg"])
        self._check_addressed(claims)
        self._check_time(claims)
        return identity_from(claims)

    def _header(self, token: str) -> Mapping[str, Any]:
        """The protected header, as yet unproven; only algorithms of the allow-list go on (RFC 8725 §3.1)."""
        if len(token) > MAX_TOKEN_CHARS or not token.isascii():
            raise InvalidTokenError("token_malformed")
        try:
            header = jws.extract_compact(token.encode()).protected
        except (JoseError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise InvalidTokenError("token_malformed") from None
        kid, kind = header.get("kid"), header.get("typ", "jwt")
        if header.get("alg") not in self._settings.algorithms:
            raise InvalidTokenError("token_forged")
        if (
            not isinstance(kid, str | None)
            or not isinstance(kind, str)
            or kind.lower() not in _TYPES
            or "crit" in header
        ):
            raise InvalidTokenError("token_malformed")
        return header

    def _check_addressed(self, claims: Mapping[str, Any]) -> None:
        audience = claims.get("aud")
        audiences = audience if isinstance(audience, list) else [audience]
        if claims.get("iss") != self._settings.issuer or self._settings.audience not in audiences:
            raise InvalidTokenError("token_elsewhere")

    def _check_time(self, claims: Mapping[str, Any]) -> None:
        now = self._clock().timestamp()
        expires = _seconds(claims, "exp")
        if expires is None:
            raise InvalidTokenError("token_claims")
        if now >= expires + self._settings.leeway:
            raise InvalidTokenError("token_expired")
        for name in ("nbf", "iat"):
            begins = _seconds(claims, name)
            if begins is not None and now < begins - self._settings.leeway:
                raise InvalidTokenError("token_early")


def identity_from(claims: Mapping[str, Any]) -> Identity:
    """The claims `sub`, `roles`, `bodies` and `feeds`; `bodies` must be there, and `["*"]` beside a role that may have it.

    Roles that Daicho does not know are another application's and are passed over. Raises InvalidTokenError.
    """
    subject = claims.get("sub")
    if not isinstance(subject, str) or not subject:
        raise InvalidTokenError("token_claims")
    roles = frozenset(Role(role) for role in _strings(claims, "roles") if role in _ROLES)
    bodies = frozenset(_strings(claims, "bodies"))
    feeds = frozenset(_strings(claims, "feeds")) if "feeds" in claims else frozenset[str]()
    if EVERY_BODY not in bodies:
        return Identity(subject, bodies, roles, feeds)
    if len(bodies) > 1 or roles.isdisjoint(ROLES_OF_EVERY_BODY):
        raise InvalidTokenError("token_claims")
    return Identity(subject, "*", roles, feeds)


def _signed_claims(token: str, key: ECKey | RSAKey, algorithm: str) -> Mapping[str, Any]:
    try:
        return jwt.decode(token, key, algorithms=[algorithm]).claims
    except (JoseError, ValueError, TypeError, RecursionError):
        raise InvalidTokenError("token_forged") from None


def _strings(claims: Mapping[str, Any], name: str) -> Collection[str]:
    value = claims.get(name)
    if not isinstance(value, list) or not all(isinstance(one, str) and one for one in value):
        raise InvalidTokenError("token_claims")
    return value


def _seconds(claims: Mapping[str, Any], name: str) -> float | None:
    """NumericDate (RFC 7519 §2); a boolean is no number here, and NaN and infinity are no dates."""
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 2**53:
        raise InvalidTokenError("token_claims")
    return float(value)
