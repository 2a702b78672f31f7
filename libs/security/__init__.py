# SPDX-License-Identifier: Apache-2.0
"""Who calls, for which bodies, in which roles; and how a refusal is told (design §8)."""

from libs.security.apps import OPEN_PATHS, AppNotStartedError, HttpSettings, create_app, serving
from libs.security.guard import Guard, UnguardedRouteError, assert_guarded, authenticated
from libs.security.identity import EVERY_BODY, Identity, Role
from libs.security.keys import IssuerUnavailableError, KeySource, RemoteKeys
from libs.security.problems import FieldError, ProblemError, install_problem_handlers
from libs.security.settings import OidcSettings
from libs.security.tokens import InvalidTokenError, TokenVerifier

__all__ = [
    "EVERY_BODY",
    "OPEN_PATHS",
    "AppNotStartedError",
    "FieldError",
    "Guard",
    "HttpSettings",
    "Identity",
    "InvalidTokenError",
    "IssuerUnavailableError",
    "KeySource",
    "OidcSettings",
    "ProblemError",
    "RemoteKeys",
    "Role",
    "TokenVerifier",
    "UnguardedRouteError",
    "assert_guarded",
    "authenticated",
    "create_app",
    "install_problem_handlers",
    "serving",
]
