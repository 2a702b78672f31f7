# SPDX-License-Identifier: Apache-2.0
"""Why an asset has the levels it has, so that an auditor can check each without the code: the rule as it is written and what it rests
on, or the assets that the level came down by, or the override."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal
from uuid import UUID

from pydantic import BaseModel

from libs.contracts import AssetKind, Basis, Dimension, Explanation, Inherited, OverrideRef, RelationType, Text, Zone
from libs.contracts.words import Slug
from libs.standards import Standard
from services.classification.store import ClassificationRow


class ReadFact(BaseModel):
    """A fact that a condition reads, by its name in the register."""

    fact: str
    name: Text
    meaning: Text


class AppliedRule(BaseModel):
    """The rule that gave a level. `when` is CEL; None where the standard no longer has the rule."""

    id: str
    text: Text
    when: str | None
    reads: tuple[ReadFact, ...]
    basis: Basis | None


class Step(BaseModel):
    """An asset on the way that a level came down, and the relation by which it hands it to the one before; the source is the last.

    `name` and the others are None for an asset that has gone since.
    """

    asset_id: UUID
    relation: RelationType | None
    name: str | None
    kind: AssetKind | None
    level: str | None


class ExplainedLevel(BaseModel):
    """One dimension. `path` is empty unless the level is inherited, and where it is from another body's asset, which only `other_body` tells;
    `omitted` assets of a long way stand before the last one named. `at_source` says what gives the last one the level; its rule or override
    is then `rule` or `override`. `declared` and `derived` are of the asset itself.
    """

    level: str
    name: Text
    definition: Text
    origin: Literal["declared", "derived", "inherited", "override"]
    declared: str | None
    derived: str | None
    rule: AppliedRule | None
    path: tuple[Step, ...]
    omitted: int
    at_source: Literal["declared", "derived", "override"] | None
    other_body: Slug | None
    override: OverrideRef | None


class ExplainedAsset(BaseModel):
    """The asset, the standard it was evaluated by, and each of its levels."""

    asset_id: UUID
    body: Slug
    name: str
    kind: AssetKind
    zone: Zone | None
    section: str | None
    standard: str | None
    dimensions: dict[Dimension, ExplainedLevel]


def explanations_of(row: ClassificationRow) -> dict[Dimension, Explanation]:
    """As the last event has them."""
    told = row.explanations or {}
    return {dimension: Explanation.model_validate(told[dimension]) for dimension in Dimension}


def on_the_way(row: ClassificationRow) -> frozenset[UUID]:
    """The assets that the levels of one came down by, all of its own body."""
    sources = (one.inherited_from for one in explanations_of(row).values())
    return frozenset(UUID(step) for source in sources if source for step in source.path)


def explain(row: ClassificationRow, standard: Standard, known: Mapping[UUID, ClassificationRow]) -> ExplainedAsset:
    """`known` has those `on_the_way` that are still there."""
    return ExplainedAsset(
        asset_id=row.asset_id,
        body=row.body,
        name=row.name,
        kind=AssetKind(row.kind),
        zone=None if row.zone is None else Zone(row.zone),
        section=row.section,
        standard=row.standard,
        dimensions={
            dimension: _level(dimension, explanation, standard, known)
            for dimension, explanation in explanations_of(row).items()
        },
    )


def _level(
    dimension: Dimension, explanation: Explanation, standard: Standard, known: Mapping[UUID, ClassificationRow]
) -> ExplainedLevel:
    source = explanation.inherited_from
    level = next((one for one in standard.document.scales[dimension] if one.code == explanation.level), None)
    unknown = Text(ja=explanation.level, en=explanation.level)
    return ExplainedLevel(
        level=explanation.level,
        name=level.name if level else unknown,
        definition=level.definition if level else unknown,
        origin=explanation.origin,
        declared=explanation.declared,
        derived=explanation.derived,
        rule=_rule(explanation, standard),
        path=tuple(_steps(dimension, source, known)) if source else (),
        omitted=source.steps - len(source.path) if source and source.steps else 0,
        at_source=_at_source(explanation) if source and source.asset_id else None,
        other_body=source.body if source and source.asset_id is None else None,
        override=explanation.override,
    )


def _at_source(explanation: Explanation) -> Literal["declared", "derived", "override"]:
    if explanation.override is not None:
        return "override"
    return "declared" if explanation.rule is None else "derived"


def _rule(explanation: Explanation, standard: Standard) -> AppliedRule | None:
    if explanation.rule is None or explanation.text is None:
        return None
    rule = next((one for one in standard.document.rules if one.id == explanation.rule), None)
    facts = standard.document.facts
    return AppliedRule(
        id=explanation.rule,
        text=explanation.text,
        when=rule.when if rule else None,
        reads=tuple(
            ReadFact(fact=name, name=facts[name].name, meaning=facts[name].meaning)
            for name in (standard.facts_read_by(rule) if rule else ())
        ),
        basis=rule.basis if rule else None,
    )


def _steps(dimension: Dimension, source: Inherited, known: Mapping[UUID, ClassificationRow]) -> Iterator[Step]:
    relation: RelationType | None = source.relation
    for at, asset_id in enumerate(map(UUID, source.path), 1):
        row = known.get(asset_id)
        yield Step(
            asset_id=asset_id,
            relation=relation,
            name=row.name if row else None,
            kind=AssetKind(row.kind) if row else None,
            level=getattr(row, dimension.value) if row else None,
        )
        # the next one hands its level to this one by the relation that this one's own explanation names
        giver = explanations_of(row)[dimension].inherited_from if row else None
        omitted_next = source.steps is not None and at == len(source.path) - 1
        relation = giver.relation if giver and not omitted_next else None
