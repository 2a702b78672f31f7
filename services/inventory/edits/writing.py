# SPDX-License-Identifier: Apache-2.0
"""Edits, additions and retirements written to the register, in the transaction of the person's act."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from libs.contracts import AssetStatus, ProblemType
from libs.security import FieldError, ProblemError
from services.inventory.acting import Acting
from services.inventory.acts import By
from services.inventory.composition import PERSON
from services.inventory.disposals.answers import RetiredAsset, after_retirement
from services.inventory.disposals.store import recorded_of
from services.inventory.domain import Link, Part, Register, Source
from services.inventory.edits.domain import (
    MOST_FACTS,
    NEEDED,
    Addition,
    Edit,
    Restoration,
    Retirement,
    TakingBack,
    added,
    edit_of,
    edited,
    edits_in,
    relations_told,
    taken_back,
    told_by,
)
from services.inventory.register.answers import RegisteredAsset, registered

_RELATIONS: Final = "relations."


async def edit(acting: Acting, act: Edit, by: By) -> RegisteredAsset:
    """Set fields of an asset. Raises ProblemError where one cannot be so."""
    fields = act.fields()
    if not fields:
        raise ProblemError(ProblemType.INVALID, "inventory.edit.nothing")
    _check(
        [FieldError(f"/{name}", "inventory.edit.needed") for name in NEEDED if name in fields and fields[name] is None]
    )
    register = await acting.register()
    _there(register, acting)
    named = {name.removeprefix(_RELATIONS): ids or () for name, ids in fields.items() if name.startswith(_RELATIONS)}
    led = await _led(acting, register, named)
    fields |= {f"{_RELATIONS}{kind}": sources for kind, sources in led.items()}
    asset_id = str(acting.asset_id)
    link = edited(edit_of(asset_id, register.links_of(asset_id)), fields, by, act.reason)
    return await _tell(acting, register, [link], act.reason, by)


async def take_back(acting: Acting, act: TakingBack, by: By) -> RegisteredAsset:
    """End the edits of fields. Raises ProblemError (422) where one was not edited."""
    register = await acting.register()
    _there(register, acting)
    links = [link for link in register.links_of(str(acting.asset_id)) if link.feed == PERSON]
    known = {field for link in links for field in edits_in(told_by(link))}
    strangers = [place for place, field in enumerate(act.fields) if field not in known]
    _check([FieldError(f"/fields/{place}", "inventory.edit.not_edited") for place in strangers])
    concerned = [link for link in links if not edits_in(told_by(link)).keys().isdisjoint(act.fields)]
    return await _tell(acting, register, [taken_back(link, act.fields) for link in concerned], act.reason, by)


async def add(acting: Acting, act: Addition, by: By) -> RegisteredAsset:
    """Add an asset by hand."""
    register = Register(acting.profile)
    led = await _led(acting, register, {kind.value: list(map(str, ids)) for kind, ids in act.relations.items()})
    relations = [one for kind, sources in led.items() for one in relations_told(kind, sources)]
    link = added(str(acting.asset_id), act.content(relations))
    return await _tell(acting, register, [link], act.reason, by)


async def retire(acting: Acting, act: Retirement, by: By) -> RetiredAsset:
    """Retire an asset; the answer says whether a record of its disposal is to be made."""
    register = await acting.register()
    gone = register.retire(str(acting.asset_id), by.change(act.reason))
    await acting.write(register, gone, by.at)
    row = await acting.asset()
    return after_retirement(registered(row), recorded=await recorded_of(acting.session, acting.asset_id))


async def restore(acting: Acting, act: Restoration, by: By) -> RegisteredAsset:
    """Bring a retired asset back. Raises ProblemError (409) for one that is there, or was merged into another."""
    register = await acting.register()
    _there(register, acting)
    asset_id = str(acting.asset_id)
    state = register.held(asset_id).state
    if state is None or state["status"] != AssetStatus.RETIRED:
        raise ProblemError(ProblemType.CONFLICT, "inventory.edit.not_retired")
    await acting.write(register, register.restore(asset_id, by.change(act.reason)), by.at)
    return registered(await acting.asset())


async def _tell(acting: Acting, register: Register, links: Sequence[Link], reason: str, by: By) -> RegisteredAsset:
    move = register.tell(links, by.change(reason))
    state = register.held(str(acting.asset_id)).state
    if state is not None and len(state["facts"]) > MOST_FACTS:
        _check([FieldError("/facts", "problems.field.too_long", max_length=MOST_FACTS)])
    await acting.write(register, move, by.at)
    return registered(await acting.asset())


async def _led(acting: Acting, register: Register, relations: Mapping[str, Sequence[str]]) -> dict[str, list[Source]]:
    """The sources behind the assets that relations are to lead to, by type. Raises ProblemError for an asset that is not there."""
    known = await acting.known_as({one for ids in relations.values() for one in ids})
    _check(
        [
            FieldError(f"/relations/{kind}/{place}", "inventory.edit.no_such_target")
            for kind, ids in relations.items()
            for place, one in enumerate(ids)
            if one not in known or one == str(acting.asset_id)
        ]
    )
    register.add(Part(targets=dict(known.values())))
    return {kind: [known[one][0] for one in ids] for kind, ids in relations.items()}


def _there(register: Register, acting: Acting) -> None:
    """Raises ProblemError (409) for an asset that was merged into another: its sources tell of that one."""
    if not register.sources_of(str(acting.asset_id)):
        raise ProblemError(ProblemType.CONFLICT, "inventory.edit.merged")


def _check(errors: Iterable[FieldError]) -> None:
    found: list[Any] = list(errors)
    if found:
        raise ProblemError(ProblemType.INVALID, "problems.invalid", errors=found, count=len(found))
