# SPDX-License-Identifier: Apache-2.0
"""What evaluation finds of one asset."""

from __future__ import annotations

from dataclasses import dataclass

from libs.contracts import Asset, Dimension, Explanation, Levels


@dataclass(frozen=True, slots=True)
class Verdict:
    """Effective levels with the reason for each, and the obligations in force, of one asset.

    `levels` is None and both others are empty for a retired asset. `obligations` is sorted by id. `changed` is False where
    body, levels, reasons (origin, rule, asset it came from; of another body's asset only the body) and obligations are those
    of the asset's verdict before: another way from the same origin is no change.
    """

    asset: Asset
    levels: Levels | None
    explanations: dict[Dimension, Explanation]
    obligations: tuple[str, ...]
    changed: bool
