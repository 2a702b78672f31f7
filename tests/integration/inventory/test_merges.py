# SPDX-License-Identifier: Apache-2.0
"""Sources of several feeds in a real register, and people's merges over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import httpx
import pytest
from pydantic import TypeAdapter

from libs.contracts import AssetChanged, Profile, asset_id
from libs.observability import Metrics
from libs.persistence import Pool, Sessions
from libs.security import Identity, Role
from libs.security import create_app as secured_app
from services.inventory.merges.api import MergeApi
from services.inventory.worker import FeedWriter
from tests.integration.inventory.conftest import NOW, Tokens, Worker, emptied

SERVER = {"body": "mayor", "kind": "system", "facts": {"serial": "FJ-1234 5678", "model": "RX2530"}}
CALLERS = {
    "mayor": Identity("mayor", frozenset({"mayor"}), frozenset({Role.READER, Role.EDITOR})),
    "fire": Identity("fire", frozenset({"fire"}), frozenset({Role.READER, Role.EDITOR})),
    "reader": Identity("reader", frozenset({"mayor"}), frozenset({Role.READER})),
}


def id_of(source_key: str, feed: str = "cmdb") -> str:
    return asset_id("990019", feed, source_key)


def thing(source_key: str, version: int = 1, **fields: Any) -> dict[str, Any]:
    return {**SERVER, "source_key": source_key, "source_version": version, **fields}


@pytest.fixture(scope="module")
def city(profile: Profile) -> Profile:
    """Both feeds know servers again by their serial; NetBox is the authority for what they are, the CMDB speaks for two bodies."""
    netbox = {
        "id": "netbox",
        "name": {"ja": "機器管理", "en": "Equipment"},
        "bodies": ["mayor", "fire"],
        "authority": ["facts.model"],
        "match": [{"serial": "facts.serial"}],
    }
    cmdb = {**netbox, "id": "cmdb", "authority": ["name"], "scope": {"bodies": ["mayor", "fire"]}}
    document = {**profile.model_dump(mode="json", exclude={"feeds"}), "feeds": [netbox, cmdb]}
    return Profile.model_validate(document)


@pytest.fixture
async def worker(pool: Pool, city: Profile, owner_dsn: str) -> Worker:
    await emptied(owner_dsn)
    return Worker(pool, city, FeedWriter(city, lambda: NOW, Metrics()))


@pytest.fixture(scope="module")
async def http(sessions: Sessions, city: Profile) -> AsyncIterator[httpx.AsyncClient]:
    app = secured_app("merges", Tokens(CALLERS), version="1", metrics=Metrics())  # type: ignore[arg-type]
    app.include_router(MergeApi(sessions, city, lambda: NOW).router())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://inventory") as http:
        yield http


@pytest.fixture
def call(http: httpx.AsyncClient) -> Any:
    async def called(
        method: str, path: str, caller: str = "mayor", etag: Any = None, key: str | None = None, **body: Any
    ) -> httpx.Response:
        headers = {"Authorization": f"Bearer {caller}", "Accept-Language": "en"}
        if etag is not None:
            headers["If-Match"] = f'"{etag}"'
        if key is not None:
            headers["Idempotency-Key"] = key
        return await http.request(method, f"/v1{path}", headers=headers, json=body if method == "POST" else None)

    return called


@pytest.fixture
def state_of(look: Any) -> Any:
    async def state(one: str) -> dict[str, Any]:
        (row,) = await look("SELECT state, revision FROM asset WHERE asset_id = $1", UUID(one))
        return {**row["state"], "revision": row["revision"]}

    return state


async def told_of_both(worker: Any, look: Any) -> list[AssetChanged]:
    return [
        AssetChanged.model_validate_json(row["value"]) for row in await look("SELECT value FROM outbox ORDER BY id")
    ]


async def test_a_second_feed_joins_the_asset_and_each_is_heard_in_its_fields(
    worker: Any, look: Any, state_of: Any, call: Any
) -> None:
    await worker.apply(thing("C-1", name="税務サーバ", facts={"serial": "FJ12345678", "model": "不詳", "rto_hours": 4}))
    await worker.apply(thing("N-1", 7, feed="netbox", name="srv01"))

    (asset,) = await look("SELECT asset_id FROM asset")
    state = await state_of(str(asset["asset_id"]))
    assert state["asset_id"] == id_of("C-1")
    assert (state["name"], state["facts"]) == (
        "税務サーバ",
        {"model": "RX2530", "rto_hours": 4, "serial": "FJ-1234 5678"},
    )
    told = (await call("GET", f"/assets/{id_of('C-1')}/sources")).json()
    assert [(one["feed"], one["source_version"], one["gone"]) for one in told["sources"]] == [
        ("cmdb", 1, False),
        ("netbox", 7, False),
    ]
    heard = {one["field"]: (one["feed"], one["source_version"]) for one in told["fields"]}
    assert (heard["name"], heard["facts.model"], heard["facts.rto_hours"]) == (("cmdb", 1), ("netbox", 7), ("cmdb", 1))
    assert {one["since"] for one in told["fields"]} == {"2026-04-01T00:00:00Z"}

    await worker.apply(thing("N-1", 8, feed="netbox", operation="retire"))
    state = await state_of(id_of("C-1"))
    assert (state["status"], state["facts"]) == ("active", {"serial": "FJ12345678", "model": "不詳", "rto_hours": 4})
    await worker.apply(thing("C-1", 2, operation="retire"))
    assert (await state_of(id_of("C-1")))["status"] == "retired"


async def test_in_one_batch_it_is_the_same(worker: Any, look: Any) -> None:
    await worker.apply(thing("C-1"), thing("N-1", feed="netbox"), thing("C-2", facts={"serial": "OTHER-1"}))

    links = await look("SELECT asset_id, count(*) FROM source_link GROUP BY asset_id")
    assert {str(link["asset_id"]): link["count"] for link in links} == {id_of("C-1"): 2, id_of("C-2"): 1}


async def test_what_names_a_source_before_it_is_seen_follows_it_also_from_another_batch(
    worker: Any, look: Any, state_of: Any
) -> None:
    await worker.apply(
        thing("C-1"),
        thing("C-2", facts={}, relations=[{"type": "runs_on", "source_key": "N-1", "feed": "netbox"}]),
    )
    assert (await state_of(id_of("C-2")))["relations"][0]["asset_id"] == id_of("N-1", "netbox")

    await worker.apply(thing("N-1", feed="netbox"))
    assert (await state_of(id_of("C-2")))["relations"] == [{"type": "runs_on", "asset_id": id_of("C-1")}]
    last = (await told_of_both(worker, look))[-1]
    assert (last.subject, last.data.change.reason, last.data.change.merged_into) == (
        id_of("C-2"),
        "matched",
        id_of("C-1"),
    )


async def test_an_asset_of_several_sources_moves_whole(worker: Any, look: Any) -> None:
    await worker.apply(thing("C-1"), thing("N-1", feed="netbox"))
    await worker.apply(thing("N-1", 2, feed="netbox", body="fire"), thing("C-1", 2, body="fire"))

    assert {row["body"] for row in await look("SELECT body FROM source_link")} == {"fire"}
    assert [(one.body, one.data.after.status.value) for one in await told_of_both(worker, look)][-2:] == [
        ("mayor", "retired"),
        ("fire", "active"),
    ]


@pytest.mark.parametrize("size", [10, 1000, 10_000])
async def test_the_number_of_statements_is_the_same_whatever_the_batch(worker: Any, pool: Pool, size: int) -> None:
    """New assets, assets known again, and relations that lead elsewhere then; then all of them changed."""
    half = size // 2
    counted = []
    async with pool.acquire() as connection:
        # a connection's first batch makes its staging table, and asyncpg asks once what an array of ids is
        await connection.fetchval("SELECT $1::uuid[]", [])
        await statements(worker, connection, [thing("C-X", facts={"serial": "OTHER-1"})])
        for version in (1, 2):
            first = [thing(f"C-{n}", version, facts={"serial": f"S-{n:08}", "v": version}) for n in range(half)]
            first[0]["relations"] = [{"type": "connects", "source_key": f"N-{n}", "feed": "netbox"} for n in range(3)]
            second = [thing(f"N-{n}", version, feed="netbox", facts={"serial": f"S{n:08}"}) for n in range(half)]
            counted += [await statements(worker, connection, batch) for batch in (first, second)]
    assert await pool.fetchval("SELECT count(*) FROM match_key") == 2 * half + 1
    assert [len(queries) for queries in counted] == STATEMENTS, counted


async def statements(worker: Any, connection: Any, items: list[dict[str, Any]]) -> list[str]:
    records = [worker.record(one) for one in items]
    seen: list[Any] = []
    connection.add_query_logger(seen.append)
    async with connection.transaction():
        await worker.apply_in(connection, records)
    connection.remove_query_logger(seen.append)
    return [one.query for one in seen]


STATEMENTS = [9, 10, 7, 7]
"""BEGIN, COMMIT, networks, what is known, what match keys find, who waits, targets, merge, who was heard of; what a batch has no need of is left out."""


class TestCandidates:
    @pytest.fixture
    async def candidate(self, worker: Any, call: Any) -> dict[str, Any]:
        """One serial under two keys of one feed."""
        await worker.apply(thing("C-1", name="旧"), thing("C-2", name="新"))
        ((found,), after) = (await call("GET", "/merge-candidates?state=proposed")).json().values()
        assert after is None
        return found

    async def test_it_is_listed_with_its_evidence(self, candidate: dict[str, Any], call: Any) -> None:
        assert (candidate["asset_id"], candidate["other_id"]) == (id_of("C-2"), id_of("C-1"))
        assert candidate["evidence"] == [
            {"names": ["serial"], "agrees": True, "here": [["fj12345678"]], "there": [["fj12345678"]]}
        ]
        assert candidate["told_apart"]
        assert (await call("GET", "/merge-candidates", caller="fire")).json()["items"] == []
        there = await call("GET", f"/merge-candidates/{candidate['candidate_id']}", caller="fire")
        assert there.status_code == 404

    async def test_accepted_the_one_is_merged_into_the_other(
        self, candidate: dict[str, Any], call: Any, state_of: Any
    ) -> None:
        path = f"/merge-candidates/{candidate['candidate_id']}/accept"
        assert (await call("POST", path)).status_code == 428
        assert (await call("POST", path, etag=9)).status_code == 412
        assert (await call("POST", path, caller="reader", etag=1)).status_code == 403
        answer = await call("POST", path, etag=1, key="once", note="同じ機器")

        assert answer.status_code == 201, answer.text
        assert (await call("POST", path, etag=1, key="once", note="同じ機器")).json() == answer.json()
        assert (answer.json()["from_id"], answer.json()["into_id"]) == (id_of("C-2"), id_of("C-1"))
        assert (await state_of(id_of("C-2")))["status"] == "retired"
        assert (await call("POST", path, etag=2)).status_code == 409
        decided = (await call("GET", f"/merge-candidates/{candidate['candidate_id']}")).json()
        assert (decided["state"], decided["decided_by"], decided["note"]) == ("accepted", "mayor", "同じ機器")

    async def test_the_newer_one_may_stay(self, candidate: dict[str, Any], call: Any) -> None:
        path = f"/merge-candidates/{candidate['candidate_id']}/accept"
        assert (await call("POST", path, etag=1, keep=id_of("X"))).status_code == 409
        assert (await call("POST", path, etag=1, keep=id_of("C-2"))).json()["into_id"] == id_of("C-2")

    async def test_rejected_it_is_not_proposed_again(self, candidate: dict[str, Any], worker: Any, call: Any) -> None:
        path = f"/merge-candidates/{candidate['candidate_id']}/reject"
        for _ in range(2):
            assert (await call("POST", path, etag=1, key="once")).json()["state"] == "rejected"

        await worker.apply(thing("C-2", 2, facts={}), thing("C-2", 3))
        assert (await call("GET", "/merge-candidates?state=proposed")).json()["items"] == []

    async def test_between_bodies_it_is_for_those_who_may_read_both(self, worker: Any, call: Any) -> None:
        await worker.apply(thing("N-1", feed="netbox", body="fire"), thing("N-2", feed="netbox", body="fire"))
        await worker.apply(thing("C-1"))

        for caller in ("mayor", "fire"):
            items = (await call("GET", "/merge-candidates", caller=caller)).json()["items"]
            assert all({one["body"], one["other_body"]} == {caller} for one in items)


class TestMerge:
    @pytest.fixture
    async def three(self, worker: Any) -> None:
        """Two servers, one of which is named by an asset of another body."""
        other = [{"type": "runs_on", "source_key": "C-1"}]
        await worker.apply(
            thing("C-1", facts={"serial": "AAAA-1", "model": "旧"}),
            thing("C-2", facts={"serial": "BBBB-2", "rto_hours": 4}),
            thing("F-1", body="fire", facts={}, relations=other),
        )

    async def test_merged_and_undone_the_register_is_as_before(
        self, three: None, worker: Any, call: Any, look: Any, state_of: Any
    ) -> None:
        before = {one: {**await state_of(id_of(one)), "revision": 0} for one in ("C-1", "C-2", "F-1")}
        answer = await call("POST", f"/assets/{id_of('C-1')}/merge", etag=1, into=id_of("C-2"), into_revision=1)

        assert answer.status_code == 201, answer.text
        merged = await state_of(id_of("C-2"))
        assert merged["facts"] == {"serial": "AAAA-1", "model": "旧", "rto_hours": 4}
        assert (await state_of(id_of("F-1")))["relations"] == [{"type": "runs_on", "asset_id": id_of("C-2")}]
        events = (await told_of_both(worker, look))[-3:]
        assert [(one.subject, one.data.change.reason) for one in events] == [
            (id_of("C-2"), "merged"),
            (id_of("F-1"), "merged"),
            (id_of("C-1"), "merged"),
        ]
        assert (events[-1].data.after.status.value, events[-1].data.change.merged_into) == ("retired", id_of("C-2"))
        assert events[0].data.change.actor == "mayor"

        place = f"/merges/{answer.json()['merge_id']}"
        undone = await call("POST", f"{place}/undo", etag=1, note="別の機器だった")
        assert undone.status_code == 200, undone.text
        assert (undone.json()["undone_by"], undone.json()["undo_note"]) == ("mayor", "別の機器だった")
        after = {one: {**await state_of(id_of(one)), "revision": 0} for one in ("C-1", "C-2", "F-1")}
        assert after == before
        assert (await call("POST", f"{place}/undo", etag=2)).status_code == 409
        listed = (await call("GET", f"/merges?asset_id={id_of('C-1')}")).json()["items"]
        assert [one["kind"] for one in listed] == ["merged"]

    async def test_it_asks_for_what_was_read_and_for_rights_over_both(self, three: None, call: Any) -> None:
        path = f"/assets/{id_of('C-1')}/merge"
        answers = {
            "nothing read": await call("POST", path, into=id_of("C-2"), into_revision=1),
            "changed": await call("POST", path, etag=5, into=id_of("C-2"), into_revision=1),
            "other changed": await call("POST", path, etag=1, into=id_of("C-2"), into_revision=5),
            "another body's": await call("POST", path, etag=1, into=id_of("F-1"), into_revision=1),
            "itself": await call("POST", path, etag=1, into=id_of("C-1"), into_revision=1),
            "no editor": await call("POST", path, caller="reader", etag=1, into=id_of("C-2"), into_revision=1),
        }
        assert {why: answer.status_code for why, answer in answers.items()} == {
            "nothing read": 428,
            "changed": 412,
            "other changed": 412,
            "another body's": 404,
            "itself": 409,
            "no editor": 403,
        }

    async def test_what_is_sent_again_under_its_key_is_done_once(self, three: None, call: Any, state_of: Any) -> None:
        async def twice(path: str, etag: int, **body: Any) -> dict[str, Any]:
            first, again = [await call("POST", path, etag=etag, key=path, **body) for _ in range(2)]
            assert (first.status_code, first.json()) == (again.status_code, again.json()), again.text
            assert first.headers["ETag"] == again.headers["ETag"]
            return dict(first.json())

        merged = await twice(f"/assets/{id_of('C-1')}/merge", 1, into=id_of("C-2"), into_revision=1)
        await twice(f"/merges/{merged['merge_id']}/undo", 1)
        revision = (await state_of(id_of("C-2")))["revision"]
        again = await call("POST", f"/assets/{id_of('C-1')}/merge", etag=3, into=id_of("C-2"), into_revision=revision)
        assert again.status_code == 201, again.text
        revision = (await state_of(id_of("C-2")))["revision"]
        await twice(f"/assets/{id_of('C-2')}/split", revision, feed="cmdb", source_key="C-1")
        assert [one["kind"] for one in (await call("GET", "/merges")).json()["items"]].count("split") == 1

    async def test_a_source_is_split_off_to_an_asset_of_its_own(self, worker: Any, call: Any, state_of: Any) -> None:
        await worker.apply(thing("C-1", name="一"), thing("N-1", feed="netbox", name="二"))
        path, wanted = f"/assets/{id_of('C-1')}/split", {"feed": "netbox", "source_key": "N-1"}
        revision = (await state_of(id_of("C-1")))["revision"]
        answer = await call("POST", path, etag=revision, **wanted)

        assert answer.status_code == 201, answer.text
        assert answer.json()["into_id"] == id_of("N-1", "netbox")
        assert (await state_of(id_of("N-1", "netbox")))["name"] == "二"
        assert (await state_of(id_of("C-1")))["name"] == "一"
        alone = await call("POST", path, etag=(await state_of(id_of("C-1")))["revision"], **wanted)
        assert alone.status_code == 404
        # what was split stays apart, whatever it tells
        await worker.apply(thing("N-1", 2, feed="netbox", name="三"))
        assert (await state_of(id_of("N-1", "netbox")))["name"] == "三"

        undone = await call("POST", f"/merges/{answer.json()['merge_id']}/undo", etag=1)
        assert undone.status_code == 200, undone.text
        assert (await state_of(id_of("N-1", "netbox")))["status"] == "retired"

    async def test_the_first_source_gets_an_id_that_was_never_used(self, worker: Any, call: Any, state_of: Any) -> None:
        await worker.apply(thing("C-1", name="一"), thing("N-1", feed="netbox", name="二"))
        revision = (await state_of(id_of("C-1")))["revision"]
        answer = await call("POST", f"/assets/{id_of('C-1')}/split", etag=revision, feed="cmdb", source_key="C-1")

        apart = answer.json()["into_id"]
        assert apart not in (id_of("C-1"), id_of("N-1", "netbox"))
        assert TypeAdapter(UUID).validate_python(apart)
        assert ((await state_of(apart))["name"], (await state_of(id_of("C-1")))["name"]) == ("一", "二")

    async def test_what_was_merged_on_is_undone_in_its_turn(self, three: None, call: Any) -> None:
        first = await call("POST", f"/assets/{id_of('C-1')}/merge", etag=1, into=id_of("C-2"), into_revision=1)
        assert first.status_code == 201
        split = await call("POST", f"/assets/{id_of('C-2')}/split", etag=2, feed="cmdb", source_key="C-1")
        assert split.status_code == 201, split.text

        undo = await call("POST", f"/merges/{first.json()['merge_id']}/undo", etag=1)
        assert undo.status_code == 409
