# SPDX-License-Identifier: Apache-2.0
"""From changes of assets to changes of levels and obligations: what to publish, and what to keep silent about. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, NamedTuple, TypeAlias, TypeVar

from pydantic_core import to_json

from libs.contracts import (
    Asset,
    AssetChanged,
    AssetStatus,
    ClassificationChanged,
    Dimension,
    DutyRef,
    Explanation,
    FindingChanged,
    FindingState,
    Inherited,
    Levels,
    ObligationsChanged,
    OverrideChange,
    OverrideChanged,
    make_key,
    source_urn,
)
from libs.contracts.envelope import CONTENT_TYPE
from libs.contracts.topics import CLASSIFICATIONS, FINDINGS, OBLIGATIONS
from libs.standards import NetworkGraph, OverridesInForce, Place, Standard, StandardsInForce, Verdict
from libs.standards.overrides import edits_of

SERVICE: Final = "classification"
Clock: TypeAlias = Callable[[], datetime]
Duties: TypeAlias = tuple[str, ...]
Reasons: TypeAlias = tuple[tuple[str | None, ...], ...]
Ways: TypeAlias = tuple[tuple[str, tuple[str, ...]] | None, ...]

_REMEMBERED: Final = 10_000
"""Pieces of JSON kept, of a few kilobytes; a city has some hundreds of distinct cases. Above it the memory is emptied."""

PIECE: Final = 500
"""Assets to which a new standard is applied before changes have their turn again."""

KeyT = TypeVar("KeyT")


class _Kind(NamedTuple):
    """A kind of event: its topic, its `type`, and what tells its ids from the other's of the same revision."""

    topic: str
    type: str
    suffix: str


_LEVELS: Final = _Kind(CLASSIFICATIONS.name, ClassificationChanged.model_fields["type"].default, "c")
_DUTIES: Final = _Kind(OBLIGATIONS.name, ObligationsChanged.model_fields["type"].default, "o")
_FINDING: Final = _Kind(FINDINGS.name, FindingChanged.model_fields["type"].default, "f")


class Message(NamedTuple):
    """An event as it goes to the bus."""

    topic: str
    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]


@dataclass(slots=True)
class Published:
    """What the last events under a key said. `levels` None: retired."""

    revision: int = 0
    levels: Levels | None = None
    reasons: Reasons = ()
    in_force: Duties = ()


class Finding(NamedTuple):
    """What the last event said of one obligation of an asset."""

    revision: int
    state: FindingState
    duty: DutyRef


class Turned(NamedTuple):
    """How far a network is on its way to another standard, in assets; where all three are the same, it is there."""

    evaluated: int
    told: int
    total: int


class Classifier:
    """The networks of one partition: their graphs, and what was published of each asset.

    State is per key, not per asset: an asset that moves to another body is lifted under its old key and begins anew under the other.
    `withdrawn` tells of duties that only earlier standards knew, for where they are lifted.
    """

    def __init__(
        self,
        standards: StandardsInForce,
        municipality: str,
        clock: Clock,
        withdrawn: Mapping[str, DutyRef] | None = None,
    ) -> None:
        self._standards = standards.on(clock())
        self._turn = self._standards.next_change()
        self._municipality = municipality
        self._clock = clock
        self._withdrawn = withdrawn or {}
        self._overrides = OverridesInForce()
        self._networks: dict[str, _Network] = {}
        self._turning: dict[str, _Turning] = {}
        self._over: dict[str, Turned] = {}
        self._published: dict[bytes, Published] = {}
        self._findings: dict[bytes, dict[str, Finding]] = {}
        self._seen: dict[bytes, int] = {}

    def recall_levels(self, key: bytes, event: ClassificationChanged) -> None:
        """Take over what an own event of an earlier life said; later events come later."""
        last = self._published.setdefault(key, Published())
        last.revision = max(last.revision, event.revision or 0)
        last.levels, last.reasons = event.data.after, _reasons(event.data.explanations)

    def recall_obligations(self, key: bytes, event: ObligationsChanged) -> None:
        """As `recall_levels`."""
        last = self._published.setdefault(key, Published())
        last.revision = max(last.revision, event.revision or 0)
        last.in_force = event.data.in_force

    def recall_finding(self, event: FindingChanged) -> None:
        """As `recall_levels`."""
        change = event.data
        key = make_key(event.network or "", event.body or "", change.asset.asset_id)
        finding = Finding(event.revision or 0, change.after, change.obligation)
        self._findings.setdefault(key, {})[change.obligation.id] = finding

    def learn(self, event: OverrideChanged) -> None:
        """Take note of an override; what it changes is `due`."""
        self._overrides.learn(event.network or "", event.body or "", event.data)

    def activate(self, standards: StandardsInForce) -> None:
        """Put other standards in the place of those that hold; what that changes is `due`, in pieces.

        Where another is still being applied, it gives way: the network is evaluated anew by the newest, and compared with what was told.
        """
        now = self._clock()
        self._begin(now)
        before, self._standards = self._standards, standards.on(now)
        self._turn = self._standards.next_change()
        gone = {duty.id: duty.duty_ref() for standard in before for duty in standard.document.obligations}
        self._withdrawn = {**self._withdrawn, **gone}
        for name, here in self._networks.items():
            if name in self._turning or here.graph.standard.digest != self._standards.of(name).digest:
                self._turning[name] = _Turning(here, self._new_network(name))
                self._over.pop(name, None)

    @property
    def turned(self) -> Mapping[str, Turned]:
        """By network, how far it is on its way to the last standard that has come to hold there since the beginning."""
        return self._over | {name: turning.counts for name, turning in self._turning.items()}

    def take(self, events: Iterable[AssetChanged]) -> list[Message]:
        """Evaluate a batch once and return the events of what it changed. Revisions seen before are passed over."""
        told = self.due()
        changes: dict[str, _Changes] = {}
        for event in events:
            asset, revision = event.data.after, event.revision or 0
            key = make_key(asset.network, asset.body, asset.asset_id)
            if revision <= self._seen.get(key, 0):
                continue
            self._seen[key] = revision
            change = changes.setdefault(asset.network, _Changes())
            change.causes[key] = event
            if self._network(asset.network).is_news(asset.asset_id, revision):
                change.latest[asset.asset_id] = asset
        time = to_json(self._clock())
        return told + [
            message for network, change in changes.items() for message in self._evaluate(network, change, time)
        ]

    @property
    def pending(self) -> bool:
        """Whether a standard that has begun to hold is still being applied: then `due` is to be asked again soon."""
        return bool(self._turning)

    def due(self) -> list[Message]:
        """The events of what no asset's change has caused: overrides that begin or cease to hold, and entries of a standard that do.

        A standard that begins to hold is applied to so many assets at a time, so that changes need not wait for it.
        """
        now = self._clock()
        time, changed = to_json(now), self._overrides.changes(now)
        messages = [message for network in self._networks for message in self._overridden(network, changed, time)]
        self._begin(now)
        return messages + list(self._turned(time))

    def _begin(self, now: datetime) -> None:
        """Turn to what entries that begin or cease to hold by now make of the standards."""
        if self._turn is not None and now >= self._turn:
            self._standards = self._standards.on(now)
            self._turn = self._standards.next_change()
            self._turning = {name: _Turning(here, self._new_network(name)) for name, here in self._networks.items()}

    def _turned(self, time: bytes) -> Iterator[Message]:
        """The next piece of what a new standard changes. Nothing is told of a network before all of it is evaluated: levels travel."""
        left = PIECE
        for network, turning in list(self._turning.items()):
            left -= turning.load(left)
            if turning.loaded:
                self._networks[network] = turning.next
                for verdict in turning.verdicts(left):
                    left -= 1
                    key = make_key(network, verdict.asset.body, verdict.asset.asset_id)
                    yield from self._compared(turning.next, key, verdict, None, time)
            if turning.over:
                self._over[network] = turning.counts
                del self._turning[network]
            if left <= 0:
                return

    def _overridden(
        self, network: str, changed: Mapping[Place, OverrideChange | None], time: bytes
    ) -> Iterator[Message]:
        held = [(place, one) for place, one in changed.items() if place.network == network]
        for verdict in self._applied(network, (), held) if held else ():
            key = make_key(network, verdict.asset.body, verdict.asset.asset_id)
            yield from self._compared(self._networks[network], key, verdict, None, time)

    def _applied(
        self, network: str, assets: Sequence[Asset], held: Sequence[tuple[Place, OverrideChange | None]] = ()
    ) -> list[Verdict]:
        """What is found of changes by the standard that holds on a network; one that is to take its place hears of them in silence."""
        if (turning := self._turning.get(network)) is not None and not turning.loaded:
            turning.next.apply(assets, held)
        return self._network(network).apply(assets, held)

    def _evaluate(self, network: str, changes: _Changes, time: bytes) -> Iterator[Message]:
        some_cause = next(iter(changes.causes.values()))
        here = self._network(network)
        for verdict in self._applied(network, list(changes.latest.values())):
            asset = verdict.asset
            key = make_key(network, asset.body, asset.asset_id)
            yield from self._compared(here, key, verdict, changes.causes.get(key, some_cause).traceparent, time)
        for key, event in changes.causes.items():
            if event.data.after.status is AssetStatus.RETIRED:
                # also where the asset has gone on under another body's key, by this batch or before it
                gone = Verdict(event.data.after, None, {}, (), changed=True)
                yield from self._compared(here, key, gone, event.traceparent, time)

    def _compared(
        self, here: _Network, key: bytes, verdict: Verdict, traceparent: str | None, time: bytes
    ) -> list[Message]:
        """The events of a verdict that differs from what was published last; none where it says the same."""
        scribe, last = here.scribe, self._published.get(key) or Published()
        reasons = _reasons(verdict.explanations)
        # every level has its reason, which names it
        levels_differ = last.reasons != reasons
        duties_differ = last.in_force != verdict.obligations
        findings = self._found(here, key, verdict, traceparent, time)
        if not levels_differ and not duties_differ:
            return findings
        now = Published(last.revision + 1, verdict.levels, reasons, verdict.obligations)
        self._published[key] = now
        event = _Event(verdict, last, now, self._seen.get(key, 0), traceparent, time)
        messages = [scribe.levels(key, event)] if levels_differ else []
        if duties_differ:
            messages.append(scribe.obligations(key, event))
        return messages + findings

    def _found(
        self, here: _Network, key: bytes, verdict: Verdict, traceparent: str | None, time: bytes
    ) -> list[Message]:
        """The events of findings that differ from those published last. An obligation nothing was told of counts as unknown."""
        asset, known = verdict.asset, self._findings.get(key)
        found = here.graph.standard.findings(verdict.obligations, asset.kind, asset.zone, asset.facts)
        if known is None and all(state is FindingState.UNKNOWN for _, state in found):
            return []
        known, now = self._findings.setdefault(key, {}), dict(found)
        messages = []
        for duty_id in sorted(known.keys() | now.keys()):
            was, state = known.get(duty_id), now.get(duty_id, FindingState.LIFTED)
            if state is (was.state if was else FindingState.UNKNOWN):
                continue
            duty = was.duty if was and state is FindingState.LIFTED else here.graph.standard.duty_ref(duty_id)
            known[duty_id] = Finding(was.revision + 1 if was else 1, state, duty)
            told = _Told(verdict, was, known[duty_id], self._seen.get(key, 0), traceparent, time)
            messages.append(here.scribe.finding(key, told))
        return messages

    def _network(self, network: str) -> _Network:
        if network not in self._networks:
            self._networks[network] = self._new_network(network)
        return self._networks[network]

    def _new_network(self, network: str) -> _Network:
        standard = self._standards.of(network)
        new = _Network(NetworkGraph(standard), Scribe(standard, self._municipality, self._withdrawn))
        new.apply((), self._overrides.of(network).items())
        return new


@dataclass(slots=True)
class _Network:
    """A graph, who writes down what it finds, and the highest revision of each asset that it has taken.

    Order is kept per key only: what was parked under the key that an asset had before it moved comes after the move.
    """

    graph: NetworkGraph
    scribe: Scribe
    newest: dict[str, int] = field(default_factory=dict)

    def apply(self, assets: Sequence[Asset], held: Iterable[tuple[Place, OverrideChange | None]] = ()) -> list[Verdict]:
        """See `NetworkGraph.apply`."""
        return self.graph.apply(assets, edits_of(self.graph.standard, held))

    def is_news(self, asset_id: str, revision: int) -> bool:
        """Whether the graph is to take this revision; from then on no lower one."""
        if revision <= self.newest.get(asset_id, 0):
            return False
        self.newest[asset_id] = revision
        return True


class _Turning:
    """A network on its way from one standard to the next: first all its assets are evaluated anew, in silence, then each is compared."""

    def __init__(self, was: _Network, following: _Network) -> None:
        self.next = following
        following.newest = was.newest
        self._was = was.graph
        self._waiting = was.graph.ids()
        self._total = len(self._waiting)
        self._telling: list[str] | None = None

    @property
    def loaded(self) -> bool:
        return self._telling is not None

    @property
    def over(self) -> bool:
        return self._telling == []

    @property
    def counts(self) -> Turned:
        """`total` is of the assets at the beginning, and of those that there are when all are evaluated."""
        told = self._total - len(self._telling) if self._telling is not None else 0
        return Turned(self._total - len(self._waiting), told, self._total)

    def load(self, most: int) -> int:
        """Evaluate some that are not yet, as the network has them by now; returns how many."""
        if self._telling is not None:
            return 0
        piece, self._waiting = self._waiting[-most:], self._waiting[:-most]
        assets = (self._was.asset(asset_id) for asset_id in piece if self.next.graph.asset(asset_id) is None)
        self.next.apply([asset for asset in assets if asset is not None])
        if not self._waiting:
            self._telling = self.next.graph.ids()
            self._total = len(self._telling)
        return len(piece)

    def verdicts(self, most: int) -> Iterator[Verdict]:
        """Of some that have not been told of since; none of what has gone meanwhile, which was told then."""
        telling = self._telling or []
        for _ in range(min(most, len(telling))):
            if (verdict := self.next.graph.verdict(telling.pop())) is not None:
                yield verdict


@dataclass(slots=True)
class _Changes:
    """Of one network: the last state of each asset, and the last event under each key."""

    latest: dict[str, Asset] = field(default_factory=dict)
    causes: dict[bytes, AssetChanged] = field(default_factory=dict)


class _Event(NamedTuple):
    """`time` is JSON already."""

    verdict: Verdict
    before: Published
    now: Published
    asset_revision: int
    traceparent: str | None
    time: bytes


class _Told(NamedTuple):
    """As `_Event`, of one finding."""

    verdict: Verdict
    before: Finding | None
    now: Finding
    asset_revision: int
    traceparent: str | None
    time: bytes


class _Common(NamedTuple):
    """What all events of a kind say that come from one body: attributes as members of a JSON object, and headers."""

    attributes: bytes
    headers: list[tuple[str, bytes]]


class Scribe:
    """Writes events down as JSON by itself, for the models take several times as long; a test holds it to them.

    What it fills in unescaped are numbers, and a traceparent, in which nothing is to escape.
    """

    def __init__(self, standard: Standard, municipality: str, withdrawn: Mapping[str, DutyRef]) -> None:
        self._version = standard.version
        duties = standard.published().duties
        known = {**withdrawn, **{duty.id: standard.duty_ref(duty.id) for duty in duties}}
        self._imposed = {duty.id: to_json(duty, exclude_none=True) for duty in duties}
        self._lifted = {duty_id: to_json(ref) for duty_id, ref in known.items()}
        self._municipality = municipality
        self._common: dict[tuple[_Kind, str, str], _Common] = {}
        self._explained: dict[tuple[Reasons, Ways], bytes] = {}
        self._changed: dict[tuple[Duties, Duties], bytes] = {}
        self._levels: dict[Levels | None, bytes] = {None: b"null"}

    def levels(self, key: bytes, event: _Event) -> Message:
        data = b'"before":%b,"after":%b,"explanations":%b' % (
            self._level_json(event.before.levels),
            self._level_json(event.now.levels),
            self._explanations(event),
        )
        return self._message(_LEVELS, key, event, data)

    def obligations(self, key: bytes, event: _Event) -> Message:
        changed = (event.before.in_force, event.now.in_force)
        if (known := self._changed.get(changed)) is None:
            known = _remember(self._changed, changed, self._duties(*changed))
        return self._message(_DUTIES, key, event, b'"levels":%b,%b' % (self._level_json(event.now.levels), known))

    def finding(self, key: bytes, event: _Told) -> Message:
        subject = f"{event.verdict.asset.asset_id}/{event.now.duty.id}"
        data = b'"obligation":%b,"before":%b,"after":%b' % (
            to_json(event.now.duty),
            to_json(event.before and event.before.state),
            to_json(event.now.state),
        )
        return self._message(_FINDING, b"%b/%b" % (key, event.now.duty.id.encode()), event, data, subject)

    def _message(self, kind: _Kind, key: bytes, event: _Event | _Told, data: bytes, subject: str = "") -> Message:
        """`subject` where it is not the asset."""
        asset, revision = event.verdict.asset, event.now.revision
        subject = subject or asset.asset_id
        event_id = f"{subject}:{revision}:{kind.suffix}"
        common = self._common_of(kind, asset.body, asset.network)
        headers = [
            *common.headers,
            ("ce_id", event_id.encode()),
            ("ce_subject", subject.encode()),
            ("ce_revision", b"%d" % revision),
        ]
        trace = b""
        if event.traceparent is not None:
            told = event.traceparent.encode()
            headers.append(("ce_traceparent", told))
            trace = b'"traceparent":"%b",' % told
        value = b'{%b,"id":%b,"subject":%b,"time":%b,"revision":%d,%b"data":{"asset":%b,"asset_revision":%d,%b}}' % (
            common.attributes,
            to_json(event_id),
            to_json(subject),
            event.time,
            revision,
            trace,
            to_json(_ref(asset)),
            event.asset_revision,
            data,
        )
        return Message(kind.topic, key, value, headers)

    def _common_of(self, kind: _Kind, body: str, network: str) -> _Common:
        if (known := self._common.get((kind, body, network))) is None:
            known = self._common[kind, body, network] = self._make_common(kind, body, network)
        return known

    def _make_common(self, kind: _Kind, body: str, network: str) -> _Common:
        told = {
            "specversion": "1.0",
            "type": kind.type,
            "source": source_urn(self._municipality, body, SERVICE),
            "body": body,
            "network": network,
            "standardversion": self._version,
        }
        headers = [
            ("content-type", CONTENT_TYPE.encode()),
            *((f"ce_{name}", value.encode()) for name, value in told.items()),
        ]
        return _Common(to_json({**told, "datacontenttype": "application/json"})[1:-1], headers)

    def _level_json(self, levels: Levels | None) -> bytes:
        if (known := self._levels.get(levels)) is None:
            known = self._levels[levels] = to_json(levels)
        return known

    def _explanations(self, event: _Event) -> bytes:
        """With the ways that levels came by, the reasons say it all, and few assets have reasons of their own."""
        explanations, reasons = event.verdict.explanations, event.now.reasons
        ways = tuple([_way(one.inherited_from) for one in explanations.values()])
        if (known := self._explained.get((reasons, ways))) is None:
            known = _remember(self._explained, (reasons, ways), to_json(explanations, exclude_none=True))
        return known

    def _duties(self, before: Duties, now: Duties) -> bytes:
        """A lifted duty of which no standard is left that knows it has no text: that it is gone is seen by what is in force."""
        imposed = [self._imposed[one] for one in now if one not in before]
        lifted = [self._lifted[one] for one in before if one not in now and one in self._lifted]
        return b'"in_force":%b,"imposed":[%b],"lifted":[%b]' % (to_json(now), b",".join(imposed), b",".join(lifted))


def _ref(asset: Asset) -> dict[str, str]:
    ref: dict[str, str] = {"asset_id": asset.asset_id, "name": asset.name, "kind": asset.kind}
    if asset.zone is not None:
        ref["zone"] = asset.zone
    if asset.section is not None:
        ref["section"] = asset.section
    return ref


def _reasons(explanations: Mapping[Dimension, Explanation]) -> Reasons:
    """What of the explanations, which are in the order of `Dimension`, counts as a change: the levels with their origins, rules and overrides, and from which asset or body they came.

    The way from there does not: where it leads elsewhere and the origin stays, all that hang on it would be told.
    """
    return tuple([_reason(one) for one in explanations.values()])


def _reason(one: Explanation) -> tuple[str | None, ...]:
    source = one.inherited_from
    came_from = (None, None) if source is None else (source.body, source.asset_id)
    override = None if one.override is None else one.override.override_id
    return (one.level, one.origin, one.rule, override, one.declared, one.derived, *came_from)


def _way(source: Inherited | None) -> tuple[str, tuple[str, ...]] | None:
    return None if source is None else (source.relation, source.path)


def _remember(memory: dict[KeyT, bytes], key: KeyT, found: bytes) -> bytes:
    if len(memory) >= _REMEMBERED:
        memory.clear()
    memory[key] = found
    return found
