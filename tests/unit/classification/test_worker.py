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
    FeedFinding,
    FeedFindingChanged,
    FindingState,
    ObligationsChanged,
    OverrideChanged,
    Profile,
    Reason,
    Text,
    kafka_headers,
    make_key,
)
from libs.contracts.topics import ASSETS, CLASSIFICATIONS, CONTROL, DEADLETTERS, FINDINGS, OBLIGATIONS
from libs.observability import Metrics
from libs.standards import Standard, StandardsInForce, compile_standard
from services.classification import domain
from services.classification.control import InPlace, events_in
from services.classification.domain import AssetSeen
from services.classification.reading import AssetReader
from services.classification.standards.domain import Activated, Activating, base_version
from services.classification.worker import GROUP, AssetHandler, Projector

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
        self.heard: list[OverrideChanged | Activated] = []
        self.activated: dict[str, Activated] = {}
        self.applied: dict[tuple[int, str], InPlace] = {}
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
        shipped = StandardsInForce(self._standard)
        return AssetHandler(shipped, PROFILE, lambda: NOW, self.heard, {}, self.activated, self.applied)


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


async def test_what_is_told_of_feeds_beside_the_findings_of_assets_is_passed_over(
    log: Log, changed: Callable[..., AssetChanged]
) -> None:
    silent = FeedFindingChanged(
        id="1",
        source="urn:daicho:990019:mayor:inventory",
        subject="cmdb/silent",
        time=NOW,
        body="mayor",
        network="mayor",
        revision=1,
        data=FeedFinding(
            feed="cmdb",
            name=Text(ja="構成管理", en="CMDB"),
            every=timedelta(days=1),
            heard_at=None,
            before=None,
            after=FindingState.NOT_MET,
        ),
    )
    key, value = b"mayor/mayor/cmdb/silent", silent.model_dump_json().encode()
    log.append(Output(FINDINGS.name, key, value, kafka_headers(silent)))
    log.send(changed("roll", facts=RESIDENTS))
    log.run()

    assert await log.restart() == []
    letters = PartitionDeadLetters(subscription(), {})
    # there is nothing to show, and so no database to ask
    await Projector(PROFILE).apply_findings(None, log.topics[FINDINGS.name], letters)  # type: ignore[arg-type]
    assert letters.letters == []


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


def renamed(standard: Standard, rule: str, version: str, network: str | None = None, revision: int = 1) -> Activated:
    """The standard with another rule for residents, activated at a place: each of their assets is told, at the same level."""
    rules = (one.model_copy(update={"id": rule}) if one.id == "CR-11" else one for one in standard.document.rules)
    document = standard.document.model_copy(update={"version": version, "rules": tuple(rules)})
    place = "base" if network is None else f"network/{network}"
    return Activated(place, revision, network, compile_standard(document), NOW)


def rules_told(outputs: Sequence[Output]) -> list[str | None]:
    told = [one for one in outputs if one.topic == CLASSIFICATIONS.name]
    events = [ClassificationChanged.model_validate_json(one.value or b"") for one in told]
    return [event.data.explanations[Dimension.CONFIDENTIALITY].rule for event in events]


@pytest.fixture
def pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two assets at a time."""
    monkeypatch.setattr(domain, "PIECE", 2)


@pytest.mark.usefixtures("pieces")
def test_an_activated_standard_is_applied_in_pieces_and_each_tells_how_far_it_is(
    log: Log, standard: Standard, changed: Callable[..., AssetChanged]
) -> None:
    log.send(*(changed(f"roll-{number}", facts=RESIDENTS) for number in range(6)))
    log.run()
    log.heard.append(renamed(standard, "CR-98", "2026.2"))

    told: list[str | None] = []
    steps: list[InPlace] = []
    told += rules_told(log.handler.due())
    while log.handler.pending:
        steps.append(log.applied[0, "base"])
        if len(steps) == 1:
            log.send(changed("roll-late", facts=RESIDENTS))
            assert rules_told(log.run()) == ["CR-11"], "a change does not wait"
        told += rules_told(log.handler.due())

    assert told == ["CR-98"] * 7
    assert [(one.activation, *one.turned) for one in steps] == [
        (1, 2, 0, 6), (1, 7, 0, 7), (1, 7, 2, 7), (1, 7, 4, 7), (1, 7, 6, 7),
    ]  # fmt: skip
    assert log.applied[0, "base"].turned == (7, 7, 7)
    log.send(changed("roll-after", facts=RESIDENTS))
    assert rules_told(log.run()) == ["CR-98"]


@pytest.mark.usefixtures("pieces")
async def test_a_new_life_in_the_middle_tells_the_rest_by_the_newest_and_what_was_heard_before_changes_nothing(
    log: Log, standard: Standard, changed: Callable[..., AssetChanged]
) -> None:
    log.send(*(changed(f"roll-{number}", facts=RESIDENTS) for number in range(4)))
    log.run()
    first, second = (renamed(standard, f"CR-9{number}", f"2026.{number}", revision=number) for number in (1, 2))
    log.heard += [first, second]
    told: list[str | None] = []
    while len(told) < 2:
        outputs = log.handler.due()
        for output in outputs:
            log.append(output)
        told += rules_told(outputs)
    assert told == ["CR-92"] * 2
    log.activated["base"] = second

    rest = await log.restart()

    assert rules_told(rest) == ["CR-92"] * 2
    assert log.handler.due() == []
    assert not log.handler.pending
    assert log.applied[0, "base"] == InPlace(2, (4, 4, 4))
    assert await log.restart() == []


def test_what_is_activated_on_one_network_leaves_the_others_alone(
    log: Log, standard: Standard, changed: Callable[..., AssetChanged]
) -> None:
    mayor = changed("roll", facts=RESIDENTS)
    log.send(mayor, changed("meter", body="waterworks", network="waterworks", facts=RESIDENTS))
    log.run()

    log.heard.append(renamed(standard, "CR-98", "2026.2", "waterworks"))
    outputs = log.handler.due()
    assert ({one.key for one in outputs}, rules_told(outputs)) == ({b"waterworks/waterworks/meter"}, ["CR-98"])
    assert log.applied[0, "network/waterworks"].turned == (1, 1, 1)
    log.heard.append(renamed(standard, "CR-97", "2026.3"))
    assert {one.key for one in log.handler.due()} == {b"mayor/mayor/roll"}
    log.heard.append(renamed(standard, "CR-96", "2026.4", "mayor"))
    assert log.handler.due() == [], "the mayor's network has no standard of its own"
    log.heard.append(renamed(standard, "CR-95", "2026.5", revision=2))
    assert rules_told(log.handler.due()) == ["CR-95"]
    assert log.applied[0, "base"] == InPlace(2, (1, 1, 1))


def test_a_standard_with_other_scales_than_hold_elsewhere_stops_nothing(
    log: Log, standard: Standard, changed: Callable[..., AssetChanged]
) -> None:
    scales = {dimension: levels[-2:] for dimension, levels in standard.document.scales.items()}
    other = compile_standard(standard.document.model_copy(update={"scales": scales, "rules": (), "obligations": ()}))
    log.heard.append(Activated("network/waterworks", 1, "waterworks", other, NOW))

    assert log.handler.due() == []
    log.send(changed("roll", facts=RESIDENTS))
    assert rules_told(log.run()) == ["CR-11"]
    log.heard.append(renamed(standard, "CR-98", "2026.2"))
    assert rules_told(log.handler.due()) == ["CR-98"]


def test_an_activation_is_heard_with_what_it_says_and_one_that_cannot_be_used_is_passed_over(
    standard: Standard,
) -> None:
    version = base_version({}, standard.document)
    log = Log(standard)
    message = Activating(3, version, "officer", NOW).message("990019")
    for value in (message.value, b"{", message.value.replace(b'"rules":', b'"rulez":')):
        log.append(Output(message.topic, message.key, value, message.headers))

    (heard,) = events_in(log.topics[CONTROL.name])

    assert isinstance(heard, Activated)
    assert (heard.place, heard.revision, heard.standard.digest, heard.at) == ("base", 3, standard.digest, NOW)
