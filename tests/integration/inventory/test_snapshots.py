# SPDX-License-Identifier: Apache-2.0
"""Snapshots in a real register: what their ends retire and what never, what people decide, and which feeds are silent."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from libs.contracts import AssetChanged, FeedFindingChanged, Profile, SnapshotMark, asset_id, make_key
from libs.observability import Metrics
from libs.persistence import Pool, Sessions
from libs.security import Identity, Role
from libs.security import create_app as secured_app
from services.inventory.rhythm.api import RhythmApi
from services.inventory.rhythm.watch import RhythmWatch
from services.inventory.snapshots.api import SnapshotApi
from services.inventory.snapshots.domain import LASTS
from services.inventory.snapshots.keeper import SnapshotKeeper
from services.inventory.worker import FeedWriter
from tests.integration.inventory.conftest import NOW, Tokens, Worker, emptied

CALLERS = {
    "office": Identity("office", "*", frozenset({Role.READER, Role.SECURITY_OFFICER})),
    "mayor": Identity("mayor", frozenset({"mayor"}), frozenset({Role.READER, Role.EDITOR})),
    "reader": Identity("reader", "*", frozenset({Role.READER})),
    "feeder": Identity("feeder", frozenset({"mayor", "fire"}), frozenset({Role.FEEDER}), frozenset({"cmdb"})),
    "other-feeder": Identity("other", frozenset({"mayor", "fire"}), frozenset({Role.FEEDER}), frozenset({"ledger"})),
}
CONTENT = {"kind": "system", "facts": {}}


class Clock:
    """A clock that is set."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


class Marks:
    """What the doors would write to the feed topic."""

    def __init__(self) -> None:
        self.written: list[SnapshotMark] = []

    async def mark(self, marks: Iterable[SnapshotMark], _traceparent: str | None) -> None:
        self.written += marks


@pytest.fixture(scope="module")
def city(profile: Profile) -> Profile:
    """A CMDB of bodies on two networks that may retire systems and networks only, another feed that knows servers by the same serial, and a
    third that decides whether an asset is there."""
    cmdb = {
        "id": "cmdb",
        "name": {"ja": "構成管理", "en": "CMDB"},
        "bodies": ["mayor", "fire", "waterworks"],
        "scope": {"kinds": ["system", "network"]},
        "match": [{"serial": "facts.serial"}],
        "every": "P1D",
    }
    ledger = {**cmdb, "id": "ledger", "every": None, "scope": None}
    decides = {**ledger, "id": "decides", "authority": ["existence"]}
    document = {**profile.model_dump(mode="json", exclude={"feeds"}), "feeds": [cmdb, ledger, decides]}
    return Profile.model_validate(document)


@pytest.fixture
def clock() -> Clock:
    return Clock()


class City(Worker):
    """The worker, and the keeper of its snapshots."""

    clock: Clock
    keeper: SnapshotKeeper

    async def apply(self, *items: Mapping[str, Any] | SimpleNamespace) -> None:
        """In the order in which they are given, whenever they were made."""
        records = [self.record(item) if isinstance(item, Mapping) else item for item in items]
        for record in records:
            record.offset = next(self._offsets)
        await super().apply(*records)

    async def session(self, *items: Any, sent: int | None = None, name: str = "s1", **begin: Any) -> None:
        """A whole session in one batch, and what the keeper makes of it."""
        told = [{**item, "snapshot": name} for item in items]
        count = len({item["source_key"] for item in told}) if sent is None else sent
        await self.apply(self.mark("begin", name, **begin), *told, self.mark("end", name, items=count))
        await self.keeper.step()


@pytest.fixture
async def worker(pool: Pool, city: Profile, owner_dsn: str, clock: Clock) -> City:
    await emptied(owner_dsn)
    made = City(pool, city, FeedWriter(city, clock, Metrics()))
    made.clock, made.keeper = clock, SnapshotKeeper(pool, city, clock, Metrics())
    return made


def thing(source_key: str, version: int = 1, **fields: Any) -> dict[str, Any]:
    return {"body": "mayor", "source_key": source_key, "source_version": version, **CONTENT, **fields}


def many(count: int, **fields: Any) -> list[dict[str, Any]]:
    return [thing(f"S-{number:02}", **fields) for number in range(count)]


def id_of(source_key: str, feed: str = "cmdb") -> str:
    return asset_id("990019", feed, source_key)


async def active(look: Any) -> set[str]:
    """Under what the CMDB knows the assets that are there."""
    rows = await look(
        "SELECT DISTINCT source_key FROM source_link JOIN asset USING (asset_id) WHERE asset.status = 'active' AND feed = 'cmdb'"
    )
    return {row["source_key"] for row in rows}


async def snapshots(look: Any) -> list[tuple[Any, ...]]:
    """State, sent, accepted, known, missing and retired of each, in the order in which they began."""
    rows = await look("SELECT * FROM feed_snapshot ORDER BY begun_at, session")
    return [
        tuple(row[name] for name in ("session", "state", "sent", "accepted", "known", "missing", "retired"))
        for row in rows
    ]


async def told(look: Any) -> list[AssetChanged]:
    rows = await look("SELECT value FROM outbox WHERE topic = 'daicho.assets.v1' ORDER BY id")
    return [AssetChanged.model_validate_json(row["value"]) for row in rows]


class TestEnd:
    async def test_what_it_does_not_have_is_retired_and_history_says_by_which_snapshot(
        self, worker: City, look: Any
    ) -> None:
        await worker.apply(*many(10))
        before = len(await told(look))
        await worker.session(*many(9))

        assert await active(look) == {f"S-{number:02}" for number in range(9)}
        assert await snapshots(look) == [("s1", "done", 9, 9, 10, 1, 1)]
        (event,) = (await told(look))[before:]
        assert (event.subject, event.data.after.status) == (id_of("S-09"), "retired")
        change = event.data.change
        assert (change.feed, change.source_key, change.snapshot, change.reason) == (
            "cmdb",
            "S-09",
            "s1",
            "not-in-snapshot",
        )
        assert await look("SELECT 1 FROM snapshot_mention") == await look("SELECT 1 FROM snapshot_missing") == []

    async def test_what_is_told_again_unchanged_makes_no_event_and_no_revision(self, worker: City, look: Any) -> None:
        await worker.apply(*many(10))
        await worker.session(*many(10))
        await worker.session(*many(10, source_version=2), name="s2")

        assert len(await told(look)) == 10
        assert len(await look("SELECT 1 FROM asset_revision")) == 10
        assert [one[1] for one in await snapshots(look)] == ["done", "done"]

    async def test_what_was_left_out_may_be_told_again_in_the_same_version_and_not_in_an_older_one(
        self, worker: City, look: Any
    ) -> None:
        await worker.apply(*many(10, source_version=7))
        await worker.session(*many(9, source_version=7))
        await worker.apply(thing("S-09", 6))
        assert "S-09" not in await active(look)

        await worker.session(*many(10, source_version=7), name="s2")
        assert "S-09" in await active(look)

    async def test_what_its_feed_tells_meanwhile_beside_it_counts_as_told(self, worker: City, look: Any) -> None:
        await worker.apply(*many(12))
        items = [{**item, "snapshot": "s1"} for item in many(10)]
        await worker.apply(worker.mark("begin"), *items[:5])
        await worker.apply(thing("S-10", 2), thing("S-11", 0))
        await worker.apply(*items[5:], worker.mark("end", items=10))
        await worker.keeper.step()

        assert len(await active(look)) == 12
        assert await snapshots(look) == [("s1", "done", 10, 10, 12, 0, 0)]

    @pytest.mark.parametrize("sent", [8, 10])
    async def test_where_another_number_came_than_was_sent_nothing_is_retired(
        self, worker: City, look: Any, sent: int
    ) -> None:
        await worker.apply(*many(10))
        await worker.session(*many(9), sent=sent)

        assert len(await active(look)) == 10
        assert [one[:4] for one in await snapshots(look)] == [("s1", "incomplete", sent, 9)]

    async def test_an_item_put_aside_keeps_the_snapshot_from_retiring(self, worker: City, look: Any) -> None:
        await worker.apply(*many(10), thing("W-1", body="waterworks"))
        across = [{"type": "stores", "source_key": "W-1"}]
        await worker.session(*many(8), thing("S-08", 2, relations=across))

        assert len(await active(look)) == 11
        assert [one[:4] for one in await snapshots(look)] == [("s1", "incomplete", 9, 8)]

    async def test_an_end_that_never_began_and_one_that_comes_again_retire_nothing(
        self, worker: City, look: Any
    ) -> None:
        await worker.apply(*many(10), worker.mark("end", "lost", items=0))
        await worker.session(*many(10))
        await worker.apply(worker.mark("end", items=0), worker.mark("begin"), worker.mark("end", items=0))
        await worker.keeper.step()

        assert len(await active(look)) == 10
        assert [one[:2] for one in await snapshots(look)] == [("lost", "incomplete"), ("s1", "done")]
        assert worker.letters == []

    async def test_given_up_or_forgotten_it_retires_nothing(self, worker: City, look: Any, clock: Clock) -> None:
        await worker.apply(*many(10), worker.mark("begin", "gone"), worker.mark("abort", "gone", reason="停電"))
        await worker.apply(worker.mark("end", "gone", items=0), worker.mark("begin", "late"))
        clock.now += LASTS + timedelta(seconds=1)
        await worker.apply(worker.mark("end", "late", items=0), worker.mark("begin", "forgotten"))
        clock.now += LASTS + timedelta(seconds=1)
        await worker.keeper.step()

        assert len(await active(look)) == 10
        rows = await look("SELECT session, state, end_reason FROM feed_snapshot ORDER BY begun_at, session")
        assert [tuple(row.values()) for row in rows] == [
            ("gone", "aborted", "停電"),
            ("late", "expired", None),
            ("forgotten", "expired", None),
        ]

    async def test_a_beginning_overtakes_what_is_under_way_of_the_same_bodies_alone(
        self, worker: City, look: Any
    ) -> None:
        await worker.apply(worker.mark("begin", "a", bodies=["mayor"]), worker.mark("begin", "b", bodies=["fire"]))
        await worker.apply(worker.mark("begin", "c", bodies=["mayor"]))

        assert [one[:2] for one in await snapshots(look)] == [("a", "overtaken"), ("b", "open"), ("c", "open")]

    async def test_it_touches_its_own_feed_scope_bodies_and_network_alone(self, worker: City, look: Any) -> None:
        await worker.apply(
            *many(10),
            thing("INFO", kind="information"),
            thing("FIRE", body="fire"),
            thing("WATER", body="waterworks"),
            thing("OTHER", feed="ledger"),
        )
        await worker.session(*many(9), bodies=["mayor"])

        rows = await look("SELECT state->>'name' AS name FROM asset WHERE status = 'retired'")
        assert [row["name"] for row in rows] == ["S-09"]

    async def test_an_asset_that_another_feed_tells_of_stays_unless_the_one_that_decides_says_otherwise(
        self, worker: City, look: Any
    ) -> None:
        both = {"facts": {"serial": "AAAA-1"}}
        await worker.apply(*many(10), thing("S-10", **both), thing("L-1", feed="ledger", **both))
        await worker.apply(thing("S-11", facts={"serial": "BBBB-2"}))
        await worker.apply(thing("D-1", feed="decides", facts={"serial": "BBBB-2"}))
        assert len(await look("SELECT 1 FROM asset")) == 12
        await worker.session(*many(10), thing("S-11", facts={"serial": "BBBB-2"}))
        assert len(await active(look)) == 12

        await worker.apply(
            worker.mark("begin", "d1", feed="decides"), worker.mark("end", "d1", feed="decides", items=0)
        )
        (waiting,) = await look("SELECT state FROM feed_snapshot WHERE session = 'd1'")
        assert waiting["state"] == "waiting"

    async def test_marks_are_checked_and_each_session_has_a_key_of_its_own(self, worker: City, look: Any) -> None:
        wrong = [
            worker.mark("begin", "w1", feed="netbox"),
            worker.mark("begin", "w2", network="hospital"),
            worker.mark("begin", "w3", bodies=["waterworks"]),
            worker.mark("end", "w4"),
            worker.mark("begin", "w5", items=3),
        ]
        elsewhere = worker.mark("begin", "w6")
        elsewhere.key = b"mayor/mayor/cmdb/w6"
        await worker.apply(*wrong, elsewhere, worker.mark("begin", "good"))

        assert [(str(one.rejected.reason), one.rejected.field) for one in worker.letters] == [
            ("unknown-feed", "data.feed"),
            ("wrong-network", "data.network"),
            ("wrong-network", "data.bodies.0"),
            ("schema", "data"),
            ("schema", "data"),
            ("key-mismatch", "key"),
        ]
        assert [one[:2] for one in await snapshots(look)] == [("good", "open")]

    async def test_a_batch_that_is_rolled_back_leaves_the_session_as_it_was(
        self, worker: City, look: Any, pool: Pool
    ) -> None:
        await worker.apply(*many(10), worker.mark("begin"))
        items = [worker.record({**item, "snapshot": "s1"}) for item in many(10)]
        with pytest.raises(ZeroDivisionError):
            async with pool.acquire() as connection, connection.transaction():
                await worker.apply_in(connection, [*items, worker.mark("end", items=10)])
                raise ZeroDivisionError
        await worker.apply(*items[:5], worker.mark("end", items=10))

        assert [one[:4] for one in await snapshots(look)] == [("s1", "incomplete", 10, 5)]

    async def test_the_number_of_statements_does_not_grow_with_a_session(self, worker: City, pool: Pool) -> None:
        await worker.apply(worker.mark("begin"))
        statements: dict[int, int] = {}
        for size in (10, 1000):
            records = [worker.record(thing(f"{size}-{number}", snapshot="s1")) for number in range(size)]
            async with pool.acquire() as connection:
                seen: list[Any] = []
                connection.add_query_logger(seen.append)
                async with connection.transaction():
                    await worker.apply_in(connection, records)
                connection.remove_query_logger(seen.append)
            statements[size] = len(seen)
        assert statements[1000] <= statements[10] <= 10, "BEGIN and COMMIT are two of them"


KEYS = [("cmdb", f"C-{number}") for number in range(4)] + [("ledger", f"L-{number}") for number in range(2)]
BODIES, KINDS = ("mayor", "fire", "waterworks"), ("system", "information")
states = st.tuples(st.sampled_from(BODIES), st.sampled_from(KINDS))
registers = st.dictionaries(st.sampled_from(KEYS), states, min_size=1)
actions = st.lists(st.tuples(st.sampled_from(KEYS), st.booleans()), max_size=6, unique_by=lambda action: action[0])


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(registers, actions, st.sets(st.sampled_from(("mayor", "fire"))), st.integers(0, 1))
async def test_a_partial_snapshot_never_touches_another_feeds_or_another_scopes_assets(
    owner_dsn: str,
    worker: City,
    look: Any,
    register: dict[tuple[str, str], tuple[str, str]],
    said: list[tuple[tuple[str, str], bool]],
    bodies: set[str],
    lost: int,
) -> None:
    """Against a naive reference, whatever is told in and beside a session of the CMDB on the mayor's network."""
    await emptied(owner_dsn)
    items = [
        thing(key, feed=feed, body=body, kind=kind, facts={"serial": f"{feed}{key}"})
        for (feed, key), (body, kind) in register.items()
    ]
    await worker.apply(*items)
    known = {(item["feed"], item["source_key"]): item for item in items}
    inside = [{**known[source], "snapshot": "s1"} for source, within in said if source in known and within]
    beside = [known[source] for source, within in said if source in known and not within]
    named = bodies or {"mayor", "fire"}
    counted = [one for one in inside if one["feed"] == "cmdb" and one["body"] in named]
    await worker.apply(
        worker.mark("begin", bodies=sorted(bodies)), *inside, *beside, worker.mark("end", items=len(counted) + lost)
    )
    # whoever is asked agrees
    await look("UPDATE feed_snapshot SET state = 'retiring' WHERE state = 'waiting'")
    await worker.keeper.step()

    expected = {
        source
        for source, (body, kind) in register.items()
        if lost or source[0] != "cmdb" or body not in named or kind != "system" or source in [one for one, _ in said]
    }
    rows = await look("SELECT feed, source_key FROM source_link JOIN asset USING (asset_id) WHERE status = 'active'")
    assert {(row["feed"], row["source_key"]) for row in rows} == expected


@pytest.fixture(scope="module")
def marks() -> Marks:
    return Marks()


@pytest.fixture(scope="module")
async def http(sessions: Sessions, city: Profile, marks: Marks) -> AsyncIterator[httpx.AsyncClient]:
    app = secured_app("snapshots", Tokens(CALLERS), version="1", metrics=Metrics())  # type: ignore[arg-type]
    app.include_router(SnapshotApi(sessions, marks, city, lambda: NOW).router())  # type: ignore[arg-type]
    app.include_router(RhythmApi(sessions, city).router())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://inventory") as http:
        yield http


@pytest.fixture
def call(http: httpx.AsyncClient) -> Any:
    async def called(
        method: str, path: str, caller: str = "office", etag: int | None = None, key: str | None = None, **body: Any
    ) -> httpx.Response:
        headers = {"Authorization": f"Bearer {caller}", "Accept-Language": "en"}
        if etag is not None:
            headers["If-Match"] = f'"{etag}"'
        if key is not None:
            headers["Idempotency-Key"] = key
        return await http.request(method, f"/v1{path}", headers=headers, json=body if method == "POST" else None)

    return called


class TestPeople:
    @pytest.fixture
    async def waiting(self, worker: City, call: Any) -> dict[str, Any]:
        """A snapshot without three of ten assets, one of which another feed tells of as well."""
        both = {"facts": {"serial": "AAAA-1"}}
        await worker.apply(*many(9), thing("S-09", **both), thing("L-1", feed="ledger", **both))
        await worker.session(*many(7), bodies=["mayor"])
        (found,) = (await call("GET", "/snapshots?state=waiting")).json()["items"]
        return dict(found)

    async def test_more_than_the_share_waits_and_is_shown_with_what_it_would_retire(
        self, worker: City, look: Any, call: Any, waiting: dict[str, Any]
    ) -> None:
        assert (waiting["known"], waiting["missing"], waiting["remaining"], waiting["retired"]) == (10, 3, 3, 0)
        assert len(await active(look)) == 10
        place = f"/snapshots/{waiting['snapshot_id']}"
        assert (await call("GET", place)).headers["ETag"] == f'"{waiting["revision"]}"'
        page = (await call("GET", f"{place}/missing?limit=2")).json()
        last = (await call("GET", f"{place}/missing?after={page['next']}")).json()
        shown = [(one["source_key"], one["told_by"]) for one in page["items"] + last["items"]]
        assert shown == [("S-07", []), ("S-08", []), ("S-09", ["ledger"])]
        assert last["next"] is None

    async def test_approved_it_retires_what_is_still_not_told(
        self, worker: City, look: Any, call: Any, waiting: dict[str, Any]
    ) -> None:
        await worker.apply(thing("S-07"))
        place = f"/snapshots/{waiting['snapshot_id']}/approve"
        answers = [await call("POST", place, etag=waiting["revision"], key="k", reason="撤去済み") for _ in range(2)]
        assert {answer.status_code for answer in answers} == {200}, answers[0].text
        assert answers[0].json() == answers[1].json()
        assert (answers[0].json()["state"], answers[0].json()["remaining"]) == ("retiring", 2)
        await worker.keeper.step()

        # what the ledger tells of stays
        assert await active(look) == {f"S-{number:02}" for number in (*range(8), 9)}
        done = (await call("GET", f"/snapshots/{waiting['snapshot_id']}")).json()
        assert (done["state"], done["retired"], done["remaining"]) == ("done", 2, 0)
        assert (done["decided_by"], done["decision_reason"]) == ("office", "撤去済み")

    async def test_refused_it_retires_nothing(self, worker: City, look: Any, call: Any, waiting: Any) -> None:
        answer = await call(
            "POST", f"/snapshots/{waiting['snapshot_id']}/refuse", etag=waiting["revision"], reason="権限の誤り"
        )
        assert (answer.status_code, answer.json()["state"]) == (200, "refused")
        await worker.keeper.step()

        assert len(await active(look)) == 10
        assert await look("SELECT 1 FROM snapshot_missing") == []

    async def test_a_newer_whole_one_of_its_bodies_overtakes_it_and_a_partial_one_does_not(
        self, worker: City, call: Any, waiting: Any
    ) -> None:
        place = f"/snapshots/{waiting['snapshot_id']}"
        await worker.session(*many(5), name="s2", sent=6)
        assert (await call("GET", place)).json()["state"] == "waiting"
        await worker.session(*many(9), thing("S-09", facts={"serial": "AAAA-1"}), name="s3")
        assert (await call("GET", place)).json()["state"] == "overtaken"
        late = await call("POST", f"{place}/approve", etag=waiting["revision"] + 1, reason="撤去済み")
        assert late.status_code == 409

    async def test_a_decision_asks_for_what_was_read_for_a_reason_and_for_rights_over_all_its_bodies(
        self, worker: City, call: Any, waiting: Any
    ) -> None:
        place, etag = f"/snapshots/{waiting['snapshot_id']}/approve", waiting["revision"]
        await worker.apply(thing("F-1", body="fire"), worker.mark("begin", "two"), worker.mark("end", "two", items=0))
        (both,) = await self._waiting(call, "two")
        answers = {
            "nothing read": await call("POST", place, reason="撤去"),
            "changed": await call("POST", place, etag=etag + 5, reason="撤去"),
            "no reason": await call("POST", place, etag=etag),
            "no editor": await call("POST", place, caller="reader", etag=etag, reason="撤去"),
            "another body's": await call(
                "POST", f"/snapshots/{both['snapshot_id']}/approve", caller="mayor", etag=2, reason="撤去"
            ),
        }
        assert {why: answer.status_code for why, answer in answers.items()} == {
            "nothing read": 428,
            "changed": 412,
            "no reason": 422,
            "no editor": 403,
            "another body's": 404,
        }
        mayors = (await call("GET", "/snapshots", caller="mayor")).json()["items"]
        assert [one["session"] for one in mayors] == ["s1"]
        assert (await call("GET", f"/snapshots/{both['snapshot_id']}/missing", caller="mayor")).status_code == 404

    async def _waiting(self, call: Any, session: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await call("GET", f"/snapshots?session={session}")).json()["items"]
        return found

    async def test_a_feeder_sees_its_own(self, worker: City, call: Any, waiting: Any) -> None:
        place = f"/snapshots/{waiting['snapshot_id']}"
        assert [one["session"] for one in (await call("GET", "/snapshots", caller="feeder")).json()["items"]] == ["s1"]
        assert (await call("GET", place, caller="feeder")).status_code == 200
        assert (await call("GET", "/snapshots", caller="other-feeder")).json()["items"] == []
        assert (await call("GET", place, caller="other-feeder")).status_code == 404
        assert (await call("GET", f"{place}/missing", caller="feeder")).status_code == 403


class TestDoor:
    async def test_a_session_has_a_part_on_each_network(self, call: Any, marks: Marks) -> None:
        marks.written.clear()
        begun = (await call("POST", "/feeds/cmdb/snapshots", caller="feeder", bodies=["fire", "mayor"])).json()
        session = begun["session"]
        ended = await call(
            "POST", f"/feeds/cmdb/snapshots/{session}/end", caller="feeder", items={"mayor": 3, "fire": 2}
        )
        assert ended.json() == begun
        given_up = await call("POST", f"/feeds/cmdb/snapshots/{session}/abort", caller="feeder", reason="中止")
        assert given_up.status_code == 202
        assert [(one.step, one.network, one.bodies, one.items, one.session) for one in marks.written] == [
            ("begin", "mayor", ("fire", "mayor"), None, session),
            ("end", "mayor", (), 5, session),
            ("abort", "mayor", (), None, session),
        ]

    async def test_nobody_begins_or_ends_for_bodies_that_are_not_theirs(self, call: Any, marks: Marks) -> None:
        marks.written.clear()
        answers = [
            await call("POST", "/feeds/cmdb/snapshots", caller="feeder"),
            await call("POST", "/feeds/cmdb/snapshots", caller="feeder", bodies=["hospital"]),
            await call("POST", "/feeds/cmdb/snapshots", caller="other-feeder", bodies=["mayor"]),
            await call("POST", "/feeds/cmdb/snapshots/s1/end", caller="feeder", items={"waterworks": 0}),
            await call("POST", "/feeds/cmdb/snapshots/s1/abort", caller="other-feeder"),
        ]
        assert [answer.status_code for answer in answers] == [403] * 5
        assert marks.written == []


class TestRhythm:
    @pytest.fixture
    def watch(self, pool: Pool, city: Profile, clock: Clock) -> RhythmWatch:
        return RhythmWatch(pool, city, clock, Metrics())

    async def test_a_silent_feed_is_told_once_to_each_body_and_once_that_it_is_heard_again(
        self, worker: City, look: Any, clock: Clock, watch: RhythmWatch, pool: Pool, city: Profile, call: Any
    ) -> None:
        metrics = Metrics()
        for _ in range(2):
            await watch.judge()
        await worker.apply(thing("S-1"))
        clock.now += timedelta(days=1, seconds=1)
        # a restart tells nothing twice
        for one in (watch, watch, RhythmWatch(pool, city, clock, metrics)):
            await one.judge()
        silent = await self.findings(look)
        assert [(one.body, one.data.before, one.data.after) for one in silent] == [
            (body, None, "not_met") for body in ("fire", "mayor", "waterworks")
        ]
        assert {one.data.heard_at for one in silent} == {NOW}
        assert b'daicho_feed_silent{feed="cmdb"} 1.0' in metrics.exposition()
        listed = (await call("GET", "/feeds?silent=true", caller="mayor")).json()
        assert [(one["feed"], one["bodies"], one["every"]) for one in listed] == [("cmdb", ["mayor"], "P1D")]

        await worker.apply(worker.mark("begin", "still-there"))
        for _ in range(2):
            await watch.judge()
        again = (await self.findings(look))[3:]
        assert [(one.data.before, one.data.after, one.revision) for one in again] == [("not_met", "met", 2)] * 3
        assert (await call("GET", "/feeds?silent=true")).json() == []

    async def test_a_feed_never_heard_of_is_given_its_time(
        self, worker: City, look: Any, clock: Clock, watch: RhythmWatch
    ) -> None:
        await watch.judge()
        clock.now += timedelta(days=1)
        await watch.judge()
        assert await self.findings(look) == []
        clock.now += timedelta(seconds=1)
        await watch.judge()
        assert {one.data.heard_at for one in await self.findings(look)} == {None}

    @staticmethod
    async def findings(look: Any) -> list[FeedFindingChanged]:
        rows = await look("SELECT key, value FROM outbox WHERE topic = 'daicho.findings.v1' ORDER BY id")
        found = [FeedFindingChanged.model_validate_json(row["value"]) for row in rows]
        keys = [make_key(one.network or "", one.body or "", "cmdb/silent") for one in found]
        assert [row["key"] for row in rows] == keys
        return found
