# SPDX-License-Identifier: Apache-2.0
"""A standard made ready for use: conditions compiled, levels as ranks, results remembered by the facts they were found from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Any, Final, NamedTuple

from libs.contracts import Dimension, Duty, DutyRef, FindingState
from libs.contracts import Standard as PublishedStandard
from libs.standards.case import Case, Facts
from libs.standards.conditions import ASSET_NAMES, EMPTY, compile_condition, expected, fits
from libs.standards.document import Flow, Rule, StandardDocument, digest_of
from libs.standards.remembering import Conditions, Given, Likeness, remember, shown

DIMENSIONS: Final = tuple(Dimension)

Ranks = tuple[int, int, int]
"""A level of each dimension, by its place in the scale from 0, in the order of `Dimension`."""


@dataclass(frozen=True, eq=False, slots=True)
class Derived:
    """The highest level that the rules give in each dimension, and the rule that gives it. Compared by identity."""

    ranks: Ranks
    rules: tuple[Rule, Rule, Rule]


class Binding(NamedTuple):
    """The ids of the obligations in force, sorted; and of those that carry a check, by id, whether the facts show them met."""

    obligations: tuple[str, ...]
    findings: tuple[tuple[str, FindingState], ...]


class FactProblem(NamedTuple):
    """A fact that conditions cannot use as it stands, and what it should be; never its value, which may be personal."""

    fact: str
    expected: str


class Flows(NamedTuple):
    """Which relation types hand levels of one dimension to their owner, and which to their target."""

    to_owner: frozenset[str]
    to_target: frozenset[str]


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
        names = frozenset(document.facts) | ASSET_NAMES
        self._conditions = {rule.id: compile_condition(rule.when, names) for rule in document.rules}
        rules = [(rule, self._conditions[rule.id]) for rule in document.rules if rule.holds_on(day)]
        in_force = [duty for duty in document.obligations if duty.holds_on(day)]
        duties = [(duty.id, compile_condition(duty.when, names | self._level_names)) for duty in in_force]
        self._checks = {duty.id: compile_condition(duty.check, names) for duty in in_force if duty.check is not None}
        compiled = [condition for _, condition in (*rules, *duties)]
        self._likeness = Likeness(document.facts, [*compiled, *self._checks.values()])
        missing = {name: EMPTY[fact.type] for name, fact in document.facts.items()}
        self._rules = Conditions(rules, document.facts, missing)
        self._duties = Conditions(duties, document.facts, missing | self._level_constants)
        self._places = {rule.id: place for place, rule in enumerate(document.rules)}
        self._by_id = {obligation.id: obligation for obligation in document.obligations}
        self._of_case: dict[Case, _Alike] = {}
        self._alike: dict[tuple[tuple[str, Any], ...], _Alike] = {}

    def on(self, day: date) -> Standard:
        """The same standard on another day."""
        return Standard(self.document, day)

    def next_change(self) -> date | None:
        """The first day after this one on which an entry begins or ceases to hold."""
        entries = (*self.document.rules, *self.document.obligations)
        days = {day for entry in entries for day in (entry.effective_from, entry.effective_until) if day is not None}
        return min((day for day in days if self.day is None or day > self.day), default=None)

    def hands_on_as(self, other: Standard) -> bool:
        """Whether both have the same scales, and levels travel the same ways: then a graph can turn from one to the other."""
        return (self._codes, self.flows) == (other._codes, other.flows)

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

    def derive(self, case: Case) -> Derived:
        """Levels by the rules alone. A fact of another type than declared counts as missing."""
        return self._alike_to(case).derived

    def binding(self, case: Case, ranks: Ranks) -> Binding:
        """What is in force on the day for these effective levels, and what checks show of it."""
        alike = self._alike_to(case)
        if (binding := alike.bindings.get(ranks)) is None:
            levels: Given = dict(zip(DIMENSIONS, ranks, strict=True))
            obligations = tuple(sorted(self._duties.holding({**alike.given, **levels})))
            binding = alike.bindings[ranks] = Binding(obligations, self.findings(case, obligations))
        return binding

    def findings(self, case: Case, obligations: Iterable[str]) -> tuple[tuple[str, FindingState], ...]:
        """Of those of the obligations that carry a check, whether the facts show them met, in their order.

        A check is asked only where the asset has every fact that it reads, of the declared type: else it is unknown.
        """
        given = self._alike_to(case).given
        return tuple((duty, self._state(duty, given)) for duty in obligations if duty in self._checks)

    def facts_read_by(self, rule: Rule) -> tuple[str, ...]:
        """The facts that its condition reads, sorted."""
        return tuple(sorted(self._conditions[rule.id].names & self.document.facts.keys()))

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

    def _alike_to(self, case: Case) -> _Alike:
        if (alike := self._of_case.get(case)) is None:
            like = self._likeness.of(case)
            if (alike := self._alike.get(like)) is None:
                given = dict(like)
                alike = remember(self._alike, like, _Alike(given, self._derive(given), {}))
            remember(self._of_case, case, alike)
        return alike

    def _derive(self, given: Given) -> Derived:
        best: list[tuple[int, int, Rule] | None] = [None] * len(DIMENSIONS)
        for rule in self._rules.holding(given):
            index = DIMENSIONS.index(rule.dimension)
            # of the rules that give the highest level, the first
            one = (self._codes[index].index(rule.level), -self._places[rule.id], rule)
            best[index] = max(best[index] or one, one, key=_rank_and_place)
        confidentiality, integrity, availability = (found for found in best if found is not None)
        return Derived(
            ranks=(confidentiality[0], integrity[0], availability[0]),
            rules=(confidentiality[2], integrity[2], availability[2]),
        )

    def _state(self, duty: str, given: Given) -> FindingState:
        holds = shown(self._checks[duty], given)
        return FindingState.UNKNOWN if holds is None else FindingState.MET if holds else FindingState.NOT_MET


class _Alike(NamedTuple):
    """What was found of all cases that are alike."""

    given: Given
    derived: Derived
    bindings: dict[Ranks, Binding]


def compile_standard(document: StandardDocument, day: date | None = None) -> Standard:
    """Raises ConditionError where a condition does not compile."""
    return Standard(document, day)


def _flows(document: StandardDocument, dimension: Dimension) -> Flows:
    by_type = {entry.relation.value: Flow(getattr(entry, dimension)) for entry in document.inheritance}
    return Flows(
        to_owner=frozenset(kind for kind, flow in by_type.items() if flow in (Flow.TO_OWNER, Flow.BOTH)),
        to_target=frozenset(kind for kind, flow in by_type.items() if flow in (Flow.TO_TARGET, Flow.BOTH)),
    )


def _rank_and_place(found: tuple[int, int, Rule]) -> tuple[int, int]:
    return found[:2]
