# SPDX-License-Identifier: Apache-2.0
"""One partition's handler between its topics: what it takes, puts aside, and rebuilds from the log."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiokafka import ConsumerRecord
from pydantic_core import to_json

from libs.bus import KafkaSettings, Output, PartitionDeadLetters, Rejected, Subscription
from libs.bus.decoding import failed
from libs.contracts import (
    AssetChanged,
    ClassificationChanged,
    Dimension,
    ObligationsChanged,
    OverrideChanged,
    Profile,
    Reason,
    kafka_headers,
    make_key,
)
from libs.contracts.topics import ASSETS, CLASSIFICATIONS, CONTROL, DEADLETTERS, OBLIGATIONS
from libs.observability import Metrics
from libs.standards import Standard, StandardsInForce
from services.classification.domain import AssetSeen
from services.classification.reading import AssetReader
from services.classification.worker import GROUP, AssetHandler

NOW = datetime(2026, 4, 1, tzinfo=UTC)
PROFILE = Profile.model_validate(yaml.safe_load(Path("samples/city/profile.yaml").read_text(encoding="utf-8")))
RESIDENTS = {"data_kinds": ["resident"], "personal_data": True, "record_count": 91234}


class Log:
    """The topics of one partition, in memory; `run` handles what is new as `libs.bus.PartitionTask` does."""

    partition = 0

    def __init__(self, standard: Standard) -> None:
        self._standard = standard
        self.committed = 0
        self.topics: dict[str, list[ConsumerRecord]] = {}
        self.parked: dict[bytes, datetime] = {}
        self.heard: list[OverrideChanged] = []
        self.handler = self._new_handler()

    async def read(
        self, topic: str, *, until_committed: bool = False, partition: int | None = None
    ) -> AsyncIterator[Sequence[ConsumerRecord]]:
        assert partition in (None, self.partition)
        records = self.topics.get(topic, [])
        # a copy: what is told meanwhile is not read
        yield records[: self.committed] if until_committed else list(records)

    def append(self, output: Output) -> None:
        log = self.topics.setdefault(output.topic, [])
        log.append(
            ConsumerRecord(
                output.topic, 0, len(log), 0, 0, output.key, output.value, None, -1, -1, tuple(output.headers)
            )
        )

    def send(self, *events: AssetChanged) -> None:
        for event in events:
            after = event.data.after
            key = make_key(after.network, after.body, after.asset_id)
            self.append(Output(ASSETS.name, key, event.model_dump_json().encode()))

    def run(self) -> list[Output]:
        """Handle and commit everything that is new."""
        records = self.topics[ASSETS.name][self.committed :]
        letters = PartitionDeadLetters(subscription(), self.parked)
        outputs = [one for piece in letters.admit(records) for one in self.handler.handle(piece, letters)]
        self._commit(letters, outputs)
        return outputs

    def put_aside(self) -> None:
        """What the task does with a record on which the handler fails."""
        letters = PartitionDeadLetters(subscription(), self.parked)
        letters.reject(self.topics[ASSETS.name][self.committed], failed(ArithmeticError()))
        self._commit(letters, [])

    async def restart(self) -> Sequence[Output]:
        self.handler = self._new_handler()
        missing = [*await self.handler.restore(self)]
        while self.handler.pending:
            missing += self.handler.due()
        for output in missing:
            self.append(output)
        return missing

    def in_force(self, asset_id: str) -> tuple[str, ...]:
        """As the last event has it."""
        (*_, last) = (one for one in self.topics[OBLIGATIONS.name] if (one.key or b"").endswith(asset_id.encode()))
        return ObligationsChanged.model_validate_json(last.value or b"").data.in_force

    def letters(self) -> list[bytes]:
        return [dict(one.headers)["ce_subject"] for one in self.topics.get(DEADLETTERS.name, ())]

    def _commit(self, letters: PartitionDeadLetters, outputs: Sequence[Output]) -> None:
        for output in (*outputs, *letters.outputs()):
            self.append(output)
        letters.settle(self.parked)
        self.committed = len(self.topics[ASSETS.name])

    def _new_handler(self) -> AssetHandler:
        return AssetHandler(StandardsInForce(self._standard), PROFILE, lambda: NOW, self.heard)


def subscription() -> Subscription:
    return Subscription(
        settings=KafkaSettings(bootstrap="127.0.0.1:1"),
        group=GROUP,
        topic=ASSETS.name,
        service="classification",
        municipality="990019",
        instance="one",
        metrics=Metrics(),
        clock=lambda: NOW,
    )


@pytest.fixture
def log(standard: Standard) -> Log:
    return Log(standard)


async def test_a_new_life_publishes_nothing_again(log: Log, changed: Callable[..., AssetChanged]) -> None:
    log.send(changed("roll", facts=RESIDENTS), changed("system", kind="system", relations=[("stores", "roll")]))
    assert {one.topic for one in log.run()} == {CLASSIFICATIONS.name, OBLIGATIONS.name}

    assert await log.restart() == []

    log.send(changed("roll", retired=True))
    assert {one.key for one in log.run()} == {b"mayor/mayor/roll", b"mayor/mayor/system"}


@pytest.mark.parametrize(
    ("change", "reason", "field"),
    [
        ({"revision": None}, Reason.SCHEMA, "revision"),
        ({"revision": 0}, Reason.SCHEMA, "revision"),
        ({"type": "daicho.asset.changed.v2"}, Reason.UNKNOWN_VERSION, "type"),
        ({"data": {"before": None, "change": {}}}, Reason.SCHEMA, "data.after"),
    ],
)
def test_what_cannot_be_read_is_put_aside_and_the_rest_goes_on(
    log: Log, changed: Callable[..., AssetChanged], change: dict[str, Any], reason: Reason, field: str
) -> None:
    bad = changed("bad").model_dump(mode="json") | change
    log.append(Output(ASSETS.name, b"mayor/mayor/bad", to_json(bad)))
    log.send(changed("bad"), changed("good", facts=RESIDENTS))

    outputs = log.run()

    assert {one.key for one in outputs} == {b"mayor/mayor/good"}
    told = [one.value or b"" for one in log.topics[DEADLETTERS.name]]
    assert reason.value.encode() in told[0]
    assert b'"field":"%b"' % field.encode() in told[0]
    assert Reason.KEY_PARKED.value.encode() in told[1]


def test_a_key_that_is_not_the_assets_is_refused(log: Log, changed: Callable[..., AssetChanged]) -> None:
    value = changed("roll", body="election").model_dump_json().encode()
    log.append(Output(ASSETS.name, b"mayor/mayor/roll", value))

    assert log.run() == []
    assert log.letters() == [b"daicho.assets.v1/0/0"]


async def test_what_was_put_aside_stays_aside_after_a_restart(log: Log, changed: Callable[..., AssetChanged]) -> None:
    log.send(changed("roll", facts=RESIDENTS))
    log.run()
    before = log.in_force("roll")
    log.append(Output(ASSETS.name, b"mayor/mayor/roll", b"{"))
    log.send(changed("roll", facts={"published": True}))
    log.run()
    assert log.letters() == [b"daicho.assets.v1/0/1", b"daicho.assets.v1/0/2"]

    assert await log.restart() == []
    assert log.in_force("roll") == before


async def test_a_record_that_fails_the_program_fails_it_once(
    log: Log, changed: Callable[..., AssetChanged], monkeypatch: pytest.MonkeyPatch
) -> None:
    read = AssetReader.read

    def failing(reader: AssetReader, record: ConsumerRecord) -> AssetSeen:
        if record.key == b"mayor/mayor/poison":
            raise ArithmeticError
        return read(reader, record)

    monkeypatch.setattr(AssetReader, "read", failing)
    log.send(changed("poison"))
    with pytest.raises(ArithmeticError):
        log.run()
    await log.restart()
    log.put_aside()

    assert await log.restart() == []
    log.send(changed("roll", facts=RESIDENTS))
    assert {one.key for one in log.run()} == {b"mayor/mayor/roll"}


async def test_what_a_person_gave_up_does_not_come_back(log: Log, changed: Callable[..., AssetChanged]) -> None:
    log.send(changed("roll", facts=RESIDENTS))
    log.run()
    value = changed("roll", retired=True).model_dump_json().encode()
    log.append(Output(ASSETS.name, b"mayor/mayor/roll", value, [("daicho-release-discard", b"1")]))
    log.committed = 2

    assert await log.restart() == []


def test_rejected_is_told_without_values(log: Log, changed: Callable[..., AssetChanged]) -> None:
    secret = changed("roll", name="山田太郎").model_dump(mode="json") | {"revision": "山田太郎"}
    record = ConsumerRecord(ASSETS.name, 0, 0, 0, 0, b"mayor/mayor/roll", to_json(secret), None, -1, -1, ())
    letters = PartitionDeadLetters(subscription(), {})

    assert log.handler.handle([record], letters) == []
    (letter,) = letters.letters
    assert isinstance(letter.rejected, Rejected)
    assert "山田" not in str(letter.rejected)


def override(asset_id: str, level: str, revision: int = 2, state: str = "approved") -> OverrideChanged:
    return OverrideChanged.model_validate({
        "id": f"lowered:{revision}", "source": "urn:daicho:990019:mayor:classification", "subject": "lowered",
        "time": NOW, "body": "mayor", "network": "mayor", "revision": revision,
        "data": {
            "override_id": "lowered", "asset_id": asset_id, "dimension": "confidentiality", "level": level,
            "reason": "公開した抜粋だけを残した", "asked_by": "asker", "asked_at": NOW, "state": state,
            "decided_by": "officer", "decided_at": NOW, "expires_at": NOW + timedelta(days=30), "revision": revision,
        },
    })  # fmt: skip


def confidentiality(outputs: Sequence[Output]) -> list[tuple[str, str]]:
    events = [
        ClassificationChanged.model_validate_json(one.value or b"")
        for one in outputs
        if one.topic == CLASSIFICATIONS.name
    ]
    explanations = [event.data.explanations[Dimension.CONFIDENTIALITY] for event in events]
    return [(explanation.origin, explanation.level) for explanation in explanations]


async def test_an_override_heard_of_changes_the_level_and_its_end_changes_it_back(
    log: Log, changed: Callable[..., AssetChanged]
) -> None:
    log.send(changed("roll", facts=RESIDENTS))
    log.run()

    log.heard.append(override("roll", "2"))
    assert confidentiality(log.handler.due()) == [("override", "2")]
    assert log.handler.due() == []
    log.heard.append(override("roll", "2", 3, "withdrawn"))
    assert confidentiality(log.handler.due()) == [("derived", "3B")]


async def test_an_override_that_is_on_the_log_holds_in_a_new_life_and_one_told_twice_once(
    log: Log, changed: Callable[..., AssetChanged]
) -> None:
    log.send(changed("roll", facts=RESIDENTS))
    log.run()
    event = override("roll", "2")
    log.append(Output(CONTROL.name, b"mayor/override", event.model_dump_json().encode(), kafka_headers(event)))
    log.append(Output(CONTROL.name, b"mayor/override", b"{", kafka_headers(event)))
    log.append(Output(CONTROL.name, b"-/standard", b"{", [("ce_type", b"daicho.standard.published.v1")]))
    log.heard.append(event)

    assert confidentiality(await log.restart()) == [("override", "2")]
    assert log.handler.due() == []
    assert await log.restart() == []


async def test_a_level_that_the_standard_does_not_have_is_not_imposed(
    log: Log, changed: Callable[..., AssetChanged]
) -> None:
    log.send(changed("roll", facts=RESIDENTS))
    log.run()

    log.heard.append(override("roll", "9Z"))

    assert log.handler.due() == []
