# SPDX-License-Identifier: Apache-2.0
"""The base standard, and assets of a made-up city."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest

from libs.contracts import Asset, AssetChange, AssetChanged, AssetStatus, Change, Relation
from libs.standards import Standard
from services.classification.settings import BASE, Settings

Changed = Callable[..., AssetChanged]


@pytest.fixture(scope="session")
def standard() -> Standard:
    return Settings.model_construct(standard=BASE).read_standard().on(date(2026, 4, 1))


@pytest.fixture
def changed() -> Changed:
    """Events with rising revisions per asset, as inventory publishes them."""
    revisions: dict[str, int] = {}
    states: dict[str, Asset] = {}

    def change(asset_id: str, *, retired: bool = False, trace: int = 1, **fields: Any) -> AssetChanged:
        known = states.get(asset_id)
        base = {
            "asset_id": asset_id,
            "body": "mayor",
            "network": "mayor",
            "kind": "information",
            "name": asset_id,
            "facts": {},
        }
        status = AssetStatus.RETIRED if retired else AssetStatus.ACTIVE
        relations = tuple(Relation(type=kind, asset_id=to) for kind, to in fields.pop("relations", ()))
        after = Asset(**{**base, "relations": relations, **fields, "status": status})
        revisions[asset_id] = revisions.get(asset_id, 0) + 1
        states[asset_id] = after
        return AssetChanged(
            id=f"{asset_id}:{revisions[asset_id]}",
            source=f"urn:daicho:990019:{after.body}:inventory",
            subject=asset_id,
            time="2026-04-01T00:00:00Z",
            body=after.body,
            network=after.network,
            revision=revisions[asset_id],
            traceparent=f"00-{trace:032x}-{1:016x}-01",
            data=AssetChange(before=known, after=after, change=Change(feed="cmdb", source_key=asset_id)),
        )

    return change
