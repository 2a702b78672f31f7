# SPDX-License-Identifier: Apache-2.0
"""What a candidate standard, or candidate facts, would change of a register. Pure: the register given is evaluated anew, by both."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from libs.contracts import Asset, AssetStatus, Dimension, Levels, OverrideChange, Part
from libs.contracts.words import FactValue
from libs.standards.case import GraphAsset
from libs.standards.graph import NetworkGraph
from libs.standards.overrides import Place, edits_of
from libs.standards.standard import DIMENSIONS, Standard
from libs.standards.verdict import EffectiveLevels, Verdict

FactChanges = Mapping[str, FactValue | None]
"""The new values of an asset's facts by name; None takes a fact away."""

Word = TypeVar("Word", Dimension, Part)

_NO_CHANGES: Final[Mapping[str, FactChanges]] = {}
_NO_OVERRIDES: Final[Mapping[Place, OverrideChange]] = {}


@dataclass(frozen=True, slots=True)
class Difference:
    """What would change of one asset, which is shown as it is now.

    `before` and `after` are in the codes of the standard of their own side. `raised` and `lowered` are in the order of
    `Dimension`, `imposed` and `lifted` by obligation id.
    """

    asset: Asset
    before: Levels
    after: Levels
    raised: tuple[Dimension, ...]
    lowered: tuple[Dimension, ...]
    imposed: tuple[str, ...]
    lifted: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BodyCounts:
    """How many assets a body has, of how many something would change, and what.

    Assets by dimension, obligations (one for each asset that it binds) by part; every dimension and part has its number.
    """

    body: str
    assets: int
    changed: int
    raised: Mapping[Dimension, int]
    lowered: Mapping[Dimension, int]
    imposed: Mapping[Part, int]
    lifted: Mapping[Part, int]


@dataclass(frozen=True, slots=True)
class Comparison:
    """`bodies` has each body that has assets, by id; `differences` are by body, then by asset id."""

    bodies: tuple[BodyCounts, ...]
    differences: tuple[Difference, ...]

    @property
    def assets(self) -> int:
        """How many assets were compared."""
        return sum(counts.assets for counts in self.bodies)

    @classmethod
    def joined(cls, networks: Iterable[Comparison]) -> Comparison:
        """Comparisons of several networks as one; no body is in two of them."""
        parts = list(networks)
        return cls(
            tuple(sorted((counts for part in parts for counts in part.bodies), key=lambda one: one.body)),
            tuple(
                sorted(
                    (difference for part in parts for difference in part.differences),
                    key=lambda one: (one.asset.body, one.asset.asset_id),
                )
            ),
        )

    def of_body(self, body: str) -> Comparison:
        """What of it concerns one body."""
        return Comparison(
            tuple(counts for counts in self.bodies if counts.body == body),
            tuple(difference for difference in self.differences if difference.asset.body == body),
        )


def compare(
    assets: Iterable[Asset],
    now: Standard,
    candidate: Standard,
    changed_facts: Mapping[str, FactChanges] = _NO_CHANGES,
    overrides: Mapping[Place, OverrideChange] = _NO_OVERRIDES,
) -> Comparison:
    """What would change of `assets` (each given once) if `candidate` held, and their facts were changed by asset id; `overrides` hold
    before and after.

    Retired assets are left out, and changes of assets that are not there. Where the scales differ, a level is raised or lowered
    by its rank in its own scale; another code of the same rank alone is no change, nor is another text of an obligation.
    """
    networks: defaultdict[str, list[Asset]] = defaultdict(list)
    for asset in assets:
        if asset.status is not AssetStatus.RETIRED:
            networks[asset.network].append(asset)
    found = (
        difference
        for members in networks.values()
        for difference in _differences(members, now, candidate, changed_facts, overrides)
    )
    differences = tuple(sorted(found, key=lambda one: (one.asset.body, one.asset.asset_id)))
    owned = Counter(asset.body for members in networks.values() for asset in members)
    return Comparison(_counts(owned, differences, now, candidate), differences)


def with_facts(asset: Asset, changes: FactChanges) -> Asset:
    """The asset with its facts changed."""
    facts = {name: value for name, value in {**asset.facts, **changes}.items() if value is not None}
    return asset.model_copy(update={"facts": facts})


def _differences(
    members: Sequence[Asset],
    now: Standard,
    candidate: Standard,
    changed_facts: Mapping[str, FactChanges],
    overrides: Mapping[Place, OverrideChange],
) -> Iterator[Difference]:
    """Of one network: levels come down from one body's assets to another's, so all of it is evaluated together."""
    held = list(overrides.items())
    graph = NetworkGraph(now)
    before = _by_id(graph.apply(map(GraphAsset.of, members), edits_of(now, held)))
    edited = [with_facts(asset, changed_facts[asset.asset_id]) for asset in members if asset.asset_id in changed_facts]
    if alike := candidate.hands_on_as(now):
        after = _by_id(graph.turn_to(candidate))
    else:
        graph = NetworkGraph(candidate)
        after = _by_id(graph.apply(map(GraphAsset.of, members), edits_of(candidate, held)))
    after |= _by_id(graph.apply(map(GraphAsset.of, edited)))
    for asset in members:
        was, would = before[asset.asset_id], after[asset.asset_id]
        if alike and (was.levels, was.obligations) == (would.levels, would.obligations):
            continue
        difference = _difference(asset, was, would, now, candidate)
        if difference.raised or difference.lowered or difference.imposed or difference.lifted:
            yield difference


def _by_id(verdicts: Iterable[Verdict]) -> dict[str, Verdict]:
    return {verdict.asset.asset_id: verdict for verdict in verdicts}


def _difference(asset: Asset, was: Verdict, would: Verdict, now: Standard, candidate: Standard) -> Difference:
    assert was.levels is not None and would.levels is not None, "retired assets are left out"  # noqa: S101
    before, after = _ranks(was.levels, now), _ranks(would.levels, candidate)
    return Difference(
        asset=asset,
        before=Levels(**was.levels._asdict()),
        after=Levels(**would.levels._asdict()),
        raised=tuple(dimension for dimension in DIMENSIONS if after[dimension] > before[dimension]),
        lowered=tuple(dimension for dimension in DIMENSIONS if after[dimension] < before[dimension]),
        imposed=_without(would.obligations, was.obligations),
        lifted=_without(was.obligations, would.obligations),
    )


def _ranks(levels: EffectiveLevels, standard: Standard) -> dict[Dimension, int]:
    return {dimension: standard.rank(dimension, getattr(levels, dimension)) for dimension in DIMENSIONS}


def _without(ids: tuple[str, ...], others: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(set(ids).difference(others)))


def _counts(
    owned: Mapping[str, int], differences: Sequence[Difference], now: Standard, candidate: Standard
) -> tuple[BodyCounts, ...]:
    by_body: defaultdict[str, list[Difference]] = defaultdict(list)
    for difference in differences:
        by_body[difference.asset.body].append(difference)
    part_now, part_then = _parts(now), _parts(candidate)
    return tuple(_of_body(body, owned[body], by_body[body], part_now, part_then) for body in sorted(owned))


def _of_body(
    body: str,
    assets: int,
    differences: Sequence[Difference],
    part_now: Mapping[str, Part],
    part_then: Mapping[str, Part],
) -> BodyCounts:
    return BodyCounts(
        body=body,
        assets=assets,
        changed=len(differences),
        raised=_each(Dimension, (dimension for one in differences for dimension in one.raised)),
        lowered=_each(Dimension, (dimension for one in differences for dimension in one.lowered)),
        imposed=_each(Part, (part_then[duty] for one in differences for duty in one.imposed)),
        lifted=_each(Part, (part_now[duty] for one in differences for duty in one.lifted)),
    )


def _parts(standard: Standard) -> dict[str, Part]:
    return {obligation.id: obligation.part for obligation in standard.document.obligations}


def _each(words: type[Word], found: Iterable[Word]) -> dict[Word, int]:
    """How often each word of an enumeration was found."""
    counted = Counter(found)
    return {word: counted[word] for word in words}
