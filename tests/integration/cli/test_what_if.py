# SPDX-License-Identifier: Apache-2.0
"""What-if on a real Kafka: what of the register is read, who may see it, and that nothing is written to a topic."""

from __future__ import annotations

import asyncio
import csv
import json
import shutil
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from typer.testing import Result

from cli.instance import Instance
from cli.kafka import account
from cli.standard_folders import BASE
from libs.bus import NetworkPartitioner
from libs.contracts import AssetChanged, asset_id, make_key
from libs.contracts.topics import ASSETS, TOPICS

SECRET = {"personal_data": True}


def asset(body: str, name: str, revision: int = 1, *, status: str = "active", **facts: Any) -> AssetChanged:
    known = asset_id("990019", "cmdb", name)
    network = "waterworks" if body == "waterworks" else "mayor"
    after = {"asset_id": known, "body": body, "network": network, "kind": "information", "name": name, "facts": facts}
    return AssetChanged(
        id=f"{known}-{revision}",
        source=f"urn:daicho:990019:{body}:inventory",
        subject=known,
        time=datetime(2026, 11, 1, 9, tzinfo=UTC),
        body=body,
        network=network,
        revision=revision,
        data={"before": None, "after": {**after, "status": status}, "change": {"feed": "cmdb"}},
    )


async def _produce(instance: Instance, events: Sequence[AssetChanged], *, commit: bool) -> None:
    producer = AIOKafkaProducer(
        **account(instance.data, "admin").client(),
        transactional_id="what-if",
        partitioner=NetworkPartitioner(),
        linger_ms=0,
    )
    async with producer:
        await producer.begin_transaction()
        for event in events:
            key = make_key(event.network, event.body, event.subject)
            await producer.send_and_wait(ASSETS.name, event.model_dump_json().encode(), key)
        await (producer.commit_transaction() if commit else producer.abort_transaction())


async def _ends(instance: Instance) -> dict[TopicPartition, int]:
    async with AIOKafkaConsumer(**account(instance.data, "admin").client()) as consumer:
        cluster = await consumer._client.fetch_all_metadata()
        places = [
            TopicPartition(topic.name, partition)
            for topic in TOPICS
            for partition in cluster.partitions_for_topic(topic.name) or ()
        ]
        return dict(await consumer.end_offsets(places))


@pytest.fixture(scope="module")
def register(instance: Instance) -> None:
    asyncio.run(_produce(instance, [asset("fire", "取り消された台帳", **SECRET)], commit=False))
    events = [
        asset("mayor", "住民記録", **SECRET),
        asset("mayor", "入力委託の台帳", outsourced=True),
        asset("fire", "隊員名簿", **SECRET),
        asset("fire", "広報", 1, **SECRET),
        asset("fire", "広報", 2, published=True),
        asset("waterworks", "料金台帳", **SECRET),
        asset("waterworks", "廃止した台帳", 1, **SECRET),
        asset("waterworks", "廃止した台帳", 2, status="retired", **SECRET),
    ]
    asyncio.run(_produce(instance, events, commit=True))


@pytest.fixture
def candidate(tmp_path: Path) -> Path:
    """The base standard, but personal data raises no level."""
    folder = tmp_path / "candidate"
    shutil.copytree(BASE, folder)
    rules = folder / "rules.yaml"
    text = rules.read_text(encoding="utf-8")
    assert "personal_data" in text
    rules.write_text(text.replace("personal_data", "published"), encoding="utf-8")
    return folder


@pytest.mark.usefixtures("register")
class TestWhatIf:
    def test_it_compares_the_last_committed_state_of_every_body_and_publishes_nothing(
        self, daicho: Callable[..., Result], instance: Instance, candidate: Path, tmp_path: Path
    ) -> None:
        before = asyncio.run(_ends(instance))
        files = [tmp_path / name for name in ("out.json", "out.csv", "out.html")]
        options = [
            word
            for option, file in zip(("--json", "--csv", "--html"), files, strict=True)
            for word in (option, str(file))
        ]
        shown = daicho("what-if", str(candidate), *options)
        assert shown.exit_code == 0, shown.output
        assert "情報資産5件" in shown.stdout
        assert "何も公表していません" in shown.stdout

        document = json.loads(files[0].read_text(encoding="utf-8"))
        assert {one["body"]: one["assets"] for one in document["bodies"]} == {"fire": 2, "mayor": 2, "waterworks": 1}
        names = {one["name"] for one in document["differences"]}
        assert {"住民記録", "隊員名簿", "料金台帳"} <= names
        assert files[1].read_bytes().startswith(b"\xef\xbb\xbf")
        assert {row[1] for row in csv.reader(files[1].read_text(encoding="utf-8-sig").splitlines())} == {
            "情報資産",
            *names,
        }
        assert "隊員名簿" in files[2].read_text(encoding="utf-8")
        assert asyncio.run(_ends(instance)) == before

    def test_a_body_sees_nothing_of_another(
        self, daicho: Callable[..., Result], candidate: Path, tmp_path: Path
    ) -> None:
        files = [tmp_path / name for name in ("out.json", "out.csv", "out.html")]
        shown = daicho(
            "what-if", str(candidate), "--body", "fire", "--json", str(files[0]), "--csv", str(files[1]), "--html", str(files[2])
        )  # fmt: skip
        assert shown.exit_code == 0, shown.output
        told = shown.output + "".join(file.read_text(encoding="utf-8") for file in files)
        assert "隊員名簿" in told
        for hidden in ("住民記録", "料金台帳", "mayor/", "waterworks"):
            assert hidden not in told

    def test_a_day_to_come_shows_what_begins_to_hold_on_it(self, daicho: Callable[..., Result], tmp_path: Path) -> None:
        file = tmp_path / "out.json"
        shown = daicho("what-if", "--on", "2027-07-01", "--json", str(file))
        assert shown.exit_code == 0, shown.output
        differences = json.loads(file.read_text(encoding="utf-8"))["differences"]
        assert [(one["name"], one["imposed"], one["lifted"]) for one in differences] == [
            ("入力委託の台帳", ["X-29"], [])
        ]

    def test_candidate_facts_alone(self, daicho: Callable[..., Result], tmp_path: Path) -> None:
        facts = tmp_path / "facts.yaml"
        facts.write_text(f"{asset_id('990019', 'cmdb', '隊員名簿')}: {{personal_data: null}}", encoding="utf-8")
        shown = daicho("what-if", "--facts", str(facts), "--body", "fire")
        assert shown.exit_code == 0, shown.output
        assert "情報資産2件のうち1件" in shown.stdout

    def test_an_asset_of_another_body_is_as_one_that_is_not_there(
        self, daicho: Callable[..., Result], tmp_path: Path
    ) -> None:
        facts = tmp_path / "facts.yaml"
        other = asset_id("990019", "cmdb", "住民記録")
        facts.write_text(f"{other}: {{personal_data: null}}", encoding="utf-8")
        shown = daicho("what-if", "--facts", str(facts), "--body", "fire")
        assert shown.exit_code == 2
        assert f"情報資産 {other} は台帳にありません" in shown.stderr

    @pytest.mark.parametrize(
        ("arguments", "code", "sentence"),
        [
            (["--body", "fire", "--as", "body-mayor"], 1, "body-mayor には fire の情報を閲覧する"),
            (["--as", "body-mayor"], 1, "の情報を閲覧する権限がありません"),
            (["--body", "castle"], 2, "行政機関 castle は登録されていません"),
        ],
    )
    def test_who_may_not_read_sees_nothing(
        self, daicho: Callable[..., Result], arguments: list[str], code: int, sentence: str
    ) -> None:
        shown = daicho("what-if", str(BASE), *arguments)
        assert shown.exit_code == code
        assert sentence in shown.stderr
        assert shown.stdout == ""
