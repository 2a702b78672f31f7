# SPDX-License-Identifier: Apache-2.0
"""What holds where, for those who answer: as the records of activations have it, over what is shipped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from sqlmodel.ext.asyncio.session import AsyncSession

from libs.contracts import Duty, Profile
from libs.contracts import Standard as PublishedStandard
from libs.persistence import Sessions
from libs.standards import Standard, StandardsInForce, compile_standard
from services.classification.standards import store
from services.classification.standards.domain import in_force


class Texts(NamedTuple):
    """A standard as consumers need it, its obligations by id, and which of them carry a check.

    `earlier` has those of the standard that held before: until an asset has been evaluated anew, they bind it.
    """

    standard: PublishedStandard
    duties: Mapping[str, Duty]
    checked: frozenset[str]
    earlier: Mapping[str, Duty]


class Ruling(NamedTuple):
    """The standards that hold, and their texts by network."""

    standards: StandardsInForce
    base: PublishedStandard
    by_network: Mapping[str, Texts]


class Rulings:
    """Reads what holds; what has been read is kept until something else is activated."""

    def __init__(self, sessions: Sessions, shipped: StandardsInForce, profile: Profile) -> None:
        self._sessions = sessions
        self._shipped = shipped
        self._profile = profile
        self._marks: Mapping[str, int] = {}
        self._ruling = self._made(shipped, {})

    async def now(self) -> Ruling:
        """What holds at this moment."""
        async with self._sessions.session(()) as session:
            return await self.within(session)

    async def within(self, session: AsyncSession) -> Ruling:
        """What holds as a transaction sees it."""
        marks = await store.latest(session)
        if marks == self._marks:
            return self._ruling
        before = {place: revision - 1 for place, revision in marks.items() if revision > 1}
        found = await store.documents(session, (*marks.items(), *before.items()))
        compiled = {mark: (network, compile_standard(document)) for mark, (network, document) in found.items()}
        held = in_force(self._shipped, [compiled[mark] for mark in marks.items()], self._profile)
        self._marks, self._ruling = marks, self._made(held, dict(compiled[mark] for mark in before.items()))
        return self._ruling

    def _made(self, held: StandardsInForce, earlier: Mapping[str | None, Standard]) -> Ruling:
        """`earlier` has what held before at places where something was activated more than once."""

        def texts(network: str) -> Texts:
            place = network if network in held.own else None
            return _texts(held.of(network), earlier.get(place, self._shipped.of(network)))

        return Ruling(held, held.base.published(), {one.id: texts(one.id) for one in self._profile.networks})


def _texts(standard: Standard, earlier: Standard) -> Texts:
    published = standard.published()
    checked = frozenset(one.id for one in standard.document.obligations if one.check is not None)
    return Texts(published, _by_id(published), checked, _by_id(earlier.published()))


def _by_id(standard: PublishedStandard) -> Mapping[str, Duty]:
    return {duty.id: duty for duty in standard.duties}
