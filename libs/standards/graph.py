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
from typing import Final, NamedTuple, TypeAlias

from libs.contracts import Asset, AssetStatus, Dimension, Explanation, Inherited, Levels, OverrideRef, RelationType
from libs.standards.document import Rule
from libs.standards.standard import DIMENSIONS, Derived, Ranks, Standard
from libs.standards.verdict import Verdict

Label: TypeAlias = tuple[int, int, str]
"""(minus the rank, steps from the origin, the origin's id): the smaller is the better."""
Edge: TypeAlias = tuple[RelationType, str]
Offer: TypeAlias = tuple[Label, str, tuple[str, RelationType] | None]
"""A label for an asset, and the neighbour and relation that it would come by."""

_Reasons: TypeAlias = tuple[object, ...]
"""What a change of which makes a verdict a changed one."""

LONGEST_PATH: Final = 32
"""Assets named of a way; of a longer one the nearest, and the origin."""

_REMEMBERED: Final = 10_000
"""Explanations kept; above it the memory is emptied."""

_INDEXES: Final = range(len(DIMENSIONS))


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


class _Own(NamedTuple):
    """What an asset has by itself in one dimension, apart from its neighbours."""

    declared: int
    derived: int
    rule: Rule
    rank: int
    override: GraphOverride | None = None

    @property
    def is_declared(self) -> bool:
        return self.declared > self.derived


class _Node:
    """An asset that is in the register now."""

    __slots__ = ("asset", "foreign", "labels", "own", "reasons", "relations", "via")

    def __init__(self, asset: Asset, own: tuple[_Own, ...], relations: frozenset[Edge]) -> None:
        self.asset = asset
        self.own = own
        self.relations = relations
        self.labels: list[Label | None] = [None] * len(DIMENSIONS)
        self.via: list[tuple[str, RelationType] | None] = [None] * len(DIMENSIONS)
        self.foreign: list[str | None] = [None] * len(DIMENSIONS)
        """The first other body on the way to the origin."""
        self.reasons: _Reasons | None = None


class NetworkGraph:
    """The evaluated assets of one network. Not safe for use by two threads.

    With `explains` False its verdicts have no explanations, for those who only count.
    """

    def __init__(self, standard: Standard, *, explains: bool = True) -> None:
        self.standard = standard
        self._explains = explains
        self._nodes: dict[str, _Node] = {}
        self._overrides: dict[tuple[str, str, int], GraphOverride] = {}
        self._referrers: dict[str, dict[Edge, None]] = {}
        """In the order in which they came, which is roughly that in memory: of many, half the time is waiting for it."""
        self._levels: dict[Ranks, Levels] = {}
        self._own_explanations: dict[tuple[int, int, int, str], Explanation] = {}
        self._inherited_explanations: dict[tuple[object, ...], Explanation] = {}

    def ids(self) -> list[str]:
        """Of the assets that are not retired."""
        return list(self._nodes)

    def asset(self, asset_id: str) -> Asset | None:
        """An asset that is not retired."""
        node = self._nodes.get(asset_id)
        return None if node is None else node.asset

    def verdict(self, asset_id: str) -> Verdict | None:
        """What was found of an asset that is not retired."""
        node = self._nodes.get(asset_id)
        return None if node is None else self._verdict(asset_id, None, node.reasons)

    def __len__(self) -> int:
        """The number of assets that are not retired."""
        return len(self._nodes)

    def apply(self, assets: Sequence[Asset], overrides: Sequence[OverrideEdit] = ()) -> list[Verdict]:
        """Take new states of assets, of several states of one the last; evaluate what they touch, once.

        Overrides stay until cleared, also for assets that are retired or not there yet.

        Returns a verdict for each asset given, and for each other whose verdict changed. Relations to assets that are
        retired, or not there yet, hand on nothing until they are.
        """
        latest = {asset.asset_id: asset for asset in assets}
        edit = _Edit()
        self._keep(overrides)
        for asset in latest.values():
            edit.touch(asset.asset_id, self._nodes.get(asset.asset_id))
            self._put(asset, edit)
        for asset_id in {one.asset_id for one in overrides} - latest.keys():
            if (node := self._nodes.get(asset_id)) is not None:
                own = self._own(node.asset)
                edit.own_changed(node, own)
                node.own = own
        for index in _INDEXES:
            self._settle(index, edit)
            self._look_abroad(index, edit)
        verdicts = (self._verdict(asset_id, latest.get(asset_id), before) for asset_id, before in edit.before.items())
        return [verdict for verdict in verdicts if verdict.changed or verdict.asset.asset_id in latest]

    def _keep(self, overrides: Sequence[OverrideEdit]) -> None:
        for asset_id, body, dimension, override in overrides:
            key = (asset_id, body, DIMENSIONS.index(dimension))
            if override is None:
                self._overrides.pop(key, None)
            else:
                self._overrides[key] = override

    def _put(self, asset: Asset, edit: _Edit) -> None:
        """Bring in an asset's own levels and relations; note where labels may no longer hold."""
        node = self._nodes.get(asset.asset_id)
        if asset.status is AssetStatus.RETIRED:
            if node is not None:
                self._take_out(node, edit)
            return
        if node is not None and node.asset.body != asset.body:
            # every way that leads through it is now seen otherwise
            self._take_out(node, edit)
            node = None
        own = self._own(asset)
        relations = frozenset((relation.type, relation.asset_id) for relation in asset.relations)
        if node is None:
            node = self._nodes[asset.asset_id] = _Node(asset, own, relations)
            added, removed = relations, frozenset[Edge]()
            edit.new[asset.asset_id] = None
        else:
            edit.own_changed(node, own)
            added, removed = relations - node.relations, node.relations - relations
            node.asset, node.own, node.relations = asset, own, relations
        for kind, target in added:
            self._referrers.setdefault(target, {})[kind, asset.asset_id] = None
            edit.joined.append((kind, asset.asset_id, target))
        for kind, target in removed:
            self._forget_referrer(kind, asset.asset_id, target)
            edit.parted.append((kind, asset.asset_id, target))

    def _take_out(self, node: _Node, edit: _Edit) -> None:
        asset_id = node.asset.asset_id
        for kind, target in node.relations:
            self._forget_referrer(kind, asset_id, target)
            edit.parted.append((kind, asset_id, target))
        edit.parted += [(kind, owner, asset_id) for kind, owner in self._referrers.get(asset_id, ())]
        del self._nodes[asset_id]
        edit.new.pop(asset_id, None)

    def _forget_referrer(self, kind: RelationType, owner: str, target: str) -> None:
        referrers = self._referrers[target]
        referrers.pop((kind, owner), None)
        if not referrers:
            del self._referrers[target]

    def _own(self, asset: Asset) -> tuple[_Own, ...]:
        derived = self.standard.derive(asset.kind, asset.zone, asset.facts)
        declared = (asset.declared.confidentiality, asset.declared.integrity, asset.declared.availability)
        return tuple(self._own_in(index, asset, declared[index], derived) for index in _INDEXES)

    def _own_in(self, index: int, asset: Asset, code: str | None, derived: Derived) -> _Own:
        declared, rank = self.standard.declared_rank(index, code), derived.ranks[index]
        override = self._overrides.get((asset.asset_id, asset.body, index)) if self._overrides else None
        binding = max(declared, rank) if override is None else override.rank
        return _Own(declared, rank, derived.rules[index], binding, override)

    def _settle(self, index: int, edit: _Edit) -> None:
        """Withdraw the labels that lost what held them up, then give every asset its best one."""
        withdrawn = self._withdraw(index, self._unheld(index, edit), edit)
        anew = dict.fromkeys(chain(withdrawn, edit.new))
        offers = _Offers()
        for asset_id in dict.fromkeys(chain(anew, edit.raised[index])):
            offers.add((self._own_label(index, asset_id), asset_id, None))
        for asset_id in anew:
            for neighbour, kind in self._sources(index, asset_id):
                self._offer(index, neighbour, asset_id, kind, offers)
        for kind, owner, target in edit.joined:
            for source, sink in self._directions(index, kind, owner, target):
                self._offer(index, source, sink, kind, offers)
        self._take_best(index, offers, edit)

    def _unheld(self, index: int, edit: _Edit) -> Iterator[str]:
        """Assets whose label no longer holds: their own level fell, or the neighbour or relation it came by is gone."""
        yield from (asset_id for asset_id in edit.overridden[index] if asset_id in self._nodes)
        for asset_id in edit.lowered[index]:
            if asset_id in self._nodes and self._nodes[asset_id].via[index] is None:
                yield asset_id
        for kind, owner, target in edit.parted:
            for source, sink in ((owner, target), (target, owner)):
                node = self._nodes.get(sink)
                if node is not None and node.via[index] == (source, kind):
                    yield sink

    def _withdraw(self, index: int, unheld: Iterable[str], edit: _Edit) -> Iterable[str]:
        """Take away the labels of `unheld` and of all that hangs on them."""
        withdrawn = self._all_hanging(index, unheld)
        for asset_id in withdrawn:
            node = self._nodes[asset_id]
            edit.touch(asset_id, node)
            node.labels[index] = node.via[index] = None
        return withdrawn

    def _take_best(self, index: int, offers: _Offers, edit: _Edit) -> None:
        """Best offers first: each asset settles once, and an offer that is no better than what it has ends there."""
        rerouted: list[str] = []
        for label, asset_id, via in offers:
            node = self._nodes[asset_id]
            has = node.labels[index]
            if has is not None and (has, _order(node.via[index])) <= (label, _order(via)):
                continue
            edit.touch(asset_id, node)
            if label == has:
                rerouted.append(asset_id)
            node.labels[index], node.via[index] = label, via
            if label[0] == 0:
                # the lowest level raises nobody
                continue
            for sink, kind in self._sinks(index, asset_id):
                self._offer(index, asset_id, sink, kind, offers)
        for asset_id in self._all_hanging(index, rerouted):
            # its label stays, but the way to the origin leads past other assets, perhaps another body's
            edit.touch(asset_id, self._nodes[asset_id])

    def _look_abroad(self, index: int, edit: _Edit) -> None:
        """Note for each asset touched which other body its way leads past first: each knows it from the one before."""
        inherited = []
        for asset_id in edit.before:
            if (node := self._nodes.get(asset_id)) is not None:
                node.foreign[index] = None
                if (via := node.via[index]) is not None:
                    inherited.append((self._label(index, node)[1], node, self._nodes[via[0]]))
        for _, node, giver in sorted(inherited, key=lambda one: one[0]):
            body = giver.asset.body
            node.foreign[index] = giver.foreign[index] if body == node.asset.body else body

    def _all_hanging(self, index: int, roots: Iterable[str]) -> Iterable[str]:
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
        return [sink for sink, kind in self._sinks(index, asset_id) if self._nodes[sink].via[index] == (asset_id, kind)]

    def _offer(
        self,
        index: int,
        source: str,
        sink: str,
        kind: RelationType,
        offers: _Offers,
    ) -> None:
        """What `source` would hand to `sink`, if it is better than what that one has by itself or by others."""
        giver, taker = self._nodes.get(source), self._nodes.get(sink)
        if giver is None or taker is None or (given := giver.labels[index]) is None:
            return
        if taker.own[index].rank >= -given[0] or taker.own[index].override is not None:
            return
        label = (given[0], given[1] + 1, given[2])
        has = taker.labels[index]
        if has is None or (label, (source, kind)) < (has, _order(taker.via[index])):
            offers.add((label, sink, (source, kind)))

    def _own_label(self, index: int, asset_id: str) -> Label:
        return (-self._nodes[asset_id].own[index].rank, 0, asset_id)

    def _directions(self, index: int, kind: RelationType, owner: str, target: str) -> Iterator[tuple[str, str]]:
        """The ways in which a relation hands on levels, each as (from, to)."""
        flows = self.standard.flows[index]
        if kind in flows.to_owner:
            yield target, owner
        if kind in flows.to_target:
            yield owner, target

    def _sources(self, index: int, asset_id: str) -> Iterator[tuple[str, RelationType]]:
        """Whose levels an asset takes, and by which relation."""
        flows = self.standard.flows[index]
        for kind, target in self._nodes[asset_id].relations:
            if kind in flows.to_owner:
                yield target, kind
        for kind, owner in self._referrers.get(asset_id, ()):
            if kind in flows.to_target:
                yield owner, kind

    def _sinks(self, index: int, asset_id: str) -> Iterator[tuple[str, RelationType]]:
        """Which assets of the register take an asset's levels, and by which relation."""
        flows = self.standard.flows[index]
        for kind, target in self._nodes[asset_id].relations:
            if kind in flows.to_target and target in self._nodes:
                yield target, kind
        for kind, owner in self._referrers.get(asset_id, ()):
            if kind in flows.to_owner and owner in self._nodes:
                yield owner, kind

    def _verdict(self, asset_id: str, given: Asset | None, before: _Reasons | None) -> Verdict:
        node = self._nodes.get(asset_id)
        if node is None:
            assert given is not None, "only an asset that was given can have left the register"  # noqa: S101
            return Verdict(given, None, {}, (), changed=before is not None)
        asset = node.asset
        labels = [self._label(index, node) for index in _INDEXES]
        ranks: Ranks = (-labels[0][0], -labels[1][0], -labels[2][0])
        obligations = self.standard.obligations(ranks, asset.kind, asset.zone, asset.facts)
        node.reasons = (asset.body, *(self._reason(index, node) for index in _INDEXES), obligations)
        return Verdict(
            asset=asset,
            levels=self._levels_of(ranks),
            explanations={name: self._explain(index, node) for index, name in enumerate(DIMENSIONS)}
            if self._explains
            else {},
            obligations=obligations,
            changed=before != node.reasons,
        )

    def _levels_of(self, ranks: Ranks) -> Levels:
        """Models are costly to make, and there are few combinations of levels."""
        if (known := self._levels.get(ranks)) is None:
            codes = {name: self.standard.code(index, ranks[index]) for index, name in enumerate(DIMENSIONS)}
            known = self._levels[ranks] = Levels(**codes)
        return known

    def _reason(self, index: int, node: _Node) -> tuple[int, str, str | OverrideRef, str | None]:
        """A level, and of where it comes from what the asset's body may see: the asset and the rule there, or the other body."""
        rank, _, origin = self._label(index, node)
        if (foreign := node.foreign[index]) is not None:
            return -rank, "", "", foreign
        source = self._nodes[origin].own[index]
        if source.override is not None:
            return -rank, origin, source.override.ref, None
        return -rank, origin, "" if source.is_declared else source.rule.id, None

    def _label(self, index: int, node: _Node) -> Label:
        label = node.labels[index]
        assert label is not None, "every asset in the register has a label once settled"  # noqa: S101
        return label

    def _explain(self, index: int, node: _Node) -> Explanation:
        if node.via[index] is not None:
            return self._explain_inherited(index, node)
        own = node.own[index]
        if own.override is not None:
            return self._explain_override(index, own, own.override)
        key = (index, own.declared, own.derived, own.rule.id)
        if (known := self._own_explanations.get(key)) is None:
            known = self._own_explanations[key] = self._explain_own(index, own)
        return known

    def _explain_override(self, index: int, own: _Own, override: GraphOverride) -> Explanation:
        return Explanation(
            level=self.standard.code(index, own.rank),
            origin="override",
            declared=self._declared_code(index, own),
            derived=self.standard.code(index, own.derived),
            override=override.ref,
        )

    def _explain_own(self, index: int, own: _Own) -> Explanation:
        return Explanation(
            level=self.standard.code(index, own.rank),
            origin="declared" if own.is_declared else "derived",
            rule=None if own.is_declared else own.rule.id,
            text=None if own.is_declared else own.rule.text,
            declared=self._declared_code(index, own),
            derived=self.standard.code(index, own.derived),
        )

    def _explain_inherited(self, index: int, node: _Node) -> Explanation:
        """What is said where a neighbour alone is on the way: many assets that take their level from it share it."""
        label, own = self._label(index, node), node.own[index]
        source = self._nodes[label[2]].own[index]
        if label[1] > 1 and node.foreign[index] is None:
            return self._inherit_explanation(index, node, label, source)
        given = (source.rule.id, source.is_declared, source.override and source.override.ref.override_id)
        key = (index, label, node.via[index], node.asset.body, node.foreign[index], own.declared, own.derived, given)
        if (known := self._inherited_explanations.get(key)) is None:
            if len(self._inherited_explanations) >= _REMEMBERED:
                self._inherited_explanations.clear()
            known = self._inherited_explanations[key] = self._inherit_explanation(index, node, label, source)
        return known

    def _inherit_explanation(self, index: int, node: _Node, label: Label, source: _Own) -> Explanation:
        rank, own = label[0], node.own[index]
        inherited = self._inherited(index, node)
        # the rule would say of what kind another body's asset is
        hidden = inherited.asset_id is None
        named = None if source.is_declared or hidden or source.override is not None else source.rule
        level = self.standard.code(index, -rank)
        return Explanation(
            level=level,
            origin="inherited",
            rule=named.id if named else None,
            text=named.text if named else None,
            inherited_from=inherited,
            declared=self._declared_code(index, own),
            derived=self.standard.code(index, own.derived),
            inherited=level,
            override=None if hidden or source.override is None else source.override.ref,
        )

    def _declared_code(self, index: int, own: _Own) -> str | None:
        return self.standard.code(index, own.declared) if own.declared >= 0 else None

    def _inherited(self, index: int, node: _Node) -> Inherited:
        """The way from the asset's neighbour to the origin; no further than the asset's own body may see."""
        first = node.via[index]
        assert first is not None, "a label with a distance came by a relation"  # noqa: S101
        if (foreign := node.foreign[index]) is not None:
            return Inherited(body=foreign, relation=first[1])
        _, steps, origin = self._label(index, node)
        near = islice(self._path(index, node), min(steps, LONGEST_PATH) - 1)
        path = (*(step.asset.asset_id for step in near), origin)
        more = steps if steps > LONGEST_PATH else None
        return Inherited(body=node.asset.body, asset_id=origin, relation=first[1], path=path, steps=more)

    def _path(self, index: int, node: _Node) -> Iterator[_Node]:
        while (via := node.via[index]) is not None:
            node = self._nodes[via[0]]
            yield node


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
        self.before: dict[str, _Reasons | None] = {}
        self.new: dict[str, None] = {}
        self.joined: list[tuple[RelationType, str, str]] = []
        self.parted: list[tuple[RelationType, str, str]] = []
        self.overridden: tuple[set[str], ...] = tuple(set() for _ in _INDEXES)
        self.raised: tuple[set[str], ...] = tuple(set() for _ in _INDEXES)
        self.lowered: tuple[set[str], ...] = tuple(set() for _ in _INDEXES)

    def own_changed(self, node: _Node, own: tuple[_Own, ...]) -> None:
        """Sort the dimensions of an asset's own level into raised and lowered; another reason for the same level is both."""
        asset_id = node.asset.asset_id
        for index, (was, now) in enumerate(zip(node.own, own, strict=True)):
            if now.override != was.override:
                self.overridden[index].add(asset_id)
            elif now.rank > was.rank:
                self.raised[index].add(asset_id)
            elif now != was:
                self.lowered[index].add(asset_id)

    def touch(self, asset_id: str, node: _Node | None) -> None:
        """Remember an asset's verdict as it was before this edit."""
        if asset_id not in self.before:
            self.before[asset_id] = None if node is None else node.reasons


def _order(via: tuple[str, RelationType] | None) -> tuple[str, str]:
    """Of equal labels, that of the smaller neighbour id; an own label before all."""
    return ("", "") if via is None else via
