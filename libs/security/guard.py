# SPDX-License-Identifier: Apache-2.0
"""The guard before every route, and the proof that no route is without one."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Annotated

import structlog
from fastapi import Depends, FastAPI, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from libs.contracts import ProblemType
from libs.security.identity import Identity, Role
from libs.security.keys import IssuerUnavailableError
from libs.security.problems import ProblemError
from libs.security.tokens import InvalidTokenError, TokenVerifier

_bearer = HTTPBearer(auto_error=False, bearerFormat="JWT")
_log = structlog.get_logger(__name__)


class UnguardedRouteError(RuntimeError):
    """A route that anybody could call, and that is not in the list of open ones."""


class Guard:
    """Base of the FastAPI dependencies that let no caller pass whom they have not made sure of.

    Besides tokens there is only one for what cannot send them: a door that checks a signature derives its own.
    """


class TokenGuard(Guard):
    """Lets a request pass only with a valid token that has one of the roles."""

    def __init__(self, roles: frozenset[Role]) -> None:
        self.roles = roles

    async def __call__(
        self, request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
    ) -> Identity:
        if credentials is None:
            # RFC 6750 §3.1: no error code where no token was sent
            raise _unauthenticated("security.token_missing", "Bearer")
        identity = await _verify(request, credentials.credentials)
        if not identity.has(*self.roles):
            raise ProblemError(
                ProblemType.FORBIDDEN,
                "security.role_missing",
                roles=", ".join(sorted(self.roles)),
                headers={"WWW-Authenticate": 'Bearer error="insufficient_scope"'},
            )
        return identity


def authenticated(*roles: Role | str) -> TokenGuard:
    """The guard for callers with at least one of `roles`, of which there must be one.

    `Annotated[Identity, Depends(authenticated("reader"))]`. Answers 401 without a valid token, 403 without the role, 503 where
    the issuer's keys cannot be had. Raises ValueError for an unknown role.
    """
    if not roles:
        raise ValueError("name at least one role")
    return TokenGuard(frozenset(Role(role) for role in roles))


def assert_guarded(app: FastAPI, open_paths: Collection[str]) -> None:
    """Raises UnguardedRouteError for the first route, mount or socket without a guard whose path is not in `open_paths`."""
    for context in iter_route_contexts(app.routes):
        if context.path in open_paths:
            continue
        dependant = getattr(context, "dependant", None)
        if not isinstance(dependant, Dependant) or not any(isinstance(call, Guard) for call in _calls(dependant)):
            raise UnguardedRouteError(f"{context.path or context.route!r} asks for no token: add authenticated(...)")


def _calls(dependant: Dependant) -> Iterator[object]:
    for inner in dependant.dependencies:
        yield inner.call
        yield from _calls(inner)


async def _verify(request: Request, token: str) -> Identity:
    verifier: TokenVerifier = request.app.state.token_verifier
    try:
        return await verifier.verify(token)
    except InvalidTokenError as error:
        _log.info("token refused", reason=error.reason)
        raise _unauthenticated(f"security.{error.reason}", 'Bearer error="invalid_token"') from None
    except IssuerUnavailableError as error:
        _log.error("issuer unavailable", detail=str(error))
        raise ProblemError(ProblemType.BUSY, "security.issuer_unavailable", headers={"Retry-After": "5"}) from error


def _unauthenticated(key: str, challenge: str) -> ProblemError:
    return ProblemError(ProblemType.UNAUTHENTICATED, key, headers={"WWW-Authenticate": challenge})
