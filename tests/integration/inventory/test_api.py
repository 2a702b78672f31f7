# SPDX-License-Identifier: Apache-2.0
"""The service from door to register, over a real Kafka and PostgreSQL; tokens are stood in for."""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import UnknownTopicOrPartitionError
from fastapi import FastAPI
from pydantic import SecretStr

from libs.bus import KafkaSettings, OffsetConsumer, OutboxRelay, Subscription, apply_topics
from libs.bus.consuming import partitions_of
from libs.contracts import AssetChanged, Profile, asset_id
from libs.contracts.topics import ASSETS, DEADLETTERS, FEED, MAX_VALUE_BYTES
from libs.devstack import Stack
from libs.observability import Metrics
from libs.persistence import Pool, Sessions
from libs.security import OPEN_PATHS, Identity, Role, assert_guarded
from services.inventory.api import Api, create_app
from services.inventory.dead_letters.projector import PROJECTION, LetterProjector
from services.inventory.domain import Register
from services.inventory.doors import DOORS, Sent
from services.inventory.intake import Intake
from services.inventory.settings import BASE, Settings
from services.inventory.worker import FeedWriter
from tests.integration.inventory.conftest import Tokens
from tests.integration.service import account

ROOT = Path(__file__).parents[3]
NETBOX = ROOT / "samples/netbox"
SECRET = "harness-secret-1"
COLLECTIONS = {"devices": "dcim.device", "virtual_machines": "virtualization.virtualmachine"}
CALLERS = {
    "feeder": Identity(
        "feeder", frozenset({"mayor", "election", "waterworks"}), frozenset({Role.FEEDER}), frozenset({"cmdb"})
    ),
    "ledger": Identity("ledger", frozenset({"audit"}), frozenset({Role.FEEDER}), frozenset({"ledger"})),
    "netbox": Identity(
        "netbox",
        frozenset(
            ["mayor", "education", "waterworks", "hospital", "fire", "assembly", "agriculture", "election", "audit"]
        ),
        frozenset({Role.FEEDER}),
        frozenset({"netbox"}),
    ),
    "mayor": Identity("mayor", frozenset({"mayor"}), frozenset({Role.READER, Role.EDITOR})),
    "election": Identity("election", frozenset({"election"}), frozenset({Role.READER, Role.EDITOR})),
    "audit": Identity("audit", frozenset({"audit"}), frozenset({Role.READER})),
    "office": Identity("office", "*", frozenset({Role.READER, Role.SECURITY_OFFICER, Role.OPERATOR})),
    "waterworks-operator": Identity("w", frozenset({"waterworks"}), frozenset({Role.OPERATOR})),
}


@dataclass
class Service:
    """The service's rooms in this process; each call is made as one of `CALLERS`, or None."""

    http: httpx.AsyncClient
    app: FastAPI

    async def call(self, caller: str | None, method: str, path: str, **arguments: Any) -> httpx.Response:
        headers = {"Accept-Language": "en", **arguments.pop("headers", {})}
        if caller is not None:
            headers["Authorization"] = f"Bearer {caller}"
        return await self.http.request(method, path, headers=headers, **arguments)

    async def get(self, caller: str | None, path: str, **query: Any) -> Any:
        answer = await self.call(caller, "GET", path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def post_items(self, *items: dict[str, Any], caller: str = "feeder") -> list[dict[str, Any]]:
        """What became of each item, once the worker has looked at it."""
        answer = await self.call(caller, "POST", "/v1/feeds/cmdb/items", json={"items": items})
        assert answer.status_code == 202, answer.text
        return [await self.outcome(caller, receipt["id"]) for receipt in answer.json()["receipts"]]

    async def outcome(self, caller: str, receipt: str) -> dict[str, Any]:
        async with asyncio.timeout(20):
            while (found := await self.get(caller, f"/v1/receipts/{receipt}"))["status"] == "pending":
                await asyncio.sleep(0.02)
        return found


async def ends(kafka: KafkaSettings, topic: str) -> dict[int, int]:
    async with AIOKafkaConsumer(**kafka.client()) as consumer:
        async with asyncio.timeout(20):
            while True:
                # the broker tells of a new topic a moment after it has made it
                with suppress(UnknownTopicOrPartitionError):
                    places = [TopicPartition(topic, number) for number in await partitions_of(consumer, topic)]
                    break
                await asyncio.sleep(0.05)
        return {place.partition: end for place, end in (await consumer.end_offsets(places)).items()}


@pytest.fixture(scope="module")
async def service(stack: Stack, profile: Profile, pool: Pool, sessions: Sessions) -> AsyncIterator[Service]:
    await apply_topics(account(stack, "admin"))
    kafka, metrics = account(stack, "inventory"), Metrics()
    subscription = Subscription(
        settings=kafka,
        group="inventory",
        topic=FEED.name,
        service="inventory",
        municipality=profile.municipality,
        instance="0",
        metrics=metrics,
    )
    letters = replace(subscription, group=PROJECTION, topic=DEADLETTERS.name)
    rooms = [
        asyncio.create_task(OffsetConsumer(subscription, pool, FeedWriter(profile, utc_now, metrics).apply).run()),
        asyncio.create_task(OffsetConsumer(letters, pool, LetterProjector(profile).apply).run()),
        asyncio.create_task(OutboxRelay(pool, kafka, "inventory-relay", metrics).run()),
    ]
    intake = Intake(kafka, profile, utc_now)
    app = app_over(sessions, intake, profile, kafka)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://inventory") as http:
        yield Service(http, app)
    await intake.stop()
    for room in rooms:
        room.cancel()
        with suppress(asyncio.CancelledError):
            await room


def app_over(sessions: Sessions, intake: Intake, profile: Profile, kafka: KafkaSettings) -> FastAPI:
    metrics = Metrics()
    earlier = Settings.model_construct(standard=BASE).read_earlier_scales()
    api = Api(sessions, intake, profile, earlier, kafka, utc_now, metrics)
    return create_app(Tokens(CALLERS), api, profile, {"netbox": SecretStr(SECRET)}, metrics)  # type: ignore[arg-type]


def utc_now() -> datetime:
    return datetime.now(UTC)


def thing(source_key: str, version: int = 1, **fields: Any) -> dict[str, Any]:
    return {"body": "mayor", "feed": "cmdb", "source_key": source_key, "source_version": version, **fields}


def id_of(source_key: str, feed: str = "cmdb") -> str:
    return asset_id("990019", feed, source_key)


def faults(answer: httpx.Response) -> list[str]:
    assert answer.headers["content-type"] == "application/problem+json"
    return [one["field"] for one in answer.json()["errors"]]


class TestItems:
    async def test_what_is_posted_is_in_the_register_and_on_the_bus(self, service: Service, stack: Stack) -> None:
        before = await ends(account(stack, "inventory"), ASSETS.name)
        outcomes = await service.post_items(
            thing(
                "API-P-1",
                name="住民情報システム",
                kind="system",
                relations=[{"type": "stores", "source_key": "API-P-2"}],
            ),
            thing("API-P-2", body="election", name="選挙人名簿", facts={"personal_data": True}),
        )

        assert outcomes == [{"status": "applied", "revision": 1, "reason": None, "field": None}] * 2
        shown = await service.get("mayor", f"/v1/assets/{id_of('API-P-1')}")
        assert (shown["name"], shown["revision"], shown["network"]) == ("住民情報システム", 1, "mayor")
        assert shown["relations"] == [{"type": "stores", "asset_id": id_of("API-P-2")}]
        told = await events_since(account(stack, "reader"), before, 2)
        assert {event.subject for event in told} == {id_of("API-P-1"), id_of("API-P-2")}

    async def test_a_receipt_tells_what_became_of_its_item(self, service: Service) -> None:
        first = await service.post_items(thing("API-R-1", 5, name="一"))
        again = await service.post_items(thing("API-R-1", 5, name="一"), thing("API-R-1", 4, name="二"))
        changed = await service.post_items(thing("API-R-1", 6, name="三"))

        told = [(one["status"], one["revision"]) for one in (*first, *again, *changed)]
        assert told == [("applied", 1), ("unchanged", None), ("ignored", None), ("applied", 2)]

    async def test_each_telling_of_one_version_has_an_outcome_of_its_own(self, service: Service) -> None:
        sent = [thing("API-R-3", 5, name=name) for name in ("一", "二", "二", "三")]
        answer = await service.call("feeder", "POST", "/v1/feeds/cmdb/items", json={"items": sent})
        told = [await service.outcome("feeder", receipt["id"]) for receipt in answer.json()["receipts"]]

        assert [(one["status"], one["revision"]) for one in told] == [
            ("applied", 1),
            ("applied", 2),
            ("unchanged", None),
            ("applied", 3),
        ]

    async def test_a_receipt_is_for_the_feed_and_body_it_was_given_to(self, service: Service) -> None:
        answer = await service.call("feeder", "POST", "/v1/feeds/cmdb/items", json={"items": [thing("API-R-2")]})
        receipt = answer.json()["receipts"][0]["id"]

        for caller, path in (("ledger", receipt), ("feeder", receipt[:-2]), ("feeder", "é"), ("feeder", "WzEsMl0")):
            assert (await service.call(caller, "GET", f"/v1/receipts/{path}")).status_code == 404

    async def test_one_bad_item_keeps_out_all_and_nothing_is_written(self, service: Service, stack: Stack) -> None:
        before = await ends(account(stack, "inventory"), FEED.name)
        bad = [
            thing("API-B-1"),
            {**thing("API-B-2"), "facts": {"record_count": {"a": 1}}},
            {**thing("API-B-3"), "kind": "server"},
        ]
        answer = await service.call("feeder", "POST", "/v1/feeds/cmdb/items", json={"items": bad})

        assert answer.status_code == 422
        assert faults(answer) == ["/items/1/facts/record_count", "/items/2/kind"]
        assert await ends(account(stack, "inventory"), FEED.name) == before

    @pytest.mark.parametrize(
        ("content", "status", "kind"),
        [
            (b"", 400, "invalid"),
            (b"{", 400, "invalid"),
            ('{"items": []}'.encode("utf-16"), 400, "invalid"),
            (b"[" * 100_000, 400, "invalid"),
            (b'{"items": []}', 422, "invalid"),
            (b'{"items": [{"name": "\\ud800"}]}', 400, "invalid"),
            (b" " * (1024 * 1024 + 1), 413, "too-large"),
        ],
    )
    async def test_what_cannot_be_read_is_told_so(
        self, service: Service, content: bytes, status: int, kind: str
    ) -> None:
        headers = {"Content-Type": "application/json"}
        answer = await service.call("feeder", "POST", "/v1/feeds/cmdb/items", content=content, headers=headers)

        assert (answer.status_code, answer.json()["type"]) == (status, f"urn:daicho:problem:{kind}")

    async def test_an_item_that_no_consumer_would_take_is_not_accepted(self, service: Service) -> None:
        facts = {f"f{number}": ["あ" * 300] * 64 for number in range(5)}
        assert len(json.dumps(facts, ensure_ascii=False).encode()) > MAX_VALUE_BYTES
        body = json.dumps({"items": [thing("API-L-1", facts=facts)]}, ensure_ascii=False).encode()
        headers = {"Content-Type": "application/json"}
        answer = await service.call("feeder", "POST", "/v1/feeds/cmdb/items", content=body, headers=headers)

        assert (answer.status_code, faults(answer)) == (422, ["/items/0"])

    @pytest.mark.parametrize(
        ("caller", "path", "item", "status", "kind"),
        [
            (None, "cmdb/items", {}, 401, "unauthenticated"),
            ("nobody", "cmdb/items", {}, 401, "unauthenticated"),
            ("mayor", "cmdb/items", {}, 403, "forbidden"),
            ("ledger", "cmdb/items", {}, 403, "forbidden"),
            ("feeder", "excel/items", {}, 403, "forbidden"),
            ("feeder", "cmdb/items", {"body": "audit"}, 403, "forbidden"),
            ("feeder", "cmdb/items", {"body": "hospital"}, 403, "forbidden"),
            ("feeder", "cmdb/items", {"body": "library"}, 403, "forbidden"),
            ("feeder", "cmdb/items", {"feed": "ledger"}, 422, "invalid"),
            ("ledger", "ledger/items", {"feed": "ledger", "body": "audit"}, 409, "conflict"),
        ],
    )
    async def test_a_feed_speaks_for_itself_and_its_bodies_at_its_door(
        self, service: Service, caller: str | None, path: str, item: dict[str, Any], status: int, kind: str
    ) -> None:
        answer = await service.call(caller, "POST", f"/v1/feeds/{path}", json={"items": [{**thing("API-X-1"), **item}]})

        assert (answer.status_code, answer.json()["type"]) == (status, f"urn:daicho:problem:{kind}")

    async def test_another_media_type_is_told_what_is_taken(self, service: Service) -> None:
        answer = await service.call(
            "feeder", "POST", "/v1/feeds/cmdb/items", content=b"a,b", headers={"Content-Type": "text/csv"}
        )

        assert answer.status_code == 415
        assert "application/json" in answer.json()["detail"]

    async def test_a_broker_that_is_away_is_told_and_nothing_is_accepted(
        self, profile: Profile, sessions: Sessions
    ) -> None:
        nowhere = KafkaSettings(bootstrap="127.0.0.1:9")
        intake = Intake(nowhere, profile, utc_now, patience=1)
        app = app_over(sessions, intake, profile, nowhere)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://inventory") as http:
            away = Service(http, app)
            answer = await away.call("feeder", "POST", "/v1/feeds/cmdb/items", json={"items": [thing("API-X-1")]})
            letters = await away.call("office", "GET", "/v1/dead-letters")

        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert answer.json()["type"] == "urn:daicho:problem:busy"
        assert letters.status_code == 200, "the list is in the database"
        assert not (await intake.check()).ok


async def events_since(kafka: KafkaSettings, before: dict[int, int], count: int) -> list[AssetChanged]:
    found: list[AssetChanged] = []
    async with AIOKafkaConsumer(**kafka.client(), isolation_level="read_committed") as consumer, asyncio.timeout(20):
        places = [TopicPartition(ASSETS.name, partition) for partition in before]
        consumer.assign(places)
        for place in places:
            consumer.seek(place, before[place.partition])
        while len(found) < count:
            for records in (await consumer.getmany(timeout_ms=200)).values():
                found += [AssetChanged.model_validate_json(record.value) for record in records]
    return found


class TestLedger:
    HEADER = "台帳番号,情報資産名,種類,個人情報の有無,件数\r\n"

    async def post(self, service: Service, text: str, encoding: str = "cp932", **query: Any) -> httpx.Response:
        return await service.call(
            "ledger",
            "POST",
            "/v1/feeds/ledger/ledger",
            content=text.encode(encoding),
            params={"body": "audit", **query},
            headers={"Content-Type": "text/csv; charset=Shift_JIS"},
        )

    async def test_a_ledger_in_cp932_is_in_the_register(self, service: Service) -> None:
        answer = await self.post(
            service, self.HEADER + "K-1,監査調書,情報,有,１，２００件\r\nK-2,監査計画,関連文書,無,\r\n"
        )

        assert answer.status_code == 202
        for receipt in answer.json()["receipts"]:
            assert (await service.outcome("ledger", receipt["id"]))["status"] == "applied"
        shown = await service.get("audit", f"/v1/assets/{id_of('K-1', 'ledger')}")
        assert (shown["name"], shown["facts"]) == ("監査調書", {"personal_data": True, "record_count": 1200})

    async def test_the_same_ledger_again_changes_nothing(self, service: Service) -> None:
        text = self.HEADER + "K-9,監査基準,関連文書,無,\r\n"
        for _ in range(2):
            receipts = (await self.post(service, text)).json()["receipts"]
            outcome = await service.outcome("ledger", receipts[0]["id"])

        assert outcome["status"] == "unchanged"
        history = await service.get("audit", f"/v1/assets/{id_of('K-9', 'ledger')}/history")
        assert [one["revision"] for one in history["items"]] == [1]

    async def test_each_bad_cell_is_told_by_row_and_column(self, service: Service) -> None:
        answer = await self.post(service, self.HEADER + "K-3,監査調書,書類,有,多数\r\n", "utf-8-sig")

        assert answer.status_code == 422
        assert faults(answer) == ["/rows/2/種類", "/rows/2/件数"]

    async def test_another_bodys_ledger_is_refused(self, service: Service) -> None:
        answer = await self.post(service, self.HEADER, body="mayor")
        assert answer.status_code == 403


class TestNetbox:
    def opened(self, name: str) -> Any:
        return json.loads(gzip.decompress((NETBOX / name).read_bytes()))

    def webhooks(self) -> list[bytes]:
        lines = gzip.decompress((NETBOX / "webhooks.ndjson.gz").read_bytes()).splitlines()
        return [base64.b64decode(json.loads(line)["body"]) for line in lines]

    async def post(self, service: Service, content: bytes, signature: str | None) -> httpx.Response:
        headers: dict[str, Any] = {"Content-Type": "application/json"}
        if signature is not None:
            headers["X-Hook-Signature"] = signature.encode()
        return await service.call(None, "POST", "/v1/feeds/netbox/netbox", content=content, headers=headers)

    @pytest.mark.parametrize("signature", [None, "", "0" * 128, "署名"])
    async def test_what_is_not_signed_is_not_taken(self, service: Service, stack: Stack, signature: str | None) -> None:
        before = await ends(account(stack, "inventory"), FEED.name)
        answer = await self.post(service, self.webhooks()[0], signature)

        assert (answer.status_code, answer.json()["type"]) == (401, "urn:daicho:problem:signature")
        assert await ends(account(stack, "inventory"), FEED.name) == before

    async def test_the_register_is_what_netbox_has_in_the_end(
        self, service: Service, profile: Profile, look: Callable[..., Awaitable[Any]]
    ) -> None:
        for collection, object_type in COLLECTIONS.items():
            objects = list(self.opened("initial.json.gz")[collection].values())
            for start in range(0, len(objects), 100):
                page = {"object_type": object_type, "objects": objects[start : start + 100]}
                answer = await service.call("netbox", "POST", "/v1/feeds/netbox/netbox/objects", json=page)
                assert answer.status_code == 202, answer.text
        last: dict[int, str] = {}
        passed_over = 0
        for content in self.webhooks():
            signature = hmac.new(SECRET.encode(), content, hashlib.sha512).hexdigest()
            answer = await self.post(service, content, signature)
            assert answer.status_code == 202, answer.text
            passed_over += answer.json()["passed_over"]
            last |= {receipt["partition"]: receipt["id"] for receipt in answer.json()["receipts"]}
        for receipt in last.values():
            await service.outcome("netbox", receipt)

        query = "SELECT source_key, state FROM source_link JOIN asset USING (asset_id) WHERE feed = 'netbox'"
        register = {row["source_key"]: row["state"] for row in await look(query)}
        expected = self.expected(profile)
        assert passed_over == 352
        assert {key for key, state in register.items() if state["status"] == "active"} == set(expected)
        untold = yaml.safe_load((ROOT / "tests/data/inventory/netbox_untold.yaml").read_text(encoding="utf-8"))[
            "untold"
        ]
        differing = {
            f"{key} {field}" for key, state in expected.items() for field in differing_fields(register[key], state)
        }
        assert differing == {f"{one['object']} {one['field']}" for one in untold}

    def expected(self, profile: Profile) -> dict[str, Any]:
        register, states = Register(profile), {}
        for collection, object_type in COLLECTIONS.items():
            page = {"object_type": object_type, "objects": list(self.opened("expected.json.gz")[collection].values())}
            sent = Sent(json.dumps(page).encode(), profile.feed_by_id["netbox"])
            for item in DOORS["netbox/objects"].read(sent).items:
                states[item.source_key] = register.take(item).held.state
        return states


def differing_fields(one: dict[str, Any], other: dict[str, Any]) -> set[str]:
    flat = [
        {
            **{name: value for name, value in state.items() if name != "facts"},
            **{f"facts.{k}": v for k, v in state["facts"].items()},
        }
        for state in (one, other)
    ]
    return {name for name in flat[0].keys() | flat[1].keys() if flat[0].get(name) != flat[1].get(name)}


class TestReading:
    async def test_another_bodys_asset_is_not_there(self, service: Service) -> None:
        await service.post_items(thing("API-S-1", name="秘密"))

        for place in ("", "/history", "/relations"):
            hidden = await service.call("election", "GET", f"/v1/assets/{id_of('API-S-1')}{place}")
            unknown = await service.call("election", "GET", f"/v1/assets/{id_of('API-S-0')}{place}")
            assert hidden.status_code == 404
            assert hidden.json() == unknown.json()
        retire = await service.call(
            "election",
            "POST",
            f"/v1/assets/{id_of('API-S-1')}/retire",
            json={"reason": "x"},
            headers={"If-Match": '"1"'},
        )
        assert retire.status_code == 404
        pages = await service.get("election", "/v1/assets", name="秘密")
        assert pages == {"items": [], "next": None}

    async def test_of_a_neighbour_in_another_body_only_its_id_is_told(self, service: Service) -> None:
        await service.post_items(
            thing("API-N-1", name="共用サーバ", relations=[{"type": "stores", "source_key": "API-N-2"}]),
            thing("API-N-2", body="election", name="選挙人名簿抄本"),
        )

        (seen,) = await service.get("mayor", f"/v1/assets/{id_of('API-N-1')}/relations")
        assert seen == {"type": "stores", "direction": "to", "asset_id": id_of("API-N-2"), "asset": None}
        assert await service.get("election", f"/v1/assets/{id_of('API-N-2')}/relations") == []
        (whole,) = await service.get("office", f"/v1/assets/{id_of('API-N-2')}/relations")
        assert (whole["direction"], whole["asset"]["name"]) == ("from", "共用サーバ")

    async def test_pages_hold_every_asset_once(self, service: Service) -> None:
        await service.post_items(*[thing(f"API-PG-{number}", name=f"頁{number}", kind="media") for number in range(7)])
        seen: list[str] = []
        after: str | None = None
        while True:
            query = {"name": "頁", "kind": "media", "limit": 3} | ({"after": after} if after else {})
            page = await service.get("mayor", "/v1/assets", **query)
            seen += [item["asset_id"] for item in page["items"]]
            after = page["next"]
            if after is None:
                break

        assert seen == sorted(id_of(f"API-PG-{number}") for number in range(7))

    async def test_a_part_of_a_name_is_no_pattern(self, service: Service) -> None:
        await service.post_items(thing("API-LK-1", name="達成率100%"), thing("API-LK-2", name="達成率100割"))

        found = await service.get("mayor", "/v1/assets", name="100%")
        assert [item["asset_id"] for item in found["items"]] == [id_of("API-LK-1")]

    async def test_history_tells_who_and_what(self, service: Service) -> None:
        await service.post_items(thing("API-H-1", 1, name="旧"), thing("API-H-1", 2, name="新", reason="名称変更"))

        history = await service.get("mayor", f"/v1/assets/{id_of('API-H-1')}/history", limit=1)
        (newest,) = history["items"]
        assert (newest["revision"], newest["asset"]["name"], newest["change"]["reason"]) == (2, "新", "名称変更")
        older = await service.get("mayor", f"/v1/assets/{id_of('API-H-1')}/history", before=history["next"])
        assert [(one["revision"], one["asset"]["name"]) for one in older["items"]] == [(1, "旧")]
        assert older["next"] is None

    async def test_the_summary_counts_what_the_caller_may_read(self, service: Service) -> None:
        await service.post_items(thing("API-C-1", kind="network"), thing("API-C-2", body="waterworks", kind="network"))

        rows = await service.get("mayor", "/v1/summary")
        assert {row["body"] for row in rows} == {"mayor"}
        assert sum(row["assets"] for row in rows if row["kind"] == "network" and row["status"] == "active") >= 1


class TestRetiring:
    async def retire(self, service: Service, asset: str, headers: dict[str, str], **body: Any) -> httpx.Response:
        return await service.call("mayor", "POST", f"/v1/assets/{asset}/retire", json=body, headers=headers)

    async def test_a_person_retires_what_they_have_seen(self, service: Service) -> None:
        await service.post_items(thing("API-T-1", 1, name="古い端末"))
        asset = id_of("API-T-1")

        assert (await self.retire(service, asset, {}, reason="廃棄")).status_code == 428
        assert (await self.retire(service, asset, {"If-Match": '"7"'}, reason="廃棄")).status_code == 412
        assert (await self.retire(service, asset, {"If-Match": '"1"'})).status_code == 422
        answer = await self.retire(service, asset, {"If-Match": '"1"'}, reason="廃棄")

        assert (answer.status_code, answer.headers["etag"], answer.json()["status"]) == (200, '"2"', "retired")
        history = await service.get("mayor", f"/v1/assets/{asset}/history")
        assert history["items"][0]["change"] == {
            "feed": None,
            "source_key": None,
            "source_version": None,
            "actor": "mayor",
            "reason": "廃棄",
            "merged_from": None,
            "merged_into": None,
            "snapshot": None,
            "approved_by": None,
        }
        await service.post_items(thing("API-T-1", 1, name="古い端末"))
        assert (await service.get("mayor", f"/v1/assets/{asset}"))["status"] == "retired"
        back = await service.post_items(thing("API-T-1", 2, name="古い端末"))
        assert back == [{"status": "applied", "revision": 3, "reason": None, "field": None}]

    async def test_what_is_sent_again_under_its_key_is_done_once_and_answered_alike(self, service: Service) -> None:
        await service.post_items(thing("API-T-3", 1))
        headers = {"If-Match": '"1"', "Idempotency-Key": "8e03978e-40d5-43dd-bc93-6894a57f9324"}
        first, *others = await asyncio.gather(
            *[self.retire(service, id_of("API-T-3"), headers, reason="廃棄") for _ in range(4)]
        )

        assert first.status_code == 200
        assert first.json()["revision"] == 2
        assert {(one.status_code, one.content, one.headers["etag"]) for one in others} == {(200, first.content, '"2"')}
        other = await self.retire(service, id_of("API-T-3"), headers, reason="売却")
        assert (other.status_code, other.json()["type"]) == (422, "urn:daicho:problem:invalid")
        failed = {"If-Match": '"1"', "Idempotency-Key": "another"}
        assert (await self.retire(service, id_of("API-T-3"), failed, reason="廃棄")).status_code == 412
        mended = {**failed, "If-Match": '"2"'}
        assert (await self.retire(service, id_of("API-T-3"), mended, reason="廃棄")).status_code == 200

    async def test_of_two_at_once_one_is_told_that_it_has_changed(self, service: Service) -> None:
        await service.post_items(thing("API-T-2", 1))
        answers = await asyncio.gather(
            *[self.retire(service, id_of("API-T-2"), {"If-Match": '"1"'}, reason="廃棄") for _ in range(4)]
        )

        assert sorted(answer.status_code for answer in answers) == [200, 412, 412, 412]


class TestDeadLetters:
    async def test_a_key_is_parked_told_and_released(self, service: Service) -> None:
        await service.post_items(thing("API-DW-1", body="waterworks"))
        across = [{"type": "connects", "source_key": "API-DW-1"}]
        outcomes = await service.post_items(
            thing("API-D-1", 1, kind="network", relations=across), thing("API-D-1", 2, kind="network", name="直した")
        )
        assert [(one["status"], one["reason"], one["field"]) for one in outcomes] == [
            ("parked", "other-network-relation", "data.relations.0.source_key"),
            ("parked", "key-parked", None),
        ]

        key = "mayor/mayor/cmdb/API-D-1"
        told = await service.get("office", "/v1/dead-letters/summary")
        assert told["by_body"]["mayor"]["other-network-relation"] == 1
        assert told["by_body"]["mayor"]["key-parked"] == 1
        assert key in {one["key"] for one in (await service.get("office", "/v1/dead-letters/keys"))["items"]}
        elsewhere = await service.get("waterworks-operator", "/v1/dead-letters/summary")
        assert (elsewhere["by_body"], elsewhere["by_reason"], elsewhere["parked"]) == ({}, {}, [])

        released = {"topic": FEED.name, "key": key}
        refused = await service.call("waterworks-operator", "POST", "/v1/dead-letters/release", json=released)
        assert refused.status_code == 404
        # what stood in the way is gone: the other asset has come to the same network
        await service.post_items(thing("API-DW-1", 2, body="mayor"))
        answer = await service.call("office", "POST", "/v1/dead-letters/release", json=released)
        assert (answer.status_code, answer.json()) == (202, {"records": 2})
        async with asyncio.timeout(20):
            while (await service.call("mayor", "GET", f"/v1/assets/{id_of('API-D-1')}")).status_code != 200:
                await asyncio.sleep(0.05)
        assert (await service.post_items(thing("API-D-1", 3, kind="network", name="次")))[0]["status"] == "applied"
        again = await service.call("office", "POST", "/v1/dead-letters/release", json=released)
        assert again.status_code == 404


async def test_no_route_is_open(service: Service) -> None:
    assert_guarded(service.app, OPEN_PATHS)
    for path in ("/v1/assets", "/v1/summary", "/v1/dead-letters", f"/v1/assets/{id_of('X')}", "/v1/receipts/x"):
        assert (await service.call(None, "GET", path)).status_code == 401
