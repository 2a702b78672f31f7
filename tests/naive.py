# SPDX-License-Identifier: Apache-2.0
"""What a standard says of a register, worked out plainly: every condition is asked of every asset, and levels are handed on from
neighbour to neighbour until nothing gets better. Nothing of `libs.standards` is used but the document as it is written."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import date
from functools import cache
from typing import Any, Final, NamedTuple

import cel

from libs.contracts import Asset, Dimension, OverrideRef
from libs.standards import StandardDocument

DIMENSIONS: Final = tuple(Dimension)
_NOTHING: Final[Mapping[str, Any]] = {"boolean": False, "text": "", "list": [], "integer": None, "number": None}

Overrides = Mapping[tuple[str, str, Dimension], tuple[str, OverrideRef]]
"""By asset, body and dimension, the level that an override puts it at."""


class Level(NamedTuple):
    """A level of one dimension. `source` is the asset that it comes from, and `why` what gives it there: the id of a rule, `declared`, or
    an override. Where another body's asset is on the way, `foreign` is that body, and neither of the two is told.
    """

    level: str
    source: str
    why: Any
    foreign: str | None
    declared: str | None
    derived: str


class Found(NamedTuple):
    """All of an asset: its levels in the order of `DIMENSIONS`, and the ids of the obligations in force, sorted."""

    body: str
    levels: tuple[Level, Level, Level]
    obligations: tuple[str, ...]


class _Own(NamedTuple):
    """What an asset has by itself."""

    rank: int
    why: Any
    declared: str | None
    derived: str


class Naive:
    """A standard as it is on a day; of no day in particular, with every entry."""

    def __init__(self, document: StandardDocument, day: date | None = None) -> None:
        self._document = document
        self._codes = {one: [level.code for level in document.scales[one]] for one in DIMENSIONS}
        self._rules = [one for one in document.rules if _holds_on(one, day)]
        self._duties = [one for one in document.obligations if _holds_on(one, day)]
        self._flows = {entry.relation: entry for entry in document.inheritance}
        self._derived: dict[str, dict[Dimension, tuple[int, str]]] = {}
        self._bound: dict[str, tuple[str, ...]] = {}

    def evaluate(self, assets: Iterable[Asset], overrides: Overrides) -> dict[str, Found]:
        """By id, what is found of each asset; none of them is retired."""
        register = {asset.asset_id: asset for asset in assets}
        by_dimension = {one: self._levels(one, register, overrides) for one in DIMENSIONS}
        found = {}
        for asset_id, asset in register.items():
            levels = tuple(by_dimension[one][asset_id] for one in DIMENSIONS)
            found[asset_id] = Found(asset.body, levels, self._obligations(asset, levels))  # type: ignore[arg-type]
        return found

    def _levels(self, dimension: Dimension, register: Mapping[str, Asset], overrides: Overrides) -> dict[str, Level]:
        codes = self._codes[dimension]
        fixed = {one for one in register if (one, register[one].body, dimension) in overrides}
        own = {one: self._own(dimension, asset, overrides) for one, asset in register.items()}
        # the higher level, then the shorter way, then the smaller id; the last two say by whom it came
        labels = {one: (-own[one].rank, 0, one, "", "") for one in register}
        better = True
        while better:
            better = False
            for giver, taker, relation in self._ways(dimension, register):
                rank, steps, source, *_ = labels[giver]
                offer = (rank, steps + 1, source, giver, relation)
                if taker not in fixed and offer < labels[taker]:
                    labels[taker], better = offer, True
        levels = {}
        for one, (rank, _, source, *_) in labels.items():
            way, at = [], one
            while at := labels[at][3]:
                way.append(register[at].body)
            foreign = next((body for body in way if body != register[one].body), None)
            told, why = ("", None) if foreign else (source, own[source].why)
            levels[one] = Level(codes[-rank], told, why, foreign, own[one].declared, own[one].derived)
        return levels

    def _ways(self, dimension: Dimension, register: Mapping[str, Asset]) -> Iterable[tuple[str, str, str]]:
        for owner, asset in register.items():
            for relation in asset.relations:
                flow = getattr(self._flows[relation.type], dimension)
                if relation.asset_id in register and flow in ("to_owner", "both"):
                    yield relation.asset_id, owner, relation.type
                if relation.asset_id in register and flow in ("to_target", "both"):
                    yield owner, relation.asset_id, relation.type

    def _own(self, dimension: Dimension, asset: Asset, overrides: Overrides) -> _Own:
        codes = self._codes[dimension]
        derived, rule = self._derive(asset)[dimension]
        said = getattr(asset.declared, dimension)
        declared = said if said in codes else None
        by_itself = (declared, codes[derived])
        if (override := overrides.get((asset.asset_id, asset.body, dimension))) is not None:
            return _Own(codes.index(override[0]), override[1], *by_itself)
        if declared is not None and codes.index(declared) > derived:
            return _Own(codes.index(declared), "declared", *by_itself)
        return _Own(derived, rule, *by_itself)

    def _derive(self, asset: Asset) -> dict[Dimension, tuple[int, str]]:
        """The highest level of each dimension, and of the rules that give it the first. Asked once of assets that say the same."""
        values = self._values(asset)
        if (known := self._derived.get(key := json.dumps(values))) is not None:
            return known
        best: dict[Dimension, tuple[int, str]] = {}
        for rule in self._rules:
            rank = self._codes[rule.dimension].index(rule.level)
            if _holds(rule.when, values) and (rule.dimension not in best or rank > best[rule.dimension][0]):
                best[rule.dimension] = (rank, rule.id)
        self._derived[key] = best
        return best

    def _obligations(self, asset: Asset, levels: Iterable[Level]) -> tuple[str, ...]:
        values = self._values(asset)
        for dimension, found in zip(DIMENSIONS, levels, strict=True):
            codes = self._codes[dimension]
            values |= {f"{dimension[0].upper()}{code}": rank for rank, code in enumerate(codes)}
            values[str(dimension)] = codes.index(found.level)
        if (known := self._bound.get(key := json.dumps(values))) is not None:
            return known
        bound = self._bound[key] = tuple(sorted(duty.id for duty in self._duties if _holds(duty.when, values)))
        return bound

    def _values(self, asset: Asset) -> dict[str, Any]:
        """What conditions see of an asset: every fact of the standard, with nothing where the register is silent."""
        facts = {name: _NOTHING[fact.type] for name, fact in self._document.facts.items()}
        return facts | asset.facts | {"kind": str(asset.kind), "zone": str(asset.zone or "")}


def _holds_on(entry: Any, day: date | None) -> bool:
    if day is None:
        return True
    begun = entry.effective_from is None or entry.effective_from <= day
    return begun and (entry.effective_until is None or day < entry.effective_until)


def _holds(when: str, values: Mapping[str, Any]) -> bool:
    program = _compiled(when)
    return program.execute({name: values[name] for name in program.variables()}) is True


@cache
def _compiled(when: str) -> cel.Program:
    return cel.compile(when)
