# SPDX-License-Identifier: Apache-2.0
"""How an issuer's keys are fetched, kept and renewed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import httpx
import pytest
from joserfc.jwk import ECKey, OctKey, RSAKey
from pydantic import ValidationError

from libs.security import IssuerUnavailableError, OidcSettings, RemoteKeys
from libs.security.keys import KeySet, UnknownKeyError

ISSUER = "https://login.example.lg.jp/realms/city"


class Issuer:
    """An issuer behind a transport: counts the fetches of its keys, and can be changed, hung or broken."""

    def __init__(self, jwks: object) -> None:
        self.jwks = jwks
        self.fetches = 0
        self.answer: Callable[[httpx.Request], httpx.Response] | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/.well-known/openid-configuration"):
            self.fetches += 1
            await self.gate.wait()
            if self.answer is not None:
                return self.answer(request)
            return httpx.Response(200, json={"issuer": ISSUER, "jwks_uri": f"{ISSUER}/jwks"})
        return httpx.Response(200, json=self.jwks)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def issuer(jwks: dict[str, Any]) -> Issuer:
    return Issuer(jwks)


@pytest.fixture
async def keys(settings: OidcSettings, issuer: Issuer, clock: Clock) -> RemoteKeys:
    return RemoteKeys(settings, httpx.AsyncClient(transport=httpx.MockTransport(issuer)), clock)


async def test_keys_are_fetched_once_for_many_callers(keys: RemoteKeys, issuer: Issuer) -> None:
    found = await asyncio.gather(*(keys.key("ec", "ES256") for _ in range(50)))
    assert {key.kid for key in found} == {"ec"}
    assert issuer.fetches == 1


async def test_made_up_key_ids_do_not_reach_the_issuer(keys: RemoteKeys, issuer: Issuer, clock: Clock) -> None:
    await keys.key("ec", "ES256")
    for number in range(200):
        with pytest.raises(UnknownKeyError):
            await keys.key(f"made-up-{number}", "ES256")
    assert issuer.fetches == 1
    clock.now += 30
    results = await asyncio.gather(*(keys.key(f"made-up-{n}", "ES256") for n in range(50)), return_exceptions=True)
    assert all(isinstance(result, UnknownKeyError) for result in results)
    assert issuer.fetches == 2


async def test_a_new_key_is_found_when_it_shows_up(keys: RemoteKeys, issuer: Issuer, clock: Clock) -> None:
    await keys.key("ec", "ES256")
    issuer.jwks = {"keys": [ECKey.generate_key("P-256", {"kid": "next"}).as_dict(private=False)]}
    with pytest.raises(UnknownKeyError):
        await keys.key("next", "ES256")
    clock.now += 30
    assert (await keys.key("next", "ES256")).kid == "next"


async def test_old_keys_serve_while_they_are_renewed_and_removed_ones_then_end(
    keys: RemoteKeys, issuer: Issuer, clock: Clock
) -> None:
    await keys.key("ec", "ES256")
    issuer.jwks = {"keys": [ECKey.generate_key("P-256", {"kid": "next"}).as_dict(private=False)]}
    clock.now += 601
    issuer.gate.clear()
    assert (await keys.key("ec", "ES256")).kid == "ec"
    async with asyncio.timeout(5):
        while issuer.fetches < 2:
            await asyncio.sleep(0)
    issuer.gate.set()
    assert (await keys.key("next", "ES256")).kid == "next"
    with pytest.raises(UnknownKeyError):
        await keys.key("ec", "ES256")
    assert issuer.fetches == 2


async def test_old_keys_outlast_an_issuer_that_is_down_but_not_for_ever(
    keys: RemoteKeys, issuer: Issuer, clock: Clock
) -> None:
    await keys.key("ec", "ES256")
    issuer.answer = lambda _request: httpx.Response(503)
    clock.now += 3599
    assert (await keys.key("ec", "ES256")).kid == "ec"
    clock.now += 2
    with pytest.raises(IssuerUnavailableError):
        await keys.key("ec", "ES256")
    issuer.answer = None
    clock.now += 1
    assert (await keys.key("ec", "ES256")).kid == "ec"


async def test_callers_who_waited_for_a_failed_fetch_do_not_queue_for_more(
    keys: RemoteKeys, issuer: Issuer, clock: Clock
) -> None:
    def fail_late(_request: httpx.Request) -> httpx.Response:
        clock.now += 5
        return httpx.Response(500)

    issuer.answer = fail_late
    issuer.gate.clear()
    asyncio.get_running_loop().call_later(0.05, issuer.gate.set)
    results = await asyncio.gather(*(keys.key("ec", "ES256") for _ in range(20)), return_exceptions=True)
    assert all(isinstance(result, IssuerUnavailableError) for result in results)
    assert issuer.fetches == 1


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(302, headers={"Location": "https://elsewhere.example/"}),
        httpx.Response(200, json={"issuer": "https://elsewhere.example", "jwks_uri": f"{ISSUER}/jwks"}),
        httpx.Response(200, json={"issuer": ISSUER, "jwks_uri": "http://login.example.lg.jp/jwks"}),
        httpx.Response(200, json={"issuer": ISSUER}),
        httpx.Response(200, json=[]),
        httpx.Response(200, content=b"<html>"),
        httpx.Response(200, content=b"[" * 100_000),
        httpx.Response(200, content=b'"' + b"x" * 300_000 + b'"'),
    ],
)
async def test_an_answer_that_is_no_discovery_document_gives_no_keys(
    keys: RemoteKeys, issuer: Issuer, answer: httpx.Response
) -> None:
    issuer.answer = lambda _request: answer
    with pytest.raises(IssuerUnavailableError):
        await keys.key("ec", "ES256")


async def test_an_unreachable_issuer_gives_no_keys(keys: RemoteKeys, issuer: Issuer) -> None:
    def refuse(_request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    issuer.answer = refuse
    with pytest.raises(IssuerUnavailableError):
        await keys.key("ec", "ES256")


async def test_an_issuer_that_hangs_gives_no_keys(issuer: Issuer, clock: Clock) -> None:
    settings = OidcSettings(issuer=ISSUER, timeout=0.01)
    keys = RemoteKeys(settings, httpx.AsyncClient(transport=httpx.MockTransport(issuer)), clock)
    issuer.gate.clear()
    with pytest.raises(IssuerUnavailableError):
        await keys.key("ec", "ES256")


@pytest.mark.filterwarnings("ignore:Key size should be")
def test_secret_private_weak_and_other_keys_are_left_out(signing_keys: Mapping[str, ECKey | RSAKey]) -> None:
    good = signing_keys["ES256"].as_dict(private=False)
    entries = [
        OctKey.generate_key(256, {"kid": "secret"}).as_dict(private=True),
        signing_keys["RS256"].as_dict(private=True) | {"kid": "private"},
        RSAKey.generate_key(1024, {"kid": "weak"}).as_dict(private=False),
        ECKey.generate_key("P-384", {"kid": "curve"}).as_dict(private=False),
        good | {"kid": "encryption", "use": "enc"},
        {"kty": "EC", "kid": "broken", "crv": "P-256", "x": "!", "y": 7},
        {"kid": "nothing"},
        "text",
        None,
    ]
    keys = KeySet({"keys": [*entries, good]})
    kids = ["secret", "private", "weak", "curve", "encryption", "broken", "nothing"]
    assert [keys.find(kid, alg) for kid in kids for alg in ("ES256", "RS256", "PS256")] == [None] * 21
    assert keys.find("ec", "ES256") is not None


def test_two_keys_of_one_id_are_no_key(jwks: dict[str, Any]) -> None:
    assert KeySet({"keys": jwks["keys"] * 2}).find("ec", "ES256") is None


@pytest.mark.parametrize(
    "url", ["http://login.example.lg.jp", "ftp://127.0.0.1", "https://", "login.example.lg.jp", ""]
)
def test_an_issuer_in_the_clear_is_refused(url: str) -> None:
    with pytest.raises(ValidationError, match="https"):
        OidcSettings(issuer=url)


@pytest.mark.parametrize("url", ["http://127.0.0.1:8001", "http://[::1]:8001", "http://localhost:8001"])
def test_loopback_needs_no_tls(url: str) -> None:
    assert OidcSettings(issuer=url).issuer == url


@pytest.mark.parametrize("changes", [{"leeway": 31}, {"algorithms": ("HS256",)}, {"algorithms": ("none",)}])
def test_weak_settings_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        OidcSettings.model_validate({"issuer": ISSUER, **changes})
