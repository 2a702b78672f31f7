# SPDX-License-Identifier: Apache-2.0
"""Attachments over HTTP: references to documents, added to assets and removed by people."""

from __future__ import annotations

from datetime import datetime
from typing import Final
from uuid import UUID, uuid4

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict

from libs.contracts import ProblemType, Profile
from libs.contracts.words import ShortText, Slug
from libs.persistence import Sessions
from libs.security import FieldError, ProblemError
from libs.security.preconditions import check_match, required
from services.inventory.attachments import store
from services.inventory.attachments.domain import AttachmentGiven, AttachmentKind, faults_of
from services.inventory.attachments.store import AttachmentRow
from services.inventory.calls import Again, Editor, IfMatch, Reader, with_etag
from services.inventory.register.answers import there
from services.inventory.store import asset_of
from services.inventory.worker import Clock

MOST_OF_AN_ASSET: Final = 200


class Attachment(BaseModel):
    """A document of an asset, by reference. `removed_by`, `removed_at` and `reason` are None while it stands."""

    attachment_id: UUID
    body: Slug
    asset_id: UUID
    title: str
    kind: AttachmentKind
    uri: str | None
    number: str | None
    sha256: str | None
    note: str | None
    added_by: str
    added_at: datetime
    removed_by: str | None
    removed_at: datetime | None
    reason: str | None
    revision: int


class Removal(BaseModel):
    """Why a person removes a reference."""

    model_config = ConfigDict(extra="forbid")

    reason: ShortText


class AttachmentApi:
    """The routes, over what they need."""

    def __init__(self, sessions: Sessions, profile: Profile, clock: Clock) -> None:
        self._sessions = sessions
        self._bodies = frozenset(profile.body_by_id)
        self._clock = clock

    def router(self) -> APIRouter:
        router = APIRouter(prefix="/v1", tags=["attachments"])
        router.get("/assets/{asset_id}/attachments")(self.attachments)
        router.post("/assets/{asset_id}/attachments", status_code=201)(self.attach)
        router.get("/attachments/{attachment_id}")(self.attachment)
        router.post("/attachments/{attachment_id}/remove")(self.remove)
        return router

    async def attachments(self, asset_id: UUID, caller: Reader, removed: bool = False) -> tuple[Attachment, ...]:
        """The documents of an asset, and of those merged into it; `removed`: those that were removed, too, with who did it and why."""
        async with self._sessions.session(caller.scope(self._bodies)) as session:
            there(await asset_of(session, asset_id))
            rows = await store.attachments_of(session, asset_id, removed=removed)
        return tuple(map(_attachment, rows))

    async def attach(
        self,
        asset_id: UUID,
        given: AttachmentGiven,
        caller: Editor,
        response: Response,
        attempt: Again,
        if_match: IfMatch = None,
    ) -> Attachment:
        """Add a document to an asset, by reference: at most 200 stand at one."""
        expected, now = required(if_match), self._clock()
        errors = [FieldError(*fault) for fault in faults_of(given)]
        if errors:
            raise ProblemError(ProblemType.INVALID, "problems.invalid", errors=errors, count=len(errors))
        async with self._sessions.session(caller.scope(self._bodies)) as session:
            asset = there(await asset_of(session, asset_id))
            answered = await attempt.answered(session, caller, asset.body, now)
            if answered is None:
                check_match(expected, asset.revision)
                if await store.count_of(session, asset_id) >= MOST_OF_AN_ASSET:
                    raise ProblemError(ProblemType.CONFLICT, "inventory.attachment.too_many", limit=MOST_OF_AN_ASSET)
                row = AttachmentRow(
                    attachment_id=uuid4(),
                    body=asset.body,
                    asset_id=asset_id,
                    added_by=caller.subject,
                    added_at=now,
                    revision=1,
                    **given.model_dump(),
                )
                session.add(row)
                answered = _attachment(row).model_dump(mode="json")
                attempt.keep(session, answered)
        response.headers["Location"] = f"/v1/attachments/{answered['attachment_id']}"
        return _answer(answered, response)

    async def attachment(self, attachment_id: UUID, caller: Reader, response: Response) -> Attachment:
        """One reference, also one that was removed; `ETag` is what `If-Match` of removing it asks for."""
        async with self._sessions.session(caller.scope(self._bodies)) as session:
            row = _attachment_there(await store.find(session, attachment_id))
        return _answer(_attachment(row).model_dump(mode="json"), response)

    async def remove(
        self,
        attachment_id: UUID,
        given: Removal,
        caller: Editor,
        response: Response,
        attempt: Again,
        if_match: IfMatch = None,
    ) -> Attachment:
        """Remove a reference; that it was there, and why it was removed, is kept."""
        expected, now = required(if_match), self._clock()
        async with self._sessions.session(caller.scope(self._bodies)) as session:
            row = _attachment_there(await store.find(session, attachment_id, to_change=True))
            answered = await attempt.answered(session, caller, row.body, now)
            if answered is None:
                check_match(expected, row.revision)
                if row.removed_at is not None:
                    raise ProblemError(ProblemType.CONFLICT, "inventory.attachment.removed_already")
                row.removed_by, row.removed_at, row.reason = caller.subject, now, given.reason
                row.revision += 1
                session.add(row)
                answered = _attachment(row).model_dump(mode="json")
                attempt.keep(session, answered)
        return _answer(answered, response)


def _attachment(row: AttachmentRow) -> Attachment:
    return Attachment.model_validate(row.model_dump())


def _attachment_there(row: AttachmentRow | None) -> AttachmentRow:
    if row is None:
        raise ProblemError(ProblemType.NOT_FOUND, "inventory.attachment.not_found")
    return row


def _answer(answered: dict[str, object], response: Response) -> Attachment:
    return with_etag(Attachment.model_validate(answered), response)
