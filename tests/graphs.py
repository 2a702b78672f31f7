# SPDX-License-Identifier: Apache-2.0
"""The graph as tests read it: given contracts' assets, and verdicts with the models that events carry."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from libs.contracts import Asset, Dimension, Explanation, Levels
from libs.standards import GraphAsset, NetworkGraph, OverrideEdit


class Told(NamedTuple):
    """A verdict, with its explanations as they were when it was found."""

    asset: GraphAsset
    levels: Levels | None
    explanations: dict[Dimension, Explanation]
    obligations: tuple[str, ...]
    changed: bool


def told(graph: NetworkGraph, assets: Iterable[Asset], overrides: Sequence[OverrideEdit] = ()) -> list[Told]:
    """What `NetworkGraph.apply` finds."""
    verdicts = graph.apply([GraphAsset.of(asset) for asset in assets], overrides)
    return [
        Told(
            one.asset,
            None if one.levels is None else Levels(**one.levels._asdict()),
            {} if one.levels is None else graph.explanations(one.asset.asset_id),
            one.obligations,
            one.changed,
        )
        for one in verdicts
    ]
