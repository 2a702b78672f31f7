# SPDX-License-Identifier: Apache-2.0
"""Edits over HTTP: fields changed and given back, assets added and retired by a person."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import BaseModel

from libs.contracts import Profile
from libs.persistence import Sessions
from services.inventory.calls import Again, Editor, IfMatch, Reader
from services.inventory.composition import PERSON, Authorities, Told, compose
from services.inventory.disposals.answers import RetiredAsset
from services.inventory.domain import Source
from services.inventory.edits.domain import Addition, Edit, Restoration, Retirement, TakingBack, standing
from services.inventory.merges.store import links_of
from services.inventory.register.answers import RegisteredAsset, there
from services.inventory.requests.answers import ActRequest
from services.inventory.requests.desk import WAITS, Desk
from services.inventory.store import asset_of


class StandingEdit(BaseModel):
    """A field (`facts.serial`) as a person set it, and when and why; `otherwise` is what stands there once the edit is taken back.

    Of relations the values are the sources that they lead to, `[feed, source key]`.
    """

    field: str
    value: Any
    by: str
    at: datetime
    reason: str
    approved_by: str | None
    otherwise: Any


class EditApi:
    """The routes, over what they need."""

    def __init__(self, sessions: Sessions, profile: Profile, desk: Desk) -> None:
        self._sessions = sessions
        self._bodies = frozenset(profile.body_by_id)
        self._authorities = Authorities(profile)
        self._desk = desk

    def router(self) -> APIRouter:
        router = APIRouter(prefix="/v1", tags=["edits"])
        router.post("/assets", status_code=201, responses=WAITS)(self.add)
        router.patch("/assets/{asset_id}", responses=WAITS)(self.edit)
        router.get("/assets/{asset_id}/edits")(self.edits)
        router.post("/assets/{asset_id}/edits/take-back", responses=WAITS)(self.take_back)
        router.post("/assets/{asset_id}/retire", responses=WAITS)(self.retire)
        router.post("/assets/{asset_id}/restore", responses=WAITS)(self.restore)
        return router

    async def add(
        self, given: Addition, caller: Editor, response: Response, attempt: Again
    ) -> RegisteredAsset | ActRequest:
        """Add an asset that no feed tells of. What is given stands until a feed with which it is merged tells of the same field."""
        answer = await self._desk.add(given, caller, response, attempt)
        if isinstance(answer, RegisteredAsset):
            response.headers["Location"] = f"/v1/assets/{answer.asset_id}"
        return answer

    async def edit(
        self, asset_id: UUID, given: Edit, caller: Editor, response: Response, attempt: Again, if_match: IfMatch = None
    ) -> RegisteredAsset | ActRequest:
        """Set fields of an asset, before whatever feeds tell of them now or later, until it is taken back."""
        return await self._desk.do(
            given, RegisteredAsset, caller, response, attempt, asset_id=asset_id, if_match=if_match
        )

    async def take_back(
        self,
        asset_id: UUID,
        given: TakingBack,
        caller: Editor,
        response: Response,
        attempt: Again,
        if_match: IfMatch = None,
    ) -> RegisteredAsset | ActRequest:
        """End the edits of fields: what the feeds tell shows again."""
        return await self._desk.do(
            given, RegisteredAsset, caller, response, attempt, asset_id=asset_id, if_match=if_match
        )

    async def retire(
        self,
        asset_id: UUID,
        given: Retirement,
        caller: Editor,
        response: Response,
        attempt: Again,
        if_match: IfMatch = None,
    ) -> RetiredAsset | ActRequest:
        """A person retires an asset; it stays in the register with its history. The answer says where a record of its disposal is missing."""
        return await self._desk.do(given, RetiredAsset, caller, response, attempt, asset_id=asset_id, if_match=if_match)

    async def restore(
        self,
        asset_id: UUID,
        given: Restoration,
        caller: Editor,
        response: Response,
        attempt: Again,
        if_match: IfMatch = None,
    ) -> RegisteredAsset | ActRequest:
        """Bring a retired asset back as its sources told it last; one that says once more that it is gone retires it again."""
        return await self._desk.do(
            given, RegisteredAsset, caller, response, attempt, asset_id=asset_id, if_match=if_match
        )

    async def edits(self, asset_id: UUID, caller: Reader) -> tuple[StandingEdit, ...]:
        """The edits that stand, field by field, each beside what the feeds tell."""
        async with self._sessions.session(caller.scope(self._bodies)) as session:
            there(await asset_of(session, asset_id))
            rows = await links_of(session, asset_id)
        told = [Told(row.feed, row.source_key, row.told, row.gone) for row in rows if row.told is not None]
        sources = [one for one in told if one.feed != PERSON]
        otherwise = compose(self._authorities, sources).content if sources else {}
        return tuple(
            StandingEdit(field=field, **one._asdict(), otherwise=_otherwise(otherwise, field))
            for field, one in standing(one.content for one in told if one.feed == PERSON).items()
        )


def _otherwise(content: dict[str, Any], field: str) -> Any:
    group, _, name = field.partition(".")
    if group == "relations":
        return [Source(feed, key) for kind, feed, key in content.get("relations", ()) if kind == name]
    return content.get(group, {}).get(name) if name else content.get(group)
