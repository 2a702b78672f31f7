# SPDX-License-Identifier: Apache-2.0
"""What people do by hand, where snapshots retire and where the register is read."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from libs.contracts import Profile, asset_id
from libs.observability import Metrics
from libs.persistence import Pool, Sessions
from libs.security import Identity, Role
from libs.security import create_app as secured_app
from services.inventory.edits.api import EditApi
from services.inventory.merges.api import MergeApi
from services.inventory.register.api import RegisterApi
from services.inventory.requests.api import RequestApi
from services.inventory.requests.desk import Desk
from services.inventory.snapshots.api import SnapshotApi
from services.inventory.snapshots.keeper import SnapshotKeeper
from services.inventory.worker import FeedWriter
from tests.integration.inventory.conftest import NOW, Look, Tokens, Worker, emptied

EDITOR = frozenset({Role.READER, Role.EDITOR})
CALLERS = {name: Identity(name, frozenset({"mayor"}), EDITOR) for name in ("tanaka", "suzuki")} | {
    "office": Identity("office", "*", frozenset({Role.READER, Role.SECURITY_OFFICER})),
}


class City(Worker):
    """The worker, and the routes, an hour later with every step."""

    http: httpx.AsyncClient
    now: datetime = NOW

    async def told(self, *items: Any) -> None:
        self.now += timedelta(hours=1)
        await self.apply(*items)

    async def call(self, method: str, path: str, caller: str = "tanaka", etag: int = 0, **body: Any) -> Any:
        headers = {"Authorization": f"Bearer {caller}", "Accept-Language": "en", "If-Match": f'"{etag}"'}
        self.now += timedelta(hours=1)
        answer = await self.http.request(method, f"/v1{path}", headers=headers, json=body if method != "GET" else None)
        assert answer.is_success, answer.text
        return answer.json()

    async def get(self, path: str, **query: Any) -> Any:
        answer = await self.http.get(f"/v1{path}", headers={"Authorization": "Bearer office"}, params=query)
        assert answer.is_success, answer.text
        return answer.json()


@pytest.fixture(scope="module")
def city(profile: Profile) -> Profile:
    """A feed whose snapshots need no person, and levels that do."""
    feed = {"id": "cmdb", "name": {"ja": "名", "en": "name"}, "bodies": ["mayor"], "retire_at_most": 1}
    document = profile.model_dump(mode="json", exclude={"feeds"})
    return Profile.model_validate({**document, "feeds": [feed], "four_eyes": ["edit.declared"]})


@pytest.fixture
async def worker(pool: Pool, sessions: Sessions, city: Profile, owner_dsn: str) -> AsyncIterator[City]:
    await emptied(owner_dsn)
    worker: City

    def clock() -> datetime:
        return worker.now

    worker = City(pool, city, FeedWriter(city, clock, Metrics()))
    desk = Desk(sessions, city, clock)
    app = secured_app("together", Tokens(CALLERS), version="1", metrics=Metrics())  # type: ignore[arg-type]
    for part in (
        EditApi(sessions, city, desk),
        RequestApi(sessions, city, desk, clock),
        MergeApi(sessions, city, clock),
        RegisterApi(sessions, city, clock),
        SnapshotApi(sessions, None, city, clock),  # type: ignore[arg-type]
    ):
        app.include_router(part.router())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://inventory") as worker.http:
        yield worker


def thing(source_key: str, **fields: Any) -> dict[str, Any]:
    return {"body": "mayor", "kind": "system", "source_key": source_key, "source_version": 1, **fields}


def id_of(source_key: str) -> str:
    return asset_id("990019", "cmdb", source_key)


async def test_an_edit_is_found_seen_as_of_its_day_and_told_with_who_approved_it(worker: City) -> None:
    await worker.told(thing("C-1", name="srv-01", declared={"confidentiality": "1"}))
    before, path = worker.now, f"/assets/{id_of('C-1')}"
    await worker.call("PATCH", path, etag=1, name="税務サーバ", section="税務課", reason="現物を確認した")
    asked = await worker.call("PATCH", path, etag=2, declared={"confidentiality": "3B"}, reason="課税台帳がある")
    await worker.call("POST", f"/requests/{asked['request_id']}/approve", caller="suzuki", etag=1)

    for words, found in (("税務 さーば", ["exact"]), ("税務課", ["part"]), ("srv", [])):
        assert [one["match"] for one in (await worker.get("/search", q=words))["items"]] == found
    assert (await worker.get(path, as_of=before.isoformat()))["name"] == "srv-01"
    (difference,) = (await worker.get("/differences", **{"from": before.isoformat()}))["items"]
    assert difference["what"] == "changed"
    told = {one["field"]: (one["before"], one["after"], one["change"]) for one in difference["fields"]}
    assert told["name"][:2] == ("srv-01", "税務サーバ")
    assert told["declared.confidentiality"][:2] == ("1", "3B")
    assert [
        (told[field][2]["actor"], told[field][2]["approved_by"]) for field in ("name", "declared.confidentiality")
    ] == [
        ("tanaka", None),
        ("tanaka", "suzuki"),
    ]
    answer = await worker.http.get(
        "/v1/differences",
        headers={"Authorization": "Bearer office"},
        params={"from": before.isoformat(), "format": "csv"},
    )
    assert ",tanaka,suzuki,課税台帳がある" in answer.text


async def test_a_snapshot_retires_what_was_edited_and_leaves_what_a_person_added(
    worker: City, pool: Pool, city: Profile, look: Look
) -> None:
    await worker.told(thing("C-1"), thing("C-2"), thing("C-3"))
    await worker.call("PATCH", f"/assets/{id_of('C-1')}", etag=1, name="税務サーバ", reason="現物を確認した")
    added = await worker.call("POST", "/assets", body="mayor", kind="system", name="設計書", reason="台帳にない")
    ids = {"C-1": id_of("C-1"), "added": added["asset_id"]}
    await worker.call("POST", f"/assets/{id_of('C-2')}/merge", etag=1, into=ids["added"], into_revision=1)
    await worker.call("PATCH", f"/assets/{ids['added']}", etag=1, section="情報政策課", reason="所管")

    await worker.told(worker.mark("begin"), worker.record(thing("C-3", snapshot="s1")), worker.mark("end", items=1))
    (snapshot,) = (await worker.get("/snapshots"))["items"]
    missing = (await worker.get(f"/snapshots/{snapshot['snapshot_id']}/missing"))["items"]
    assert [(one["source_key"], one["told_by"]) for one in missing] == [("C-1", []), ("C-2", ["-hand-"])]
    await SnapshotKeeper(pool, city, lambda: worker.now, Metrics()).step()

    async def state(name: str) -> tuple[str, str]:
        asset = await worker.get(f"/assets/{ids[name]}")
        return asset["name"], asset["status"]

    assert await state("C-1") == ("税務サーバ", "retired")
    assert await state("added") == ("設計書", "active")
    assert [row["active"] for row in await look("SELECT active FROM asset_findable WHERE text LIKE '税務%'")] == [False]
    # told again under the version of before: the edit holds again, too
    await worker.told(thing("C-1"))
    assert await state("C-1") == ("税務サーバ", "active")
