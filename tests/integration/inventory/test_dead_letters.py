# SPDX-License-Identifier: Apache-2.0
"""What could not be taken, from the bus to the people who decide: found, shown, corrected, discarded, released."""

from __future__ import annotations

import asyncio
import re
from base64 import b64encode
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import TopicAuthorizationFailedError

from libs.bus import NetworkPartitioner
from libs.bus.deadletters import is_of
from libs.bus.partition_log import open_log
from libs.bus.release import letters_from
from libs.contracts import ConsumerResumed, DeadLetterReleased, Profile, make_key
from libs.contracts.topics import FEED
from libs.devstack import Stack
from libs.observability import Metrics
from libs.persistence import Pool
from services.inventory.dead_letters.projector import WaitingLetters
from tests.integration.inventory.test_api import Service, faults, id_of, service, thing
from tests.integration.service import account

__all__ = ["service"]

LETTERS = "/v1/dead-letters"
ELSEWHERE = [{"type": "connects", "source_key": "DL-W"}]
"""A relation to an asset of another network, which keeps an item of the mayor's out."""
Send = Callable[..., Awaitable[None]]


@pytest.fixture
async def send(service: Service, stack: Stack) -> Send:
    """Writes to the feed topic past the doors, as a CMDB does."""
    # the broker knows of a right a moment after it was given
    async with AIOKafkaProducer(**account(stack, "feed").client()) as producer, asyncio.timeout(20):
        while True:
            try:
                await producer.partitions_for(FEED.name)
                break
            except TopicAuthorizationFailedError:
                await asyncio.sleep(0.1)

    async def sent(*records: tuple[bytes | None, bytes]) -> None:
        async with AIOKafkaProducer(**account(stack, "feed").client(), partitioner=NetworkPartitioner()) as producer:
            for key, value in records:
                await producer.send_and_wait(FEED.name, key=key, value=value)

    return sent


async def found(
    service: Service, count: int, *, others: Sequence[dict[str, Any]] = (), **query: Any
) -> list[dict[str, Any]]:
    """So many letters that wait and are none of the others, as soon as there are as many."""
    known = {one["id"] for one in others}
    async with asyncio.timeout(20):
        while True:
            items = [one for one in (await service.get("office", LETTERS, **query))["items"] if one["id"] not in known]
            if len(items) == count:
                return items
            await asyncio.sleep(0.05)


async def parked(service: Service, name: str, *versions: dict[str, Any]) -> tuple[str, list[dict[str, Any]], list[str]]:
    """An item that cannot be taken, with later versions behind it: its key, the letters, and the receipts."""
    await service.post_items(thing("DL-W", body="waterworks"))
    items = [thing(name, 1, kind="network", relations=ELSEWHERE)]
    items += [thing(name, number, kind="network", **more) for number, more in enumerate(versions, start=2)]
    answer = await service.call("feeder", "POST", "/v1/feeds/cmdb/items", json={"items": items})
    key = f"mayor/mayor/cmdb/{name}"
    letters = await found(service, len(items), key=key)
    return key, letters, [one["id"] for one in answer.json()["receipts"]]


async def settled(service: Service, receipt: str, *unlike: str) -> dict[str, Any]:
    async with asyncio.timeout(20):
        while (outcome := await service.outcome("feeder", receipt))["status"] in unlike:
            await asyncio.sleep(0.05)
    return outcome


async def history(service: Service, name: str) -> list[tuple[int, str | None]]:
    told = await service.get("mayor", f"/v1/assets/{id_of(name)}/history")
    return [(one["revision"], one["asset"]["name"]) for one in reversed(told["items"])]


class TestLooking:
    async def test_they_are_found_by_what_they_are_and_in_pages(self, service: Service, send: Send) -> None:
        keys = [make_key("mayor", "mayor", "cmdb", f"DL-P-{number}") for number in range(5)]
        await send(*((key, b"{") for key in keys))
        wanted = {"reason": "not-json", "feed": "cmdb", "body": "mayor"}
        all_of_them = await found(service, 5, **wanted)
        assert [one["key"].encode() for one in all_of_them] == keys

        pages, after = [], None
        while True:
            query = {**wanted, "limit": 2, "order": "newest"} | ({"after": after} if after else {})
            page = await service.get("office", LETTERS, **query)
            pages.append([one["id"] for one in page["items"]])
            if (after := page["next"]) is None:
                break
        assert [len(page) for page in pages] == [2, 2, 1]
        assert list(chain(*pages)) == [one["id"] for one in reversed(all_of_them)]
        assert all_of_them[0]["reason_text"]["ja"] == "JSONとして読み取れません"

        first = await service.get("office", f"{LETTERS}/keys", **wanted, limit=3)
        rest = await service.get("office", f"{LETTERS}/keys", **wanted, after=first["next"])
        assert [one["key"].encode() for one in (*first["items"], *rest["items"])] == keys

    async def test_one_is_shown_with_its_bytes_and_what_waits_behind_it(self, service: Service, send: Send) -> None:
        key = make_key("mayor", "mayor", "cmdb", "DL-S-1")
        await send((key, b"\xff\x00"), (key, "後".encode()))
        letters = await found(service, 2, key=key.decode())

        first, second = [await service.get("office", f"{LETTERS}/{one['id']}") for one in letters]
        assert first["value"] == {"text": None, "base64": b64encode(b"\xff\x00").decode()}
        assert (first["reason"], first["behind"], first["item"]) == ("not-utf8", 1, None)
        assert second["value"] == {"text": "後", "base64": None}
        assert (second["reason"], second["behind"]) == ("key-parked", 0)

    async def test_what_is_of_no_known_body_is_for_the_whole_instance(self, service: Service, send: Send) -> None:
        await send((make_key("mayor", "nowhere", "cmdb", "DL-N-1"), b"{"), (None, b"no key"))
        (unknown,) = await found(service, 1, key="mayor/nowhere/cmdb/DL-N-1")
        assert unknown["body"] is None
        (keyless,) = await found(service, 1, key="")
        of_body = await service.get("waterworks-operator", LETTERS)
        assert not {unknown["id"], keyless["id"]} & {one["id"] for one in of_body["items"]}
        for path, method in ((unknown["id"], "GET"), (f"{unknown['id']}/discard", "POST")):
            answer = await service.call("waterworks-operator", method, f"{LETTERS}/{path}", json={"note": "x"})
            assert answer.status_code == 404

    async def test_another_bodys_are_not_there(self, service: Service) -> None:
        key, letters, _ = await parked(service, "DL-B-1")
        assert await service.get("waterworks-operator", LETTERS, key=key) == {"items": [], "next": None}
        assert (await service.call("waterworks-operator", "GET", f"{LETTERS}/{letters[0]['id']}")).status_code == 404
        assert (await service.call("mayor", "GET", LETTERS)).status_code == 403


class TestDeciding:
    async def test_a_corrected_item_keeps_its_place_and_both_are_on_record(
        self, service: Service, stack: Stack
    ) -> None:
        key, letters, receipts = await parked(service, "DL-C-1", {"name": "後"})
        wanted = {"item": thing("DL-C-1", 1, kind="network", name="訂正"), "note": "関連の誤記"}
        answer = await service.call("office", "POST", f"{LETTERS}/{letters[0]['id']}/correct", json=wanted)
        assert (answer.status_code, answer.json()) == (202, {"records": 2})

        told = [await settled(service, receipt, "parked", "released") for receipt in receipts]
        assert [(one["status"], one["revision"]) for one in told] == [("applied", 1), ("applied", 2)]
        assert await history(service, "DL-C-1") == [(1, "訂正"), (2, "後")]
        shown = await service.get("office", f"{LETTERS}/{letters[0]['id']}")
        assert (shown["state"], shown["decision"]["by"], shown["decision"]["note"]) == (
            "corrected",
            "office",
            "関連の誤記",
        )
        assert shown["item"]["relations"][0]["source_key"] == "DL-W"
        assert "訂正" in shown["correction"]["value"]["text"]
        (event,) = [one for one in await events(stack, DeadLetterReleased) if one.data.key == key]
        assert (event.data.actor, event.data.reason, event.data.count) == ("office", "関連の誤記", 2)
        assert [one.letter for one in event.data.corrected] == [letters[0]["id"]]

    async def test_an_item_that_the_register_would_not_take_is_pointed_at(self, service: Service) -> None:
        _, letters, _ = await parked(service, "DL-C-2")
        path = f"{LETTERS}/{letters[0]['id']}/correct"
        for item, field in (
            ({**thing("DL-C-2"), "kind": "cloud"}, "/item/kind"),
            (thing("DL-C-2", body="nowhere"), "/item/body"),
            (thing("DL-C-2", feed="nothing"), "/item/feed"),
            ({**thing("DL-C-2"), "colour": "red"}, "/item/colour"),
        ):
            answer = await service.call("office", "POST", path, json={"item": item, "note": "x"})
            assert (answer.status_code, faults(answer)) == (422, [field])
        assert (await service.get("office", f"{LETTERS}/{letters[0]['id']}"))["state"] == "parked"

    async def test_a_correction_of_the_key_goes_under_its_own(self, service: Service, send: Send) -> None:
        await send((make_key("mayor", "nowhere", "cmdb", "DL-C-3"), b"{"))
        (letter,) = await found(service, 1, key="mayor/nowhere/cmdb/DL-C-3")
        wanted = {"item": thing("DL-C-3", 1, name="移"), "note": "行政機関の誤記"}
        answer = await service.call("office", "POST", f"{LETTERS}/{letter['id']}/correct", json=wanted)
        assert answer.json() == {"records": 1}
        assert (await service.post_items(thing("DL-C-3", 2, name="次")))[0]["revision"] == 2
        assert await history(service, "DL-C-3") == [(1, "移"), (2, "次")]

    async def test_what_is_given_up_is_kept_on_record_and_the_rest_goes_on(self, service: Service) -> None:
        _, letters, receipts = await parked(service, "DL-D-1", {"name": "二"}, {"name": "三"})
        path = f"{LETTERS}/{letters[0]['id']}/discard"
        assert faults(await service.call("office", "POST", path, json={})) == ["/note"]
        answers = await asyncio.gather(
            *(service.call("office", "POST", path, json={"note": "誤送信"}) for _ in range(2))
        )
        assert sorted(answer.status_code for answer in answers) == [202, 409]

        told = [await settled(service, receipt, "parked", "released") for receipt in receipts]
        assert [(one["status"], one["revision"]) for one in told] == [
            ("discarded", None),
            ("applied", 1),
            ("applied", 2),
        ]
        kept = await service.get("office", LETTERS, state="discarded", key="mayor/mayor/cmdb/DL-D-1")
        assert [(one["id"], one["decision"]["note"]) for one in kept["items"]] == [(letters[0]["id"], "誤送信")]
        decided = await service.get("office", LETTERS, state="decided", key="mayor/mayor/cmdb/DL-D-1")
        assert [one["state"] for one in decided["items"]] == ["discarded", "released", "released"]
        again = await service.call("office", "POST", path, json={"note": "x"})
        assert again.status_code == 409

    async def test_what_has_no_key_is_given_up_alone(self, service: Service, send: Send) -> None:
        before = await service.get("office", LETTERS, key="")
        await send((None, b"one"), (None, b"two"))
        letters = (await found(service, len(before["items"]) + 2, key=""))[-2:]
        answer = await service.call("office", "POST", f"{LETTERS}/{letters[1]['id']}/discard", json={"note": "x"})
        assert answer.json() == {"records": 0}
        left = await found(service, len(before["items"]) + 1, key="")
        assert letters[0]["id"] in {one["id"] for one in left}

    async def test_a_release_that_mends_nothing_puts_the_record_aside_again_in_its_place(
        self, service: Service
    ) -> None:
        key, letters, receipts = await parked(service, "DL-A-1", {"name": "二"})
        assert (await service.call("office", "POST", f"{LETTERS}/release", json={"key": key})).json() == {"records": 2}
        again = await found(service, 2, key=key, others=letters)
        shown = await service.get("office", f"{LETTERS}/{again[0]['id']}")
        assert (shown["first_id"], shown["reason"]) == (letters[0]["id"], "other-network-relation")
        assert (await service.outcome("feeder", receipts[0]))["status"] == "parked"

    async def test_all_of_one_reason_go_back_once_and_no_other_bodys(self, service: Service, send: Send) -> None:
        keys = [make_key("mayor", body, "cmdb", f"DL-R-{body}") for body in ("mayor", "election", "fire")]
        await send(*((key, b"[]") for key in keys))
        letters = await found(service, 3, reason="schema")
        wanted = {"reason": "schema", "body": "election", "note": "再処理"}
        answer = await service.call("office", "POST", f"{LETTERS}/release-all", json=wanted)
        assert (answer.json()["keys"], answer.json()["records"], answer.json()["more"]) == (1, 1, False)
        until = {**wanted, "body": None, "before": answer.json()["before"]}
        rest = await service.call("office", "POST", f"{LETTERS}/release-all", json=until)
        assert rest.json()["keys"] == 2, "what was put aside again is not released again"
        again = await found(service, 3, reason="schema", others=letters)
        of_none = await service.call("waterworks-operator", "POST", f"{LETTERS}/release-all", json={"reason": "schema"})
        assert of_none.json()["keys"] == 0
        assert {one["body"] for one in again} == {"mayor", "election", "fire"}


async def test_the_metrics_tell_what_waits(service: Service, pool: Pool, profile: Profile) -> None:
    await parked(service, "DL-M-1")
    metrics = Metrics()
    await WaitingLetters(pool, profile.body_by_id, metrics, lambda: datetime.now(UTC) + timedelta(days=1)).measure()
    told_over_http = await service.get("office", f"{LETTERS}/summary")

    shown = metrics.exposition().decode()
    waiting = re.search(r'dead_letters_waiting{consumer="inventory",reason="other-network-relation"} ([0-9.]+)', shown)
    assert waiting is not None
    assert float(waiting[1]) == told_over_http["by_reason"]["other-network-relation"]
    oldest = re.search(r"^daicho_dead_letters_oldest_seconds ([0-9.]+)", shown, re.MULTILINE)
    assert oldest is not None
    assert float(oldest[1]) > 86_000


class TestCaps:
    async def test_the_summary_tells_how_near_they_are(self, service: Service) -> None:
        await parked(service, f"DL-{uuid4()}")
        told = await service.get("office", f"{LETTERS}/summary")
        (place,) = [one for one in told["parked"] if one["consumer"] == "inventory" and one["keys"]][:1]
        assert told["caps"]["max_parked_keys"] == 50_000
        assert place["letters"] >= place["keys"] >= 1
        assert told["oldest_at"] <= place["oldest_at"]

    async def test_only_who_answers_for_the_instance_lets_a_task_go_on(self, service: Service, stack: Stack) -> None:
        wanted = {"consumer": "inventory", "topic": FEED.name, "partition": 1, "note": "連携元を直した"}
        refused = await service.call("waterworks-operator", "POST", f"{LETTERS}/resume", json=wanted)
        assert refused.status_code == 403
        assert (await service.call("office", "POST", f"{LETTERS}/resume", json=wanted)).status_code == 202
        async with asyncio.timeout(20):
            while not (told := await events(stack, ConsumerResumed)):
                await asyncio.sleep(0.05)
        assert (told[-1].data.consumer, told[-1].data.partition, told[-1].data.actor) == ("inventory", 1, "office")


async def events(stack: Stack, model: type[Any]) -> list[Any]:
    async with open_log(account(stack, "inventory"), "test") as log:
        return [
            model.model_validate_json(record.value or b"")
            async for record in letters_from(log, {})
            if is_of(record, model)
        ]
