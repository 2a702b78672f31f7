# SPDX-License-Identifier: Apache-2.0
"""The doors of a CMDB of one's own, from the samples to the assets' topic, through the service as it runs."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from libs.bus import apply_topics, parked_letters
from libs.bus.consuming import partitions_of
from libs.contracts import AssetChanged, Reason, asset_id
from libs.contracts.topics import ASSETS, source_topics
from libs.devstack import Stack
from libs.security.clients import SECURITY_OFFICE, IssuerFolder
from services.inventory.debezium import group_of
from services.inventory.doors.ndjson import LONGEST_LINE
from tests.integration.service import PROFILE, Service, account, environment_of, running_issuer

SAMPLES = Path(__file__).parents[3] / "samples"
TOPIC = "aohama.public.equipment"
NOT_MADE = "aohama.public.vehicles"
LETTERS = "/v1/dead-letters"


@pytest.fixture(scope="module")
def profile_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The city's profile with the feeds of the samples added; one names a topic, too, that its connector has not made yet."""
    folder = tmp_path_factory.mktemp("profile")
    profile = yaml.safe_load(PROFILE.read_text(encoding="utf-8"))
    for feed in yaml.safe_load((SAMPLES / "cmdb/feeds.yaml").read_text(encoding="utf-8")):
        if "mapping" in feed:
            shutil.copy(PROFILE.parent / feed["mapping"], folder)
            feed["mapping"] = Path(feed["mapping"]).name
        if "topics" in feed:
            feed["topics"].append(NOT_MADE)
        profile["feeds"].append(feed)
    file = folder / "profile.yaml"
    file.write_text(yaml.safe_dump(profile, allow_unicode=True), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def issuer(profile_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[IssuerFolder]:
    with running_issuer(tmp_path_factory.mktemp("issuer"), profile_file) as folder:
        yield folder


@pytest.fixture(scope="module")
async def service(
    stack: Stack, issuer: IssuerFolder, owner_dsn: str, profile_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Service]:
    await apply_topics(account(stack, "admin"), foreign=source_topics([TOPIC, NOT_MADE]))
    admin = AIOKafkaAdminClient(**account(stack, "admin").client())
    await admin.start()
    try:
        await admin.create_topics([NewTopic(TOPIC, num_partitions=2, replication_factor=1)])
    finally:
        await admin.close()
    environment = environment_of(stack, "inventory", issuer.url) | {"DAICHO_PROFILE": str(profile_file)}
    running = Service("inventory", environment, tmp_path_factory.mktemp("logs") / "inventory.log")
    await asyncio.to_thread(running.start)
    yield running
    assert await asyncio.to_thread(running.stop) == 0


@pytest.fixture(scope="module")
async def post(service: Service, issuer: IssuerFolder) -> AsyncIterator[Callable[..., Awaitable[httpx.Response]]]:
    """Send to a door of a feed, as that feed."""
    async with httpx.AsyncClient(base_url=f"{service.url}/v1/feeds", timeout=20) as client:

        async def sent(feed: str, door: str, content: bytes, media: str = "application/json") -> httpx.Response:
            headers = {
                "Authorization": f"Bearer {issuer.token(f'feed-{feed}')}",
                "Content-Type": media,
                "Accept-Language": "en",
            }
            return await client.post(f"/{feed}/{door}", content=content, headers=headers)

        yield sent


@pytest.fixture(scope="module")
async def last(stack: Stack) -> AsyncIterator[Callable[..., Awaitable[AssetChanged]]]:
    """The last event of an asset, once it is as asked."""
    consumer = AIOKafkaConsumer(
        **account(stack, "reader").client(), isolation_level="read_committed", auto_offset_reset="earliest"
    )
    seen: dict[str, AssetChanged] = {}

    async def of(feed: str, source_key: str, so: Callable[[AssetChanged], bool] = lambda _: True) -> AssetChanged:
        wanted = asset_id("990019", feed, source_key)
        async with asyncio.timeout(30):
            while not (wanted in seen and so(seen[wanted])):
                event = AssetChanged.model_validate_json((await consumer.getone()).value)
                seen[event.subject or ""] = event
        return seen[wanted]

    async with consumer:
        consumer.assign([TopicPartition(ASSETS.name, number) for number in await partitions_of(consumer, ASSETS.name)])
        yield of


Post = Callable[..., Awaitable[httpx.Response]]
Last = Callable[..., Awaitable[AssetChanged]]


async def test_an_inventory_becomes_a_machine_and_its_virtual_machines(post: Post, last: Last) -> None:
    answer = await post("glpi", "glpi", (SAMPLES / "glpi/inventory.json").read_bytes())

    assert answer.status_code == 202, answer.text
    assert (len(answer.json()["receipts"]), answer.json()["passed_over"]) == (3, 1)
    machine = (await last("glpi", "aoh-pc-0113-2026-01-15-09-12-44")).data.after
    assert (machine.name, machine.facts["serial"], machine.facts["encrypted"]) == (
        "aoh-pc-0113",
        "ADR640-000113",
        True,
    )
    virtual = (await last("glpi", "vm:3f0c64d2-7a11-4d0a-9b5e-6d1d5a0e0001")).data.after
    assert [(one.type, str(one.asset_id)) for one in virtual.relations] == [
        ("runs_on", asset_id("990019", "glpi", "aoh-pc-0113-2026-01-15-09-12-44"))
    ]


async def test_an_inventory_of_a_body_that_is_not_the_feeds_is_refused(post: Post) -> None:
    content = (SAMPLES / "glpi/switch.json").read_bytes().replace(b'"mayor"', b'"hospital"')
    answer = await post("glpi", "glpi", content)

    assert answer.status_code == 422
    assert [one["field"] for one in answer.json()["errors"]] == ["/tag"]


async def test_records_are_read_by_the_feeds_mapping(post: Post, last: Last) -> None:
    answer = await post("facilities", "records", (SAMPLES / "cmdb/facilities.json").read_bytes())

    assert answer.status_code == 202, answer.text
    assert (len(answer.json()["receipts"]), answer.json()["passed_over"]) == (2, 1)
    facility = (await last("facilities", "F-12")).data.after
    assert (facility.kind, facility.name, facility.section) == ("facility", "本庁舎 電算室", "情報政策課")
    assert facility.facts == {"location": "本庁舎 3階", "locked_storage": True}


class TestLines:
    def line(self, source_key: str, **fields: Any) -> bytes:
        item = {"body": "mayor", "feed": "cmdb", "source_key": source_key, "source_version": 1, **fields}
        return json.dumps(item, ensure_ascii=False).encode()

    async def test_good_lines_are_taken_and_bad_ones_told_by_their_numbers(self, post: Post, last: Last) -> None:
        lines = [
            self.line("N-1", name="一"),
            b"",
            b'{"body": ',
            self.line("N-2", zone="moon"),
            self.line("N-3", body="hospital"),
            self.line("N-4", section="x" * LONGEST_LINE),
            self.line("N-5", name="五"),
        ]
        answer = await post("cmdb", "items", b"\r\n".join(lines), "application/x-ndjson")

        assert (answer.status_code, answer.headers["content-type"]) == (202, "application/x-ndjson")
        answers = [json.loads(line) for line in answer.text.splitlines()]
        assert [(one["line"], "receipt" in one) for one in answers] == [
            (1, True),
            (3, False),
            (4, False),
            (5, False),
            (6, False),
            (7, True),
        ]
        assert [one["errors"][0]["field"] for one in answers[1:5]] == ["", "/zone", "/body", ""]
        assert (await last("cmdb", "N-5")).data.after.name == "五"

    async def test_more_than_one_delivery_of_lines_is_taken_at_once(self, post: Post) -> None:
        count = 2_500
        content = b"\n".join(self.line(f"N-M-{number}", section="課" * 250) for number in range(count))
        answer = await post("cmdb", "items", content, "application/x-ndjson")

        assert answer.status_code == 202
        assert len(content) > 1024 * 1024
        answers = [json.loads(line) for line in answer.text.splitlines()]
        assert [one["line"] for one in answers] == list(range(1, count + 1))
        assert len({one["receipt"]["id"] for one in answers}) == count

    async def test_nothing_but_bad_lines_is_an_invalid_request(self, post: Post) -> None:
        answer = await post("cmdb", "items", b"x\ny\n", "application/x-ndjson")
        assert (answer.status_code, len(answer.text.splitlines())) == (422, 2)


@pytest.fixture(scope="module")
async def write(stack: Stack, service: Service) -> AsyncIterator[Callable[..., Awaitable[None]]]:
    """As a connector would, by the account of sources: a row's changes are in one partition."""
    async with AIOKafkaProducer(**account(stack, "feed").client()) as producer:

        async def written(key: Mapping[str, Any], value: bytes | None) -> None:
            await producer.send_and_wait(TOPIC, key=json.dumps(key).encode(), value=value)

        yield written


class TestDebezium:
    """One after the other: the sample, then what cannot be read among what can."""

    def change(self, number: int) -> dict[str, Any]:
        lines = (SAMPLES / "cmdb/changes.ndjson").read_text(encoding="utf-8").splitlines()
        record: dict[str, Any] = json.loads(lines[number])
        return record

    async def test_the_changes_of_a_table_become_revisions(self, write: Any, last: Last) -> None:
        for number in range(10):
            record = self.change(number)
            value = record["value"]
            await write(record["key"], None if value is None else json.dumps(value, ensure_ascii=False).encode())

        server = (await last("equipment-db", "EQ-001", lambda event: event.revision == 2)).data.after
        assert (server.name, server.facts["record_count"], server.declared.confidentiality) == (
            "住民情報サーバ",
            48650,
            "3B",
        )
        base = await last("equipment-db", "EQ-002", lambda event: event.data.after.zone == "mynumber")
        assert base.data.change.source_version == 24023520
        for gone in ("EQ-004", "EQ-005"):
            await last("equipment-db", gone, lambda event: event.data.after.status == "retired")

    async def test_what_cannot_be_read_is_a_dead_letter_and_the_rest_goes_on(
        self, write: Any, last: Last, stack: Stack, service: Service, issuer: IssuerFolder, profile_file: Path
    ) -> None:
        good = self.change(3)["value"]
        truncate = {**good, "op": "t", "after": None}
        stranger = {**good, "after": {**good["after"], "id": 91, "asset_no": "EQ-091", "dept": "99"}}
        fresh = {**good, "after": {**good["after"], "id": 92, "asset_no": "EQ-092"}}
        await write({"id": 90}, b'{"op": ')
        await write({"id": 90}, json.dumps(truncate).encode())
        await write({"id": 91}, json.dumps(stranger).encode())
        await write({"id": 92}, json.dumps(fresh).encode())

        await last("equipment-db", "EQ-092")
        async with asyncio.timeout(20):
            while len(found := await parked_letters(account(stack, "admin"), consumer=group_of(TOPIC))) < 3:
                await asyncio.sleep(0.1)
        told = {(letter.letter.reason, letter.letter.field) for letter in found}
        assert told == {
            (Reason.NOT_JSON, None),
            (Reason.SCHEMA, "op"),
            (Reason.SCHEMA, "after.dept"),
        }

        # a person sees them among the others
        headers = {"Authorization": f"Bearer {issuer.token(SECURITY_OFFICE)}"}
        async with httpx.AsyncClient(base_url=service.url, headers=headers) as office:
            async with asyncio.timeout(20):
                while (
                    len(items := (await office.get(LETTERS, params={"consumer": group_of(TOPIC)})).json()["items"]) < 3
                ):
                    await asyncio.sleep(0.1)
            assert {one["topic"] for one in items} == {TOPIC}
            letters = {one["field"]: f"{LETTERS}/{one['id']}" for one in items}
            await self._decided_on(office, last, letters)

            mapping = profile_file.with_name("equipment.yaml")
            mended = mapping.read_text(encoding="utf-8").replace('"05": agriculture', '"05": agriculture, "99": mayor')
            mapping.write_text(mended, encoding="utf-8")
            service.stop()
            await asyncio.to_thread(service.start)
            released = await office.post(f"{letters['after.dept']}/release", json={"note": "対応表を直した"})
            assert (released.status_code, released.json()) == (202, {"records": 1})
            assert (await last("equipment-db", "EQ-091")).data.after.body == "mayor"

    async def _decided_on(self, office: httpx.AsyncClient, last: Last, letters: Mapping[str | None, str]) -> None:
        """A person corrects one, gives one up, and is told that the third cannot be read yet; none goes back to the source's topic."""
        item = {"body": "mayor", "feed": "equipment-db", "source_key": "EQ-090", "source_version": 1, "name": "訂正"}
        corrected = await office.post(f"{letters[None]}/correct", json={"item": item, "note": "手入力"})
        assert (corrected.status_code, corrected.json()) == (202, {"records": 1})
        assert (await last("equipment-db", "EQ-090")).data.after.name == "訂正"
        given_up = await office.post(f"{letters['op']}/discard", json={"note": "対象外"})
        assert (given_up.status_code, given_up.json()) == (202, {"records": 0})
        still = await office.post(f"{letters['after.dept']}/release", json={})
        assert (still.status_code, [one["field"] for one in still.json()["errors"]]) == (422, ["/after/dept"])
        async with asyncio.timeout(20):
            while (await office.get(letters["op"])).json()["state"] != "discarded":
                await asyncio.sleep(0.05)
        assert [(await office.get(letters[one])).json()["state"] for one in (None, "after.dept")] == [
            "corrected",
            "parked",
        ]
