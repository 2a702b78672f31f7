# SPDX-License-Identifier: Apache-2.0
"""What evaluation finds of one asset."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from libs.contracts import Explanation, FindingState
from libs.standards.case import GraphAsset


class EffectiveLevels(NamedTuple):
    """The level that binds in each dimension, as `libs.contracts.Levels`."""

    confidentiality: str
    integrity: str
    availability: str


class Reason(NamedTuple):
    """Of an `Explanation` what counts as a change: the level with its origin, rule and override, and from which asset or body it came.

    The way from there does not: where it leads elsewhere and the origin stays, all that hang on it would be told.
    """

    level: str
    origin: str
    rule: str | None
    override: str | None
    declared: str | None
    derived: str | None
    body: str | None
    asset_id: str | None


Reasons: TypeAlias = tuple[Reason, Reason, Reason]
"""In the order of `Dimension`."""


class Verdict(NamedTuple):
    """Effective levels with the reason for each, the obligations in force, sorted, and what their checks show, of one asset.

    `levels` and `reasons` are None and the others empty for a retired asset. `changed` is False where body, reasons and obligations are
    those of the asset's verdict before.
    """

    asset: GraphAsset
    levels: EffectiveLevels | None
    reasons: Reasons | None
    obligations: tuple[str, ...]
    findings: tuple[tuple[str, FindingState], ...]
    changed: bool


def reason_of(explanation: Explanation) -> Reason:
    """The part of an explanation that counts."""
    source, override = explanation.inherited_from, explanation.override
    return Reason(
        explanation.level,
        explanation.origin,
        explanation.rule,
        None if override is None else override.override_id,
        explanation.declared,
        explanation.derived,
        None if source is None else source.body,
        None if source is None else source.asset_id,
    )
