# SPDX-License-Identifier: Apache-2.0
"""The local issuer's routes (RFC 6749 §4.4, §5; OpenID Connect Discovery)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from libs.contracts import Profile
from libs.security.clients import IssuerFolder
from libs.security.issuer import issuer_app

URL = "http://127.0.0.1:8001"
GRANT = {"grant_type": "client_credentials"}


@pytest.fixture
def issuer(tmp_path: Path, profile: Profile) -> IssuerFolder:
    return IssuerFolder.prepare(tmp_path / "issuer", URL, profile)


@pytest.fixture
async def http(issuer: IssuerFolder) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(issuer_app(issuer), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url=URL) as client:
        yield client


@pytest.fixture
def secret(issuer: IssuerFolder) -> str:
    return issuer.client("body-fire").secret.get_secret_value()


async def test_discovery_names_this_issuer_and_its_places(http: httpx.AsyncClient, issuer: IssuerFolder) -> None:
    found = (await http.get("/.well-known/openid-configuration")).json()
    assert found["issuer"] == URL
    assert (await http.get(found["jwks_uri"])).json() == issuer.public_keys()
    assert found["token_endpoint"] == f"{URL}/token"


async def test_a_client_gets_a_token_by_basic_or_form(http: httpx.AsyncClient, secret: str) -> None:
    basic = await http.post("/token", data=GRANT, auth=("body-fire", secret))
    form = await http.post("/token", data=GRANT | {"client_id": "body-fire", "client_secret": secret})
    for answer in (basic, form):
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "no-store"
        body = answer.json()
        assert (body["token_type"], body["expires_in"], body["scope"]) == ("Bearer", 3600, "reader editor")
        assert body["access_token"].count(".") == 2


@pytest.mark.parametrize(
    ("data", "auth", "refusal"),
    [
        (GRANT, ("body-fire", "wrong"), (401, "invalid_client")),
        (GRANT, ("nobody", "wrong"), (401, "invalid_client")),
        (GRANT, None, (401, "invalid_client")),
        (GRANT | {"client_id": "body-fire"}, None, (401, "invalid_client")),
        (GRANT | {"client_id": "body-fire", "client_secret": "wrong"}, None, (401, "invalid_client")),
        ({"grant_type": "password"}, ("body-fire", None), (400, "unsupported_grant_type")),
        ({"grant_type": ""}, ("body-fire", None), (400, "invalid_request")),
        ({}, ("body-fire", None), (400, "invalid_request")),
        (GRANT | {"client_secret": "x"}, ("body-fire", None), (400, "invalid_request")),
        ({"grant_type": ["client_credentials", "password"]}, ("body-fire", None), (400, "invalid_request")),
    ],
)
async def test_a_refusal_is_one_of_rfc_6749(
    http: httpx.AsyncClient,
    secret: str,
    data: dict[str, str | list[str]],
    auth: tuple[str, str | None] | None,
    refusal: tuple[int, str],
) -> None:
    credentials = httpx.BasicAuth(auth[0], auth[1] or secret) if auth else None
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = await http.post("/token", data=data, auth=credentials, headers=headers)
    assert (answer.status_code, answer.json()["error"]) == refusal
    assert answer.headers["cache-control"] == "no-store"
    assert ("www-authenticate" in answer.headers) == (refusal[0] == 401)


@pytest.mark.parametrize("header", ["Basic", "Basic !!!", "Basic bm9jb2xvbg==", "Basic /////w==", "Bearer x"])
async def test_unreadable_credentials_are_refused(http: httpx.AsyncClient, header: str) -> None:
    answer = await http.post("/token", data=GRANT, headers={"Authorization": header})
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b'{"grant_type": "client_credentials"}', "application/json", 400),
        (b"grant_type=%ff", "application/x-www-form-urlencoded", 400),
        (b"\xff\xfe", "application/x-www-form-urlencoded", 400),
        (b"a=b&" * 50, "application/x-www-form-urlencoded", 400),
        (b"a" * 20_000, "application/x-www-form-urlencoded", 413),
    ],
)
async def test_a_form_that_cannot_be_read_is_refused(
    http: httpx.AsyncClient, secret: str, content: bytes, kind: str, status: int
) -> None:
    answer = await http.post("/token", content=content, headers={"Content-Type": kind}, auth=("body-fire", secret))
    assert answer.status_code == status
