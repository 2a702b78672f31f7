# SPDX-License-Identifier: Apache-2.0
"""From changes of assets to changes of levels and obligations: what to publish, and what to keep silent about. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, NamedTuple, TypeAlias

from pydantic_core import to_json

from libs.contracts import (
    AssetChanged,
    ClassificationChanged,
    DutyRef,
    FindingChanged,
    FindingState,
    ObligationsChanged,
    OverrideChange,
    OverrideChanged,
    make_key,
    source_urn,
)
from libs.contracts.envelope import CONTENT_TYPE
from libs.contracts.topics import CLASSIFICATIONS, FINDINGS, OBLIGATIONS
from libs.standards import (
    EffectiveLevels,
    GraphAsset,
    NetworkGraph,
    OverridesInForce,
    Place,
    Reasons,
    Standard,
    StandardsInForce,
    Verdict,
)
from libs.standards.overrides import edits_of
from libs.standards.remembering import remember

SERVICE: Final = "classification"
Clock: TypeAlias = Callable[[], datetime]
Duties: TypeAlias = tuple[str, ...]
Findings: TypeAlias = tuple[tuple[str, FindingState], ...]

_REMEMBERED: Final = 10_000
"""Pieces of JSON kept, of a few kilobytes; a city has some hundreds of distinct cases. Above it the memory is emptied."""

PIECE: Final = 300
"""Assets to which a new standard is applied before changes have their turn again."""


class _Kind(NamedTuple):
    """A kind of event: its topic, its `type`, and what tells its ids from the other's of the same revision."""

    topic: str
    type: str
    suffix: bytes


_LEVELS: Final = _Kind(CLASSIFICATIONS.name, ClassificationChanged.model_fields["type"].default, b"c")
_DUTIES: Final = _Kind(OBLIGATIONS.name, ObligationsChanged.model_fields["type"].default, b"o")
_FINDING: Final = _Kind(FINDINGS.name, FindingChanged.model_fields["type"].default, b"f")


class Message(NamedTuple):
    """An event as it goes to the bus."""

    topic: str
    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]


class AssetSeen(NamedTuple):
    """What evaluation needs of an `AssetChanged`: the asset as it is since, and which event said so."""

    asset: GraphAsset
    revision: int
    traceparent: str | None

    @classmethod
    def of(cls, event: AssetChanged) -> AssetSeen:
        return cls(GraphAsset.of(event.data.after), event.revision or 0, event.traceparent)


@dataclass(slots=True)
class Record:
    """What is known of a key: the highest revision `seen` of its asset, and what the last own events said.

    `levels` and `reasons` are None before the first, and where the asset is retired. `found` is what findings were last compared with.
    """

    seen: int = 0
    revision: int = 0
    levels: EffectiveLevels | None = None
    reasons: Reasons | None = None
    in_force: Duties = ()
    found: Findings | None = None


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
        self._records: dict[bytes, Record] = {}
        self._loaded_gone: list[AssetSeen] = []
        self._findings: dict[bytes, dict[str, Finding]] = {}

    def recall_levels(self, key: bytes, revision: int, levels: EffectiveLevels | None, reasons: Reasons | None) -> None:
        """Take over what an own event of an earlier life said; later events come later."""
        record = self._record(key)
        record.revision = max(record.revision, revision)
        record.levels, record.reasons = levels, reasons

    def recall_obligations(self, key: bytes, revision: int, in_force: Duties) -> None:
        """As `recall_levels`."""
        record = self._record(key)
        record.revision = max(record.revision, revision)
        record.in_force = in_force

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

    def take(self, events: Iterable[AssetSeen]) -> list[Message]:
        """Evaluate a batch once and return the events of what it changed. Revisions seen before are passed over."""
        told = self.due()
        changes = self._sorted(events)
        time = to_json(self._clock())
        return told + [
            message for network, change in changes.items() for message in self._evaluate(network, change, time)
        ]

    def _sorted(self, events: Iterable[AssetSeen]) -> dict[str, _Changes]:
        """By network, those that were not seen before."""
        changes: dict[str, _Changes] = {}
        for event in events:
            asset, revision = event.asset, event.revision
            record = self._record(asset.key)
            if revision <= record.seen:
                continue
            record.seen = revision
            if (change := changes.get(asset.network)) is None:
                change = changes[asset.network] = _Changes()
            change.causes[asset.key] = event
            if self._is_news(event, change.latest.get(asset.asset_id)):
                change.latest[asset.asset_id] = event
        return changes

    def load(self, events: Iterable[AssetSeen]) -> None:
        """Take assets over in silence, as they were taken in an earlier life; `loaded` ends it."""
        changes = self._sorted(events)
        for network, change in changes.items():
            self._network(network).load([event.asset for event in change.latest.values()])
            self._loaded_gone += self._gone(network, change)

    def loaded(self) -> list[Message]:
        """What was published of assets that are retired by now is taken back; what else differs from what was published is `due`."""
        time = to_json(self._clock())
        gone, self._loaded_gone = self._loaded_gone, []
        self._turning = {name: _Turning(None, here) for name, here in self._networks.items()}
        return [message for event in gone for message in self._lifted(event, time)]

    def _is_news(self, event: AssetSeen, before: AssetSeen | None) -> bool:
        """Whether it is the newest of its asset, whatever the key: what was parked under the key that an asset had before it moved
        comes after the move.
        """
        if before is not None:
            return event.revision > before.revision
        asset = event.asset
        here = self._network(asset.network)
        known = here.graph.asset(asset.asset_id)
        if known is None:
            return event.revision > here.gone.get(asset.asset_id, 0)
        return known.key == asset.key or event.revision > self._records[known.key].seen

    def _record(self, key: bytes) -> Record:
        if (record := self._records.get(key)) is None:
            record = self._records[key] = Record()
        return record

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
                    yield from self._compared(turning.next, verdict, None, time)
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
            yield from self._compared(self._networks[network], verdict, None, time)

    def _applied(
        self, network: str, assets: Sequence[GraphAsset], held: Sequence[tuple[Place, OverrideChange | None]] = ()
    ) -> list[Verdict]:
        """What is found of changes by the standard that holds on a network; one that is to take its place hears of them in silence."""
        if (turning := self._turning.get(network)) is not None and not turning.loaded:
            turning.next.load(assets, held)
        return self._network(network).apply(assets, held)

    def _evaluate(self, network: str, changes: _Changes, time: bytes) -> Iterator[Message]:
        causes = changes.causes
        some_cause = next(iter(causes.values()))
        here = self._network(network)
        for verdict in self._applied(network, [event.asset for event in changes.latest.values()]):
            yield from self._compared(here, verdict, causes.get(verdict.asset.key, some_cause).traceparent, time)
        for event in self._gone(network, changes):
            yield from self._lifted(event, time)

    def _gone(self, network: str, changes: _Changes) -> list[AssetSeen]:
        """The retirements, taken note of; also where the asset has gone on under another body's key, by this batch or before it."""
        retired, gone = [event for event in changes.causes.values() if event.asset.retired], self._network(network).gone
        for event in retired:
            gone[event.asset.asset_id] = max(event.revision, gone.get(event.asset.asset_id, 0))
        return retired

    def _lifted(self, event: AssetSeen, time: bytes) -> list[Message]:
        """The events by which all that was published under the key of a retired asset is taken back."""
        verdict = Verdict(event.asset, None, None, (), (), changed=True)
        return self._compared(self._network(event.asset.network), verdict, event.traceparent, time)

    def _compared(self, here: _Network, verdict: Verdict, traceparent: str | None, time: bytes) -> list[Message]:
        """The events of a verdict that differs from what was published last; none where it says the same."""
        record = self._record(verdict.asset.key)
        # every level has its reason, which names it
        levels_differ = record.reasons != verdict.reasons
        duties_differ = record.in_force != verdict.obligations
        judged = [] if record.found is verdict.findings else self._judged(here, verdict)
        before, lifted = record.levels, record.in_force
        # also where they are equal: what reads the same is kept once
        record.levels, record.reasons, record.in_force = verdict.levels, verdict.reasons, verdict.obligations
        record.found = verdict.findings
        if not (levels_differ or duties_differ or judged):
            return []
        about = About(verdict.asset, record.seen, traceparent, time)
        messages = []
        if levels_differ or duties_differ:
            record.revision += 1
        if levels_differ:
            explained = b"{}" if verdict.levels is None else here.graph.explained(verdict.asset.asset_id)
            messages.append(here.scribe.levels(about, record.revision, before, verdict.levels, explained))
        if duties_differ:
            messages.append(
                here.scribe.obligations(about, record.revision, verdict.levels, lifted, verdict.obligations)
            )
        return messages + [here.scribe.finding(about, was, now) for was, now in judged]

    def _judged(self, here: _Network, verdict: Verdict) -> list[tuple[Finding | None, Finding]]:
        """The findings that differ from those published last, with these. An obligation nothing was told of counts as unknown."""
        key = verdict.asset.key
        known = self._findings.get(key)
        if known is None and all(state is FindingState.UNKNOWN for _, state in verdict.findings):
            return []
        known, now = self._findings.setdefault(key, {}), dict(verdict.findings)
        judged = []
        for duty_id in sorted(known.keys() | now.keys()):
            was, state = known.get(duty_id), now.get(duty_id, FindingState.LIFTED)
            if state is (was.state if was else FindingState.UNKNOWN):
                continue
            duty = was.duty if was and state is FindingState.LIFTED else here.graph.standard.duty_ref(duty_id)
            known[duty_id] = Finding(was.revision + 1 if was else 1, state, duty)
            judged.append((was, known[duty_id]))
        return judged

    def _network(self, network: str) -> _Network:
        if network not in self._networks:
            self._networks[network] = self._new_network(network)
        return self._networks[network]

    def _new_network(self, network: str) -> _Network:
        standard = self._standards.of(network)
        new = _Network(NetworkGraph(standard), Scribe(standard, self._municipality, self._withdrawn))
        new.load((), self._overrides.of(network).items())
        return new


@dataclass(slots=True)
class _Network:
    """A graph, who writes down what it finds, and of assets that were retired the highest revision at which one was."""

    graph: NetworkGraph
    scribe: Scribe
    gone: dict[str, int] = field(default_factory=dict)

    def apply(
        self, assets: Sequence[GraphAsset], held: Iterable[tuple[Place, OverrideChange | None]] = ()
    ) -> list[Verdict]:
        """See `NetworkGraph.apply`."""
        return self.graph.apply(assets, edits_of(self.graph.standard, held))

    def load(self, assets: Sequence[GraphAsset], held: Iterable[tuple[Place, OverrideChange | None]] = ()) -> None:
        """See `NetworkGraph.load`."""
        self.graph.load(assets, edits_of(self.graph.standard, held))


class _Turning:
    """A network on its way from one standard to the next: first all its assets are evaluated anew, in silence, then each is compared.

    One that begins again was nothing before (`was` None), and has them all.
    """

    def __init__(self, was: _Network | None, following: _Network) -> None:
        self.next = following
        self._telling: list[str] | None = None
        self._waiting: list[str] = []
        if was is None:
            self._telling = following.graph.ids()
            self._total = len(self._telling)
            return
        following.gone = was.gone
        self._was = was.graph
        self._waiting = was.graph.ids()
        self._total = len(self._waiting)

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
        self.next.load([asset for asset in assets if asset is not None])
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
    """Of one network: the newest event of each asset, and the last one under each key."""

    latest: dict[str, AssetSeen] = field(default_factory=dict)
    causes: dict[bytes, AssetSeen] = field(default_factory=dict)


class About:
    """What the events of one verdict have in common. `time` is JSON already, as are `subject` and `ref`."""

    __slots__ = ("asset", "ref", "seen", "subject", "time", "traceparent")

    def __init__(self, asset: GraphAsset, seen: int, traceparent: str | None, time: bytes) -> None:
        self.asset = asset
        self.seen = seen
        self.traceparent = None if traceparent is None else traceparent.encode()
        self.time = time
        self.subject = to_json(asset.asset_id)
        self.ref = to_json(_ref(asset))


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
        self._changed: dict[tuple[Duties, Duties], bytes] = {}
        self._levels: dict[EffectiveLevels | None, bytes] = {None: b"null"}

    def levels(
        self,
        about: About,
        revision: int,
        before: EffectiveLevels | None,
        after: EffectiveLevels | None,
        explained: bytes,
    ) -> Message:
        """`explained` is the explanations as JSON."""
        data = b'"before":%b,"after":%b,"explanations":%b' % (
            self._level_json(before),
            self._level_json(after),
            explained,
        )
        return self._message(_LEVELS, about, revision, data)

    def obligations(
        self, about: About, revision: int, levels: EffectiveLevels | None, before: Duties, after: Duties
    ) -> Message:
        changed = (before, after)
        if (known := self._changed.get(changed)) is None:
            known = remember(self._changed, changed, self._duties(before, after), _REMEMBERED)
        return self._message(_DUTIES, about, revision, b'"levels":%b,%b' % (self._level_json(levels), known))

    def finding(self, about: About, before: Finding | None, now: Finding) -> Message:
        data = b'"obligation":%b,"before":%b,"after":%b' % (
            to_json(now.duty),
            to_json(before and before.state),
            to_json(now.state),
        )
        return self._message(_FINDING, about, now.revision, data, f"/{now.duty.id}")

    def _message(self, kind: _Kind, about: About, revision: int, data: bytes, part: str = "") -> Message:
        """`part` names what of the asset it is about, behind its id."""
        asset = about.asset
        common = self._common_of(kind, asset.body, asset.network)
        subject = (asset.asset_id + part).encode()
        headers = [
            *common.headers,
            ("ce_id", b"%b:%d:%b" % (subject, revision, kind.suffix)),
            ("ce_subject", subject),
            ("ce_revision", b"%d" % revision),
        ]
        trace = b""
        if about.traceparent is not None:
            headers.append(("ce_traceparent", about.traceparent))
            trace = b'"traceparent":"%b",' % about.traceparent
        key, told = asset.key, about.subject
        if part:
            key, told = key + part.encode(), told[:-1] + part.encode() + b'"'
        value = (
            b'{%b,"id":%b:%d:%b","subject":%b,"time":%b,"revision":%d,%b"data":{"asset":%b,"asset_revision":%d,%b}}'
            % (
                common.attributes,
                told[:-1],
                revision,
                kind.suffix,
                told,
                about.time,
                revision,
                trace,
                about.ref,
                about.seen,
                data,
            )
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

    def _level_json(self, levels: EffectiveLevels | None) -> bytes:
        if (known := self._levels.get(levels)) is None:
            known = self._levels[levels] = to_json(levels and levels._asdict())
        return known

    def _duties(self, before: Duties, now: Duties) -> bytes:
        """A lifted duty of which no standard is left that knows it has no text: that it is gone is seen by what is in force."""
        imposed = [self._imposed[one] for one in now if one not in before]
        lifted = [self._lifted[one] for one in before if one not in now and one in self._lifted]
        return b'"in_force":%b,"imposed":[%b],"lifted":[%b]' % (to_json(now), b",".join(imposed), b",".join(lifted))


def _ref(asset: GraphAsset) -> dict[str, str]:
    ref = {"asset_id": asset.asset_id, "name": asset.name, "kind": asset.case.kind}
    if asset.case.zone is not None:
        ref["zone"] = asset.case.zone
    if asset.section is not None:
        ref["section"] = asset.section
    return ref
