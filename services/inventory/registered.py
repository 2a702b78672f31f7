# SPDX-License-Identifier: Apache-2.0
"""An asset of the register, as the routes answer it."""

from __future__ import annotations

from datetime import datetime

from fastapi import Response

from libs.contracts import Asset, ProblemType
from libs.security import ProblemError
from libs.security.preconditions import etag_of
from services.inventory.store import AssetRow


class RegisteredAsset(Asset):
    """An asset with its revision, and when that was recorded."""

    revision: int
    updated_at: datetime


def there(row: AssetRow | None) -> AssetRow:
    """Raises ProblemError (404) for an asset that is not there, or not the caller's to see."""
    if row is None:
        raise ProblemError(ProblemType.NOT_FOUND, "inventory.not_found")
    return row


def registered(row: AssetRow) -> RegisteredAsset:
    return RegisteredAsset.model_validate({**row.state, "revision": row.revision, "updated_at": row.updated_at})


def with_etag(asset: RegisteredAsset, response: Response) -> RegisteredAsset:
    response.headers["ETag"] = etag_of(asset.revision)
    return asset
