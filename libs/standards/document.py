# SPDX-License-Identifier: Apache-2.0
"""A standard as its files say it (基本方針 §9): scales, facts, rules, inheritance, obligations."""

from __future__ import annotations

import hashlib
from datetime import date
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from libs.contracts import Audience, Basis, Dimension, Duty, DutyRef, EarlierScales, Part, RelationType, Text
from libs.contracts.words import FactName, LevelCode

Id = Annotated[str, StringConstraints(pattern=r"^[A-Z]{1,3}-[0-9]{2,3}[a-z]?$")]
Condition = Annotated[str, StringConstraints(min_length=1, max_length=1000)]
"""A CEL expression that gives a boolean; see `libs.standards.conditions` for the names it may use."""


class Entry(BaseModel):
    """Entries refuse what they do not know: a mistyped word in a standard must not pass."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def digest_of(document: Entry) -> str:
    """SHA-256, in hexadecimal, of what a document says; how its files are laid out, and their comments, do not count."""
    return hashlib.sha256(document.model_dump_json().encode()).hexdigest()


class Level(Entry):
    """分類区分: its code as events carry it, its official name, and when an asset has it."""

    code: LevelCode
    name: Text
    definition: Text


class Fact(Entry):
    """What a register may say of an asset; `values` closes a list or text to the codes named."""

    type: Literal["boolean", "integer", "number", "text", "list"]
    name: Text
    meaning: Text
    values: tuple[str, ...] | None = None


class Dated(Entry):
    """An entry that may hold for a time only: from the first day named, and until the day before the second (days of Japan)."""

    effective_from: date | None = None
    effective_until: date | None = None

    def holds_on(self, day: date | None) -> bool:
        """Whether it holds on a day; of no day in particular, it does."""
        if day is None:
            return True
        return (self.effective_from or day) <= day and (self.effective_until is None or day < self.effective_until)


class Rule(Dated):
    """An asset for which `when` holds has at least `level`; of the rules that hold the highest binds, the first of equals."""

    id: Id
    dimension: Dimension
    level: LevelCode
    when: Condition
    text: Text
    basis: Basis


class Flow(StrEnum):
    """Which end of a relation takes the levels of the other: the owner (`system` of `system stores information`) or the target."""

    TO_OWNER = "to_owner"
    TO_TARGET = "to_target"
    BOTH = "both"
    NONE = "none"


class Inheritance(Entry):
    """How levels travel along one type of relation."""

    relation: RelationType
    confidentiality: Flow
    integrity: Flow
    availability: Flow
    text: Text


class Obligation(Dated):
    """A duty that binds for every asset for which `when` holds. `check` holds where the asset's facts show it met."""

    id: Id
    part: Part
    audience: Audience
    when: Condition
    title: Text
    action: Text
    evidence: Text
    check: Condition | None = None
    period: Annotated[str, StringConstraints(pattern=r"^P(\d+Y)?(\d+M)?(\d+D)?$")] | None = None
    basis: Basis

    def duty(self) -> Duty:
        return Duty(**self.model_dump(exclude={"when", "check", *Dated.model_fields}))

    def duty_ref(self) -> DutyRef:
        return DutyRef(id=self.id, part=self.part, audience=self.audience, title=self.title)


class StandardDocument(Entry):
    """The whole of it. `scales` list levels in rising order; `mappings` say what the levels of earlier scales are on them."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,39}$")]
    version: Annotated[str, StringConstraints(pattern=r"^\d{4}\.\d+$")]
    effective_from: AwareDatetime
    title: Text
    scales: dict[Dimension, Annotated[tuple[Level, ...], Field(min_length=2)]]
    mappings: EarlierScales
    facts: dict[FactName, Fact]
    rules: tuple[Rule, ...]
    inheritance: tuple[Inheritance, ...]
    obligations: tuple[Obligation, ...]
