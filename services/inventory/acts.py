# SPDX-License-Identifier: Apache-2.0
"""What people do to the register by hand, as one may ask for it and another approve it. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar, NamedTuple

from pydantic import BaseModel, ConfigDict

from services.inventory.domain import State
from services.inventory.merges.domain import value_of


class Act(BaseModel):
    """What a person does, as they send it; `ACT` is what it is called."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    ACT: ClassVar[str]

    def names(self) -> Iterable[str]:
        """What `Profile.four_eyes` may call it."""
        return [self.ACT]

    def touches(self) -> Iterable[str]:
        """The fields of the asset that it rests on (`facts.serial`): where they change, it is to be asked for anew."""
        return ["body", "status"]


class By(NamedTuple):
    """Who does an act and when, and who approved it where that is asked for."""

    actor: str
    at: datetime
    approved_by: str | None = None

    def change(self, reason: str) -> dict[str, Any]:
        """What a revision says of it, as `libs.contracts.Change`."""
        approved = {} if self.approved_by is None else {"approved_by": self.approved_by}
        return {"actor": self.actor, "reason": reason, **approved}

    def mark(self, reason: str) -> dict[str, Any]:
        """What an edit keeps of it: `by`, `at` in UTC (all of one format, so that they sort), `reason`."""
        told = self.change(reason)
        at = self.at.astimezone(UTC).isoformat(timespec="microseconds")
        return {"by": told.pop("actor"), "at": at, **told}


def waits(four_eyes: Collection[str], act: Act) -> bool:
    """Whether an act waits for a second person: a name stands for all below it (`edit` for `edit.facts.serial`)."""
    return any(name == one or name.startswith(f"{one}.") for name in act.names() for one in four_eyes)


def resting_on(state: State | None, act: Act) -> dict[str, Any]:
    """What an asset has in the fields that an act rests on; nothing of one that is not there yet."""
    return {} if state is None else {field: value_of(state, field) for field in act.touches()}


def changed_since(rested_on: Mapping[str, Any], state: State | None) -> tuple[str, ...]:
    """The fields that an act rests on and that are no longer what they were; all, where the asset is no longer there."""
    return tuple(field for field, was in rested_on.items() if state is None or value_of(state, field) != was)
