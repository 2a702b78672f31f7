# SPDX-License-Identifier: Apache-2.0
"""A service that takes the tokens of a local issuer, both over real sockets."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import httpx
from fastapi import Depends

from libs.security import (
    HttpSettings,
    Identity,
    OidcSettings,
    RemoteKeys,
    TokenVerifier,
    authenticated,
    create_app,
    serving,
)
from libs.security.clients import IssuerFolder, mint_token

PROFILE = Path("samples/city/profile.yaml")


def command(folder: Path, port: int = 0, profile: Path = PROFILE) -> list[str]:
    options = ["--directory", str(folder), "--profile", str(profile), "--port", str(port)]
    return [sys.executable, "-m", "libs.security.issuer", *options]


@contextmanager
def running_issuer(folder: Path, port: int = 0) -> Iterator[str]:
    process = subprocess.Popen(command(folder, port), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)
        process.stdout.close()


@asynccontextmanager
async def service(issuer: str) -> AsyncIterator[str]:
    async with httpx.AsyncClient() as client:
        settings = OidcSettings(issuer=issuer, refresh_at_most_every=0.05, retry_after=0.05)
        app = create_app(
            "t", TokenVerifier(settings, RemoteKeys(settings, client), lambda: datetime.now(UTC)), version="1"
        )

        @app.get("/me")
        async def me(identity: Annotated[Identity, Depends(authenticated("reader"))]) -> str:
            return identity.subject

        async with serving(app, HttpSettings()) as url:
            yield url


async def until_taken(http: httpx.AsyncClient, url: str, headers: dict[str, str]) -> None:
    """The service may ask its issuer again only after a moment."""
    async with asyncio.timeout(10):
        while (await http.get(url, headers=headers)).status_code != 200:
            await asyncio.sleep(0.02)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def test_a_token_got_by_http_or_minted_opens_the_service(tmp_path: Path) -> None:
    folder = tmp_path / "issuer"
    with running_issuer(folder) as issuer:
        secret = IssuerFolder(folder).client("body-fire").secret.get_secret_value()
        async with service(issuer) as url, httpx.AsyncClient() as http:
            found = (await http.get(f"{issuer}/.well-known/openid-configuration")).json()
            grant = {"grant_type": "client_credentials"}
            answer = await http.post(found["token_endpoint"], data=grant, auth=("body-fire", secret))
            me = await http.get(f"{url}/me", headers=bearer(answer.json()["access_token"]))
            assert (me.status_code, me.json()) == (200, "body-fire")
            me = await http.get(f"{url}/me", headers=bearer(mint_token(folder, "security-office")))
            assert (me.status_code, me.json()) == (200, "security-office")
            assert (await http.get(f"{url}/me", headers=bearer(mint_token(folder, "feed-cmdb")))).status_code == 403
            assert (await http.get(f"{url}/me")).status_code == 401


async def test_a_key_made_anew_is_found_and_the_old_one_ends(tmp_path: Path) -> None:
    folder = tmp_path / "issuer"
    async with AsyncExitStack() as stack:
        with running_issuer(folder) as issuer:
            url = await stack.enter_async_context(service(issuer))
            http = await stack.enter_async_context(httpx.AsyncClient())
            old = mint_token(folder, "body-fire")
            assert (await http.get(f"{url}/me", headers=bearer(old))).status_code == 200
        assert (await http.get(f"{url}/me", headers=bearer(old))).status_code == 200
        (folder / "signing-key.json").unlink()
        with running_issuer(folder, int(issuer.rpartition(":")[2])) as again:
            assert again == issuer
            new = mint_token(folder, "body-fire")
            await until_taken(http, f"{url}/me", bearer(new))
            assert (await http.get(f"{url}/me", headers=bearer(old))).status_code == 401


async def test_a_service_without_an_issuer_answers_503_until_there_is_one(tmp_path: Path) -> None:
    folder = tmp_path / "issuer"
    with running_issuer(folder) as issuer:
        pass
    async with service(issuer) as url, httpx.AsyncClient() as http:
        token = bearer(mint_token(folder, "body-fire"))
        answer = await http.get(f"{url}/me", headers=token)
        assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
        with running_issuer(folder, int(issuer.rpartition(":")[2])):
            await until_taken(http, f"{url}/me", token)


def test_an_issuer_that_cannot_start_says_why_in_one_line(tmp_path: Path) -> None:
    folder = tmp_path / "issuer"
    broken = tmp_path / "profile.yaml"
    broken.write_text("municipality: '123456'\n")
    with running_issuer(folder) as issuer:
        taken = command(tmp_path / "other", int(issuer.rpartition(":")[2]))
        results = [run_once(taken), run_once(command(tmp_path / "other", profile=broken))]
    (folder / "clients.json").chmod(0o644)
    results.append(run_once(command(folder)))
    for (code, said), told in zip(results, ["in use", "municipality", "can be read by others"], strict=True):
        assert code == 1
        assert said.startswith("The local issuer cannot start: ")
        assert told in said
        assert "Traceback" not in said


def run_once(arguments: list[str]) -> tuple[int, str]:
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=30, check=False)
    return done.returncode, done.stderr
