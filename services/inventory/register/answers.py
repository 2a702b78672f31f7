# SPDX-License-Identifier: Apache-2.0
"""What reads of the register are answered with."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel

from libs.contracts import Asset, AssetKind, AssetStatus, Change, ProblemType
from libs.contracts.words import RelationType, Slug
from libs.security import ProblemError
from services.inventory.register.domain import What
from services.inventory.store import AssetRow


class RegisteredAsset(Asset):
    """An asset with its revision, and when that was recorded."""

    revision: int
    updated_at: datetime


class AssetPage(BaseModel):
    """Give `next` as `after` for the page that follows; None on the last one."""

    items: tuple[RegisteredAsset, ...]
    next: UUID | None


class ChangedField(BaseModel):
    """A field by its path (`facts.serial`; `relations.stores` has the ids it leads to), and its values; null: there was none."""

    field: str
    before: Any
    after: Any


class RecordedRevision(BaseModel):
    """One revision: the asset as it was from then on, who or what made it so, and in which fields it differs from the one before.

    `fields` of an asset that is new to its body has its status alone.
    """

    revision: int
    recorded_at: datetime
    asset: Asset
    change: Change
    fields: tuple[ChangedField, ...]


class History(BaseModel):
    """The newest first; give `next` as `before` for the page that follows."""

    items: tuple[RecordedRevision, ...]
    next: int | None


class RelatedAsset(BaseModel):
    """A neighbour; `asset` is None where it is not in the register yet, or is another body's."""

    type: RelationType
    direction: Literal["to", "from"]
    asset_id: UUID
    asset: RegisteredAsset | None


class Moment(BaseModel):
    """A revision at which a relation began or ended, and who or what made it so."""

    revision: int
    recorded_at: datetime
    change: Change


class PastRelation(BaseModel):
    """How long an asset was related to another: `from` it (the other tells of it) or `to` it; `until` None where it still is.

    `revision` is that of the asset that tells of the relation. `name` is that of the other asset; None where that is not in the register yet, or is
    another body's. Of an asset that moves to another body a relation goes on.
    """

    type: RelationType
    direction: Literal["to", "from"]
    asset_id: UUID
    name: str | None
    since: Moment
    until: Moment | None


class RelationHistory(BaseModel):
    """What the asset tells of itself, on the first page; then that of the assets that tell of it. Give `next` as `after` for the page that follows."""

    items: tuple[PastRelation, ...]
    next: UUID | None


class DifferentField(ChangedField):
    """A field that two moments differ in, and the last change between them that gave it another value."""

    revision: int
    recorded_at: datetime
    change: Change


class Difference(BaseModel):
    """An asset that came into force between two moments, went out of it, or is in force at both with another content.

    `asset` is as it is at the later moment; one that the caller's bodies no longer have as it was at the earlier.
    """

    asset_id: UUID
    what: What
    asset: Asset
    fields: tuple[DifferentField, ...]


class DifferencePage(BaseModel):
    """Give `next` as `after` for the page that follows; None on the last one."""

    items: tuple[Difference, ...]
    next: UUID | None


class FoundAsset(RegisteredAsset):
    """An asset that was found, and how its name fits: it is what was asked for, begins with it, or (`part`) its texts hold it."""

    match: Literal["exact", "prefix", "part"]


class FoundPage(BaseModel):
    """Those whose name fits best first; give `next` as `after` for the page that follows; None on the last one."""

    items: tuple[FoundAsset, ...]
    next: str | None


class Count(BaseModel):
    """How many assets there are of one body, kind and status."""

    body: Slug
    kind: AssetKind
    status: AssetStatus
    assets: int


def there(row: AssetRow | None) -> AssetRow:
    """Raises ProblemError (404) for an asset that is not there, or not the caller's to see."""
    if row is None:
        raise ProblemError(ProblemType.NOT_FOUND, "inventory.not_found")
    return row


def registered(row: AssetRow) -> RegisteredAsset:
    return RegisteredAsset.model_validate({**row.state, "revision": row.revision, "updated_at": row.updated_at})
