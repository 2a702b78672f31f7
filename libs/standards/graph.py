# SPDX-License-Identifier: Apache-2.0
"""The assets of one network and what they hand on to each other, kept up to date change by change.

In each dimension every asset has one label: the level it has, how far the asset is from which that level came, and which asset
that is. An asset's own level (the higher of declared and derived) is a label of distance 0; a relation offers its neighbour's label
at one step more; the best offer binds. "Best" is the higher level, then the shorter way, then the smaller asset id, so the labels
do not depend on the order of events. Every label but an own one is held up by exactly one neighbour (`via`) and the distance
rises at every step, so a cycle cannot hold itself up: what hung on a lost label is withdrawn first, then derived again.
An override replaces an own level, also below it; its asset takes no offers while it is in force. It is of one body: an asset that
moves to another leaves it behind.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from heapq import heappop, heappush
from itertools import chain, islice
from typing import Any, Final, NamedTuple, TypeAlias

from pydantic import TypeAdapter
from pydantic_core import to_json

from libs.contracts import Dimension, Explanation, OverrideRef
from libs.standards.case import Declared, Edge, GraphAsset
from libs.standards.remembering import remember
from libs.standards.standard import DIMENSIONS, Derived, Ranks, Standard
from libs.standards.verdict import EffectiveLevels, Reason, Reasons, Verdict, reason_of

Label: TypeAlias = tuple[int, int, str]
"""(minus the rank, steps from the origin, the origin's id): the smaller is the better."""
Offer: TypeAlias = tuple[Label, str, tuple[str, str] | None]
"""A label for an asset, and the neighbour and relation that it would come by; None: its own, to be handed on."""

LONGEST_PATH: Final = 32
"""Assets named of a way; of a longer one the nearest, and the origin."""

_State: TypeAlias = tuple[str, Reasons | None, tuple[str, ...]]
"""Body, reasons and obligations of a verdict: where another stands there, it has changed."""

_INDEXES: Final = range(len(DIMENSIONS))
_BEFORE_ALL: Final = ("", "")
"""An own level, beside equal ones that come by a neighbour."""
_EXPLANATIONS: Final = TypeAdapter(dict[Dimension, Explanation])


class GraphOverride(NamedTuple):
    """The override in force on an asset in one dimension."""

    rank: int
    ref: OverrideRef


class OverrideEdit(NamedTuple):
    """An override that is in force from now on; `override` None where none is any more."""

    asset_id: str
    body: str
    dimension: Dimension
    override: GraphOverride | None


class _Own:
    """What an asset has by itself in one dimension, apart from its neighbours; `told` is its explanation as JSON."""

    __slots__ = ("declared", "derived", "override", "rank", "reason", "rule", "told")

    def __init__(
        self, standard: Standard, index: int, code: str | None, derived: Derived, override: GraphOverride | None
    ) -> None:
        self.override = override
        self.rule = derived.rules[index]
        declared, rank = standard.declared_rank(index, code), derived.ranks[index]
        self.rank = max(declared, rank) if override is None else override.rank
        self.declared = standard.code(index, declared) if declared >= 0 else None
        self.derived = standard.code(index, rank)
        is_declared = override is None and declared > rank
        named = None if override is not None or is_declared else self.rule
        explanation = Explanation(
            level=standard.code(index, self.rank),
            origin="override" if override else "declared" if is_declared else "derived",
            rule=named and named.id,
            text=named and named.text,
            declared=self.declared,
            derived=self.derived,
            override=override and override.ref,
        )
        self.reason = reason_of(explanation)
        self.told = to_json(explanation, exclude_none=True)


class _Owned:
    """What an asset has by itself. Shared by all of one case that declare the same; compared by identity."""

    __slots__ = ("dimensions", "ranks", "reasons", "told")

    def __init__(self, own: tuple[_Own, ...]) -> None:
        self.dimensions = own
        self.ranks = (own[0].rank, own[1].rank, own[2].rank)
        self.reasons = (own[0].reason, own[1].reason, own[2].reason)
        self.told = _joined(one.told for one in own)


class _Came:
    """A label that came by a relation: from which neighbour, and which other body is on the way first."""

    __slots__ = ("foreign", "label", "via")

    def __init__(self, label: Label, via: tuple[str, str]) -> None:
        self.label = label
        self.via = via
        self.foreign: str | None = None


_NONE_CAME: Final[tuple[_Came | None, ...]] = (None,) * len(DIMENSIONS)


class _Node:
    """An asset that is in the register now, and its verdict as last found. What `came` in a dimension stands before what it has itself."""

    __slots__ = ("asset", "came", "obligations", "owned", "reasons")

    def __init__(self, asset: GraphAsset, owned: _Owned) -> None:
        self.asset = asset
        self.owned = owned
        self.came = _NONE_CAME
        self.reasons: Reasons | None = None
        self.obligations: tuple[str, ...] = ()

    def label(self, index: int) -> Label:
        came = self.came[index]
        return (-self.owned.ranks[index], 0, self.asset.asset_id) if came is None else came.label

    def via(self, index: int) -> tuple[str, str] | None:
        came = self.came[index]
        return None if came is None else came.via

    def take(self, index: int, came: _Came | None) -> None:
        one, two, three = self.came
        taken = (came, two, three) if index == 0 else (one, came, three) if index == 1 else (one, two, came)
        self.came = _NONE_CAME if taken == _NONE_CAME else taken


class NetworkGraph:
    """The evaluated assets of one network. Not safe for use by two threads."""

    def __init__(self, standard: Standard) -> None:
        self.standard = standard
        self._nodes: dict[str, _Node] = {}
        self._overrides: dict[tuple[str, str, int], GraphOverride] = {}
        self._overridden: set[str] = set()
        self._referrers = _Referrers()
        self._levels: dict[Ranks, EffectiveLevels] = {}
        self._owned_by: dict[tuple[Derived, Declared], _Owned] = {}
        self._came_told: dict[tuple[object, ...], bytes] = {}

    def ids(self) -> list[str]:
        """Of the assets that are not retired."""
        return list(self._nodes)

    def asset(self, asset_id: str) -> GraphAsset | None:
        """An asset that is not retired."""
        node = self._nodes.get(asset_id)
        return None if node is None else node.asset

    def verdict(self, asset_id: str) -> Verdict | None:
        """What was found of an asset that is not retired."""
        node = self._nodes.get(asset_id)
        return None if node is None else self._verdict(node, _state_of(node))

    def __len__(self) -> int:
        """The number of assets that are not retired."""
        return len(self._nodes)

    def apply(self, assets: Iterable[GraphAsset], overrides: Sequence[OverrideEdit] = ()) -> list[Verdict]:
        """Take new states of assets, of several states of one the last; evaluate what they touch, once.

        Overrides stay until cleared, also for assets that are retired or not there yet.

        Returns a verdict for each asset given, and for each other whose verdict changed. Relations to assets that are
        retired, or not there yet, hand on nothing until they are.
        """
        latest = {asset.asset_id: asset for asset in assets}
        return list(self._verdicts(latest, self._take(latest.values(), overrides)))

    def load(self, assets: Iterable[GraphAsset], overrides: Sequence[OverrideEdit] = ()) -> None:
        """The same where nobody asks what changed."""
        self._take({asset.asset_id: asset for asset in assets}.values(), overrides)

    def turn_to(self, standard: Standard) -> list[Verdict]:
        """Put a standard that `hands_on_as` the one before in its place; returns a verdict for each asset.

        It takes much less than evaluation from scratch, for few own levels differ; but all at once.
        """
        self.standard = standard
        self._owned_by.clear()
        self._came_told.clear()
        edit = _Edit()
        for asset_id, node in self._nodes.items():
            edit.touch(asset_id, node)
            self._own_anew(node, edit)
        self._travel(edit)
        return [self._verdict(self._nodes[asset_id], before) for asset_id, before in edit.before.items()]

    def explanations(self, asset_id: str) -> dict[Dimension, Explanation]:
        """Why an asset that is not retired has its levels, as it is now."""
        return _EXPLANATIONS.validate_json(self.explained(asset_id))

    def explained(self, asset_id: str) -> bytes:
        """The same as JSON, without nulls; the models take several times as long."""
        node = self._nodes[asset_id]
        if node.came is _NONE_CAME:
            return node.owned.told
        return _joined(
            node.owned.dimensions[index].told if came is None else self._came_explained(index, node, came)
            for index, came in enumerate(node.came)
        )

    def _take(self, assets: Iterable[GraphAsset], overrides: Sequence[OverrideEdit]) -> _Edit:
        edit = _Edit()
        self._keep(overrides)
        for asset in assets:
            self._put(asset, edit)
        for asset_id in {one.asset_id for one in overrides} - edit.before.keys():
            if (node := self._nodes.get(asset_id)) is not None:
                self._own_anew(node, edit)
        self._travel(edit)
        return edit

    def _travel(self, edit: _Edit) -> None:
        for index in _INDEXES:
            self._settle(index, edit)
            self._look_abroad(index, edit)

    def _verdicts(self, latest: dict[str, GraphAsset], edit: _Edit) -> Iterator[Verdict]:
        for asset_id, before in edit.before.items():
            if (node := self._nodes.get(asset_id)) is None:
                yield Verdict(latest[asset_id], None, None, (), (), changed=before is not None)
                continue
            verdict = self._verdict(node, before)
            if verdict.changed or asset_id in latest:
                yield verdict

    def _keep(self, overrides: Sequence[OverrideEdit]) -> None:
        for asset_id, body, dimension, override in overrides:
            key = (asset_id, body, DIMENSIONS.index(dimension))
            if override is None:
                self._overrides.pop(key, None)
            else:
                self._overrides[key] = override
        if overrides:
            self._overridden = {asset_id for asset_id, _, _ in self._overrides}

    def _put(self, asset: GraphAsset, edit: _Edit) -> None:
        """Bring in an asset's own levels and relations; note where labels may no longer hold."""
        asset_id = asset.asset_id
        node = self._nodes.get(asset_id)
        edit.touch(asset_id, node)
        if asset.retired:
            if node is not None:
                self._take_out(node, edit)
            return
        if node is not None and node.asset.body != asset.body:
            # every way that leads through it is now seen otherwise
            self._take_out(node, edit)
            node = None
        if node is None:
            self._nodes[asset_id] = _Node(asset, self._owned(asset))
            edit.new[asset_id] = None
            self._join(asset_id, asset.relations, edit)
            return
        was, node.asset = node.asset.relations, asset
        self._own_anew(node, edit)
        if was != asset.relations:
            self._join(asset_id, [one for one in asset.relations if one not in was], edit)
            self._part(asset_id, [one for one in was if one not in asset.relations], edit)

    def _own_anew(self, node: _Node, edit: _Edit) -> None:
        owned = self._owned(node.asset)
        if owned is not node.owned:
            edit.own_changed(node, owned)
            node.owned = owned

    def _join(self, asset_id: str, relations: Iterable[Edge], edit: _Edit) -> None:
        for kind, target in relations:
            self._referrers.add(target, (kind, asset_id))
            edit.joined.append((kind, asset_id, target))

    def _part(self, asset_id: str, relations: Iterable[Edge], edit: _Edit) -> None:
        for kind, target in relations:
            self._referrers.remove(target, (kind, asset_id))
            edit.parted.append((kind, asset_id, target))

    def _take_out(self, node: _Node, edit: _Edit) -> None:
        asset_id = node.asset.asset_id
        self._part(asset_id, node.asset.relations, edit)
        edit.parted += [(kind, owner, asset_id) for kind, owner in self._referrers.of(asset_id)]
        del self._nodes[asset_id]
        edit.new.pop(asset_id, None)

    def _owned(self, asset: GraphAsset) -> _Owned:
        derived = self.standard.derive(asset.case)
        if asset.asset_id in self._overridden:
            return self._own(asset, derived)
        key = (derived, asset.declared)
        if (owned := self._owned_by.get(key)) is None:
            owned = remember(self._owned_by, key, self._own(asset, derived))
        return owned

    def _own(self, asset: GraphAsset, derived: Derived) -> _Owned:
        held = [self._overrides.get((asset.asset_id, asset.body, index)) for index in _INDEXES]
        own = (_Own(self.standard, index, asset.declared[index], derived, held[index]) for index in _INDEXES)
        return _Owned(tuple(own))

    def _settle(self, index: int, edit: _Edit) -> None:
        """Withdraw the labels that lost what held them up, then give every asset its best one."""
        withdrawn = self._all_hanging(index, self._unheld(index, edit))
        offers = _Offers()
        for asset_id in withdrawn:
            node = self._nodes[asset_id]
            edit.touch(asset_id, node)
            node.take(index, None)
        for asset_id in chain(withdrawn, edit.new, edit.raised[index]):
            self._hold_own(index, asset_id, offers)
        for asset_id in withdrawn:
            for neighbour, kind in self._sources(index, asset_id):
                self._offer(index, neighbour, asset_id, kind, offers)
        to_owner, to_target = self.standard.flows[index]
        for asset_id in edit.new:
            # its own relations have joined
            for kind, owner in self._referrers.of(asset_id):
                if kind in to_target:
                    self._offer(index, owner, asset_id, kind, offers)
        for kind, owner, target in edit.joined:
            if kind in to_owner:
                self._offer(index, target, owner, kind, offers)
            if kind in to_target:
                self._offer(index, owner, target, kind, offers)
        self._take_best(index, offers, edit)

    def _hold_own(self, index: int, asset_id: str, offers: _Offers) -> None:
        """Give an asset its own level where that is its best by now; what it has to hand on is offered in its turn."""
        node = self._nodes.get(asset_id)
        if node is None:
            return
        rank = node.owned.ranks[index]
        own = (-rank, 0, asset_id)
        if own <= node.label(index):
            node.take(index, None)
            if rank > 0:
                # the lowest level raises nobody
                offers.add((own, asset_id, None))

    def _unheld(self, index: int, edit: _Edit) -> Iterator[str]:
        """Assets whose label no longer holds: their own level fell, or the neighbour or relation it came by is gone."""
        yield from (asset_id for asset_id in edit.overridden[index] if asset_id in self._nodes)
        for asset_id in edit.lowered[index]:
            if (node := self._nodes.get(asset_id)) is not None and node.came[index] is None:
                yield asset_id
        for kind, owner, target in edit.parted:
            for source, sink in ((owner, target), (target, owner)):
                node = self._nodes.get(sink)
                if node is not None and node.via(index) == (source, kind):
                    yield sink

    def _take_best(self, index: int, offers: _Offers, edit: _Edit) -> None:
        """Best offers first: each asset settles once, and an offer that is no better than what it has ends there."""
        rerouted: list[str] = []
        for label, asset_id, via in offers:
            node = self._nodes[asset_id]
            has = node.label(index)
            if via is None:
                if node.came[index] is not None:
                    continue
            elif (has, node.via(index) or _BEFORE_ALL) <= (label, via):
                continue
            else:
                node.take(index, _Came(label, via))
                if label == has:
                    rerouted.append(asset_id)
            edit.touch(asset_id, node)
            for sink, kind in self._sinks(index, asset_id):
                self._offer(index, asset_id, sink, kind, offers)
        for asset_id in self._all_hanging(index, rerouted):
            # its label stays, but the way to the origin leads past other assets, perhaps another body's
            edit.touch(asset_id, self._nodes[asset_id])

    def _look_abroad(self, index: int, edit: _Edit) -> None:
        """Note for each asset touched which other body its way leads past first: each knows it from the one before."""
        inherited = []
        for asset_id in edit.before:
            if (node := self._nodes.get(asset_id)) is not None and (came := node.came[index]) is not None:
                inherited.append((came.label[1], node.asset.body, came))
        inherited.sort(key=_steps)
        for _, body, came in inherited:
            giver = self._nodes[came.via[0]]
            if giver.asset.body != body:
                came.foreign = giver.asset.body
            else:
                before = giver.came[index]
                came.foreign = None if before is None else before.foreign

    def _all_hanging(self, index: int, roots: Iterable[str]) -> dict[str, None]:
        """`roots` and every asset whose label they hold up, however far down, each once."""
        found: dict[str, None] = {}
        waiting = list(roots)
        while waiting:
            asset_id = waiting.pop()
            if asset_id not in found:
                found[asset_id] = None
                waiting += self._hanging(index, asset_id)
        return found

    def _hanging(self, index: int, asset_id: str) -> list[str]:
        """The assets whose label in one dimension is held up by this one."""
        return [sink for sink, kind in self._sinks(index, asset_id) if self._nodes[sink].via(index) == (asset_id, kind)]

    def _offer(self, index: int, source: str, sink: str, kind: str, offers: _Offers) -> None:
        """What `source` would hand to `sink`, if it is better than what that one has by itself or by others."""
        giver, taker = self._nodes.get(source), self._nodes.get(sink)
        if giver is None or taker is None:
            return
        given = giver.came[index]
        rank = giver.owned.ranks[index] if given is None else -given.label[0]
        if taker.owned.ranks[index] >= rank or taker.owned.dimensions[index].override is not None:
            return
        label = (-rank, 1, source) if given is None else (-rank, given.label[1] + 1, given.label[2])
        has = taker.came[index]
        if has is None or (label, (source, kind)) < (has.label, has.via):
            offers.add((label, sink, (source, kind)))

    def _sources(self, index: int, asset_id: str) -> Iterator[Edge]:
        """Whose levels an asset takes, and by which relation."""
        to_owner, to_target = self.standard.flows[index]
        for kind, target in self._nodes[asset_id].asset.relations:
            if kind in to_owner:
                yield target, kind
        for kind, owner in self._referrers.of(asset_id):
            if kind in to_target:
                yield owner, kind

    def _sinks(self, index: int, asset_id: str) -> Iterator[Edge]:
        """Which assets of the register take an asset's levels, and by which relation."""
        to_owner, to_target = self.standard.flows[index]
        for kind, target in self._nodes[asset_id].asset.relations:
            if kind in to_target and target in self._nodes:
                yield target, kind
        for kind, owner in self._referrers.of(asset_id):
            if kind in to_owner and owner in self._nodes:
                yield owner, kind

    def _verdict(self, node: _Node, before: _State | None) -> Verdict:
        asset, ranks, reasons = node.asset, node.owned.ranks, node.owned.reasons
        if node.came is not _NONE_CAME:
            labels = [node.label(index) for index in _INDEXES]
            ranks = (-labels[0][0], -labels[1][0], -labels[2][0])
            reasons = (self._reason(0, node), self._reason(1, node), self._reason(2, node))
        binding = self.standard.binding(asset.case, ranks)
        changed = before != (asset.body, reasons, binding.obligations)
        if changed or node.reasons is None:
            node.reasons, node.obligations = reasons, binding.obligations
        return Verdict(asset, self._levels_of(ranks), node.reasons, binding.obligations, binding.findings, changed)

    def _levels_of(self, ranks: Ranks) -> EffectiveLevels:
        if (known := self._levels.get(ranks)) is None:
            known = self._levels[ranks] = EffectiveLevels(*map(self.standard.code, _INDEXES, ranks))
        return known

    def _reason(self, index: int, node: _Node) -> Reason:
        """A level, and of where it comes from what the asset's body may see: the asset and the rule there, or the other body."""
        own, came = node.owned.dimensions[index], node.came[index]
        if came is None:
            return own.reason
        rank, _, origin = came.label
        level = self.standard.code(index, -rank)
        if came.foreign is not None:
            return Reason(level, "inherited", None, None, own.declared, own.derived, came.foreign, None)
        source = self._nodes[origin].owned.dimensions[index].reason
        body = node.asset.body
        return Reason(level, "inherited", source.rule, source.override, own.declared, own.derived, body, origin)

    def _came_explained(self, index: int, node: _Node, came: _Came) -> bytes:
        """What is said where a neighbour alone is on the way: many assets that take their level from it share it."""
        own, source = node.owned.dimensions[index], self._nodes[came.label[2]].owned.dimensions[index]
        if came.label[1] > 1 and came.foreign is None:
            return to_json(self._came_explanation(index, node, came, source))
        key = (index, came.label, came.via, node.asset.body, came.foreign, own, source)
        if (known := self._came_told.get(key)) is None:
            known = remember(self._came_told, key, to_json(self._came_explanation(index, node, came, source)))
        return known

    def _came_explanation(self, index: int, node: _Node, came: _Came, source: _Own) -> dict[str, Any]:
        """`libs.contracts.Explanation`, without nulls."""
        own, reason = node.owned.dimensions[index], self._reason(index, node)
        told = {
            "level": reason.level,
            "origin": reason.origin,
            "rule": reason.rule,
            # the rule would say of what kind another body's asset is
            "text": None if reason.rule is None else source.rule.text,
            "inherited_from": self._inherited(index, node, came),
            "declared": own.declared,
            "derived": own.derived,
            "inherited": reason.level,
            "override": None if reason.override is None or source.override is None else source.override.ref,
        }
        return {name: value for name, value in told.items() if value is not None}

    def _inherited(self, index: int, node: _Node, came: _Came) -> dict[str, Any]:
        """The way from the asset's neighbour to the origin; no further than the asset's own body may see."""
        relation = came.via[1]
        if came.foreign is not None:
            return {"body": came.foreign, "relation": relation, "path": ()}
        _, steps, origin = came.label
        near = islice(self._path(index, node), min(steps, LONGEST_PATH) - 1)
        path = (*(step.asset.asset_id for step in near), origin)
        more = {"steps": steps} if steps > LONGEST_PATH else {}
        return {"body": node.asset.body, "asset_id": origin, "relation": relation, "path": path, **more}

    def _path(self, index: int, node: _Node) -> Iterator[_Node]:
        while (came := node.came[index]) is not None:
            node = self._nodes[came.via[0]]
            yield node


class _Referrers:
    """The relations to each asset, there or not. Most have one, which needs no dictionary of its own.

    They are in the order in which they came, which is roughly that in memory: of many, half the time is waiting for it.
    """

    def __init__(self) -> None:
        self._to: dict[str, Edge | dict[Edge, None]] = {}

    def of(self, target: str) -> Iterable[Edge]:
        known = self._to.get(target, ())
        return known if isinstance(known, dict) or not known else (known,)

    def add(self, target: str, edge: Edge) -> None:
        known = self._to.get(target)
        if known is None:
            self._to[target] = edge
        elif isinstance(known, dict):
            known[edge] = None
        else:
            self._to[target] = {known: None, edge: None}

    def remove(self, target: str, edge: Edge) -> None:
        known = self._to[target]
        if isinstance(known, dict):
            known.pop(edge, None)
        if not isinstance(known, dict) or not known:
            del self._to[target]


class _Offers:
    """Offers, the best first, also of those that are added meanwhile; one that is made of another is a step behind it.

    There are few levels and distances and many offers: those of a level and a distance are sorted together, which costs less than a heap.
    """

    def __init__(self) -> None:
        self._by_step: dict[tuple[int, int], list[Offer]] = {}
        self._steps: list[tuple[int, int]] = []

    def add(self, offer: Offer) -> None:
        step = offer[0][:2]
        if (others := self._by_step.get(step)) is None:
            self._by_step[step] = [offer]
            heappush(self._steps, step)
        else:
            others.append(offer)

    def __iter__(self) -> Iterator[Offer]:
        while self._steps:
            yield from sorted(self._by_step.pop(heappop(self._steps)))


class _Edit:
    """What one `apply` has changed so far, and what the verdicts were before."""

    __slots__ = ("before", "joined", "lowered", "new", "overridden", "parted", "raised")

    def __init__(self) -> None:
        self.before: dict[str, _State | None] = {}
        self.new: dict[str, None] = {}
        self.joined: list[tuple[str, str, str]] = []
        self.parted: list[tuple[str, str, str]] = []
        self.overridden: tuple[set[str], ...] = tuple(set() for _ in _INDEXES)
        self.raised: tuple[set[str], ...] = tuple(set() for _ in _INDEXES)
        self.lowered: tuple[set[str], ...] = tuple(set() for _ in _INDEXES)

    def own_changed(self, node: _Node, owned: _Owned) -> None:
        """Sort the dimensions of an asset's own level into raised and lowered; another reason for the same level is as if lowered."""
        asset_id = node.asset.asset_id
        for index, (was, now) in enumerate(zip(node.owned.dimensions, owned.dimensions, strict=True)):
            if now.override != was.override:
                self.overridden[index].add(asset_id)
            elif now.rank > was.rank:
                self.raised[index].add(asset_id)
            elif now.rank < was.rank or now.reason.rule != was.reason.rule:
                self.lowered[index].add(asset_id)

    def touch(self, asset_id: str, node: _Node | None) -> None:
        """Remember an asset's verdict as it was before this edit."""
        if asset_id not in self.before:
            self.before[asset_id] = None if node is None else _state_of(node)


def _state_of(node: _Node) -> _State:
    return (node.asset.body, node.reasons, node.obligations)


def _joined(explanations: Iterable[bytes]) -> bytes:
    return b'{"confidentiality":%b,"integrity":%b,"availability":%b}' % tuple(explanations)


def _steps(inherited: tuple[int, str, _Came]) -> int:
    return inherited[0]
