# SPDX-License-Identifier: Apache-2.0
"""The register read over HTTP: at a moment, between two, by relations and by words, on a real PostgreSQL; tokens are stood in for."""

from __future__ import annotations

import csv
import io
import random
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import combinations
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
from services.inventory.register.domain import what
from services.inventory.worker import FeedWriter
from tests.integration.inventory.conftest import Look, Tokens, Worker, emptied

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
    """Five days of two bodies."""
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


def names(assets: list[Any]) -> set[tuple[str, str, str]]:
    return {(one["name"], one["body"], one["status"]) for one in assets}


async def test_the_register_is_read_as_it_was_on_a_day(city: City) -> None:
    first, _, third, fourth, last = city.days
    everything = {
        ("住民記録", "mayor", "active"),
        ("住民記録システム", "mayor", "active"),
        ("旧システム", "mayor", "active"),
        ("移る", "mayor", "active"),
    }
    assert names(await city.pages("/assets", as_of=first)) == everything
    assert names(await city.pages("/assets", as_of=first - timedelta(hours=1))) == set()
    assert names(await city.pages("/assets", as_of=third, status="retired")) == {("旧システム", "mayor", "retired")}
    assert names(await city.pages("/assets", as_of=third, name="システム", kind="system", status="active")) == {
        ("住民記録システム", "mayor", "active")
    }
    assert names(await city.pages("/assets", as_of=fourth, name="移")) == {("移る", "election", "active")}
    assert names(await city.pages("/assets", "mayor", as_of=fourth, name="移")) == {("移る", "mayor", "retired")}
    assert names(await city.pages("/assets", "election", as_of=third)) == set()
    for caller in ("office", "election"):
        assert await city.pages("/assets", caller, as_of=last) == await city.pages("/assets", caller)
        assert await city.get("/summary", caller, as_of=last) == await city.get("/summary", caller)
    assert await city.get("/summary", "mayor", as_of=first) == [
        {"body": "mayor", "kind": "information", "status": "active", "assets": 1},
        {"body": "mayor", "kind": "system", "status": "active", "assets": 3},
    ]


async def test_one_asset_and_its_history_as_they_were(city: City) -> None:
    first, second, *_ = city.days
    place = f"/assets/{id_of('SYS')}"
    asset = await city.get(place, as_of=first)
    assert (asset["revision"], asset["facts"]) == (1, {"serial": "ＡＢ－１２"})
    assert [one["asset_id"] for one in await city.get(f"{place}/relations", as_of=first)] == [id_of("DATA")]
    assert await city.get(f"{place}/relations") == []
    assert len(await city.get(f"/assets/{id_of('DATA')}/relations", as_of=first)) == 2
    assert (await city.call(place, as_of=START)).status_code == 404
    history = (await city.get(f"{place}/history", as_of=second))["items"]
    assert [(one["revision"], one["change"]["reason"]) for one in history] == [(2, "機器の更新"), (1, None)]
    assert history[0]["fields"] == [{"field": "facts.serial", "before": "ＡＢ－１２", "after": "CD-34"}]
    assert history[1]["fields"] == [{"field": "status", "before": None, "after": "active"}]
    (newest,) = (await city.get(f"{place}/history", limit=1))["items"]
    assert [one["field"] for one in newest["fields"]] == ["facts.serial", "relations.stores"]


async def test_what_a_reader_has_is_not_sent_again(city: City) -> None:
    place = f"/assets/{id_of('SYS')}"
    tag = (await city.call(place)).headers["ETag"]
    for known in (tag, f'"1", W/{tag}', "*"):
        answer = await city.call(place, headers={"If-None-Match": known})
        assert (answer.status_code, answer.content, answer.headers["ETag"]) == (304, b"", tag)
    assert (await city.call(place, headers={"If-None-Match": tag}, as_of=city.days[0])).status_code == 200


async def test_two_moments_are_compared(city: City) -> None:
    first, last = city.days[0], city.days[-1]
    found = {one["asset"]["name"]: one for one in await city.pages("/differences", from_=first, to=last)}
    assert {name: one["what"] for name, one in found.items()} == {
        "住民記録システム": "changed",
        "旧システム": "went",
        "ｼﾝｷﾛｸｻｰﾊﾞｰ": "came",
        "移る": "changed",
    }
    assert [(one["field"], one["before"], one["after"]) for one in found["移る"]["fields"]] == [
        ("body", "mayor", "election")
    ]
    serial, relations = found["住民記録システム"]["fields"]
    assert (serial["before"], serial["after"], serial["revision"]) == ("ＡＢ－１２", "EF-56", 3)
    assert (relations["field"], relations["before"], relations["after"]) == ("relations.stores", [id_of("DATA")], None)
    (gone,) = found["旧システム"]["fields"]
    assert (gone["change"]["feed"], gone["change"]["reason"]) == ("cmdb", "廃止")
    mine = {one["asset"]["name"]: one for one in await city.pages("/differences", "mayor", from_=first, to=last)}
    assert mine["移る"]["what"] == "went"
    assert mine["移る"]["fields"][0]["change"]["reason"] == "moved"
    assert mine.keys() == found.keys()
    (theirs,) = await city.pages("/differences", "election", from_=first)
    assert (theirs["what"], theirs["asset"]["name"]) == ("came", "移る")
    assert await city.pages("/differences", body="election", from_=first) == [theirs]
    assert [one["what"] for one in await city.pages("/differences", from_=first, what="came")] == ["came"]
    assert len(await city.pages("/differences", from_=first, name="システム")) == 2
    assert await city.pages("/differences", from_=first, kind="media") == []
    assert await city.pages("/differences", from_=last) == []


async def test_differences_as_csv(city: City) -> None:
    answer = await city.call("/differences", from_=city.days[0], format="csv", headers={"Accept-Language": "ja"})
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    head, *rows = csv.reader(io.StringIO(answer.content.decode("utf-8-sig")))
    assert head[:3] == ["差分", "情報資産ID", "行政機関"]
    assert len(rows) == 5
    (gone,) = [row for row in rows if row[0] == "除外"]
    assert gone[3:9] == ["情報システム", "旧システム", "", "status", "active", "retired"]
    assert gone[-5:] == ["cmdb", "GONE", "", "", "廃止"]


async def test_relations_have_a_history(city: City) -> None:
    into = await city.pages(f"/assets/{id_of('DATA')}/relations/history")
    told = {one["name"]: one for one in into}
    assert {(one["direction"], one["type"]) for one in into} == {("from", "stores")}
    ended, lasting = told["住民記録システム"], told["移る"]
    assert (ended["since"]["revision"], ended["until"]["revision"]) == (1, 3)
    assert ended["until"]["change"]["feed"] == "cmdb"
    assert (lasting["since"]["revision"], lasting["until"]) == (1, None)
    (out,) = await city.pages(f"/assets/{id_of('SYS')}/relations/history")
    assert (out["direction"], out["name"], out["until"]["revision"]) == ("to", "住民記録", 3)
    mine = {one["name"]: one for one in await city.pages(f"/assets/{id_of('DATA')}/relations/history", "mayor")}
    assert mine[None]["until"]["change"]["reason"] == "moved"
    assert (await city.call(f"/assets/{id_of('DATA')}/relations/history", "election")).status_code == 404


@pytest.mark.parametrize(
    ("question", "found"),
    [
        ("住民記録", [("住民記録", "exact"), ("住民記録システム", "prefix")]),
        ("民記", [("住民記録", "part"), ("住民記録システム", "part")]),
        ("しすてむ 住民", [("住民記録システム", "part")]),
        ("シンキロクサーバー", [("ｼﾝｷﾛｸｻｰﾊﾞｰ", "exact")]),
        ("サーバ　市民課", [("ｼﾝｷﾛｸｻｰﾊﾞｰ", "part")]),
        ("ef-56", [("住民記録システム", "part")]),
        ("ＥＦ‐５６", [("住民記録システム", "part")]),
        ("ab-12", []),
        ("旧シ", []),
        ("記_", []),
    ],
)
async def test_it_is_searched_by_words(city: City, question: str, found: list[tuple[str, str]]) -> None:
    answered = [(one["name"], one["match"]) for one in await city.pages("/search", q=question)]
    assert sorted(answered) == sorted(found)
    assert [match for _, match in answered] == sorted(
        (match for _, match in found), key=["exact", "prefix", "part"].index
    )


async def test_a_search_is_narrowed_and_of_retired_assets_on_request(city: City) -> None:
    assert {one["name"] for one in await city.pages("/search", q="システム", retired=True)} == {
        "旧システム",
        "住民記録システム",
    }
    assert await city.pages("/search", q="移る", body="mayor") == []
    assert await city.pages("/search", "mayor", q="移る", retired=True) == []
    assert len(await city.pages("/search", "election", q="移る")) == 1
    assert {one["name"] for one in await city.pages("/search", q="住民", kind="information")} == {"住民記録"}


@pytest.mark.parametrize(
    ("path", "query", "field"),
    [
        ("/differences", {"from_": START + timedelta(days=9), "to": START}, "query:from"),
        ("/differences", {"from_": "2026-04-01"}, "query:from"),
        ("/assets", {"as_of": "2026-04-01T00:00:00"}, "query:as_of"),
        ("/assets", {"as_of": "0001-01-01T00:00:00+09:00"}, "query:as_of"),
        ("/assets", {"name": "\0"}, "query:name"),
        ("/search", {"q": "\u3000"}, "query:q"),
        ("/search", {"q": "a\0"}, "query:q"),
        ("/search", {"q": "住民", "after": "3-x"}, "query:after"),
    ],
)
async def test_what_is_asked_wrongly_is_told_by_its_name(
    city: City, path: str, query: dict[str, Any], field: str
) -> None:
    answer = await city.call(path, **query)
    assert answer.status_code == 422, answer.text
    assert [one["field"] for one in answer.json()["errors"]] == [field]


async def test_any_two_days_are_what_the_history_says(city: City, look: Look, owner_dsn: str) -> None:
    """A history made up from a fixed seed, replayed by hand: of each asset the last revision up to a day, of a body or of all.

    After all others: it makes another city.
    """
    await emptied(owner_dsn)
    chosen, versions = random.Random(7), dict.fromkeys("ABCDEF", 0)
    begun = len(city.days)
    for _ in range(8):
        items = []
        for key in chosen.sample("ABCDEF", 3):
            versions[key] += 1
            gone = {"operation": "retire"} if chosen.random() < 0.25 else {}
            facts = {"facts": {"serial": f"S-{chosen.randint(1, 2)}"}}
            body = chosen.choice(("mayor", "election"))
            items.append({**item(key, versions[key], body, name=chosen.choice("名称")), **facts, **gone})
        await city.told(*items)
    days = city.days[begun:]
    revisions = await look("SELECT * FROM asset_revision ORDER BY asset_id, revision")
    for caller, bodies in (("office", {"mayor", "election"}), ("mayor", {"mayor"})):
        known = {}
        for day in days:
            seen = [one for one in revisions if one["body"] in bodies and one["recorded_at"] <= day]
            known[day] = {str(one["asset_id"]): one["state"] for one in seen}
            listed = await city.pages("/assets", caller, as_of=day)
            assert [one["asset_id"] for one in listed] == sorted(known[day])
            assert all(one["facts"] == known[day][one["asset_id"]]["facts"] for one in listed)
            assert [one["status"] for one in listed] == [known[day][one["asset_id"]]["status"] for one in listed]
        for since, until in combinations(days, 2):
            found = await city.get("/differences", caller, from_=since, to=until)
            told = {one["asset_id"]: one["what"] for one in found["items"]}
            asked = known[since].keys() | known[until].keys()
            differ = {one: what(known[since].get(one), known[until].get(one)) for one in asked}
            assert told == {one: told_as.value for one, told_as in differ.items() if told_as is not None}


async def test_merged_assets_hand_their_relations_on_and_take_them_back(city: City) -> None:
    """After all others: it changes the city."""

    async def post(path: str, content: dict[str, Any], revision: int) -> Any:
        headers = {"Authorization": "Bearer office", "If-Match": f'"{revision}"'}
        answer = await city.http.post(f"/v1{path}", json=content, headers=headers)
        assert answer.status_code in (200, 201), answer.text
        return answer.json()

    async def spans(key: str) -> list[tuple[str, str | None, str | None]]:
        found = await city.pages(f"/assets/{id_of(key)}/relations/history")
        return [
            (one["name"], *(one[end] and one[end]["change"]["reason"] for end in ("since", "until"))) for one in found
        ]

    stores = [{"type": "stores", "source_key": "TWIN"}]
    await city.told(item("ONE"), item("TWIN"), item("KEEPER", relations=stores))
    city.now += timedelta(days=1)
    merged = await post(f"/assets/{id_of('TWIN')}/merge", {"into": id_of("ONE"), "into_revision": 1}, 1)
    assert await spans("TWIN") == [("KEEPER", None, "merged")]
    assert await spans("ONE") == [("KEEPER", "merged", None)]
    city.now += timedelta(days=1)
    await post(f"/merges/{merged['merge_id']}/undo", {}, 1)
    assert await spans("TWIN") == [("KEEPER", None, "merged"), ("KEEPER", "undone", None)]
    assert await spans("ONE") == [("KEEPER", "merged", "undone")]
