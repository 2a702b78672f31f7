# SPDX-License-Identifier: Apache-2.0
"""The service as it runs: assets in from Kafka, events out, and the read model behind its API."""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition

from libs.bus import NetworkPartitioner, apply_topics
from libs.contracts import AssetChanged, Profile, StandardPublished, make_key
from libs.contracts.topics import ASSETS, CLASSIFICATIONS, CONTROL, DEADLETTERS, OBLIGATIONS
from libs.devstack import Stack
from libs.persistence import assert_no_drift, owner_of, provision
from libs.security.clients import SECURITY_OFFICE, IssuerFolder
from services.classification.settings import BASE, Settings
from services.classification.store import Base
from tests.integration.service import PROFILE, Service, account, environment_of, running_issuer

RESIDENTS = {"data_kinds": ["resident"], "personal_data": True, "record_count": 91234}


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, IssuerFolder]]:
    with running_issuer(tmp_path_factory.mktemp("issuer")) as folder:
        yield folder.url, folder


@pytest.fixture(scope="module")
def service(
    stack: Stack, issuer: tuple[str, IssuerFolder], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    name = "classification"
    asyncio.run(apply_topics(account(stack, "admin")))
    passwords = stack.postgres_password(owner_of(name)), stack.postgres_password(name)
    asyncio.run(provision(stack.postgres_dsn("postgres", "postgres"), name, *passwords))
    migrate = [sys.executable, "-m", "services.classification.main", "migrate"]
    subprocess.run(
        migrate, env=os.environ | {"DAICHO_POSTGRES__DSN": stack.postgres_dsn(owner_of(name), name)}, check=True
    )
    log = tmp_path_factory.mktemp("logs") / "classification.log"
    running = Service(name, environment_of(stack, name, issuer[0]), log)
    try:
        running.start()
        yield running
        assert running.stop() == 0
    finally:
        running.kill()


@pytest.fixture
async def producer(stack: Stack) -> AsyncIterator[AIOKafkaProducer]:
    async with AIOKafkaProducer(**account(stack, "inventory").client(), partitioner=NetworkPartitioner()) as producer:
        yield producer


def event(asset_id: str, revision: int, **fields: Any) -> tuple[bytes, bytes]:
    base = {
        "asset_id": asset_id,
        "body": "waterworks",
        "network": "waterworks",
        "kind": "information",
        "name": "名簿",
        "facts": {},
    }
    after = {**base, **fields}
    envelope = {
        "specversion": "1.0", "type": "daicho.asset.changed.v1", "id": f"{asset_id}:{revision}", "subject": asset_id,
        "source": f"urn:daicho:990019:{after['body']}:inventory", "time": "2026-04-01T00:00:00Z", "revision": revision,
        "body": after["body"], "network": after["network"], "data": {"before": None, "after": after, "change": {}},
    }  # fmt: skip
    AssetChanged.model_validate(envelope)
    return make_key(after["network"], after["body"], asset_id), json.dumps(envelope).encode()


async def last_of(stack: Stack, topic: str, key: bytes, revision: int) -> dict[str, Any]:
    """The event under a key once it has the revision."""
    return await find(stack, "reader", topic, lambda record, found: record.key == key and found["revision"] == revision)


async def find(
    stack: Stack, name: str, topic: str, is_it: Callable[[ConsumerRecord, Any], bool], partitions: int = 4
) -> dict[str, Any]:
    """The first event of a topic, as an account sees it, that is the one."""
    consumer = AIOKafkaConsumer(
        **account(stack, name).client(), isolation_level="read_committed", auto_offset_reset="earliest"
    )
    async with consumer, asyncio.timeout(20):
        consumer.assign([TopicPartition(topic, number) for number in range(partitions)])
        async for record in consumer:
            if is_it(record, found := json.loads(record.value)):
                return found
    raise AssertionError


async def last_events(stack: Stack, topic: str, body: str) -> dict[str, Any]:
    """By asset, the last event of a body that is in a topic now."""
    found: dict[str, Any] = {}
    consumer = AIOKafkaConsumer(
        **account(stack, "reader").client(), isolation_level="read_committed", auto_offset_reset="earliest"
    )
    async with consumer, asyncio.timeout(20):
        places = [TopicPartition(topic, number) for number in range(4)]
        consumer.assign(places)
        ends = await consumer.end_offsets(places)
        while any([await consumer.position(place) < end for place, end in ends.items()]):
            for records in (await consumer.getmany(timeout_ms=100)).values():
                events = (json.loads(record.value) for record in records)
                found |= {event["subject"]: event for event in events if event["body"] == body}
    return found


async def shown(service: Service, token: str, path: str, *, until: Any) -> httpx.Response:
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {token}"}) as client, asyncio.timeout(20):
        while not until(answer := await client.get(service.url + path)):
            await asyncio.sleep(0.05)
        return answer


A, B, BAD, GOOD, END = (f"00000000-0000-4000-8000-00000000000{last}" for last in "abcde")


async def test_a_change_becomes_events_and_an_entry_of_the_read_model(
    stack: Stack, service: Service, producer: AIOKafkaProducer, issuer: tuple[str, IssuerFolder]
) -> None:
    key, value = event(A, 1, facts=RESIDENTS)
    await producer.send_and_wait(ASSETS.name, key=key, value=value)

    levels = await last_of(stack, CLASSIFICATIONS.name, key, 1)
    duties = await last_of(stack, OBLIGATIONS.name, key, 1)
    assert levels["data"]["after"]["confidentiality"] == "3B"
    token = issuer[1].token("body-waterworks")
    answer = await shown(
        service, token, f"/v1/classifications/{A}", until=lambda one: one.status_code == 200 and one.json()["in_force"]
    )
    assert answer.json()["levels"] == levels["data"]["after"]
    assert answer.json()["in_force"] == duties["data"]["in_force"]
    assert answer.headers["ETag"] == '"1-1-1"'
    texts = await shown(
        service, token, f"/v1/classifications/{A}/obligations", until=lambda one: one.status_code == 200
    )
    assert [duty["id"] for duty in texts.json()] == duties["data"]["in_force"]
    assert all(duty["title"]["ja"] for duty in texts.json())
    found = await shown(
        service, token, "/v1/classifications?min_confidentiality=3C", until=lambda one: one.status_code == 200
    )
    assert [item["asset_id"] for item in found.json()["items"]] == [A]
    assert (
        await shown(service, token, "/v1/classifications?min_confidentiality=9", until=lambda _: True)
    ).status_code == 422
    summary = await shown(service, token, "/v1/summary", until=lambda one: one.status_code == 200)
    assert summary.json()[0]["levels"]["confidentiality"] == {"3B": 1}


async def test_another_body_is_told_nothing(service: Service, issuer: tuple[str, IssuerFolder]) -> None:
    token = issuer[1].token("body-education")

    assert (await shown(service, token, f"/v1/classifications/{A}", until=lambda _: True)).status_code == 404
    assert (await shown(service, token, "/v1/classifications", until=lambda _: True)).json()["items"] == []
    assert (await shown(service, token, "/v1/summary", until=lambda _: True)).json() == []
    assert (await shown(service, "no-token", "/v1/summary", until=lambda _: True)).status_code == 401
    office = issuer[1].token(SECURITY_OFFICE)
    assert (await shown(service, office, f"/v1/classifications/{A}", until=lambda _: True)).status_code == 200


async def test_a_killed_service_goes_on_where_it_stopped(
    stack: Stack, service: Service, producer: AIOKafkaProducer
) -> None:
    key, value = event(B, 1, kind="system", relations=[{"type": "stores", "asset_id": A}])
    await producer.send_and_wait(ASSETS.name, key=key, value=value)
    before = await last_of(stack, CLASSIFICATIONS.name, key, 1)
    assert before["data"]["explanations"]["confidentiality"]["inherited_from"]["asset_id"] == A

    service.kill()
    gone_key, gone = event(A, 2, facts=RESIDENTS, status="retired")
    await producer.send_and_wait(ASSETS.name, key=gone_key, value=gone)
    service.start()

    after = await last_of(stack, CLASSIFICATIONS.name, key, 2)
    assert after["data"]["after"]["confidentiality"] == "2"
    assert (await last_of(stack, OBLIGATIONS.name, gone_key, 2))["data"]["in_force"] == []


async def test_the_text_of_every_obligation_is_on_the_bus(stack: Stack, service: Service) -> None:
    profile = Profile.model_validate(yaml.safe_load(PROFILE.read_text(encoding="utf-8")))
    standard = Settings.model_construct(standard=BASE).read_standard()
    async with AIOKafkaConsumer(**account(stack, "reader").client(), auto_offset_reset="earliest") as consumer:
        consumer.assign([TopicPartition(CONTROL.name, 0)])
        async with asyncio.timeout(20):
            record = await consumer.getone()

    published = StandardPublished.model_validate_json(record.value)
    assert published.data == standard.published()
    assert published.source == f"urn:daicho:{profile.municipality}:-:classification"


async def test_what_cannot_be_read_is_put_aside_and_stops_nobody(
    stack: Stack, service: Service, producer: AIOKafkaProducer
) -> None:
    bad_key, _ = event(BAD, 1)
    key, value = event(GOOD, 1, facts=RESIDENTS)
    await producer.send_and_wait(ASSETS.name, key=bad_key, value=b"{")
    await producer.send_and_wait(ASSETS.name, key=key, value=value)

    assert (await last_of(stack, CLASSIFICATIONS.name, key, 1))["data"]["after"]["confidentiality"] == "3B"
    letter = await find(stack, "classification", DEADLETTERS.name, lambda record, _: record.key == bad_key)
    assert letter["data"]["reason"] == "not-json"
    assert letter["data"]["consumer"] == "classification"


async def test_the_read_model_is_the_last_event_of_each_asset(
    stack: Stack, service: Service, producer: AIOKafkaProducer, issuer: tuple[str, IssuerFolder]
) -> None:
    chance = random.Random(3)
    ids = [f"00000000-0000-4000-8000-1000000000{number:02d}" for number in range(40)]
    revisions = dict.fromkeys(ids, 0)
    for number in range(400):
        if number == 200:
            service.kill()
            service.start()
        asset_id = chance.choice(ids)
        revisions[asset_id] += 1
        key, value = event(asset_id, revisions[asset_id], **random_asset(chance, ids))
        await producer.send(ASSETS.name, key=key, value=value)
    end, end_value = event(END, 1, body="fire", network="mayor", facts=RESIDENTS)
    await producer.send_and_wait(ASSETS.name, key=end, value=end_value)
    await last_of(stack, OBLIGATIONS.name, end, 1)

    levels = await last_events(stack, CLASSIFICATIONS.name, "fire")
    duties = await last_events(stack, OBLIGATIONS.name, "fire")
    expected = {
        asset_id: (one["data"]["after"], one["data"]["explanations"], duties[asset_id]["data"]["in_force"])
        for asset_id, one in levels.items()
        if one["data"]["after"] is not None
    }
    token = issuer[1].token("body-fire")
    async with asyncio.timeout(20):
        while await everything(service, token) != expected:
            await asyncio.sleep(0.05)
    assert len(expected) > len(ids) // 2


def random_asset(chance: random.Random, ids: list[str]) -> dict[str, Any]:
    return {
        "body": "fire",
        "network": "mayor",
        "kind": chance.choice(("system", "information")),
        "zone": chance.choice((None, "lgwan")),
        "status": chance.choice(("active", "active", "active", "retired")),
        "facts": chance.choice(({}, {"published": True}, RESIDENTS)),
        "relations": [{"type": "stores", "asset_id": chance.choice(ids)}],
    }


async def everything(service: Service, token: str) -> dict[str, Any]:
    """The whole list, in pages of seven."""
    found: dict[str, Any] = {}
    after = ""
    while True:
        answer = await shown(service, token, f"/v1/classifications?limit=7{after}", until=lambda _: True)
        page = answer.json()
        for item in page["items"]:
            reasons = {name: without_none(one) for name, one in item["explanations"].items()}
            found[item["asset_id"]] = (item["levels"], reasons, item["in_force"])
        if page["next"] is None:
            return found
        after = f"&after={page['next']}"


def without_none(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {name: without_none(one) for name, one in value.items() if one is not None}


async def test_a_list_is_narrowed(service: Service, issuer: tuple[str, IssuerFolder]) -> None:
    office = issuer[1].token(SECURITY_OFFICE)
    whole = await narrowed(service, office, "")
    narrowings = {
        "body=fire": lambda one: one["body"] == "fire",
        "kind=system": lambda one: one["kind"] == "system",
        "zone=lgwan": lambda one: one["zone"] == "lgwan",
        "obligation=H-07": lambda one: "H-07" in one["in_force"],
        "min_confidentiality=3C": lambda one: one["levels"]["confidentiality"] in ("3C", "3B", "3A"),
        "min_integrity=2&body=fire": lambda one: one["levels"]["integrity"] == "2" and one["body"] == "fire",
        "min_availability=1": lambda _: True,
    }
    for query, wanted in narrowings.items():
        expected = [one for one in whole if wanted(one)]
        assert expected, query
        assert await narrowed(service, office, query) == expected, query


async def narrowed(service: Service, token: str, query: str) -> list[Any]:
    answer = await shown(service, token, f"/v1/classifications?limit=500&{query}", until=lambda _: True)
    return answer.json()["items"]


async def test_who_may_not_read_is_refused(service: Service, issuer: tuple[str, IssuerFolder]) -> None:
    feeder = issuer[1].token("feed-cmdb")
    for path in (
        "classifications",
        f"classifications/{END}",
        f"classifications/{END}/obligations",
        "standard",
        "summary",
    ):
        answer = await shown(service, feeder, f"/v1/{path}", until=lambda _: True)
        assert answer.status_code == 403, path
        assert answer.headers["content-type"] == "application/problem+json"
        assert str(END) not in answer.text


async def test_a_standard_that_withdraws_a_duty_lifts_it_under_its_name(
    stack: Stack, service: Service, tmp_path: Path
) -> None:
    later = Path(shutil.copytree(BASE.parent, tmp_path / "later")) / "base"
    human = later / "obligations" / "human.yaml"
    head, *duties = human.read_text(encoding="utf-8").split("\n- id: ")
    human.write_text("\n- id: ".join([head, *(one for one in duties if not one.startswith("H-07"))]), encoding="utf-8")
    key, _ = event(END, 1, body="fire", network="mayor")
    try:
        service.stop()
        service.start(DAICHO_STANDARD=str(later))
        lifted = await last_of(stack, OBLIGATIONS.name, key, 2)
        assert [duty["id"] for duty in lifted["data"]["lifted"]] == ["H-07"]
        assert lifted["data"]["lifted"][0]["title"]["ja"] == "アクセス権の見直し"
    finally:
        service.stop()
        service.start()

    imposed = await last_of(stack, OBLIGATIONS.name, key, 3)
    assert [duty["id"] for duty in imposed["data"]["imposed"]] == ["H-07"]
    third = await find(stack, "reader", CONTROL.name, lambda _, found: found["revision"] == 3, partitions=1)
    assert third["data"]["digest"] == Settings.model_construct(standard=BASE).read_standard().digest


async def test_migrations_and_models_agree(stack: Stack, service: Service) -> None:
    await assert_no_drift(Base.metadata, stack.postgres_dsn(owner_of("classification"), "classification"))


async def test_an_override_binds_once_approved_and_falls_back_by_the_clock_also_while_the_service_is_away(
    stack: Stack, service: Service, producer: AIOKafkaProducer, issuer: tuple[str, IssuerFolder]
) -> None:
    asset_id = "00000000-0000-4000-8000-00000000000f"
    key, value = event(asset_id, 1, facts=RESIDENTS)
    await producer.send_and_wait(ASSETS.name, key=key, value=value)
    body, office = issuer[1].token("body-waterworks"), issuer[1].token(SECURITY_OFFICE)
    await shown(service, body, f"/v1/classifications/{asset_id}", until=lambda one: one.status_code == 200)
    expires_at = datetime.now(UTC) + timedelta(seconds=10)
    wanted = {
        "dimension": "confidentiality",
        "level": "2",
        "reason": "公開済みの抜粋",
        "expires_at": expires_at.isoformat(),
    }

    asked = await sent(service, body, f"/v1/classifications/{asset_id}/overrides", wanted)
    place = asked.headers["Location"]
    refused = await sent(service, body, f"{place}/approve", {}, {"If-Match": asked.headers["ETag"]})
    approved = await sent(service, office, f"{place}/approve", {}, {"If-Match": asked.headers["ETag"]})

    assert (asked.status_code, refused.status_code, approved.status_code) == (201, 403, 200), approved.text
    lowered = await last_of(stack, CLASSIFICATIONS.name, key, 2)
    explanation = lowered["data"]["explanations"]["confidentiality"]
    assert (explanation["level"], explanation["origin"], explanation["derived"]) == ("2", "override", "3B")
    assert explanation["override"]["override_id"] == asked.json()["override_id"]
    assert explanation["override"]["approved_by"] == approved.json()["decided_by"]
    service.kill()
    assert datetime.now(UTC) < expires_at, "it was too slow to see"
    await asyncio.sleep((expires_at - datetime.now(UTC)).total_seconds())
    service.start()

    again = await last_of(stack, CLASSIFICATIONS.name, key, 3)
    assert again["data"]["after"]["confidentiality"] == "3B"
    assert again["data"]["explanations"]["confidentiality"]["origin"] == "derived"
    ended = await find(stack, "reader", CONTROL.name, lambda _, one: one["id"].endswith(":3") and is_override(one), 1)
    assert (ended["subject"], ended["data"]["state"]) == (asked.json()["override_id"], "expired")
    found = await shown(service, body, place, until=lambda one: one.json()["state"] == "expired")
    assert found.json()["asked_by"] != found.json()["decided_by"]


def is_override(found: dict[str, Any]) -> bool:
    return found["type"] == "daicho.override.changed.v1"


async def sent(
    service: Service, token: str, path: str, content: Any, headers: dict[str, str] | None = None
) -> httpx.Response:
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {token}"} | (headers or {})) as client:
        return await client.post(service.url + path, json=content)


MANY = [f"00000000-0000-4000-8000-2{number:011d}" for number in range(4000)]


async def test_an_activated_standard_is_applied_while_changes_go_on_and_after_a_kill_in_the_middle(
    stack: Stack, service: Service, producer: AIOKafkaProducer, issuer: tuple[str, IssuerFolder]
) -> None:
    """`MANY` are told anew by the new standard, for another rule gives them the same level; each of them once."""
    place = {"body": "election", "network": "mayor"}
    for asset_id in MANY:
        key, value = event(asset_id, 1, **place, facts=RESIDENTS)
        await producer.send(ASSETS.name, key=key, value=value)
    await producer.flush()
    await last_of(stack, CLASSIFICATIONS.name, key, 1)
    mayor, office = issuer[1].token("body-mayor"), issuer[1].token(SECURITY_OFFICE)
    files = {one.relative_to(BASE).as_posix(): one.read_text(encoding="utf-8") for one in BASE.rglob("*.yaml")}
    files["standard.yaml"] = files["standard.yaml"].replace('"2026.1"', '"2026.2"')
    files["rules.yaml"] = files["rules.yaml"].replace("CR-11", "CR-98")
    published = await sent(service, mayor, "/v1/standards", {"files": files})
    assert published.status_code == 201, published.text

    answer = await sent(service, office, "/v1/standards/base/2026.2/activation", None, {"If-Match": '"0"'})
    assert answer.status_code == 202, answer.text
    changed, value = event(MANY[0], 2, **place, facts=RESIDENTS, status="retired")
    await producer.send_and_wait(ASSETS.name, key=changed, value=value)
    await find(stack, "reader", CLASSIFICATIONS.name, lambda _, one: one["standardversion"] == "base/2026.2")
    service.kill()
    later, value = event(MANY[1], 2, **place, facts={**RESIDENTS, "location": "書庫"})
    await producer.send_and_wait(ASSETS.name, key=later, value=value)
    service.start()

    await shown(service, office, "/v1/standards/base/2026.2", until=lambda one: one.json()["state"] == "active")
    assert (await last_of(stack, CLASSIFICATIONS.name, later, 2))["standardversion"] == "base/2026.2"
    last = await last_events(stack, CLASSIFICATIONS.name, "election")
    rules = {asset_id: one["data"]["explanations"]["confidentiality"]["rule"] for asset_id, one in last.items()
             if one["data"]["after"]}  # fmt: skip
    assert rules == dict.fromkeys(MANY[1:], "CR-98")
    assert {last[asset_id]["revision"] for asset_id in MANY[1:]} == {2}
    assert last[MANY[0]]["data"]["after"] is None
    text = await find(stack, "reader", CONTROL.name, lambda _, one: one.get("standardversion") == "base/2026.2", 1)
    assert text["type"] == "daicho.standard.activated.v1"
    text = await find(stack, "reader", CONTROL.name, is_text_of_the_second, 1)
    assert text["data"]["digest"] == published.json()["digest"]
    standard = await shown(service, mayor, "/v1/standard", until=lambda _: True)
    assert standard.json()["digest"] == published.json()["digest"]

    seen = await shown(service, office, "/v1/standards/base/2026.1", until=lambda _: True)
    assert (seen.json()["state"], seen.headers["ETag"]) == ("superseded", '"1"')
    back = await sent(service, office, "/v1/standards/base/2026.1/activation", None, {"If-Match": '"1"'})
    assert back.status_code == 202, back.text
    await shown(service, office, "/v1/standards/base/2026.1", until=lambda one: one.json()["state"] == "active")
    again = (await last_events(stack, CLASSIFICATIONS.name, "election"))[MANY[2]]
    assert (again["revision"], again["data"]["explanations"]["confidentiality"]["rule"]) == (3, "CR-11")


def is_text_of_the_second(_: ConsumerRecord, one: dict[str, Any]) -> bool:
    return one["type"] == "daicho.standard.published.v1" and one["data"]["version"] == "2026.2"
