# SPDX-License-Identifier: Apache-2.0
"""What a person does with the sources of assets: merge, split, undo; and who is heard in each field, since when. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from services.inventory.composition import PERSON, Authorities, Told, compose
from services.inventory.domain import Move, MoveChanges, Register, Source, State


class CandidateState(StrEnum):
    """Only what is proposed is open; `rejected` is for good: the two are not proposed again."""

    PROPOSED = "proposed"
    ACCEPTED = "accepted"
    REJECTED = "rejected"


class MergeKind(StrEnum):
    """Whether all sources of an asset went to another (`merged`), or one to an asset of its own (`split`); and the way back."""

    MERGED = "merged"
    SPLIT = "split"
    UNDONE = "undone"


class Origin(NamedTuple):
    """Whose value stands in a field (`facts.serial`), and when the register came to have it; of a relation type each who adds to it."""

    field: str
    feed: str
    source_key: str
    since: datetime


def move(register: Register, sources: Iterable[Source], into: str, *, left: str, kind: MergeKind, actor: str) -> Move:
    """Move sources from the asset `left`; every revision that comes of it says who did it, and which two assets it was about."""
    act: dict[str, Any] = {"actor": actor, "reason": kind.value}
    changes = MoveChanges(
        into={**act, "merged_from": left},
        left={**act, "merged_into": into},
        others={**act, "merged_from": left, "merged_into": into},
    )
    return register.move(sources, into, changes)


def heard(authorities: Authorities, told: Sequence[Told]) -> Mapping[str, tuple[Told, ...]]:
    """Who is heard in each field, by name; nobody where no source is left."""
    if all(one.feed == PERSON for one in told):
        return {}
    return dict(sorted(compose(authorities, told).origins.items()))


def value_of(state: State, field: str) -> Any:
    """What a state has in a field as `heard` names them; of a relation type, where they lead. None where it has nothing."""
    group, _, name = field.partition(".")
    if group == "relations":
        return [one["asset_id"] for one in state["relations"] if one["type"] == name]
    return state[group].get(name) if name else state.get(group)


class Since:
    """When each field came to have the value that it has now, from revisions given the newest first."""

    def __init__(self, fields: Iterable[str]) -> None:
        self._open = set(fields)
        self._now: dict[str, Any] = {}
        self.found: dict[str, datetime] = {}

    def look(self, state: State, recorded_at: datetime) -> bool:
        """Whether older revisions need to be looked at, too."""
        for field in tuple(self._open):
            value = value_of(state, field)
            if value == self._now.setdefault(field, value):
                self.found[field] = recorded_at
            else:
                self._open.discard(field)
        return bool(self._open)
