# SPDX-License-Identifier: Apache-2.0
"""Who gets through to a route, and that no route is left open by mistake."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI, WebSocket
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from libs.security import (
    Guard,
    Identity,
    IssuerUnavailableError,
    TokenVerifier,
    UnguardedRouteError,
    assert_guarded,
    authenticated,
    create_app,
)

SignToken = Callable[..., str]
Reader = Annotated[Identity, Depends(authenticated("reader", "security_officer"))]


@pytest.fixture
def app(verifier: TokenVerifier) -> FastAPI:
    app = create_app("test", verifier, version="1")

    @app.get("/assets/{body}")
    async def assets(body: str, identity: Reader) -> dict[str, Any]:
        return {"subject": identity.subject, "may_read": identity.may_read(body)}

    @app.get("/health/live")
    async def live() -> str:
        return "live"

    return app


def client(app: FastAPI, token: str | None = None) -> httpx.AsyncClient:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers)


async def test_a_reader_gets_through_with_its_bodies(app: FastAPI, sign: SignToken) -> None:
    async with client(app, sign()) as http:
        assert (await http.get("/assets/waterworks")).json() == {"subject": "section-manager", "may_read": True}
        assert (await http.get("/assets/fire")).json()["may_read"] is False


@pytest.mark.parametrize("value", [None, "", "Bearer", "Basic eDp5", "bearer", "Token abc"])
async def test_without_a_token_the_answer_is_401_and_a_challenge(app: FastAPI, value: str | None) -> None:
    async with client(app) as http:
        answer = await http.get("/assets/fire", headers={} if value is None else {"Authorization": value})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == "urn:daicho:problem:unauthenticated"


async def test_a_bad_token_is_told_as_invalid(app: FastAPI, sign: SignToken) -> None:
    async with client(app, sign(exp=1)) as http:
        answer = await http.get("/assets/fire", headers={"Accept-Language": "en"})
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, 'Bearer error="invalid_token"')
    assert answer.json()["detail"] == "The access token has expired. Get a new one."


async def test_a_caller_without_the_role_is_refused(app: FastAPI, sign: SignToken) -> None:
    async with client(app, sign(roles=["feeder"])) as http:
        answer = await http.get("/assets/waterworks")
    assert (answer.status_code, answer.headers["www-authenticate"]) == (403, 'Bearer error="insufficient_scope"')
    assert "reader, security_officer" in answer.json()["detail"]


async def test_an_issuer_that_is_down_gives_503(app: FastAPI, sign: SignToken) -> None:
    class Unreachable:
        async def verify(self, _token: str) -> Identity:
            raise IssuerUnavailableError("refused")

    app.state.token_verifier = Unreachable()
    async with client(app, sign()) as http:
        answer = await http.get("/assets/fire")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")


async def test_the_health_route_is_open_and_there_are_no_pages_of_the_api(app: FastAPI) -> None:
    async with client(app) as http:
        assert (await http.get("/health/live")).status_code == 200
        for path in ("/docs", "/redoc", "/openapi.json"):
            assert (await http.get(path)).status_code == 404


def test_the_description_of_the_api_says_that_a_token_is_needed(app: FastAPI) -> None:
    described = app.openapi()
    assert described["paths"]["/assets/{body}"]["get"]["security"] == [{"HTTPBearer": []}]
    assert "security" not in described["paths"]["/health/live"]["get"]


def open_route(app: FastAPI) -> None:
    app.add_api_route("/open", lambda: "open")


def open_router(app: FastAPI) -> None:
    inner, outer = APIRouter(), APIRouter()
    inner.add_api_route("/deep", lambda: "open")
    outer.include_router(inner, prefix="/b")
    app.include_router(outer, prefix="/a")


def open_mount(app: FastAPI) -> None:
    app.mount("/files", PlainTextResponse("open"))


def open_socket(app: FastAPI) -> None:
    @app.websocket("/socket")
    async def socket(_socket: WebSocket) -> None: ...


def open_starlette_route(app: FastAPI) -> None:
    app.router.routes.append(Route("/plain", lambda _request: PlainTextResponse("open")))


def other_dependency(app: FastAPI) -> None:
    app.add_api_route("/other", lambda: "open", dependencies=[Depends(lambda: None)])


OPENINGS = [open_route, open_router, open_mount, open_socket, open_starlette_route, other_dependency]


@pytest.mark.parametrize("opening", OPENINGS)
async def test_an_unguarded_route_is_found_and_the_application_serves_nothing(
    app: FastAPI, sign: SignToken, opening: Callable[[FastAPI], None]
) -> None:
    assert_guarded(app, {"/health/live"})
    opening(app)
    with pytest.raises(UnguardedRouteError):
        assert_guarded(app, {"/health/live"})
    async with client(app, sign()) as http:
        assert (await http.get("/assets/waterworks")).status_code == 500


def test_a_guard_on_a_router_guards_what_is_in_it(verifier: TokenVerifier) -> None:
    app = create_app("test", verifier, version="1", open_paths=())
    inner = APIRouter()
    inner.add_api_route("/deep", lambda: "guarded")
    app.include_router(inner, prefix="/a", dependencies=[Depends(authenticated("operator"))])
    assert_guarded(app, ())


def test_a_door_with_a_check_of_its_own_counts_as_guarded(app: FastAPI) -> None:
    class SignatureGuard(Guard):
        def __call__(self) -> None: ...

    app.add_api_route("/hook", lambda: "checked", dependencies=[Depends(SignatureGuard())])
    assert_guarded(app, {"/health/live"})


def test_an_open_path_is_open_by_its_whole_name(app: FastAPI) -> None:
    app.add_api_route("/health/live/more", lambda: "open")
    with pytest.raises(UnguardedRouteError, match="/health/live/more"):
        assert_guarded(app, {"/health/live"})


@pytest.mark.parametrize("roles", [(), ("root",)])
def test_a_guard_names_known_roles(roles: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=r"[Rr]ole"):
        authenticated(*roles)
