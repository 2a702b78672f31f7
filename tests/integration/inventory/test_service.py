# SPDX-License-Identifier: Apache-2.0
"""The service as it runs: items in by every door, the register to read, its events on the bus, the dead letters."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncpg
import httpx
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from libs.bus import NetworkPartitioner, apply_topics
from libs.contracts import AssetChanged, asset_id, make_key
from libs.contracts.topics import ASSETS, FEED
from libs.devstack import Stack
from libs.persistence import Pool, scoped
from libs.security.clients import SECURITY_OFFICE, IssuerFolder
from services.inventory.doors import DOORS
from tests.integration.service import Service, account, environment_of, running_issuer

ROOT = Path(__file__).parents[3]
SECRET = "harness-secret-1"
OPEN = {"/health/live", "/health/ready"}
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IssuerFolder]:
    with running_issuer(tmp_path_factory.mktemp("issuer")) as folder:
        yield folder


@pytest.fixture(scope="module")
async def service(
    stack: Stack, issuer: IssuerFolder, owner_dsn: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Service]:
    await apply_topics(account(stack, "admin"))
    environment = environment_of(stack, "inventory", issuer.url) | {"DAICHO_FEED_SECRETS__NETBOX": SECRET}
    running = Service("inventory", environment, tmp_path_factory.mktemp("logs") / "inventory.log")
    await asyncio.to_thread(running.start)
    yield running
    assert await asyncio.to_thread(running.stop) == 0
    assert SECRET not in running.log


As = Callable[[str], httpx.AsyncClient]


@pytest.fixture(scope="module")
async def as_(service: Service, issuer: IssuerFolder) -> AsyncIterator[As]:
    """A client's own connection, by the client's name."""
    clients: dict[str, httpx.AsyncClient] = {}

    def of(name: str) -> httpx.AsyncClient:
        if name not in clients:
            headers = {"Authorization": f"Bearer {issuer.token(name)}"}
            clients[name] = httpx.AsyncClient(base_url=service.url, headers=headers, timeout=20)
        return clients[name]

    yield of
    for client in clients.values():
        await client.aclose()


@pytest.fixture
async def events(stack: Stack) -> AsyncIterator[Callable[..., Any]]:
    """The asset's first events under a key, in order."""

    async def under(key: bytes, count: int) -> list[AssetChanged]:
        consumer = AIOKafkaConsumer(
            **account(stack, "reader").client(), isolation_level="read_committed", auto_offset_reset="earliest"
        )
        found: list[AssetChanged] = []
        async with consumer, asyncio.timeout(20):
            consumer.assign([TopicPartition(ASSETS.name, number) for number in range(4)])
            while len(found) < count:
                record = await consumer.getone()
                if record.key == key:
                    assert dict(record.headers)["ce_subject"].decode() in key.decode()
                    found.append(AssetChanged.model_validate_json(record.value))
        return found

    yield under


def item(source_key: str, version: int = 1, **fields: Any) -> dict[str, Any]:
    base = {"body": "mayor", "feed": "cmdb", "source_key": source_key, "source_version": version, "name": "名簿"}
    return {**base, **fields}


def id_of(source_key: str, feed: str = "cmdb") -> str:
    return asset_id("990019", feed, source_key)


async def outcome(client: httpx.AsyncClient, receipt: str) -> dict[str, Any]:
    """What became of the item, once it is no longer pending."""
    async with asyncio.timeout(20):
        while True:
            answer = await client.get(f"/v1/receipts/{receipt}")
            assert answer.status_code == 200, answer.text
            if answer.json()["status"] != "pending":
                return answer.json()
            await asyncio.sleep(0.05)


async def told(client: httpx.AsyncClient, *items: dict[str, Any]) -> list[dict[str, Any]]:
    """Send items of one feed, and wait for what becomes of each."""
    answer = await client.post(f"/v1/feeds/{items[0]['feed']}/items", json={"items": items})
    assert answer.status_code == 202, answer.text
    return [await outcome(client, receipt["id"]) for receipt in answer.json()["receipts"]]


class TestItems:
    async def test_an_item_becomes_an_asset_and_an_event(self, as_: As, events: Any) -> None:
        sent = item("S-1", zone="lgwan", facts={"record_count": 3})
        answer = await as_("feed-cmdb").post(
            "/v1/feeds/cmdb/items", json={"items": [sent]}, headers={"traceparent": TRACE}
        )
        assert answer.status_code == 202
        (receipt,) = answer.json()["receipts"]
        assert await outcome(as_("feed-cmdb"), receipt["id"]) == {
            "status": "applied",
            "revision": 1,
            "reason": None,
            "field": None,
        }

        shown = await as_("body-mayor").get(f"/v1/assets/{id_of('S-1')}")
        assert (shown.status_code, shown.headers["ETag"]) == (200, '"1"')
        assert (shown.json()["facts"], shown.json()["zone"], shown.json()["revision"]) == (
            {"record_count": 3},
            "lgwan",
            1,
        )
        (event,) = await events(make_key("mayor", "mayor", id_of("S-1")), 1)
        assert (event.revision, event.data.before, event.data.after.facts) == (1, None, {"record_count": 3})
        assert event.data.change.source_key == "S-1"
        # the way of the item can be followed: the same trace, another span
        assert event.traceparent is not None
        assert event.traceparent.split("-")[1] == TRACE.split("-")[1]

    async def test_a_later_version_makes_a_revision_and_an_older_one_none(self, as_: As) -> None:
        feeder, reader = as_("feed-cmdb"), as_("body-mayor")
        outcomes = await told(feeder, item("S-2", 5), item("S-2", 7, name="新"), item("S-2", 6, name="旧"))

        assert [one["status"] for one in outcomes] == ["applied", "applied", "ignored"]
        history = (await reader.get(f"/v1/assets/{id_of('S-2')}/history")).json()
        assert [(one["revision"], one["asset"]["name"]) for one in history["items"]] == [(2, "新"), (1, "名簿")]

    async def test_a_move_is_told_under_both_keys(self, as_: As, events: Any) -> None:
        # one after the other: the two are in different partitions
        await told(as_("feed-cmdb"), item("S-3"))
        await told(as_("feed-cmdb"), item("S-3", 2, body="education"))

        left = await events(make_key("mayor", "mayor", id_of("S-3")), 2)
        assert [(one.revision, one.data.after.status) for one in left] == [(1, "active"), (2, "retired")]
        (came,) = await events(make_key("education", "education", id_of("S-3")), 1)
        assert (came.revision, came.data.before, came.data.after.network) == (3, None, "education")
        assert (await as_("body-mayor").get(f"/v1/assets/{id_of('S-3')}")).status_code == 404
        assert (await as_("body-education").get(f"/v1/assets/{id_of('S-3')}")).json()["revision"] == 3

    async def test_what_is_wrong_is_pointed_at_and_nothing_is_taken(self, as_: As) -> None:
        items = [item("S-4"), item("S-5", kind="car", facts={"record_count": {"a": 1}})]
        answer = await as_("feed-cmdb").post("/v1/feeds/cmdb/items", json={"items": items})

        assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
        assert [one["field"] for one in answer.json()["errors"]] == ["/items/1/kind", "/items/1/facts/record_count"]
        await told(as_("feed-cmdb"), item("S-6"))
        assert (await as_("body-mayor").get(f"/v1/assets/{id_of('S-4')}")).status_code == 404

    async def test_what_is_no_json_is_a_bad_request(self, as_: As) -> None:
        headers = {"content-type": "application/json"}
        answer = await as_("feed-cmdb").post("/v1/feeds/cmdb/items", content=b"{", headers=headers)

        assert answer.status_code == 400

    async def test_too_much_at_once_is_refused(self, as_: As) -> None:
        content, headers = b"x" * (DOORS["items"].max_bytes + 1), {"content-type": "application/json"}
        answer = await as_("feed-cmdb").post("/v1/feeds/cmdb/items", content=content, headers=headers)

        assert answer.status_code == 413

    async def test_one_item_that_no_consumer_would_take_is_refused_at_the_door(self, as_: As) -> None:
        large = item("S-7", facts={f"f{n}": ["名" * 300] * 20 for n in range(16)})
        content = json.dumps({"items": [item("S-8"), large]}, ensure_ascii=False).encode()
        headers = {"content-type": "application/json"}
        answer = await as_("feed-cmdb").post("/v1/feeds/cmdb/items", content=content, headers=headers)

        assert len(content) < DOORS["items"].max_bytes
        assert answer.status_code == 422
        assert [one["field"] for one in answer.json()["errors"]] == ["/items/1"]

    async def test_another_kind_of_content_is_refused(self, as_: As) -> None:
        answer = await as_("feed-cmdb").post(
            "/v1/feeds/cmdb/items", content=b"<a/>", headers={"content-type": "text/xml"}
        )

        assert answer.status_code == 415


class TestWhoMay:
    async def test_every_route_asks_who_is_there(self, service: Service) -> None:
        routes = json.loads((ROOT / "schemas/openapi/inventory.json").read_text(encoding="utf-8"))["paths"]
        asked = 0
        async with httpx.AsyncClient(base_url=service.url) as nobody:
            for path, operations in routes.items():
                filled = path.replace("{asset_id}", id_of("S-1")).replace("{feed}", "netbox")
                filled = filled.replace("{receipt_id}", "x")
                for method in operations:
                    answer = await nobody.request(method, filled)
                    assert answer.status_code == (200 if path in OPEN else 401), (method, path)
                    asked += 1
        assert asked > 12

    async def test_another_body_is_told_nothing(self, as_: As) -> None:
        await told(as_("feed-cmdb"), item("S-9", body="waterworks", name="浄水場"))
        path, stranger = f"/v1/assets/{id_of('S-9')}", as_("body-education")

        assert (await as_("body-waterworks").get(path)).status_code == 200
        for hidden in (path, f"{path}/history", f"{path}/relations"):
            assert (await stranger.get(hidden)).status_code == 404
        page = (await stranger.get("/v1/assets?limit=500")).json()
        assert {one["body"] for one in page["items"]} <= {"education"}
        assert {one["body"] for one in (await stranger.get("/v1/summary")).json()} <= {"education"}
        retiring = await stranger.post(f"{path}/retire", json={"reason": "x"}, headers={"If-Match": '"1"'})
        assert retiring.status_code == 404
        assert (await as_(SECURITY_OFFICE).get(path)).status_code == 200

    @pytest.mark.parametrize(
        ("client", "feed", "fields"),
        [
            ("body-mayor", "cmdb", {}),  # no feeder
            ("feed-netbox", "cmdb", {}),  # another feed's
            ("feed-cmdb", "cmdb", {"body": "hospital"}),  # a body that the feed does not speak for
        ],
    )
    async def test_what_is_not_yours_to_tell_is_forbidden(
        self, as_: As, client: str, feed: str, fields: dict[str, Any]
    ) -> None:
        answer = await as_(client).post(f"/v1/feeds/{feed}/items", json={"items": [item("S-10", **fields)]})

        assert (answer.status_code, answer.json()["type"]) == (403, "urn:daicho:problem:forbidden")

    async def test_a_receipt_is_for_the_feed_alone(self, as_: As) -> None:
        answer = await as_("feed-cmdb").post("/v1/feeds/cmdb/items", json={"items": [item("S-11")]})
        path = f"/v1/receipts/{answer.json()['receipts'][0]['id']}"

        assert (await as_("feed-netbox").get(path)).status_code == 404
        assert (await as_("body-mayor").get(path)).status_code == 403
        assert (await as_("feed-cmdb").get("/v1/receipts/never-given")).status_code == 404

    async def test_the_database_shows_the_service_nothing_without_a_scope(self, as_: As, pool: Pool) -> None:
        await told(as_("feed-cmdb"), item("S-12", body="election"))
        async with pool.acquire() as connection:
            for table in ("asset", "asset_revision", "source_link"):
                assert await connection.fetchval(f"SELECT count(*) FROM {table}") == 0
                async with scoped(connection, ["election"]):
                    assert await connection.fetch(f"SELECT DISTINCT body FROM {table}") == [("election",)]
                async with scoped(connection, ["equity"]):
                    assert await connection.fetchval(f"SELECT count(*) FROM {table}") == 0
            async with scoped(connection, ["equity"]):
                assert await connection.execute("UPDATE asset SET revision = 99") == "UPDATE 0"
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute("TRUNCATE asset")


@pytest.fixture(scope="module")
def recorded() -> tuple[bytes, str]:
    """The first webhook that a real NetBox sent, and its signature."""
    with gzip.open(ROOT / "samples/netbox/webhooks.ndjson.gz") as lines:
        first = json.loads(next(iter(lines)))
    return base64.b64decode(first["body"]), dict(first["headers"])["X-Hook-Signature"]


class TestNetbox:
    async def test_a_signed_webhook_is_taken(self, service: Service, as_: As, recorded: tuple[bytes, str]) -> None:
        headers = {"content-type": "application/json", "X-Hook-Signature": recorded[1]}
        async with httpx.AsyncClient(base_url=service.url) as netbox:
            answer = await netbox.post("/v1/feeds/netbox/netbox", content=recorded[0], headers=headers)

        assert answer.status_code == 202
        (receipt,) = answer.json()["receipts"]
        assert (await outcome(as_("feed-netbox"), receipt["id"]))["status"] == "applied"
        data = json.loads(recorded[0])["data"]
        shown = await as_(SECURITY_OFFICE).get(f"/v1/assets/{id_of('dcim.device:158', 'netbox')}")
        assert (shown.json()["name"], shown.json()["facts"]["serial"]) == (data["name"], data["serial"])

    @pytest.mark.parametrize("signature", [None, "0" * 128])
    async def test_an_unsigned_one_is_not(
        self, service: Service, recorded: tuple[bytes, str], signature: str | None
    ) -> None:
        headers = {"content-type": "application/json"} | ({"X-Hook-Signature": signature} if signature else {})
        async with httpx.AsyncClient(base_url=service.url) as stranger:
            answer = await stranger.post("/v1/feeds/netbox/netbox", content=recorded[0], headers=headers)

        assert (answer.status_code, answer.json()["type"]) == (401, "urn:daicho:problem:signature")

    async def test_a_page_of_objects_is_taken(self, as_: As) -> None:
        initial = json.loads(gzip.decompress((ROOT / "samples/netbox/initial.json.gz").read_bytes()))
        page = {"object_type": "dcim.device", "objects": list(initial["devices"].values())[:5]}
        answer = await as_("feed-netbox").post("/v1/feeds/netbox/netbox/objects", json=page)

        assert answer.status_code == 202
        assert len(answer.json()["receipts"]) == 5
        outcomes = [await outcome(as_("feed-netbox"), one["id"]) for one in answer.json()["receipts"]]
        assert {one["status"] for one in outcomes} == {"applied"}


class TestLedger:
    PATH = "/v1/feeds/ledger/ledger?body=audit&version=3"

    async def test_a_file_in_cp932_is_taken(self, as_: As) -> None:
        content = '台帳番号,情報資産名,種類,件数\r\nL-1,監査調書①,関連文書,"1,200件"\r\n'.encode("cp932")
        answer = await as_("feed-ledger").post(self.PATH, content=content, headers={"content-type": "text/csv"})

        assert answer.status_code == 202
        (receipt,) = answer.json()["receipts"]
        await outcome(as_("feed-ledger"), receipt["id"])
        shown = (await as_("body-audit").get(f"/v1/assets/{id_of('L-1', 'ledger')}")).json()
        assert (shown["name"], shown["kind"], shown["facts"]) == ("監査調書①", "document", {"record_count": 1200})

    async def test_a_level_of_the_earlier_scale_is_taken_and_what_a_person_must_decide_is_told(self, as_: As) -> None:
        content = "台帳番号,情報資産名,種類,機密性\nL-4,調書,関連文書,機密性3\nL-5,様式,関連文書,機密性1\n".encode()
        answer = await as_("feed-ledger").post(self.PATH, content=content, headers={"content-type": "text/csv"})

        assert answer.status_code == 202
        (decision,) = answer.json()["decisions"]
        assert (decision["field"], decision["choices"]) == ("/rows/2/機密性", ["3C", "3B", "3A"])
        assert "3C / 3B / 3A" in decision["detail"]["ja"]
        assert "3C / 3B / 3A" in decision["detail"]["en"]
        for receipt, key, level in zip(answer.json()["receipts"], ("L-4", "L-5"), ("3A", "1"), strict=True):
            await outcome(as_("feed-ledger"), receipt["id"])
            shown = (await as_("body-audit").get(f"/v1/assets/{id_of(key, 'ledger')}")).json()
            assert shown["declared"]["confidentiality"] == level

    async def test_a_cell_that_cannot_be_read_is_named(self, as_: As) -> None:
        content = "台帳番号,情報資産名,種類\nL-2,調書,関連文書\nL-3,調書,本\n".encode()
        answer = await as_("feed-ledger").post(self.PATH, content=content, headers={"content-type": "text/csv"})

        assert answer.status_code == 422
        assert [one["field"] for one in answer.json()["errors"]] == ["/rows/3/種類"]
        assert (await as_("body-audit").get(f"/v1/assets/{id_of('L-2', 'ledger')}")).status_code == 404

    async def test_a_body_that_the_feed_does_not_speak_for_is_forbidden(self, as_: As) -> None:
        path = self.PATH.replace("audit", "hospital")

        answer = await as_("feed-ledger").post(path, content=b"x", headers={"content-type": "text/csv"})
        assert answer.status_code == 403


class TestSnapshots:
    """Of bodies of which nothing else is told here."""

    async def ended(self, client: httpx.AsyncClient, session: str) -> tuple[Any, ...]:
        """State, accepted and retired of the only part of a session, once it has come to its end."""
        async with asyncio.timeout(30):
            while True:
                found = (await client.get("/v1/snapshots", params={"session": session})).json()["items"]
                if found and found[0]["state"] not in ("open", "retiring"):
                    (one,) = found
                    return one["state"], one["accepted"], one["retired"]
                await asyncio.sleep(0.1)

    async def test_what_a_session_over_http_does_not_tell_is_retired_on_its_own_network_alone(self, as_: As) -> None:
        feeder = as_("feed-cmdb")
        await told(feeder, *[item(f"E-{number}", body="equity") for number in range(3)])
        await told(feeder, item("E-elsewhere", body="education"))
        begun = (await feeder.post("/v1/feeds/cmdb/snapshots", json={"bodies": ["equity"]})).json()
        session = begun["session"]
        plain = {"items": [item("E-0", body="equity")]}
        answer = await feeder.post("/v1/feeds/cmdb/items", params={"snapshot": session}, json=plain)
        assert answer.status_code == 202, answer.text
        line = json.dumps(item("E-1", body="equity")).encode()
        lines = {"content-type": "application/x-ndjson"}
        answer = await feeder.post("/v1/feeds/cmdb/items", params={"snapshot": session}, content=line, headers=lines)
        assert answer.status_code == 202, answer.text
        answer = await feeder.post(f"/v1/feeds/cmdb/snapshots/{session}/end", json={"items": {"equity": 2}})
        assert (answer.status_code, answer.json()) == (202, begun)

        assert await self.ended(feeder, session) == ("done", 2, 1)
        gone = (await as_("body-equity").get(f"/v1/assets/{id_of('E-2')}/history")).json()["items"][0]
        assert (gone["asset"]["status"], gone["change"]["snapshot"]) == ("retired", session)
        assert gone["change"]["reason"] == "not-in-snapshot"
        stays = (await as_("body-education").get(f"/v1/assets/{id_of('E-elsewhere')}")).json()
        assert stays["status"] == "active"
        listed = {one["feed"]: one for one in (await as_("body-equity").get("/v1/feeds")).json()}
        assert (listed["cmdb"]["bodies"], listed["cmdb"]["silent_since"]) == (["equity"], None)
        assert listed["cmdb"]["heard_at"] is not None

    async def test_a_ledger_is_all_there_is_if_that_is_asked_for_and_no_row_is_refused(self, as_: As) -> None:
        feeder, header = as_("feed-ledger"), "台帳番号,情報資産名,種類\r\n"
        rows = [f"L-{number},名簿,情報\r\n" for number in range(3)]

        async def import_(content: str, **query: str) -> dict[str, Any]:
            answer = await feeder.post(
                "/v1/feeds/ledger/ledger",
                params={"body": "equity", "snapshot": "true", **query},
                content=(header + content).encode(),
                headers={"content-type": "text/csv"},
            )
            assert answer.status_code == 202, answer.text
            return dict(answer.json())

        first = await import_("".join(rows))
        assert await self.ended(feeder, first["snapshot"]) == ("done", 3, 0)
        wrong = await import_(rows[0] + "L-1,名簿,車\r\n", mode="rows")
        assert await self.ended(feeder, wrong["snapshot"]) == ("incomplete", 1, 0)
        last = await import_(rows[0] + rows[1])
        assert await self.ended(feeder, last["snapshot"]) == ("done", 2, 1)


class TestRetire:
    async def test_a_person_retires_what_they_have_seen(self, as_: As, events: Any) -> None:
        await told(as_("feed-cmdb"), item("S-20"), item("S-20", 2, name="改称"))
        editor, path = as_("body-mayor"), f"/v1/assets/{id_of('S-20')}/retire"
        why = {"reason": "更改に伴う廃止"}

        assert (await editor.post(path, json=why)).status_code == 428
        stale = await editor.post(path, json=why, headers={"If-Match": '"1"'})
        assert (stale.status_code, stale.json()["type"]) == (412, "urn:daicho:problem:precondition-failed")
        assert (await as_("feed-cmdb").post(path, json=why, headers={"If-Match": '"2"'})).status_code == 403

        done = await editor.post(path, json=why, headers={"If-Match": '"2"'})
        assert (done.status_code, done.json()["status"], done.headers["ETag"]) == (200, "retired", '"3"')
        event = (await events(make_key("mayor", "mayor", id_of("S-20")), 3))[-1]
        assert event.data.after.status == "retired"
        assert (event.data.change.actor, event.data.change.reason) == ("body-mayor", why["reason"])
        assert (await told(as_("feed-cmdb"), item("S-20", 2)))[0]["status"] != "pending"
        assert (await editor.get(f"/v1/assets/{id_of('S-20')}")).json()["status"] == "retired"


class TestDeadLetters:
    async def parked(self, operator: httpx.AsyncClient, key: bytes) -> dict[str, Any] | None:
        listed = (await operator.get("/v1/dead-letters/keys?limit=500")).json()
        return next((one for one in listed["items"] if one["key"] == key.decode()), None)

    async def history(self, reader: httpx.AsyncClient) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = (await reader.get(f"/v1/assets/{id_of('S-40')}/history")).json().get("items", [])
        return items

    async def test_a_malformed_record_parks_its_key_and_stops_nothing(self, stack: Stack, as_: As) -> None:
        key, operator = make_key("mayor", "mayor", "cmdb", "S-30"), as_(SECURITY_OFFICE)
        before = (await operator.get("/v1/dead-letters/summary")).json()["by_body"].get("mayor", {})
        async with AIOKafkaProducer(**account(stack, "feed").client(), partitioner=NetworkPartitioner()) as producer:
            await producer.send_and_wait(FEED.name, key=key, value=b'{"specversion": ')

        outcomes = await told(as_("feed-cmdb"), item("S-30"), item("S-31"))
        assert (outcomes[0]["status"], outcomes[0]["reason"]) == ("parked", "key-parked")
        assert outcomes[1]["status"] == "applied"
        parked = await self.parked(operator, key)
        assert parked is not None
        assert (parked["topic"], parked["reason"]) == (FEED.name, "not-json")

        async def counted() -> dict[str, int]:
            now = (await operator.get("/v1/dead-letters/summary")).json()["by_body"].get("mayor", {})
            return {reason: now[reason] - before.get(reason, 0) for reason in now if now[reason] != before.get(reason)}

        async with asyncio.timeout(20):
            while (seen := await counted()) != {"not-json": 1, "key-parked": 1}:
                assert set(seen) <= {"not-json", "key-parked"}
                await asyncio.sleep(0.1)

    async def test_released_records_are_taken_in_their_order(self, as_: As) -> None:
        feeder, operator = as_("feed-cmdb"), as_(SECURITY_OFFICE)
        key = make_key("mayor", "mayor", "cmdb", "S-40")
        names = {"relations": [{"type": "stores", "source_key": "S-41"}]}
        await told(feeder, item("S-41", body="waterworks"))
        outcomes = await told(feeder, item("S-40", 1, **names), item("S-40", 2, name="後", **names))
        assert [one["status"] for one in outcomes] == ["parked", "parked"]
        assert (await self.parked(operator, key) or {})["reason"] == "other-network-relation"

        # what kept it out is mended: the asset that it names comes to its network
        await told(feeder, item("S-41", 2))
        async with asyncio.timeout(20):
            while (await operator.get("/v1/dead-letters/summary")).json()["by_reason"].get(
                "other-network-relation", 0
            ) < 1:
                await asyncio.sleep(0.1)
        released = await operator.post("/v1/dead-letters/release", json={"key": key.decode()})
        assert (released.status_code, released.json()) == (202, {"records": 2})
        async with asyncio.timeout(20):
            while await self.parked(operator, key) is not None:
                await asyncio.sleep(0.05)
        async with asyncio.timeout(20):
            while len(history := await self.history(as_("body-mayor"))) < 2:
                await asyncio.sleep(0.05)
        assert [(one["revision"], one["asset"]["name"]) for one in history] == [(2, "後"), (1, "名簿")]
        again = await operator.post("/v1/dead-letters/release", json={"key": key.decode()})
        assert again.status_code == 404

    async def test_they_are_the_operators_alone(self, as_: As) -> None:
        assert (await as_("body-mayor").get("/v1/dead-letters")).status_code == 403
        answer = await as_("feed-cmdb").post("/v1/dead-letters/release", json={"key": "mayor/mayor/cmdb/S-30"})
        assert answer.status_code == 403


async def test_what_was_accepted_outlives_a_kill(service: Service, as_: As) -> None:
    sent = [item(f"S-{number}") for number in range(500, 600)]
    answer = await as_("feed-cmdb").post("/v1/feeds/cmdb/items", json={"items": sent})
    assert answer.status_code == 202
    service.kill()
    await asyncio.to_thread(service.start)

    outcomes = [await outcome(as_("feed-cmdb"), quote(one["id"])) for one in answer.json()["receipts"]]
    assert {(one["status"], one["revision"]) for one in outcomes} == {("applied", 1)}
