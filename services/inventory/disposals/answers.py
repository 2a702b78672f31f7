# SPDX-License-Identifier: Apache-2.0
"""Records of disposal as the routes answer them, and what the answer to a retirement says of one that is missing."""

from __future__ import annotations

from datetime import date, datetime
from enum import StrEnum
from uuid import UUID

from pydantic import BaseModel

from libs.catalogue import text_pair
from libs.contracts import Text
from libs.contracts.words import LevelCode, Slug, Zone
from services.inventory.disposals.domain import Done, Medium, Remark, has_medium, remarks_on, table
from services.inventory.disposals.store import DisposalRow
from services.inventory.register.answers import RegisteredAsset


class DisposalRecord(StrEnum):
    """Whether a retired asset has a record of disposal, or needs one."""

    NOT_NEEDED = "not_needed"
    MISSING = "missing"
    RECORDED = "recorded"


class RetiredAsset(RegisteredAsset):
    """A retired asset; `notice` tells a person what is still to be done."""

    disposal_record: DisposalRecord = DisposalRecord.NOT_NEEDED
    notice: Text | None = None


class MethodDone(BaseModel):
    """A method, and what it is called."""

    id: str
    name: Text


class Remarked(BaseModel):
    """In what a disposal falls short."""

    remark: Remark
    text: Text


class Disposal(BaseModel):
    """A record of disposal. `zone` and `confidentiality` (as declared) are the asset's at that time, and what `remarks` go by.

    `recorded_by` gave it, and `confirmed_by` approved that where the profile asks for a second person. One that another corrects is
    kept, with `corrected_by`.
    """

    disposal_id: UUID
    body: Slug
    asset_id: UUID
    medium: Medium
    methods: tuple[MethodDone, ...]
    disposed_on: date
    done_by: str
    approved_by: str
    witnessed_by: str | None
    certificate: str | None
    note: str | None
    zone: Zone | None
    confidentiality: LevelCode | None
    remarks: tuple[Remarked, ...]
    recorded_by: str
    recorded_at: datetime
    confirmed_by: str | None
    corrects: UUID | None
    corrected_by: UUID | None = None


def after_retirement(asset: RegisteredAsset, *, recorded: bool) -> RetiredAsset:
    """The answer to a retirement: whether the disposal of its medium is on record."""
    state = asset.model_dump(mode="json")
    if recorded:
        return RetiredAsset(**state, disposal_record=DisposalRecord.RECORDED)
    if not has_medium(state):
        return RetiredAsset(**state)
    notice = text_pair("inventory.disposal.missing")
    return RetiredAsset(**state, disposal_record=DisposalRecord.MISSING, notice=notice)


def disposal(row: DisposalRow, corrected_by: UUID | None = None) -> Disposal:
    medium = Medium(row.medium)
    done = Done(
        medium=medium,
        methods=tuple(row.methods),
        zone=row.zone,
        confidentiality=row.confidentiality,
        leased=row.leased,
        witnessed=row.witnessed_by is not None,
        certified=row.certificate is not None,
    )
    return Disposal.model_validate(
        {
            **row.model_dump(),
            "methods": [_method(one) for one in row.methods],
            "remarks": [_remarked(one, done) for one in remarks_on(done)],
            "corrected_by": corrected_by,
        }
    )


def _method(known: str) -> MethodDone:
    method = table().of(known)
    return MethodDone(id=known, name=method.name if method else Text(ja=known, en=known))


def _remarked(remark: Remark, done: Done) -> Remarked:
    need = table().needed_for(done.medium, done.zone, done.confidentiality)
    key = f"{remark}.{need.strength}" if remark is Remark.TOO_WEAK and need else remark
    return Remarked(remark=remark, text=text_pair(f"inventory.disposal.remark.{key}"))
