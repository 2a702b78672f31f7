# SPDX-License-Identifier: Apache-2.0
"""Classification's tests, apart from the others."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet
from pydantic import SecretStr

from libs.contracts import Profile
from libs.devstack import Stack, devstack
from libs.observability import Metrics
from libs.persistence import Pool, PostgresSettings, Sessions, create_pool, owner_of, provision, upgrade
from libs.security import OidcSettings, TokenVerifier
from libs.standards import Standard, day_of
from services.classification.api import create_app
from services.classification.settings import BASE, Settings
from services.classification.standards.domain import Version, ready
from services.classification.standards.ruling import Rulings

DATABASE = "readmodel"
ISSUER = "https://login.example.lg.jp/realms/city"

Ask = Callable[..., Awaitable[httpx.Response]]


class Clock:
    """Stands still until it is set."""

    def __init__(self) -> None:
        self.now = datetime(2026, 4, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture(scope="package")
def stack() -> Iterator[Stack]:
    """A stack of its own: these tests count what is on topics to which others write as well."""
    with tempfile.TemporaryDirectory(prefix="daicho-") as data, devstack(Path(data)) as running:
        yield running


@pytest.fixture(scope="package")
def profile() -> Profile:
    return Profile.model_validate(yaml.safe_load(Path("samples/city/profile.yaml").read_text(encoding="utf-8")))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="package")
def standard() -> Standard:
    return Settings.model_construct(standard=BASE).read_standard().on(day_of(Clock().now))


@pytest.fixture(scope="package")
def shipped(profile: Profile) -> tuple[Version, ...]:
    return Settings.model_construct(standard=BASE).read_shipped(profile)


@pytest.fixture(scope="package")
def postgres(stack: Stack) -> PostgresSettings:
    passwords = stack.postgres_password(owner_of(DATABASE)), stack.postgres_password(DATABASE)
    asyncio.run(provision(stack.postgres_dsn("postgres", "postgres"), DATABASE, *passwords))
    asyncio.run(upgrade("services.classification", stack.postgres_dsn(owner_of(DATABASE), DATABASE)))
    return PostgresSettings(dsn=SecretStr(stack.postgres_dsn(DATABASE, DATABASE)))


@pytest.fixture
async def pool(postgres: PostgresSettings, profile: Profile) -> AsyncIterator[Pool]:
    """With nothing in the tables."""
    async with await create_pool(postgres) as pool:
        async with pool.acquire() as connection, connection.transaction():
            await connection.execute("SELECT set_config('daicho.bodies', $1, true)", ",".join(profile.body_by_id))
            for table in (
                "asset_classification",
                "asset_classification_history",
                "asset_override",
                "asset_finding",
                "standard_version",
                "standard_activation",
                "standard_applied",
                "outbox",
            ):
                await connection.execute(f"DELETE FROM {table}")
        yield pool


@pytest.fixture
async def ask(
    postgres: PostgresSettings, shipped: tuple[Version, ...], profile: Profile, clock: Clock
) -> AsyncIterator[Ask]:
    """Asks the API as somebody with a token."""
    key = ECKey.generate_key("P-256", {"use": "sig", "kid": "ec"})
    keys = KeySet([key])

    class KnownKeys:
        async def key(self, _kid: str | None, _algorithm: str) -> Any:
            return keys.keys[0]

    sessions = Sessions(postgres)
    verifier = TokenVerifier(OidcSettings(issuer=ISSUER), KnownKeys(), clock)
    rulings = Rulings(sessions, ready(shipped), profile)
    app = create_app(verifier, sessions, rulings, shipped, profile, clock, Metrics())
    transport = httpx.ASGITransport(app)

    async def ask(
        method: str,
        path: str,
        *,
        subject: str = "auditor",
        roles: Iterable[str] = ("reader",),
        bodies: Iterable[str] = ("mayor",),
        json: Any = None,
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:
        now = int(clock().timestamp())
        claims = {
            "iss": ISSUER, "aud": "daicho", "sub": subject, "iat": now, "nbf": now, "exp": now + 60,
            "roles": list(roles), "bodies": list(bodies), "client_id": subject,
        }  # fmt: skip
        token = jwt.encode({"alg": "ES256", "kid": "ec", "typ": "at+jwt"}, claims, key)
        headers = {"Authorization": f"Bearer {token}", **(headers or {})}
        async with httpx.AsyncClient(transport=transport, base_url="http://daicho") as client:
            return await client.request(method, f"/v1/{path}", headers=headers, json=json)

    yield ask
    await sessions.close()
