# SPDX-License-Identifier: Apache-2.0
"""A standard made ready for use: conditions compiled, levels as ranks, results remembered by the facts they were found from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from functools import cached_property
from typing import Any, Final, NamedTuple

from libs.contracts import Dimension, Duty, DutyRef, FindingState, RelationType
from libs.contracts import Standard as PublishedStandard
from libs.contracts.words import FactValue
from libs.standards.conditions import ASSET_NAMES, EMPTY, Condition, compile_condition, expected, fits
from libs.standards.document import Fact, Flow, Obligation, Rule, StandardDocument, digest_of

DIMENSIONS: Final = tuple(Dimension)
_REMEMBERED: Final = 200_000
"""Distinct cases kept; a city has a few thousand. Above it the memory is emptied, not the answer changed."""

Ranks = tuple[int, int, int]
"""A level of each dimension, by its place in the scale from 0, in the order of `Dimension`."""
Facts = Mapping[str, FactValue]


class Derived(NamedTuple):
    """The highest level that the rules give in each dimension, and the rule that gives it."""

    ranks: Ranks
    rules: tuple[Rule, Rule, Rule]


class FactProblem(NamedTuple):
    """A fact that conditions cannot use as it stands, and what it should be; never its value, which may be personal."""

    fact: str
    expected: str


class Flows(NamedTuple):
    """Which relation types hand levels of one dimension to their owner, and which to their target."""

    to_owner: frozenset[RelationType]
    to_target: frozenset[RelationType]


class Standard:
    """A document as it holds on a day; of no day in particular, with every entry whatever its dates.

    Raises ConditionError for a document whose conditions do not compile; `libs.standards.parse` gives none such.
    """

    def __init__(self, document: StandardDocument, day: date | None = None) -> None:
        self.document = document
        self.day = day
        self.digest = digest_of(document)
        self.version = f"{document.name}/{document.version}"
        self.flows = tuple(_flows(document, dimension) for dimension in DIMENSIONS)
        self._codes = tuple(tuple(level.code for level in document.scales[dimension]) for dimension in DIMENSIONS)
        fact_names = frozenset(document.facts) | ASSET_NAMES
        self._empty = {name: EMPTY[fact.type] for name, fact in document.facts.items()}
        self._conditions = {rule.id: compile_condition(rule.when, fact_names) for rule in document.rules}
        self._rules = [(rule, self._conditions[rule.id]) for rule in document.rules if rule.holds_on(day)]
        obligations = _compiled_obligations(document, day, fact_names | self._level_names)
        self._alike = _alike(obligations, frozenset(self._level_constants))
        self._checks = {
            duty.id: compile_condition(duty.check, fact_names)
            for duty in document.obligations
            if duty.check is not None and duty.holds_on(day)
        }
        self._checked: dict[tuple[str, ...], tuple[str, ...]] = {}
        self._rule_facts = self._facts_read(condition for _, condition in self._rules)
        self._duty_facts = self._facts_read(condition for _, condition in obligations)
        self._by_id = {obligation.id: obligation for obligation in document.obligations}
        self._derived: dict[tuple[Any, ...], Derived] = {}
        self._in_force: dict[tuple[Any, ...], tuple[str, ...]] = {}

    def on(self, day: date) -> Standard:
        """The same standard on another day."""
        return Standard(self.document, day)

    def next_change(self) -> date | None:
        """The first day after this one on which an entry begins or ceases to hold."""
        entries = (*self.document.rules, *self.document.obligations)
        days = {day for entry in entries for day in (entry.effective_from, entry.effective_until) if day is not None}
        return min((day for day in days if self.day is None or day > self.day), default=None)

    def rank(self, dimension: Dimension, code: str) -> int:
        """Raises ValueError for a level that is not on the scale."""
        return self._codes[DIMENSIONS.index(dimension)].index(code)

    def level(self, dimension: Dimension, rank: int) -> str:
        return self._codes[DIMENSIONS.index(dimension)][rank]

    def code(self, index: int, rank: int) -> str:
        """The level of the dimension at `index` of `DIMENSIONS`."""
        return self._codes[index][rank]

    def declared_rank(self, index: int, code: str | None) -> int:
        """The rank that a ledger declares; -1 where it declares none, or one that is not on the scale."""
        codes = self._codes[index]
        return codes.index(code) if code in codes else -1

    def derive(self, kind: str, zone: str | None, facts: Facts) -> Derived:
        """Levels by the rules alone. A fact of another type than declared counts as missing."""
        key = (kind, zone, *self._rule_facts.values_of(facts))
        if (known := self._derived.get(key)) is None:
            known = _remember(self._derived, key, self._derive(key))
        return known

    def obligations(self, ranks: Ranks, kind: str, zone: str | None, facts: Facts) -> tuple[str, ...]:
        """Ids of the obligations in force on the day for these effective levels, sorted."""
        key = (kind, zone, ranks, *self._duty_facts.values_of(facts))
        if (known := self._in_force.get(key)) is None:
            known = _remember(self._in_force, key, self._oblige(key))
        return known

    def findings(
        self, obligations: tuple[str, ...], kind: str, zone: str | None, facts: Facts
    ) -> tuple[tuple[str, FindingState], ...]:
        """Of those of the obligations that carry a check, whether the facts show them met; sorted by id.

        A check is asked only where the asset has every fact that it reads, of the declared type: else it is unknown.
        """
        if (checked := self._checked.get(obligations)) is None:
            checked = _remember(self._checked, obligations, tuple(one for one in obligations if one in self._checks))
        return tuple((one, self._finding(self._checks[one], kind, zone, facts)) for one in checked)

    def _finding(self, check: Condition, kind: str, zone: str | None, facts: Facts) -> FindingState:
        declared = self.document.facts
        values: dict[str, Any] = {"kind": kind, "zone": zone or ""}
        for name in check.names - ASSET_NAMES:
            value = facts.get(name)
            if value is None or not fits(declared[name], value):
                return FindingState.UNKNOWN
            values[name] = tuple(value) if isinstance(value, list) else value
        return FindingState.MET if check.holds(values) else FindingState.NOT_MET

    def facts_read_by(self, rule: Rule) -> tuple[str, ...]:
        """The facts that its condition reads, sorted."""
        return self._facts_read([self._conditions[rule.id]]).names

    def fact_problems(self, facts: Facts) -> list[FactProblem]:
        """The declared facts whose value is of another type than declared, or none of the declared values: they count as missing."""
        declared = self.document.facts
        return [
            FactProblem(name, expected(declared[name]))
            for name, value in sorted(facts.items())
            if name in declared and not fits(declared[name], value)
        ]

    def duty(self, obligation_id: str) -> Duty:
        return self._by_id[obligation_id].duty()

    def duty_ref(self, obligation_id: str) -> DutyRef:
        return self._by_id[obligation_id].duty_ref()

    def published(self) -> PublishedStandard:
        """The standard as consumers need it."""
        return PublishedStandard(
            name=self.document.name,
            version=self.document.version,
            digest=self.digest,
            effective_from=self.document.effective_from,
            scales=dict(zip(DIMENSIONS, self._codes, strict=True)),
            duties=tuple(obligation.duty() for obligation in self.document.obligations),
        )

    @cached_property
    def _level_constants(self) -> dict[str, int]:
        """`C3B` and so on: the dimension's letter and the level's code."""
        return {
            f"{dimension.value[0].upper()}{code}": rank
            for dimension, codes in zip(DIMENSIONS, self._codes, strict=True)
            for rank, code in enumerate(codes)
        }

    @property
    def _level_names(self) -> frozenset[str]:
        return frozenset(self._level_constants) | frozenset(DIMENSIONS)

    def _facts_read(self, conditions: Iterable[Condition]) -> _Read:
        read = frozenset().union(*(condition.names for condition in conditions))
        names = tuple(sorted(read & self.document.facts.keys()))
        places = {name: (at, self.document.facts[name]) for at, name in enumerate(names)}
        return _Read(names, places, [self._empty[name] for name in names])

    def _derive(self, key: tuple[Any, ...]) -> Derived:
        values = _named(("kind", "zone", *self._rule_facts.names), key)
        best: list[tuple[int, Rule] | None] = [None, None, None]
        for rule, condition in self._rules:
            index = DIMENSIONS.index(rule.dimension)
            rank, found = self._codes[index].index(rule.level), best[index]
            if (found is None or rank > found[0]) and condition.holds(values):
                best[index] = (rank, rule)
        confidentiality, integrity, availability = (found for found in best if found is not None)
        return Derived(
            ranks=(confidentiality[0], integrity[0], availability[0]),
            rules=(confidentiality[1], integrity[1], availability[1]),
        )

    def _oblige(self, key: tuple[Any, ...]) -> tuple[str, ...]:
        kind, zone, ranks, *facts = key
        values = _named(("kind", "zone", *self._duty_facts.names), (kind, zone, *facts))
        values |= self._level_constants | dict(zip(DIMENSIONS, ranks, strict=True))
        return tuple(sorted(duty_id for group in self._alike for duty_id in group.in_force(values)))


class _Read(NamedTuple):
    """The facts that some conditions read, sorted: the place of each with its declaration, and the values of an asset that has none."""

    names: tuple[str, ...]
    places: Mapping[str, tuple[int, Fact]]
    empty: Sequence[Any]

    def values_of(self, facts: Facts) -> list[Any]:
        """Hashable values of the facts' declared types; an asset has few of the facts."""
        values = list(self.empty)
        for name, value in facts.items():
            if value is not None and (place := self.places.get(name)) is not None and fits(place[1], value):
                values[place[0]] = tuple(value) if isinstance(value, list) else value
        return values


class _Alike:
    """Obligations whose conditions read the same of an asset: what is in force of them is found, and remembered, at once."""

    def __init__(self, names: Iterable[str], obligations: Iterable[tuple[Obligation, Condition]]) -> None:
        self._names = tuple(sorted(names))
        self._obligations = [(duty.id, condition) for duty, condition in obligations]
        self._found: dict[tuple[Any, ...], tuple[str, ...]] = {}

    def in_force(self, values: Mapping[str, Any]) -> tuple[str, ...]:
        key = tuple([values[name] for name in self._names])
        if (found := self._found.get(key)) is None:
            held = tuple(duty_id for duty_id, condition in self._obligations if condition.holds(values))
            found = _remember(self._found, key, held)
        return found


def _alike(obligations: Iterable[tuple[Obligation, Condition]], constants: frozenset[str]) -> list[_Alike]:
    by_names: dict[frozenset[str], list[tuple[Obligation, Condition]]] = {}
    for obligation, condition in obligations:
        by_names.setdefault(condition.names - constants, []).append((obligation, condition))
    return [_Alike(names, group) for names, group in by_names.items()]


def compile_standard(document: StandardDocument, day: date | None = None) -> Standard:
    """Raises ConditionError where a condition does not compile."""
    return Standard(document, day)


def _compiled_obligations(
    document: StandardDocument, day: date | None, names: frozenset[str]
) -> list[tuple[Obligation, Condition]]:
    return [(duty, compile_condition(duty.when, names)) for duty in document.obligations if duty.holds_on(day)]


def _flows(document: StandardDocument, dimension: Dimension) -> Flows:
    by_type = {entry.relation: Flow(getattr(entry, dimension)) for entry in document.inheritance}
    return Flows(
        to_owner=frozenset(kind for kind, flow in by_type.items() if flow in (Flow.TO_OWNER, Flow.BOTH)),
        to_target=frozenset(kind for kind, flow in by_type.items() if flow in (Flow.TO_TARGET, Flow.BOTH)),
    )


def _named(names: tuple[str, ...], values: tuple[Any, ...]) -> dict[str, Any]:
    """CEL has no null text."""
    named = dict(zip(names, values, strict=True))
    return named | {"zone": named["zone"] or ""}


def _remember(memory: dict[tuple[Any, ...], Any], key: tuple[Any, ...], found: Any) -> Any:
    if len(memory) >= _REMEMBERED:
        memory.clear()
    memory[key] = found
    return found
