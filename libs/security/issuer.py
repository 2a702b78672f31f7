# SPDX-License-Identifier: Apache-2.0
"""The local issuer of the embedded default: OIDC discovery, keys, and tokens for machines, on loopback only.

`python -m libs.security.issuer --directory D --profile F [--port P]`; it writes its address as a line on standard output once it
takes connections.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import socket
import sys
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, unquote_plus

import uvicorn
import yaml
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import ValidationError

from libs.contracts import Profile
from libs.observability.logs import configure_logging
from libs.security.clients import ALGORITHM, IssuerFolder
from libs.security.private_files import PrivateFileError
from libs.security.problems import install_problem_handlers

LOOPBACK: Final = "127.0.0.1"
MAX_FORM_BYTES: Final = 16 * 1024
_NO_STORE: Final = {"Cache-Control": "no-store", "Pragma": "no-cache"}
_PARAMETERS: Final = frozenset({"grant_type", "client_id", "client_secret", "scope"})


class TokenError(Exception):
    """A refusal of RFC 6749 §5.2."""

    def __init__(self, error: str, description: str, status: int = 400) -> None:
        super().__init__(error)
        self.status = status
        self.body = {"error": error, "error_description": description}


def issuer_app(issuer: IssuerFolder) -> FastAPI:
    """The issuer's routes; the token endpoint checks the client itself, the others publish what is public."""
    app = FastAPI(
        title="Daicho local issuer", openapi_url=None, docs_url=None, redoc_url=None, max_body_size=MAX_FORM_BYTES
    )
    install_problem_handlers(app)

    @app.exception_handler(TokenError)
    async def refuse(_request: Request, error: TokenError) -> JSONResponse:
        challenge = {"WWW-Authenticate": 'Basic realm="daicho"'} if error.status == 401 else {}
        return JSONResponse(error.body, error.status, {**_NO_STORE, **challenge})

    @app.get("/.well-known/openid-configuration")
    async def discovery() -> dict[str, Any]:
        return {
            "issuer": issuer.url,
            "jwks_uri": f"{issuer.url}/jwks",
            "token_endpoint": f"{issuer.url}/token",
            "grant_types_supported": ["client_credentials"],
            "response_types_supported": [],
            "subject_types_supported": ["public"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
            "id_token_signing_alg_values_supported": [ALGORITHM],
        }

    @app.get("/jwks")
    async def jwks() -> dict[str, Any]:
        return issuer.public_keys()

    @app.get("/health/live")
    async def live() -> dict[str, str]:
        return {"status": "live"}

    @app.post("/token")
    async def token(request: Request) -> JSONResponse:
        form = await _form(request)
        client_id, secret = _credentials(request, form)
        client = issuer.authenticate(client_id, secret)
        if client is None:
            raise TokenError("invalid_client", "the client or its secret is not known", 401)
        if "grant_type" not in form:
            raise TokenError("invalid_request", "grant_type is missing")
        if form["grant_type"] != "client_credentials":
            raise TokenError("unsupported_grant_type", "only client_credentials is")
        answer = {
            "access_token": issuer.token(client_id),
            "token_type": "Bearer",
            "expires_in": issuer.lifetime,
            "scope": " ".join(client.roles),
        }
        return JSONResponse(answer, headers=_NO_STORE)

    return app


async def _form(request: Request) -> dict[str, str]:
    """The parameters of a request; none may stand twice (RFC 6749 §3.2)."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/x-www-form-urlencoded":
        raise TokenError("invalid_request", "send application/x-www-form-urlencoded")
    try:
        # a parameter without a value counts as not sent, and one that is not known is passed over
        fields = parse_qs((await request.body()).decode(), errors="strict", max_num_fields=32)
    except ValueError:
        raise TokenError("invalid_request", "the form cannot be read") from None
    twice = [name for name in _PARAMETERS if len(fields.get(name, ())) > 1]
    if twice:
        raise TokenError("invalid_request", f"{twice[0]} stands twice")
    return {name: values[0] for name, values in fields.items() if name in _PARAMETERS}


def _credentials(request: Request, form: dict[str, str]) -> tuple[str, str]:
    """Client id and secret, by HTTP Basic or in the form, not both (RFC 6749 §2.3.1)."""
    header = request.headers.get("authorization")
    if header is None:
        if "client_id" in form and "client_secret" in form:
            return form["client_id"], form["client_secret"]
        raise TokenError("invalid_client", "send the client's id and secret", 401)
    if "client_secret" in form:
        raise TokenError("invalid_request", "send the secret one way only")
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        raise TokenError("invalid_client", "use HTTP Basic", 401)
    try:
        client_id, colon, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        raise TokenError("invalid_client", "the Basic credentials cannot be read", 401) from None
    if not colon:
        raise TokenError("invalid_client", "the Basic credentials cannot be read", 401)
    return unquote_plus(client_id), unquote_plus(secret)


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; 1 where it could not start, with one sentence on standard error."""
    parser = argparse.ArgumentParser(prog="python -m libs.security.issuer")
    parser.add_argument("--directory", type=Path, required=True, help="where keys and clients are kept")
    parser.add_argument(
        "--profile", type=Path, required=True, help="the instance profile, whose bodies and feeds get clients"
    )
    parser.add_argument("--port", type=int, default=0, help="on 127.0.0.1; 0 takes a free one")
    parser.add_argument("--lifetime", type=int, default=3600, help="of a token, in seconds")
    options = parser.parse_args(arguments)
    try:
        profile = Profile.model_validate(yaml.safe_load(options.profile.read_text(encoding="utf-8")))
        listening = socket.create_server((LOOPBACK, options.port))
        url = f"http://{LOOPBACK}:{listening.getsockname()[1]}"
        issuer = IssuerFolder.prepare(options.directory, url, profile, lifetime=options.lifetime)
    except (OSError, ValidationError, yaml.YAMLError, PrivateFileError) as error:
        sys.stderr.write(f"The local issuer cannot start: {error}\n")
        return 1
    configure_logging("issuer", profile.municipality)
    sys.stdout.write(f"{url}\n")
    sys.stdout.flush()
    server = uvicorn.Server(uvicorn.Config(issuer_app(issuer), log_config=None, server_header=False, lifespan="on"))
    server.run(sockets=[listening])
    return 0


if __name__ == "__main__":
    sys.exit(main())
