# SPDX-License-Identifier: Apache-2.0
"""The events of random changes and overrides in several networks against an evaluation from scratch: nothing missing, nothing said
twice or to another body, and neither messages that come again nor restarts, the log compacted or not, are seen in them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import count, groupby
from typing import Any, NamedTuple
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.contracts import (
    Asset,
    AssetChange,
    AssetChanged,
    AssetStatus,
    Change,
    ClassificationChanged,
    DeclaredLevels,
    Dimension,
    Explanation,
    FindingChanged,
    FindingState,
    ObligationsChanged,
    OverrideChange,
    OverrideChanged,
    OverrideRef,
    OverrideState,
    Relation,
    make_key,
)
from libs.contracts.topics import CLASSIFICATIONS, FINDINGS
from libs.standards import (
    Standard,
    StandardDocument,
    StandardsInForce,
    compile_standard,
    day_of,
)
from services.classification import domain
from services.classification.domain import Message
from services.classification.settings import BASE, Settings
from tests.classifiers import ToldClassifier
from tests.naive import Found, Naive

NETWORK_OF = {"mayor": "city", "election": "city", "waterworks": "water"}
IDS = ("asset-a", "asset-b", "asset-c", "asset-d")
RESIDENTS = {"data_kinds": ["resident"], "personal_data": True}
FACTS: tuple[Mapping[str, Any], ...] = (
    {},
    RESIDENTS,
    # other rules for the same levels, so that at times the reasons change and nothing else does
    {**RESIDENTS, "data_kinds": ["tax"]},
    # two rules for the same level: the first is the reason
    {**RESIDENTS, "data_kinds": ["tax", "resident"]},
    {**RESIDENTS, "location": "書庫"},
    {"published": True},
    # what checks read
    {**RESIDENTS, "encrypted": True},
    {**RESIDENTS, "encrypted": False, "access_restricted": True},
)
RELATIONS = ("stores", "stores", "runs_on", "connects", "redundant_with")
NOW = datetime(2026, 4, 1, tzinfo=UTC)
JAPAN = timedelta(hours=9)


class State(NamedTuple):
    """What a feed says of an asset."""

    body: str
    kind: str
    facts: Mapping[str, Any]
    declared: str | None
    relations: tuple[tuple[str, str], ...]
    retired: bool


@dataclass
class Inventory:
    """Writes what the real one would: revisions that rise per asset, and two events for an asset that changes body."""

    states: dict[str, State] = field(default_factory=dict)
    revisions: dict[str, int] = field(default_factory=dict)
    log: list[AssetChanged] = field(default_factory=list)
    traces: Any = field(default_factory=lambda: count(1))

    def tell(self, asset_id: str, state: State) -> list[AssetChanged]:
        known = self.states.get(asset_id)
        if state == known or (state.retired and (known is None or known.retired)):
            return []
        self.states[asset_id] = state = known._replace(retired=True) if known and state.retired else state
        leaves = known is not None and known.body != state.body and not known.retired
        told = [known._replace(retired=True)] if known and leaves else []
        events = [self._event(asset_id, one) for one in (*told, state)]
        self.log += events
        return events

    def _event(self, asset_id: str, state: State) -> AssetChanged:
        self.revisions[asset_id] = revision = self.revisions.get(asset_id, 0) + 1
        return AssetChanged(
            id=f"{asset_id}:{revision}",
            source=f"urn:daicho:990019:{state.body}:inventory",
            subject=asset_id,
            time=NOW,
            body=state.body,
            network=NETWORK_OF[state.body],
            revision=revision,
            traceparent=f"00-{next(self.traces):032x}-{1:016x}-01",
            data=AssetChange(before=None, after=asset(asset_id, state), change=Change(feed="cmdb")),
        )


class Decision(NamedTuple):
    """That an override holds for so many hours; with none, that the last one under this name no longer does."""

    name: str
    asset_id: str
    body: str
    level: str
    hours: int


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


@dataclass
class Overrides:
    """What was told of them, the last of each; and which of them hold, by trying all."""

    last: dict[str, OverrideChanged] = field(default_factory=dict)
    log: list[OverrideChanged] = field(default_factory=list)
    named: dict[str, OverrideChanged] = field(default_factory=dict)

    def tell(self, decision: Decision, now: datetime) -> list[OverrideChanged]:
        known = self.named.pop(decision.name, None)
        if decision.hours:
            event = self.named[decision.name] = self._approved(decision, now)
        elif known:
            ended = known.data.model_copy(update={"state": OverrideState.WITHDRAWN, "revision": 3})
            event = known.model_copy(update={"id": f"{known.subject}:3", "data": ended})
        else:
            return []
        self.last[event.subject] = event
        self.log.append(event)
        return [event]

    def _approved(self, decision: Decision, now: datetime) -> OverrideChanged:
        name = f"{decision.name}-{len(self.log):04}"
        return OverrideChanged(
            id=f"{name}:2",
            source=f"urn:daicho:990019:{decision.body}:classification",
            subject=name,
            time=now,
            body=decision.body,
            network=NETWORK_OF[decision.body],
            data=OverrideChange(
                override_id=name,
                asset_id=decision.asset_id,
                dimension=Dimension.CONFIDENTIALITY,
                level=decision.level,
                reason="理由",
                asked_by="asker",
                asked_at=NOW,
                state=OverrideState.APPROVED,
                decided_by="approver",
                decided_at=now,
                expires_at=now + timedelta(hours=decision.hours),
                revision=2,
            ),
        )

    def held(self, now: datetime) -> dict[tuple[str, str, Dimension], tuple[str, OverrideRef]]:
        """Those that hold, by trying all: of several on one asset the one that was decided last."""
        held = {}
        for event in sorted(self.last.values(), key=lambda one: (one.data.decided_at, one.subject)):
            override = event.data
            if override.state == "approved" and now < override.expires_at:
                ref = OverrideRef(
                    override_id=override.override_id,
                    reason=override.reason,
                    approved_by="approver",
                    expires_at=override.expires_at,
                )
                held[override.asset_id, event.body or "", override.dimension] = (override.level, ref)
        return held


def asset(asset_id: str, state: State) -> Asset:
    return Asset(
        asset_id=asset_id,
        body=state.body,
        network=NETWORK_OF[state.body],
        kind=state.kind,
        name=f"name of {asset_id}",
        status=AssetStatus.RETIRED if state.retired else AssetStatus.ACTIVE,
        facts=dict(state.facts),
        declared=DeclaredLevels(confidentiality=state.declared),
        relations=tuple(Relation(type=kind, asset_id=target) for kind, target in state.relations),
    )


class Step(NamedTuple):
    """One batch, with the overrides decided before it, after so many hours; `again` events from the end of the log so far come again
    before it, and a restart may precede it.
    """

    hours: int
    overrides: Sequence[Decision]
    told: Sequence[tuple[str, State]]
    again: int
    restart: bool
    compacted: bool


states = st.builds(
    State,
    body=st.sampled_from(("mayor", "mayor", "mayor", "election", "waterworks")),
    kind=st.sampled_from(("information", "system")),
    facts=st.sampled_from(FACTS),
    declared=st.sampled_from((None, None, None, "3A")),
    relations=st.lists(st.tuples(st.sampled_from(RELATIONS), st.sampled_from(IDS)), max_size=3, unique=True).map(tuple),
    retired=st.sampled_from((False, False, False, True)),
)
decisions = st.builds(
    Decision,
    name=st.sampled_from(("override-x", "override-y", "override-z")),
    asset_id=st.sampled_from(IDS),
    body=st.sampled_from(("mayor", "mayor", "election", "waterworks")),
    level=st.sampled_from(("1", "2", "3A")),
    hours=st.sampled_from((0, 1, 2, 24)),
)
steps = st.lists(
    st.builds(
        Step,
        hours=st.sampled_from((0, 0, 1, 3)),
        overrides=st.lists(decisions, max_size=2),
        told=st.lists(st.tuples(st.sampled_from(IDS), states), max_size=5),
        again=st.integers(0, 5),
        restart=st.booleans(),
        compacted=st.booleans(),
    ),
    min_size=1,
    max_size=10,
)


class Last(NamedTuple):
    """What a consumer knows of a key that keeps the last event of either topic."""

    revision: int = 0
    levels: Mapping[str, str] | None = None
    reasons: tuple[Any, ...] = ()
    in_force: tuple[str, ...] = ()


class Heard(NamedTuple):
    """What a consumer knows of a finding."""

    revision: int
    state: FindingState


@dataclass
class Consumer:
    """Keeps the last event of each key of every topic."""

    verdicts: dict[bytes, Last] = field(default_factory=dict)
    findings: dict[bytes, Heard] = field(default_factory=dict)


@pytest.fixture(scope="module")
def standard() -> Standard:
    return Settings.model_construct(standard=BASE).read_standard().on(day_of(NOW))


def new_classifier(standard: Standard, clock: Clock) -> ToldClassifier:
    return ToldClassifier(StandardsInForce(standard), "990019", clock)


@given(steps=steps)
def test_events_tell_exactly_what_an_evaluation_from_scratch_finds(standard: Standard, steps: Sequence[Step]) -> None:
    clock, inventory, overrides = Clock(), Inventory(), Overrides()
    classifier = new_classifier(standard, clock)
    known = Consumer()
    for step in steps:
        clock.now += timedelta(hours=step.hours)
        for event in overrides_of(step, overrides, clock):
            classifier.learn(event)
        again = inventory.log[len(inventory.log) - step.again :]

        check(standard, known, classifier.due(), [], inventory)
        events = [event for asset_id, state in step.told for event in inventory.tell(asset_id, state)]
        check(standard, known, classifier.take_events([*again, *events]), events, inventory)

        check_state(standard, known, inventory, overrides, clock)
        assert classifier.due() == []


@pytest.fixture(scope="module")
def dated() -> Standard:
    """One whose rule for resident records ceases, and whose encryption begins to be asked, a day later."""
    document = Settings.model_construct(standard=BASE).read_standard().document
    tomorrow = day_of(NOW) + timedelta(days=1)
    ends = {"effective_until": tomorrow}
    begins = {"effective_from": tomorrow}
    return compile_standard(
        document.model_copy(
            update={
                "rules": tuple(one.model_copy(update=ends) if one.id == "CR-11" else one for one in document.rules),
                "obligations": tuple(
                    one.model_copy(update=begins) if one.id in ("T-06", "C-13") else one for one in document.obligations
                ),
            }
        )
    )


@given(
    steps=steps, day_after=st.integers(0, 6), piece=st.integers(1, 3), asked=st.lists(st.integers(0, 3), max_size=10)
)
def test_a_standard_that_begins_to_hold_is_applied_piece_by_piece_while_changes_go_on(
    dated: Standard, steps: Sequence[Step], day_after: int, piece: int, asked: Sequence[int]
) -> None:
    clock, inventory, overrides = Clock(), Inventory(), Overrides()
    classifier, known = new_classifier(dated, clock), Consumer()
    with patch.object(domain, "PIECE", piece):
        for number, step in enumerate(steps):
            if number == day_after:
                clock.now += timedelta(days=1)
            for event in overrides_of(step, overrides, clock):
                classifier.learn(event)
            batch = [event for asset_id, state in step.told for event in inventory.tell(asset_id, state)]
            transactions = [classifier.take_events(batch)]
            transactions += [classifier.due() for _ in range(asked[number] if number < len(asked) else 1)]
            for messages in transactions:
                tell_news(dated, known, messages)
            if not classifier.pending:
                tell_news(dated, known, classifier.due())
                check_state(dated.on(day_of(clock.now)), known, inventory, overrides, clock)
        while classifier.pending:
            tell_news(dated, known, classifier.due())
    check_state(dated.on(day_of(clock.now)), known, inventory, overrides, clock)


@pytest.fixture(scope="module")
def variants(standard: Standard) -> Sequence[StandardsInForce]:
    """What may be activated: the standard, one without its rule for resident records and an obligation, and, on one network alone, one
    that has another reason for the same levels.
    """
    whole = standard.document
    less = whole.model_copy(
        update={
            "version": "2026.2",
            "rules": tuple(one for one in whole.rules if one.id != "CR-11"),
            "obligations": tuple(one for one in whole.obligations if one.id not in ("T-06", "C-13")),
        }
    )
    renamed = tuple(one.model_copy(update={"id": "CR-99"}) if one.id == "CR-11" else one for one in whole.rules)
    other = whole.model_copy(update={"name": "own", "rules": renamed})
    every, fewer, own = compile_standard(whole), compile_standard(less), compile_standard(other)
    return (
        StandardsInForce(every),
        StandardsInForce(fewer),
        StandardsInForce(every, {"water": own}),
        StandardsInForce(fewer, {"water": own}),
    )


@given(
    steps=steps,
    activated=st.lists(st.sampled_from((None, None, 0, 1, 2, 3)), max_size=10),
    piece=st.integers(1, 3),
    asked=st.lists(st.integers(0, 2), max_size=10),
)
def test_activated_standards_are_applied_piece_by_piece_while_changes_and_restarts_go_on(
    variants: Sequence[StandardsInForce],
    steps: Sequence[Step],
    activated: Sequence[int | None],
    piece: int,
    asked: Sequence[int],
) -> None:
    every, standards = variants[0].base, variants[0]
    withdrawn = {duty.id: duty.duty_ref() for duty in every.document.obligations}
    clock, inventory, overrides, known = Clock(), Inventory(), Overrides(), Consumer()
    classifier = ToldClassifier(standards, "990019", clock)
    published: list[Message] = []

    def told(messages: Sequence[Message]) -> None:
        tell_news(every, known, messages)
        published.extend(messages)

    with patch.object(domain, "PIECE", piece):
        for number, step in enumerate(steps):
            clock.now += timedelta(hours=step.hours)
            for event in overrides_of(step, overrides, clock):
                classifier.learn(event)
            which = activated[number] if number < len(activated) else None
            if which is not None:
                standards = variants[which]
                classifier.activate(standards)
            if step.restart:
                classifier = ToldClassifier(standards, "990019", clock, withdrawn)
                told(restored(classifier, overrides, inventory.log, published, compacted=step.compacted))
            told(
                classifier.take_events(
                    [one for asset_id, state in step.told for one in inventory.tell(asset_id, state)]
                )
            )
            for _ in range(asked[number] if number < len(asked) else 1):
                told(classifier.due())
            if not classifier.pending:
                told(classifier.due())
                check_state(standards.on(clock.now), known, inventory, overrides, clock)
        while classifier.pending:
            told(classifier.due())
    check_state(standards.on(clock.now), known, inventory, overrides, clock)
    assert all(len(set(turned)) == 1 for turned in classifier.turned.values())
    assert classifier.due() == []


def tell_news(standard: Standard, known: Consumer, messages: Sequence[Message]) -> None:
    """Each step of a key says something else than the one before, also where the two standards meet in one transaction."""
    for _, step in groupby(messages, lambda one: (one.key, dict(one.headers)["ce_revision"])):
        told = list(step)
        before = silent(known.verdicts.get(told[0].key))
        listen(standard, known, told)
        assert told[0].topic == FINDINGS.name or silent(known.verdicts[told[0].key]) != before


def check_state(
    standard: Standard | StandardsInForce, known: Consumer, inventory: Inventory, overrides: Overrides, clock: Clock
) -> None:
    """That what a consumer knows is what an evaluation from scratch finds; of what it was told nothing, nothing is known."""
    standards = standard if isinstance(standard, StandardsInForce) else StandardsInForce(standard)
    found = from_scratch(standards, inventory.states, overrides, clock.now)
    assert {key: silent(last) for key, last in known.verdicts.items() if last.levels} == found
    seen_met = findings_from_scratch(standards, inventory.states, found)
    for key in known.findings.keys() | seen_met.keys():
        nothing = FindingState.LIFTED if key in known.findings else FindingState.UNKNOWN
        told = known.findings[key].state if key in known.findings else FindingState.UNKNOWN
        assert told == seen_met.get(key, nothing), key


def check(
    standard: Standard,
    known: Consumer,
    messages: Sequence[Message],
    causes: Sequence[AssetChanged],
    inventory: Inventory,
) -> None:
    """That the messages of one transaction tell each change once, of its causes, to its own body."""
    before = dict(known.verdicts)
    listen(standard, known, messages)
    for message in messages:
        check_cause(message, causes)
        check_isolation(message, inventory.states)
    assert len({(message.topic, message.key) for message in messages}) == len(messages)
    assert {message.key for message in messages if message.topic != FINDINGS.name} == {
        key for key in known.verdicts if silent(known.verdicts[key]) != silent(before.get(key))
    }


@given(steps=steps)
def test_a_restart_is_not_seen_in_the_events(standard: Standard, steps: Sequence[Step]) -> None:
    clock, inventory, overrides = Clock(), Inventory(), Overrides()
    steady, restarted = new_classifier(standard, clock), new_classifier(standard, clock)
    published: list[Message] = []
    for step in steps:
        if step.restart:
            restarted = new_classifier(standard, clock)
            assert restored(restarted, overrides, inventory.log, published, compacted=step.compacted) == []
        clock.now += timedelta(hours=step.hours)
        for event in overrides_of(step, overrides, clock):
            steady.learn(event)
            restarted.learn(event)
        again = inventory.log[len(inventory.log) - step.again :]
        batch = [*again, *(event for asset_id, state in step.told for event in inventory.tell(asset_id, state))]

        messages = steady.take_events(batch)

        assert restarted.take_events(batch) == messages
        published += messages


@given(steps=steps)
def test_what_was_decided_while_it_was_away_is_told_after_a_restart(standard: Standard, steps: Sequence[Step]) -> None:
    clock, inventory, overrides = Clock(), Inventory(), Overrides()
    known = Consumer()
    published: list[Message] = []
    for step in steps:
        clock.now += timedelta(hours=step.hours)
        overrides_of(step, overrides, clock)
        restarted = new_classifier(standard, clock)

        missing = restored(restarted, overrides, inventory.log, published, compacted=step.compacted)
        told = restarted.take_events([one for asset_id, state in step.told for one in inventory.tell(asset_id, state)])

        for messages in (missing, told):
            listen(standard, known, messages)
            published += messages
        check_state(standard, known, inventory, overrides, clock)


def overrides_of(step: Step, overrides: Overrides, clock: Clock) -> list[OverrideChanged]:
    return [event for decision in step.overrides for event in overrides.tell(decision, clock.now)]


def restored(
    classifier: ToldClassifier,
    overrides: Overrides,
    log: Sequence[AssetChanged],
    published: Sequence[Message],
    *,
    compacted: bool,
) -> list[Message]:
    """What a new life publishes after it has read the topics, whole or as compaction leaves them."""
    for event in overrides.last.values() if compacted else overrides.log:
        classifier.learn(event)
    kept = {(message.topic, message.key): message for message in published} if compacted else enumerate(published)
    classifier.recall(dict(kept).values())
    if compacted:
        last = {(event.body, event.subject): event for event in log}
        log = [event for event in log if last[event.body, event.subject] is event]
    return classifier.begin_again(log)


def listen(standard: Standard, known: Consumer, messages: Sequence[Message]) -> None:
    """What a consumer knows after the messages of one transaction."""
    before = dict(known.verdicts)
    for message in messages:
        if message.topic == FINDINGS.name:
            known.findings[message.key] = heard_finding(standard, known.findings.get(message.key), message)
        else:
            last = known.verdicts.get(message.key, Last())
            revision = before.get(message.key, Last()).revision
            known.verdicts[message.key] = heard(standard, last, revision, message)


def heard_finding(standard: Standard, last: Heard | None, message: Message) -> Heard:
    """A message must say another state than the one before it, and be what its model says."""
    event = FindingChanged.model_validate_json(message.value)
    assert without_none(json.loads(message.value)) == without_none(event.model_dump(mode="json"))
    change, asset_id = event.data, event.data.asset.asset_id
    assert event.subject == f"{asset_id}/{change.obligation.id}"
    assert event.id == f"{event.subject}:{event.revision}:f"
    assert make_key(event.network or "", event.body or "", asset_id, change.obligation.id) == message.key
    assert change.obligation == standard.duty_ref(change.obligation.id)
    assert change.before == (last.state if last else None)
    assert change.after is not (last.state if last else FindingState.UNKNOWN)
    assert event.revision == (last.revision if last else 0) + 1
    return Heard(event.revision, change.after)


def heard(standard: Standard, last: Last, revision: int, message: Message) -> Last:
    """A message must follow from the one before it, whose revision is given, and be what its model says."""
    is_levels = message.topic == CLASSIFICATIONS.name
    model = ClassificationChanged if is_levels else ObligationsChanged
    event = model.model_validate_json(message.value)
    assert without_none(json.loads(message.value)) == without_none(event.model_dump(mode="json"))
    assert event.revision == revision + 1
    assert event.id == f"{event.subject}:{event.revision}:{'c' if is_levels else 'o'}"
    assert make_key(event.network or "", event.body or "", event.subject) == message.key
    if isinstance(event, ClassificationChanged):
        assert (event.data.before.model_dump() if event.data.before else None) == last.levels
        levels = event.data.after.model_dump() if event.data.after else None
        return last._replace(revision=event.revision, levels=levels, reasons=seen(event.data.explanations))
    was, now = set(last.in_force), set(event.data.in_force)
    assert event.data.in_force == tuple(sorted(now))
    assert list(event.data.imposed) == [standard.duty(one) for one in sorted(now - was)]
    assert list(event.data.lifted) == [standard.duty_ref(one) for one in sorted(was - now)]
    return last._replace(revision=event.revision, in_force=event.data.in_force)


def findings_from_scratch(
    standards: StandardsInForce, register: Mapping[str, State], found: Mapping[bytes, tuple[Any, ...]]
) -> dict[bytes, FindingState]:
    """By key, the state of each obligation in force that carries a check."""
    checks = {duty.id: duty.check for one in standards for duty in one.document.obligations if duty.check}
    states = {}
    for asset_id, state in register.items():
        key = make_key(NETWORK_OF[state.body], state.body, asset_id)
        for duty_id in found.get(key, ((), (), ()))[2]:
            # the facts of these tests decide two checks, each by one fact of the same name
            if (check := checks.get(duty_id)) is not None:
                met = state.facts.get(check)
                known = FindingState.MET if met else FindingState.NOT_MET
                states[key + f"/{duty_id}".encode()] = FindingState.UNKNOWN if met is None else known
    return states


def check_cause(message: Message, events: Sequence[AssetChanged]) -> None:
    """The trace is that of the last change of the key in this batch, or else of some change of its network."""
    event = json.loads(message.value)
    key = message.key.rpartition(b"/")[0] if message.topic == FINDINGS.name else message.key
    own = [one for one in events if make_key(one.network or "", one.body or "", one.subject) == key]
    causes = own[-1:] or [one for one in events if one.network == event["network"]]
    assert event.get("traceparent") in ({one.traceparent for one in causes} or {None})
    if own:
        assert event["data"]["asset_revision"] == own[-1].revision


def check_isolation(message: Message, register: Mapping[str, State]) -> None:
    event = json.loads(message.value)
    for asset_id, state in register.items():
        if state.body != event["body"] and asset_id != event["data"]["asset"]["asset_id"]:
            assert asset_id.encode() not in message.value


def from_scratch(
    standards: StandardsInForce, register: Mapping[str, State], overrides: Overrides, now: datetime
) -> dict[bytes, tuple[Any, ...]]:
    """By key, of every asset that is not retired: levels, reasons, obligations."""
    assets = [asset(asset_id, state) for asset_id, state in register.items() if not state.retired]
    held = overrides.held(now)
    evaluated = [
        (network, asset_id, found)
        for network in sorted(set(NETWORK_OF.values()))
        for asset_id, found in naive(standards.of(network).document, now)
        .evaluate([one for one in assets if one.network == network], held)
        .items()
    ]
    return {
        make_key(network, found.body, asset_id): (
            {dimension: one.level for dimension, one in zip(Dimension, found.levels, strict=True)},
            tuple(sorted(seen_of(found, asset_id))),
            found.obligations,
        )
        for network, asset_id, found in evaluated
    }


_NAIVE: dict[tuple[int, date], Naive] = {}


def naive(document: StandardDocument, now: datetime) -> Naive:
    """Of a document on the day that it is in Japan; what it has found of a case it need not find again in another example."""
    day = (now + JAPAN).date()
    return _NAIVE.setdefault((id(document), day), Naive(document, day))


def seen_of(found: Found, asset_id: str) -> Iterator[tuple[Any, ...]]:
    """As `seen` has it."""
    for dimension, one in zip(Dimension, found.levels, strict=True):
        override = one.why.override_id if isinstance(one.why, OverrideRef) else None
        rule = None if override or one.why == "declared" else one.why
        own = one.source == asset_id
        origin = ("override" if override else "derived" if rule else "declared") if own else "inherited"
        source = None if own else (one.foreign, None) if one.foreign else (found.body, one.source)
        yield (dimension, one.level, origin, rule, one.declared, one.derived, override, source)


def silent(last: Last | None) -> tuple[Any, ...]:
    """What an event must be published for when it changes."""
    last = last or Last()
    return (last.levels, last.reasons, last.in_force)


def seen(explanations: Mapping[Any, Explanation]) -> tuple[Any, ...]:
    """What must be right of a reason: the level, where it is from, and the rule."""
    return tuple(
        (
            dimension,
            one.level,
            one.origin,
            one.rule,
            one.declared,
            one.derived,
            one.override and one.override.override_id,
            one.inherited_from and (one.inherited_from.body, one.inherited_from.asset_id),
        )
        for dimension, one in sorted(explanations.items())
    )


def without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: without_none(inner) for name, inner in value.items() if inner is not None}
    return [without_none(inner) for inner in value] if isinstance(value, list) else value
