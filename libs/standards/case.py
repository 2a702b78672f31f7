# SPDX-License-Identifier: Apache-2.0
"""What evaluation needs of an asset, and no more: a register of a million is held in memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

from pydantic_core import from_json

from libs.contracts import Asset, AssetStatus, make_key
from libs.contracts.words import FactValue

Facts: TypeAlias = Mapping[str, FactValue]
Edge: TypeAlias = tuple[str, str]
"""The type of a relation, and the id of the asset that it leads to. Plain text: an enumeration takes ten times as long to hash."""
Declared: TypeAlias = tuple[str | None, str | None, str | None]
"""What a ledger declares, in the order of `Dimension`."""


class Case:
    """What conditions read of an asset. Assets that are alike share one, and what was found of it is remembered by its identity.

    `facts` are those of `libs.contracts.Facts`, or their JSON: text takes a quarter of the memory, and is read when a standard is new to it.
    """

    __slots__ = ("_facts", "kind", "zone")

    def __init__(self, kind: str, zone: str | None, facts: Facts | bytes) -> None:
        self.kind = kind
        self.zone = zone
        self._facts = facts

    @property
    def facts(self) -> Facts:
        if not isinstance(self._facts, bytes):
            return self._facts
        facts: Facts = from_json(self._facts)
        return facts


class GraphAsset(NamedTuple):
    """An asset as the graph holds it. `key` is that of its events; `relations` are sorted, each once."""

    asset_id: str
    body: str
    network: str
    key: bytes
    name: str
    section: str | None
    case: Case
    declared: Declared
    relations: tuple[Edge, ...]
    retired: bool

    @classmethod
    def of(cls, asset: Asset) -> GraphAsset:
        """The same asset; its case is its own."""
        declared = (asset.declared.confidentiality, asset.declared.integrity, asset.declared.availability)
        return cls(
            asset.asset_id,
            asset.body,
            asset.network,
            make_key(asset.network, asset.body, asset.asset_id),
            asset.name,
            asset.section,
            Case(asset.kind.value, asset.zone.value if asset.zone else None, asset.facts),
            declared,
            tuple(sorted({(relation.type.value, relation.asset_id) for relation in asset.relations})),
            asset.status is AssetStatus.RETIRED,
        )
