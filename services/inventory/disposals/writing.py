# SPDX-License-Identifier: Apache-2.0
"""A record of disposal added to those of its asset, in the transaction of the person's act."""

from __future__ import annotations

from uuid import UUID, uuid4

from libs.contracts import ProblemType
from libs.security import FieldError, ProblemError
from services.inventory.acting import Acting
from services.inventory.acts import By
from services.inventory.disposals import store
from services.inventory.disposals.answers import Disposal, disposal
from services.inventory.disposals.domain import DisposalAct, Medium, medium_of, table
from services.inventory.disposals.store import DisposalRow
from services.inventory.store import AssetRow


async def dispose(acting: Acting, act: DisposalAct, by: By) -> Disposal:
    """Record a disposal. Raises ProblemError where it cannot have been so, or corrects what is corrected already."""
    asset = await acting.asset()
    medium = act.medium or medium_of(asset.state)
    errors = _errors_of(act, medium, by)
    if medium is None or errors:
        raise ProblemError(ProblemType.INVALID, "problems.invalid", errors=errors, count=len(errors))
    if act.corrects is not None:
        await _check_correction(acting, act.corrects)
    row = DisposalRow(
        disposal_id=uuid4(),
        body=asset.body,
        asset_id=asset.asset_id,
        medium=medium,
        recorded_by=by.actor,
        recorded_at=by.at,
        confirmed_by=by.approved_by,
        methods=list(act.methods),
        **_circumstances(asset),
        **act.model_dump(exclude={"medium", "methods"}),
    )
    acting.session.add(row)
    await acting.session.flush()
    return disposal(row)


def _circumstances(asset: AssetRow) -> dict[str, object]:
    state = asset.state
    return {
        "zone": state.get("zone"),
        "confidentiality": state["declared"].get("confidentiality"),
        "leased": bool(state["facts"].get("lease_end")),
    }


def _errors_of(act: DisposalAct, medium: Medium | None, by: By) -> list[FieldError]:
    errors = []
    if medium is None:
        errors.append(FieldError("/medium", "inventory.disposal.which_medium", expected=", ".join(Medium)))
    for place, one in enumerate(act.methods):
        method = table().of(one)
        if method is None or (medium is not None and medium not in method.media):
            expected = ", ".join(each.id for each in table().methods if medium is None or medium in each.media)
            errors.append(FieldError(f"/methods/{place}", "inventory.disposal.method", expected=expected))
    if act.disposed_on > by.at.date():
        errors.append(FieldError("/disposed_on", "inventory.disposal.not_yet"))
    if act.approved_by.strip() == act.done_by.strip():
        errors.append(FieldError("/approved_by", "inventory.disposal.own_approval"))
    return errors


async def _check_correction(acting: Acting, corrects: UUID) -> None:
    records = {one.disposal_id: one for one in await store.records_of(acting.session, acting.asset_id)}
    if corrects not in records:
        raise ProblemError(ProblemType.NOT_FOUND, "inventory.disposal.not_found")
    if any(one.corrects == corrects for one in records.values()):
        raise ProblemError(ProblemType.CONFLICT, "inventory.disposal.corrected_already")
