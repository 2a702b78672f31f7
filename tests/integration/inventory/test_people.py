# SPDX-License-Identifier: Apache-2.0
"""What people do to a real register by hand, over HTTP, beside the feeds that go on to tell."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from libs.contracts import AssetChanged, Profile, asset_id
from libs.observability import Metrics
from libs.persistence import Pool, Sessions
from libs.security import Identity, Role, assert_guarded
from libs.security import create_app as secured_app
from services.inventory.attachments.api import AttachmentApi
from services.inventory.disposals.api import DisposalApi
from services.inventory.edits.api import EditApi
from services.inventory.merges.api import MergeApi
from services.inventory.requests.api import RequestApi
from services.inventory.requests.desk import Desk
from services.inventory.worker import FeedWriter
from tests.integration.inventory.conftest import NOW, Tokens, Worker, emptied

ROOT = Path(__file__).parents[3]
EDITOR = frozenset({Role.READER, Role.EDITOR})
CALLERS = {
    "tanaka": Identity("tanaka", frozenset({"mayor"}), EDITOR),
    "suzuki": Identity("suzuki", frozenset({"mayor"}), EDITOR),
    "fire": Identity("fire", frozenset({"fire"}), EDITOR),
    "reader": Identity("reader", frozenset({"mayor"}), frozenset({Role.READER})),
    "office": Identity("office", "*", frozenset({Role.READER, Role.SECURITY_OFFICER})),
}
UNKNOWN = "00000000-0000-4000-8000-000000000000"
DISPOSAL = {"methods": ["drill"], "disposed_on": "2026-03-31", "done_by": "委託業者", "approved_by": "情報政策課長"}
Call = Callable[..., Awaitable[httpx.Response]]


def id_of(source_key: str, feed: str = "cmdb") -> str:
    return asset_id("990019", feed, source_key)


def thing(source_key: str, version: int = 1, **fields: Any) -> dict[str, Any]:
    told = {"body": "mayor", "kind": "system", "source_key": source_key, "source_version": version}
    return {**told, **fields}


@pytest.fixture(scope="module")
def city(profile: Profile) -> Profile:
    """Two feeds of the mayor's network; who declares levels, or adds or disposes, is not who approves it."""
    feed = {"name": {"ja": "名", "en": "name"}, "bodies": ["mayor", "fire"]}
    document = profile.model_dump(mode="json", exclude={"feeds"})
    return Profile.model_validate(
        {**document, "feeds": [{**feed, "id": one} for one in ("cmdb", "glpi")], "four_eyes": ["edit.declared"]}
    )


@pytest.fixture
async def worker(pool: Pool, city: Profile, owner_dsn: str) -> Worker:
    await emptied(owner_dsn)
    return Worker(pool, city, FeedWriter(city, lambda: NOW, Metrics()))


def app_of(sessions: Sessions, city: Profile) -> Any:
    desk = Desk(sessions, city, lambda: NOW)
    app = secured_app("people", Tokens(CALLERS), version="1", metrics=Metrics())  # type: ignore[arg-type]
    for part in (
        EditApi(sessions, city, desk),
        RequestApi(sessions, city, desk, lambda: NOW),
        DisposalApi(sessions, city, desk),
        AttachmentApi(sessions, city, lambda: NOW),
        MergeApi(sessions, city, lambda: NOW),
    ):
        app.include_router(part.router())
    return app


def calling(http: httpx.AsyncClient) -> Call:
    async def called(
        method: str, path: str, caller: str | None = "tanaka", etag: Any = None, key: str | None = None, **body: Any
    ) -> httpx.Response:
        headers = {"Accept-Language": "en"}
        if caller is not None:
            headers["Authorization"] = f"Bearer {caller}"
        if etag is not None:
            headers["If-Match"] = f'"{etag}"'
        if key is not None:
            headers["Idempotency-Key"] = key
        return await http.request(method, f"/v1{path}", headers=headers, json=body if method != "GET" else None)

    return called


@pytest.fixture(scope="module")
async def call(sessions: Sessions, city: Profile) -> AsyncIterator[Call]:
    transport = httpx.ASGITransport(app_of(sessions, city))
    async with httpx.AsyncClient(transport=transport, base_url="http://inventory") as http:
        yield calling(http)


@pytest.fixture
def state_of(look: Any) -> Any:
    async def state(one: str) -> dict[str, Any]:
        (row,) = await look("SELECT state, revision FROM asset WHERE asset_id = $1::text::uuid", one)
        return {**row["state"], "revision": row["revision"]}

    return state


def fields(answer: httpx.Response) -> list[str]:
    return [one["field"] for one in answer.json()["errors"]]


class TestEdits:
    async def test_it_stands_beside_the_feeds_and_is_taken_back(self, worker: Worker, call: Call, look: Any) -> None:
        await worker.apply(
            thing("C-1", 3, name="srv-01", section="税務課", facts={"model": "RX", "rack": "A"}),
            thing("C-2", relations=[{"type": "runs_on", "source_key": "C-1"}]),
            thing("C-3"),
        )
        path = f"/assets/{id_of('C-1')}"
        change = {
            "name": "税務サーバ",
            "section": None,
            "facts": {"model": "RX2540"},
            "relations": {"connects": [id_of("C-3")]},
            "reason": "現物を確認した",
        }
        assert (await call("PATCH", path, **change)).status_code == 428
        assert (await call("PATCH", path, etag=9, **change)).status_code == 412
        answer = await call("PATCH", path, etag=1, key="once", **change)

        assert (answer.status_code, answer.headers["etag"]) == (200, '"2"'), answer.text
        assert (await call("PATCH", path, etag=1, key="once", **change)).json() == answer.json()
        edited = answer.json()
        assert (edited["name"], edited["section"], edited["facts"]) == (
            "税務サーバ",
            None,
            {"model": "RX2540", "rack": "A"},
        )
        assert edited["relations"] == [{"type": "connects", "asset_id": id_of("C-3")}]
        # the feed goes on to tell, late and anew; the edited fields are not its to say
        await worker.apply(
            thing("C-1", 2, name="古い"),
            thing("C-1", 4, name="srv-01a", section="納税課", facts={"model": "RX", "rack": "B"}),
        )
        shown = {one["field"]: one for one in (await call("GET", f"{path}/edits")).json()}
        assert shown["facts.model"] == {
            "field": "facts.model",
            "value": "RX2540",
            "by": "tanaka",
            "at": "2026-04-01T00:00:00Z",
            "reason": "現物を確認した",
            "approved_by": None,
            "otherwise": "RX",
        }
        assert (shown["section"]["value"], shown["section"]["otherwise"]) == (None, "納税課")
        assert shown["relations.connects"]["value"] == [["cmdb", "C-3"]]
        told = (await call("GET", f"{path}/sources")).json()
        origins = {one["field"]: (one["feed"], one["edited_by"], one["reason"]) for one in told["fields"]}
        assert origins["name"] == ("-person-", "tanaka", "現物を確認した")
        assert origins["facts.rack"] == ("cmdb", None, None)

        back = {"fields": ["section", "facts.model", "facts.rack"], "reason": "読み違い"}
        refused = await call("POST", f"{path}/edits/take-back", etag=3, **back)
        assert (refused.status_code, fields(refused)) == (422, ["/fields/2"])
        back["fields"] = ["section", "facts.model"]
        answer = await call("POST", f"{path}/edits/take-back", etag=3, **back)
        assert (answer.json()["section"], answer.json()["facts"]) == ("納税課", {"model": "RX", "rack": "B"})
        assert answer.json()["name"] == "税務サーバ"
        events = [
            AssetChanged.model_validate_json(row["value"]) for row in await look("SELECT value FROM outbox ORDER BY id")
        ]
        told_of = [event for event in events if event.subject == id_of("C-1")]
        assert [event.revision for event in told_of] == [1, 2, 3, 4]
        assert [(event.data.change.actor, event.data.change.reason) for event in told_of] == [
            (None, None),
            ("tanaka", "現物を確認した"),
            (None, None),
            ("tanaka", "読み違い"),
        ]

    @pytest.mark.parametrize(
        ("change", "wrong"),
        [
            ({}, None),
            ({"name": None}, ["/name"]),
            ({"kind": None}, ["/kind"]),
            ({"relations": {"stores": [UNKNOWN]}}, ["/relations/stores/0"]),
            ({"relations": {"stores": [id_of("C-1")]}}, ["/relations/stores/0"]),
            ({"relations": {"stores": [id_of("F-1")]}}, ["/relations/stores/0"]),
            ({"facts": {f"fact_{number}": number for number in range(64)}}, ["/facts"]),
            ({"body": "fire"}, ["/body"]),
        ],
    )
    async def test_what_cannot_be_is_refused_with_its_field(
        self, worker: Worker, call: Call, state_of: Any, change: dict[str, Any], wrong: list[str] | None
    ) -> None:
        await worker.apply(thing("C-1", facts={"model": "RX"}), thing("F-1", body="fire", name="秘密の資産"))

        answer = await call("PATCH", f"/assets/{id_of('C-1')}", etag=1, reason="確認", **change)
        assert answer.status_code == 422, answer.text
        assert (fields(answer) if wrong else None) == wrong
        assert "秘密" not in answer.text
        assert (await state_of(id_of("C-1")))["revision"] == 1

    async def test_an_asset_is_added_retired_and_found_by_what_points_at_it(
        self, worker: Worker, call: Call, state_of: Any
    ) -> None:
        await worker.apply(thing("C-1"))
        given = {"body": "mayor", "kind": "document", "name": "設計書", "reason": "台帳にない"}
        given["relations"] = {"describes": [id_of("C-1")]}
        answer = await call("POST", "/assets", key="add", **given)

        assert answer.status_code == 201, answer.text
        added = answer.json()["asset_id"]
        assert answer.headers["location"] == f"/v1/assets/{added}"
        assert (await call("POST", "/assets", key="add", **given)).json()["asset_id"] == added
        assert (await call("POST", "/assets", **{**given, "body": "fire"})).status_code == 422
        change = {"relations": {"connects": [added]}, "reason": "関係"}
        assert (await call("PATCH", f"/assets/{id_of('C-1')}", etag=1, **change)).status_code == 200
        merged = await call("POST", f"/assets/{added}/merge", etag=1, into=id_of("C-1"), into_revision=2)
        assert merged.status_code == 201, merged.text
        state = await state_of(id_of("C-1"))
        assert (state["name"], state["kind"], state["relations"]) == ("設計書", "system", [])
        assert (await call("PATCH", f"/assets/{added}", etag=2, name="甲", reason="x")).status_code == 409
        await call("POST", f"/merges/{merged.json()['merge_id']}/undo", etag=1)
        state = await state_of(id_of("C-1"))
        assert (state["name"], state["relations"]) == ("C-1", [{"type": "connects", "asset_id": added}])
        retired = await call("POST", f"/assets/{added}/retire", etag=3, reason="廃止")
        assert (retired.json()["status"], retired.json()["disposal_record"]) == ("retired", "not_needed")
        back = await call("POST", f"/assets/{added}/restore", etag=4, reason="誤って廃止した")
        assert (back.status_code, back.json()["status"], back.json()["name"]) == (200, "active", "設計書"), back.text
        assert (await call("POST", f"/assets/{added}/restore", etag=5, reason="再び")).status_code == 409

    async def test_of_a_single_source_nothing_is_split_off_though_it_was_edited(
        self, worker: Worker, call: Call
    ) -> None:
        await worker.apply(thing("C-1"))
        await call("PATCH", f"/assets/{id_of('C-1')}", etag=1, name="甲", reason="x")
        split = await call("POST", f"/assets/{id_of('C-1')}/split", etag=2, feed="cmdb", source_key="C-1")
        assert split.status_code == 409

    async def test_an_edit_holds_again_when_a_feed_brings_the_asset_back(self, worker: Worker, call: Call) -> None:
        await worker.apply(thing("C-1", name="甲"))
        path = f"/assets/{id_of('C-1')}"
        await call("PATCH", path, etag=1, name="乙", reason="改称")
        assert (await call("POST", f"{path}/retire", etag=2, reason="廃止")).json()["name"] == "乙"
        await worker.apply(thing("C-1", 2, name="丙"))
        back = await call("PATCH", path, etag=4, section="税務課", reason="所管")
        assert (back.json()["name"], back.json()["status"], back.json()["section"]) == ("乙", "active", "税務課")


class TestFourEyes:
    CHANGE = {"declared": {"confidentiality": "3B"}, "name": "税務情報", "reason": "個人情報を含む"}  # noqa: RUF012

    async def asked(self, call: Call, etag: int = 1, **more: Any) -> dict[str, Any]:
        answer = await call("PATCH", f"/assets/{id_of('C-1')}", etag=etag, **{**self.CHANGE, **more})
        assert answer.status_code == 202, answer.text
        assert answer.headers["location"] == f"/v1/requests/{answer.json()['request_id']}"
        return answer.json()

    async def test_another_person_approves_and_it_is_done_in_the_name_of_who_asked(
        self, worker: Worker, call: Call, state_of: Any, look: Any
    ) -> None:
        await worker.apply(thing("C-1", name="甲"))
        asked = await self.asked(call)
        assert (asked["act"], asked["given"], asked["state"]) == ("edit", self.CHANGE, "asked")
        assert (await state_of(id_of("C-1")))["revision"] == 1
        assert await look("SELECT 1 FROM outbox") == await look("SELECT 1 FROM asset")
        await worker.apply(thing("C-1", 2, name="甲", facts={"rack": "A"}))

        path = f"/requests/{asked['request_id']}"
        assert (await call("POST", f"{path}/approve", caller="suzuki")).status_code == 428
        assert (await call("POST", f"{path}/approve", caller="suzuki", etag=2)).status_code == 412
        assert (await call("POST", f"{path}/approve", etag=1)).status_code == 403
        assert (await call("POST", f"{path}/refuse", etag=1, note="x")).status_code == 403
        assert (await call("POST", f"{path}/withdraw", caller="suzuki", etag=1)).status_code == 403
        for _ in range(2):
            approved = await call("POST", f"{path}/approve", caller="office", etag=1, key="once", note="確認した")
            assert (approved.status_code, approved.json()["state"]) == (200, "approved"), approved.text
        assert (await call("POST", f"{path}/refuse", caller="suzuki", etag=2, note="遅い")).status_code == 409
        state = await state_of(id_of("C-1"))
        assert (state["name"], state["declared"], state["facts"], state["revision"]) == (
            "税務情報",
            {"confidentiality": "3B"},
            {"rack": "A"},
            3,
        )
        (row,) = await look("SELECT change FROM asset_revision WHERE revision = 3")
        assert row["change"] == {"actor": "tanaka", "reason": "個人情報を含む", "approved_by": "office"}
        (edit, *_) = (await call("GET", f"/assets/{id_of('C-1')}/edits")).json()
        assert (edit["by"], edit["approved_by"]) == ("tanaka", "office")

    async def test_it_cannot_be_approved_once_what_it_touches_has_changed(
        self, worker: Worker, call: Call, state_of: Any
    ) -> None:
        await worker.apply(thing("C-1", name="甲"))
        asked = await self.asked(call)
        await worker.apply(thing("C-1", 2, name="乙"))

        path = f"/requests/{asked['request_id']}"
        answer = await call("POST", f"{path}/approve", caller="suzuki", etag=1)
        assert (answer.status_code, fields(answer)) == (409, ["/name"])
        assert (await call("GET", path)).json()["changed_since"] == ["name"]
        refused = await call("POST", f"{path}/refuse", caller="suzuki", etag=1, note="名称が変わった")
        assert (refused.json()["state"], refused.json()["decided_by"]) == ("refused", "suzuki")
        assert (await state_of(id_of("C-1")))["declared"] == {}

    async def test_they_are_listed_and_withdrawn_by_who_asked(self, worker: Worker, call: Call) -> None:
        await worker.apply(thing("C-1", name="甲"))
        first, second = await self.asked(call), await self.asked(call, name="丁")
        withdrawn = await call("POST", f"/requests/{first['request_id']}/withdraw", etag=1)
        assert withdrawn.json()["state"] == "withdrawn"

        page = (await call("GET", "/requests?state=asked")).json()
        assert ([one["request_id"] for one in page["items"]], page["next"]) == ([second["request_id"]], None)
        seen: list[str] = []
        after = ""
        for _ in range(2):
            page = (await call("GET", f"/requests?limit=1{after}")).json()
            seen += [one["request_id"] for one in page["items"]]
            after = f"&after={page['next']}"
        assert sorted(seen) == sorted([first["request_id"], second["request_id"]])
        assert (await call("GET", "/requests", caller="fire")).json()["items"] == []

    async def test_what_cannot_be_done_is_not_asked_for(self, worker: Worker, call: Call) -> None:
        await worker.apply(thing("C-1"))
        change = {**self.CHANGE, "relations": {"stores": [UNKNOWN]}}
        answer = await call("PATCH", f"/assets/{id_of('C-1')}", etag=1, **change)
        assert (answer.status_code, fields(answer)) == (422, ["/relations/stores/0"])
        assert (await call("GET", "/requests")).json()["items"] == []

    async def test_every_act_may_be_made_to_wait(
        self, worker: Worker, sessions: Sessions, city: Profile, state_of: Any
    ) -> None:
        strict = city.model_copy(update={"four_eyes": frozenset({"add", "edit", "retire", "dispose"})})
        transport = httpx.ASGITransport(app_of(sessions, strict))
        async with httpx.AsyncClient(transport=transport, base_url="http://inventory") as http:
            call = calling(http)
            await worker.apply(thing("C-1", facts={"medium": "hdd"}))
            path = f"/assets/{id_of('C-1')}"
            added = {"body": "mayor", "kind": "document", "name": "設計書", "reason": "台帳にない"}
            waiting = [
                await call("POST", "/assets", **added),
                await call("PATCH", path, etag=1, name="甲", reason="改称"),
                await call("POST", f"{path}/retire", etag=1, reason="廃棄"),
                await call("POST", f"{path}/disposals", etag=1, **DISPOSAL),
            ]
            assert [one.status_code for one in waiting] == [202] * 4, [one.text for one in waiting]
            for one in waiting:
                decided = await call("POST", f"/requests/{one.json()['request_id']}/approve", "suzuki", 1)
                assert decided.status_code == 200, decided.text
            assert (await state_of(waiting[0].json()["asset_id"]))["name"] == "設計書"
            state = await state_of(id_of("C-1"))
            assert (state["name"], state["status"]) == ("甲", "retired")
            (record,) = (await call("GET", f"{path}/disposals")).json()
            assert (record["recorded_by"], record["confirmed_by"]) == ("tanaka", "suzuki")


class TestDisposals:
    async def test_it_is_asked_for_recorded_and_corrected_but_never_changed(
        self, worker: Worker, call: Call, look: Any, owner_dsn: str
    ) -> None:
        await worker.apply(
            thing("C-1", kind="media", zone="mynumber", facts={"medium": "hdd"}),
            thing("C-2", kind="media"),
            thing("C-3", facts={"medium": "hdd"}),
            thing("C-3", 2, operation="retire"),
            thing("C-4"),
        )
        path = f"/assets/{id_of('C-1')}"
        retired = (await call("POST", f"{path}/retire", etag=1, reason="更新のため")).json()
        assert (retired["status"], retired["disposal_record"]) == ("retired", "missing")
        assert "disposed" in retired["notice"]["en"]
        await call("POST", f"/assets/{id_of('C-4')}/retire", etag=1, reason="廃止")
        missing = (await call("GET", "/disposals/missing")).json()["items"]
        assert {one["asset_id"] for one in missing} == {id_of("C-1"), id_of("C-3")}

        assert (await call("POST", f"{path}/disposals", **DISPOSAL)).status_code == 428
        wrong = {**DISPOSAL, "methods": ["pulp"], "disposed_on": "2026-04-02", "approved_by": "委託業者"}
        answer = await call("POST", f"{path}/disposals", etag=2, **wrong)
        assert (answer.status_code, fields(answer)) == (422, ["/methods/0", "/disposed_on", "/approved_by"])
        unsaid = await call("POST", f"/assets/{id_of('C-2')}/disposals", etag=1, **DISPOSAL)
        assert (unsaid.status_code, fields(unsaid)) == (422, ["/medium"])
        first = await call("POST", f"{path}/disposals", etag=2, key="once", **{**DISPOSAL, "methods": ["overwrite"]})
        assert first.status_code == 201, first.text
        assert [one["remark"] for one in first.json()["remarks"]] == ["too_weak", "no_witness"]
        better = {**DISPOSAL, "witnessed_by": "主任", "certificate": "証第8号", "corrects": first.json()["disposal_id"]}
        second = await call("POST", f"{path}/disposals", etag=2, **better)
        assert (second.status_code, second.json()["remarks"]) == (201, [])
        assert (await call("POST", f"{path}/disposals", etag=2, **better)).status_code == 409
        assert (await call("POST", f"{path}/disposals", etag=2, **{**better, "corrects": UNKNOWN})).status_code == 404

        page = (await call("GET", "/disposals?limit=10")).json()
        corrections = {one["disposal_id"]: (one["corrects"], one["corrected_by"]) for one in page["items"]}
        ids = first.json()["disposal_id"], second.json()["disposal_id"]
        assert corrections == {ids[0]: (None, ids[1]), ids[1]: (ids[0], None)}
        assert (await call("GET", f"/disposals/{ids[0]}")).json()["corrected_by"] == ids[1]
        missing = (await call("GET", "/disposals/missing?limit=1")).json()
        assert ([one["asset_id"] for one in missing["items"]], missing["next"]) == ([id_of("C-3")], None)
        again = await call("POST", f"{path}/retire", etag=2, reason="再び")
        assert (again.json()["disposal_record"], again.json()["notice"]) == ("recorded", None)
        owner = await asyncpg.connect(owner_dsn)
        try:
            await owner.execute("ALTER TABLE disposal NO FORCE ROW LEVEL SECURITY")
            for statement in ("UPDATE disposal SET done_by = 'x'", "DELETE FROM disposal"):
                with pytest.raises(asyncpg.IntegrityConstraintViolationError):
                    await owner.execute(statement)
        finally:
            await owner.execute("ALTER TABLE disposal FORCE ROW LEVEL SECURITY")
            await owner.close()
        assert len(await look("SELECT 1 FROM disposal")) == 2


class TestAttachments:
    GIVEN = {"title": "保守契約書", "kind": "contract", "uri": "https://documents.city.example/12"}  # noqa: RUF012

    async def test_a_reference_is_added_shown_removed_and_kept(self, worker: Worker, call: Call) -> None:
        await worker.apply(thing("C-1"), thing("C-2"))
        path = f"/assets/{id_of('C-1')}/attachments"
        assert (await call("POST", path, **self.GIVEN)).status_code == 428
        for _ in range(2):
            added = await call("POST", path, etag=1, key="once", **self.GIVEN)
            assert added.status_code == 201, added.text
        refused = await call("POST", path, etag=1, **{**self.GIVEN, "uri": "data:,himitsu"})
        assert (refused.status_code, fields(refused)) == (422, ["/uri"])
        assert "himitsu" not in refused.text
        merged = await call("POST", f"/assets/{id_of('C-1')}/merge", etag=1, into=id_of("C-2"), into_revision=1)
        assert merged.status_code == 201
        (shown,) = (await call("GET", f"/assets/{id_of('C-2')}/attachments")).json()
        assert (shown["title"], shown["added_by"]) == ("保守契約書", "tanaka")

        place = f"/attachments/{shown['attachment_id']}"
        assert (await call("POST", f"{place}/remove", etag=2, reason="期間満了")).status_code == 412
        removed = await call("POST", f"{place}/remove", caller="suzuki", etag=1, reason="期間満了")
        assert (removed.json()["removed_by"], removed.json()["reason"]) == ("suzuki", "期間満了")
        assert (await call("POST", f"{place}/remove", etag=2, reason="再び")).status_code == 409
        assert (await call("GET", path)).json() == []
        assert (await call("GET", f"{path}?removed=true")).json() == [removed.json()]


class TestWhoMay:
    @pytest.fixture
    async def paths(self, worker: Worker, call: Call) -> dict[str, str]:
        """One of everything, of the mayor's."""
        await worker.apply(thing("C-1", name="秘密の資産", facts={"medium": "hdd"}))
        path = f"/assets/{id_of('C-1')}"
        asked = await call("PATCH", path, etag=1, declared={"integrity": "2"}, reason="秘密の理由")
        disposed = await call("POST", f"{path}/disposals", etag=1, note="秘密の処分", **DISPOSAL)
        attached = await call("POST", f"{path}/attachments", etag=1, title="秘密の文書", kind="other", number="1")
        await call("PATCH", path, etag=1, section="秘密の課", reason="秘密の理由")
        await call("POST", f"{path}/retire", etag=2, reason="廃止")
        return {
            "{asset_id}": id_of("C-1"),
            "{request_id}": asked.json()["request_id"],
            "{disposal_id}": disposed.json()["disposal_id"],
            "{attachment_id}": attached.json()["attachment_id"],
        }

    async def test_every_route_asks_for_token_and_role_and_tells_another_body_nothing(
        self, sessions: Sessions, city: Profile, call: Call, paths: dict[str, str]
    ) -> None:
        app = app_of(sessions, city)
        assert_guarded(app, ())
        routes = [
            (method.upper(), path)
            for path, operations in app.openapi()["paths"].items()
            for method in operations
            if "merge" not in path and "split" not in path
        ]
        assert len(routes) > 20
        for method, route in routes:
            path = route.removeprefix("/v1")
            for name, known in paths.items():
                path = path.replace(name, known)
            assert (await call(method, path, caller=None)).status_code == 401, (method, path)
            if method != "GET":
                assert (await call(method, path, caller="reader")).status_code == 403, (method, path)
                assert (await call(method, path, unheard_of=1)).status_code == 422, (method, path)
            stranger = await call(method, path, caller="fire", etag=1, **GIVEN.get(route, {}))
            assert "秘密" not in stranger.text, (method, path)
            assert id_of("C-1") not in stranger.text, (method, path)
            assert stranger.status_code == (404 if "{" in route else 422 if method == "POST" else 200), (method, path)

    async def test_of_two_at_once_one_is_told_that_it_has_changed(self, worker: Worker, call: Call) -> None:
        await worker.apply(thing("C-1"))
        path = f"/assets/{id_of('C-1')}"
        answers = await asyncio.gather(
            *(call("PATCH", path, etag=1, name=name, reason="同時") for name in ("甲", "乙", "丙"))
        )
        assert sorted(one.status_code for one in answers) == [200, 412, 412]


GIVEN: dict[str, dict[str, Any]] = {
    "/v1/assets": {"body": "mayor", "kind": "system", "name": "甲", "reason": "x"},
    "/v1/assets/{asset_id}": {"name": "甲", "reason": "x"},
    "/v1/assets/{asset_id}/edits/take-back": {"fields": ["section"], "reason": "x"},
    "/v1/assets/{asset_id}/retire": {"reason": "x"},
    "/v1/assets/{asset_id}/restore": {"reason": "x"},
    "/v1/assets/{asset_id}/disposals": DISPOSAL,
    "/v1/assets/{asset_id}/attachments": {"title": "甲", "kind": "other", "number": "1"},
    "/v1/attachments/{attachment_id}/remove": {"reason": "x"},
    "/v1/requests/{request_id}/refuse": {"note": "x"},
}
"""What fits each route that is written to."""
