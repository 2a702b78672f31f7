# SPDX-License-Identifier: Apache-2.0
"""Commands on a real Kafka and a real issuer."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from base64 import b64encode
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from cli.instance import Instance
from libs.bus import NetworkPartitioner
from libs.contracts import CloudEvent, DeadLettered, ObligationsChanged, asset_id, kafka_headers, make_key
from libs.contracts.topics import DEADLETTERS, FEED, OBLIGATIONS, TOPICS
from libs.contracts.words import Contract

NOW = datetime(2026, 11, 1, 9, tzinfo=UTC)
CONSUMER = Path(__file__).parents[3] / "examples" / "consumer.py"
TITLE = {"ja": "電磁的記録媒体の暗号化", "en": "Encrypt media"}
DUTY = {"id": "d", "part": "technical", "audience": "staff", "title": TITLE}
WHOLE_DUTY = {**DUTY, "action": TITLE, "evidence": TITLE, "basis": {"source": "s"}}
LEVELS = {"confidentiality": "3A", "integrity": "2", "availability": "2"}
AT_REST = {"levels": LEVELS, "in_force": ["d"], "imposed": [WHOLE_DUTY], "lifted": []}


def obligations(body: str, name: str, revision: int = 1, **change: Any) -> tuple[bytes, ObligationsChanged]:
    key = asset_id("990019", "cmdb", name)
    network = "mayor" if body == "fire" else body
    event = ObligationsChanged(
        id=f"{key}-{revision}",
        source=f"urn:daicho:990019:{body}:classification",
        subject=key,
        time=NOW + timedelta(seconds=revision),
        body=body,
        network=network,
        revision=revision,
        data={
            "asset": {"asset_id": key, "name": name, "kind": "system"},
            "asset_revision": revision,
            **AT_REST,
            **change,
        },
    )
    return make_key(network, body, key), event


async def _produce(
    instance: Instance, topic: str, messages: Sequence[tuple[bytes, CloudEvent[Contract]]], *, commit: bool
) -> None:
    producer = AIOKafkaProducer(
        **client(instance, "admin"), transactional_id="test", partitioner=NetworkPartitioner(), linger_ms=0
    )
    await producer.start()
    try:
        await producer.begin_transaction()
        for key, event in messages:
            await producer.send_and_wait(topic, event.model_dump_json().encode(), key, headers=kafka_headers(event))
        await (producer.commit_transaction() if commit else producer.abort_transaction())
    finally:
        await producer.stop()


def produce(instance: Instance, topic: str, *messages: tuple[bytes, CloudEvent[Contract]], commit: bool = True) -> None:
    asyncio.run(_produce(instance, topic, messages, commit=commit))


def client(instance: Instance, account: str) -> dict[str, Any]:
    username, password = instance.stack.kafka_account(account)
    return {
        "bootstrap_servers": instance.stack.kafka_bootstrap,
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": username,
        "sasl_plain_password": password,
    }


@pytest.fixture(scope="module")
def told(instance: Instance) -> None:
    produce(instance, OBLIGATIONS.name, obligations("waterworks", "取り消された資産"), commit=False)
    produce(instance, OBLIGATIONS.name, obligations("mayor", "住民記録"), obligations("fire", "指令システム"))
    produce(
        instance,
        OBLIGATIONS.name,
        obligations("waterworks", "料金システム"),
        obligations("waterworks", "料金システム", 2, levels=None, in_force=[], imposed=[], lifted=[DUTY]),
    )


@pytest.mark.usefixtures("told")
class TestTail:
    def test_it_shows_what_was_committed_for_the_body_and_nothing_of_another(self, daicho):
        shown = daicho("tail", "obligations", "--body", "waterworks", "--once", "2")
        assert shown.exit_code == 0
        for expected in (
            "料金システム",
            "– → 3A/2/2",
            "3A/2/2 → –",
            "+ 電磁的記録媒体の暗号化",
            "- 電磁的記録媒体の暗号化",
        ):
            assert expected in shown.stdout
        for hidden in ("住民記録", "指令システム", "取り消された資産"):
            assert hidden not in shown.stdout

    def test_a_body_on_a_shared_network_sees_its_own_only(self, daicho):
        shown = daicho("tail", "obligations", "--body", "fire", "--once", "1")
        assert "指令システム" in shown.stdout
        assert "住民記録" not in shown.stdout

    def test_the_security_office_may_watch_any_body(self, daicho):
        assert daicho("tail", "obligations", "--body", "fire", "--once", "1", "--as", "security-office").exit_code == 0

    @pytest.mark.parametrize(
        ("arguments", "code", "sentence"),
        [
            (
                ["--body", "waterworks", "--as", "body-mayor"],
                1,
                "クライアント body-mayor には waterworks の情報を閲覧する",
            ),
            (
                ["--body", "waterworks", "--as", "feed-cmdb"],
                1,
                "クライアント feed-cmdb には waterworks の情報を閲覧する",
            ),
            (["--body", "waterworks", "--as", "nobody"], 1, "クライアント nobody は登録されていません"),
            (["--body", "castle"], 2, "行政機関 castle は登録されていません"),
        ],
    )
    def test_who_may_not_read_sees_nothing(self, daicho, arguments, code, sentence):
        shown = daicho("tail", "obligations", *arguments, "--once", "1")
        assert (shown.exit_code, shown.stdout) == (code, "")
        assert sentence in shown.stderr

    def test_the_example_consumer_prints_each_duty_once(self, instance):
        produce(instance, OBLIGATIONS.name, obligations("waterworks", "料金システム"))
        username, password = instance.stack.kafka_account("reader")
        settings = {
            "DAICHO_KAFKA_BOOTSTRAP": instance.stack.kafka_bootstrap,
            "DAICHO_KAFKA_USERNAME": username,
            "DAICHO_KAFKA_PASSWORD": password,
        }
        with subprocess.Popen(
            [sys.executable, str(CONSUMER)], env=os.environ | settings, stdout=subprocess.PIPE, text=True
        ) as consumer:
            try:
                lines = {consumer.stdout.readline().strip() for _ in range(4)}
            finally:
                consumer.kill()
        assert lines == {
            "mayor 住民記録 発生 電磁的記録媒体の暗号化",
            "fire 指令システム 発生 電磁的記録媒体の暗号化",
            "waterworks 料金システム 発生 電磁的記録媒体の暗号化",
            "waterworks 料金システム 解除 電磁的記録媒体の暗号化",
        }


class TestToken:
    def test_it_is_one_line_that_the_issuer_stands_for(self, daicho):
        minted = daicho("token", "body-fire")
        assert minted.exit_code == 0
        assert minted.stdout.count(".") == 2
        assert minted.stdout.count("\n") == 1

    def test_a_file_of_it_is_its_owners_alone(self, daicho, tmp_path):
        file = tmp_path / "token"
        said = daicho("token", "body-fire", "--file", str(file))
        assert str(file) in said.stdout
        assert file.stat().st_mode & 0o777 == 0o600
        assert file.read_text().count(".") == 2
        assert file.read_text().strip() not in said.stdout

    def test_a_place_that_cannot_be_written_is_told(self, daicho, tmp_path):
        said = daicho("token", "body-fire", "--file", str(tmp_path / "none" / "token"))
        assert said.exit_code == 2
        assert "に書き込めません" in said.stderr


class TestAdmin:
    def test_a_second_time_changes_nothing(self, daicho):
        said = daicho("admin", "apply")
        assert said.exit_code == 0
        assert said.stdout.splitlines()[-1].endswith(f"トピック{len(TOPICS)}件とその権限を設定しました。")
        assert len(said.stdout.splitlines()) == 1

    def test_another_number_of_partitions_is_refused_in_one_sentence(self, daicho):
        said = daicho("admin", "apply", "--partitions", "9")
        assert said.exit_code == 1
        assert said.stderr.startswith("トピックを設定できません。")

    def test_a_cluster_that_is_not_there_is_told(self, daicho, monkeypatch):
        monkeypatch.setenv("DAICHO_KAFKA__BOOTSTRAP", "127.0.0.1:1")
        monkeypatch.setattr("libs.bus.admin._WAIT", 1.0)
        said = daicho("admin", "apply")
        assert said.exit_code == 1
        assert "127.0.0.1:1 のKafkaを利用できません" in said.stderr

    def test_half_an_account_is_refused(self, daicho, monkeypatch):
        monkeypatch.setenv("DAICHO_KAFKA__BOOTSTRAP", "127.0.0.1:1")
        monkeypatch.setenv("DAICHO_KAFKA__USERNAME", "admin")
        said = daicho("admin", "apply")
        assert said.exit_code == 2
        assert "DAICHO_KAFKA__" in said.stderr


class TestDeadLetters:
    KEY = make_key("waterworks", "waterworks", "cmdb", "SRV-1")

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def _parked(cls, instance: Instance):
        letters = [
            DeadLettered(
                id=f"inventory:{FEED.name}:0:{offset}",
                source="urn:daicho:990019:waterworks:inventory",
                subject=f"{FEED.name}/0/{offset}",
                time=NOW + timedelta(seconds=offset),
                body="waterworks",
                network="waterworks",
                data={
                    "reason": reason,
                    "field": "data.facts.record_count",
                    "detail": "整数にしてください。",
                    "consumer": "inventory",
                    "topic": FEED.name,
                    "partition": 0,
                    "offset": offset,
                    "key": b64encode(cls.KEY).decode(),
                    "value": b64encode(f"value {offset}".encode()).decode(),
                },
            )
            for offset, reason in enumerate(("schema", "key-parked"))
        ]
        produce(instance, DEADLETTERS.name, *((cls.KEY, letter) for letter in letters))

    def test_they_are_listed_with_the_reason_and_the_field(self, daicho):
        shown = daicho("deadletters", "list", "--direct")
        assert shown.exit_code == 0, shown.stderr
        for expected in (
            "項目の値又は型が様式に合っていません",
            "data.facts.record_count",
            "先行メッセージが保留中",
            "保留中2件",
        ):
            assert expected in shown.stdout
        assert "保留中0件" in daicho("deadletters", "list", "--direct", "--body", "fire").stdout

    @pytest.mark.parametrize("command", [["list"], ["release", KEY.decode()]])
    def test_only_an_operator_may_look_and_release(self, daicho, command):
        refused = daicho("deadletters", *command, "--direct", "--as", "body-waterworks")
        assert (refused.exit_code, refused.stdout) == (1, "")
        assert "運用担当者の権限がありません" in refused.stderr

    def test_a_key_that_is_not_parked_is_told(self, daicho):
        assert "保留中のメッセージはありません" in daicho("deadletters", "release", "--direct", "a/b/c").stderr

    def test_a_released_key_goes_back_in_order(self, daicho, instance):
        released = daicho("deadletters", "release", "--direct", self.KEY.decode())
        assert (released.exit_code, "メッセージ2件を元のトピックに戻しました" in released.stdout) == (0, True)
        assert asyncio.run(_values(instance, FEED.name, 0, 2)) == [b"value 0", b"value 1"]
        assert "保留中0件" in daicho("deadletters", "list", "--direct").stdout


async def _values(instance: Instance, topic: str, partition: int, count: int) -> list[bytes]:
    consumer = AIOKafkaConsumer(
        **client(instance, "admin"), isolation_level="read_committed", auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        consumer.assign([TopicPartition(topic, partition)])
        return [(await asyncio.wait_for(consumer.getone(), 10)).value for _ in range(count)]
    finally:
        await consumer.stop()


def test_one_folder_has_one_instance(daicho, instance):
    refused = daicho("up", "--profile", str(instance.profile_file))
    assert refused.exit_code == 1
    assert "では既に動いています" in refused.stderr
    assert daicho("token", "body-fire").exit_code == 0


def test_the_state_of_each_part_is_shown(daicho, instance):
    shown = daicho("status")
    assert shown.exit_code == 0
    assert shown.stdout.count("稼働中") == 3
    assert instance.stack.kafka_bootstrap in shown.stdout
    password = instance.stack.kafka_account("reader")[1]
    assert password not in shown.stdout
