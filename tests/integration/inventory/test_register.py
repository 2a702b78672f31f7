# SPDX-License-Identifier: Apache-2.0
"""The register read over HTTP: at a moment, between two, by relations and by words, on a real PostgreSQL; tokens are stood in for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from libs.contracts import Profile, asset_id
from libs.observability import Metrics
from libs.persistence import Pool, Sessions
from libs.security import Identity, Role
from libs.security import create_app as secured_app
from services.inventory.merges.api import MergeApi
from services.inventory.register.api import RegisterApi
from services.inventory.worker import FeedWriter
from tests.integration.inventory.conftest import Tokens, Worker, emptied

START = datetime(2026, 4, 1, 0, 0, tzinfo=UTC)
READS = frozenset({Role.READER})
CALLERS = {
    "mayor": Identity("mayor", frozenset({"mayor"}), READS),
    "election": Identity("election", frozenset({"election"}), READS),
    "office": Identity("office", "*", frozenset({Role.READER, Role.SECURITY_OFFICER})),
}


@dataclass
class City:
    """A register whose days pass one by one: `told` takes what feeds tell on one of them."""

    worker: Worker
    http: httpx.AsyncClient
    now: datetime = START
    days: list[datetime] = field(default_factory=list)

    async def told(self, *items: Mapping[str, Any]) -> datetime:
        self.now += timedelta(days=1)
        self.days.append(self.now)
        await self.worker.apply(*items)
        return self.now

    async def call(self, path: str, caller: str = "office", headers: Any = None, **query: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {caller}", "Accept-Language": "en", **(headers or {})}
        params = {
            name.rstrip("_"): value.isoformat() if isinstance(value, datetime) else value
            for name, value in query.items()
        }
        return await self.http.get(f"/v1{path}", headers=headers, params=params)

    async def get(self, path: str, caller: str = "office", **query: Any) -> Any:
        answer = await self.call(path, caller, **query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def pages(self, path: str, caller: str = "office", **query: Any) -> list[Any]:
        """All items, two a page."""
        found: list[Any] = []
        page = await self.get(path, caller, limit=2, **query)
        while page["next"] is not None:
            assert page["items"]
            found += page["items"]
            page = await self.get(path, caller, limit=2, after=page["next"], **query)
        return found + page["items"]


def item(key: str, version: int = 1, body: str = "mayor", **more: Any) -> dict[str, Any]:
    return {"body": body, "source_key": key, "source_version": version, "kind": "system", "name": key, **more}


def id_of(key: str) -> str:
    return asset_id("990019", "cmdb", key)


@pytest.fixture(scope="module")
async def city(pool: Pool, sessions: Sessions, profile: Profile, owner_dsn: str) -> AsyncIterator[City]:
    """Ten days of two bodies."""
    await emptied(owner_dsn)
    city: City
    writer = FeedWriter(profile, lambda: city.now, Metrics())
    app = secured_app("register", Tokens(CALLERS), version="1")  # type: ignore[arg-type]
    for api in (RegisterApi(sessions, profile, lambda: city.now), MergeApi(sessions, profile, lambda: city.now)):
        app.include_router(api.router())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://inventory") as http:
        city = City(Worker(pool, profile, writer), http)
        stores = [{"type": "stores", "source_key": "DATA"}]
        await city.told(
            item("DATA", kind="information", name="住民記録", section="市民課"),
            item("SYS", name="住民記録システム", relations=stores, facts={"serial": "ＡＢ－１２"}),
            item("GONE", name="旧システム"),
            item("MOVES", name="移る", relations=stores),
        )
        await city.told(
            item("SYS", 2, name="住民記録システム", relations=stores, facts={"serial": "CD-34"}, reason="機器の更新")
        )
        await city.told(
            item("GONE", 2, operation="retire", reason="廃止"), item("NEW", name="ｼﾝｷﾛｸｻｰﾊﾞｰ", section="市民課")
        )
        await city.told(item("MOVES", 2, body="election", name="移る", relations=stores))
        await city.told(item("SYS", 3, name="住民記録システム", facts={"serial": "EF-56"}))
        yield city


async def test_smoke(city: City) -> None:
    for day in city.days:
        print(
            day, [(a["name"], a["status"], a["body"], a["revision"]) for a in (await city.pages("/assets", as_of=day))]
        )
        print([(a["name"], a["status"], a["body"]) for a in (await city.pages("/assets", "mayor", as_of=day))])
    print(await city.get("/summary", as_of=city.days[2]))
    for d in await city.pages("/differences", from_=city.days[0], to=city.days[4]):
        print(d)
    for d in await city.pages("/differences", "mayor", from_=city.days[0], to=city.days[4]):
        print(d)
    print((await city.call("/differences", from_=city.days[0], format="csv")).text)
    for d in await city.pages(f"/assets/{id_of('DATA')}/relations/history"):
        print(d)
    for d in await city.pages(f"/assets/{id_of('SYS')}/relations/history"):
        print(d)
    print(await city.get(f"/assets/{id_of('SYS')}/history"))
    for q in ("住民", "ジュウ", "cd34", "ef-56", "住民記録", "しんき 市民"):
        print(q, [(a["name"], a["match"]) for a in await city.pages("/search", q=q)])
    print([(a["name"], a["match"]) for a in await city.pages("/search", q="システム", retired=True)])
