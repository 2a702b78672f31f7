# SPDX-License-Identifier: Apache-2.0
"""A request as the routes answer it."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel

from libs.contracts.words import Slug
from services.inventory.acts import changed_since
from services.inventory.domain import State
from services.inventory.requests.store import ActRequestRow, RequestState

ActName = Literal["add", "edit", "take_back", "retire", "restore", "dispose"]


class ActRequest(BaseModel):
    """That a person asks to do something, which another is to approve: `given` as it was sent.

    `changed_since` names what of the asset it rests on and has changed since: while there is anything, it cannot be approved.
    `note` is why it was decided so.
    """

    request_id: UUID
    body: Slug
    asset_id: UUID
    act: ActName
    given: dict[str, Any]
    asked_by: str
    asked_at: datetime
    state: RequestState
    changed_since: tuple[str, ...]
    decided_by: str | None
    decided_at: datetime | None
    note: str | None
    revision: int


def act_request(row: ActRequestRow, state: State | None) -> ActRequest:
    """A request, beside the asset as it is now (None where it is not there)."""
    changed = changed_since(row.rested_on, state) if row.state == RequestState.ASKED else ()
    return ActRequest.model_validate({**row.model_dump(), "changed_since": changed})
