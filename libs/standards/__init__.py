# SPDX-License-Identifier: Apache-2.0
"""対策基準: from an asset's facts and relations to its levels and obligations. Pure: no I/O, no clock."""

from libs.standards.case import Case, GraphAsset
from libs.standards.conditions import ConditionError
from libs.standards.document import StandardDocument
from libs.standards.graph import GraphOverride, NetworkGraph, OverrideEdit
from libs.standards.in_force import StandardsInForce, day_of
from libs.standards.loading import Mistake, StandardError, parse
from libs.standards.overrides import OverridesInForce, Place
from libs.standards.standard import FactProblem, Standard, compile_standard
from libs.standards.verdict import EffectiveLevels, Reason, Reasons, Verdict, reason_of

__all__ = [
    "Case",
    "ConditionError",
    "EffectiveLevels",
    "FactProblem",
    "GraphAsset",
    "GraphOverride",
    "Mistake",
    "NetworkGraph",
    "OverrideEdit",
    "OverridesInForce",
    "Place",
    "Reason",
    "Reasons",
    "Standard",
    "StandardDocument",
    "StandardError",
    "StandardsInForce",
    "Verdict",
    "compile_standard",
    "day_of",
    "parse",
    "reason_of",
]
