# SPDX-License-Identifier: Apache-2.0
"""The steps of an override's life and the event that tells each of them. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, NamedTuple

from libs.contracts import (
    Explanation,
    OverrideChange,
    OverrideChanged,
    OverrideState,
    kafka_headers,
    make_key,
    source_urn,
)
from libs.contracts.topics import CONTROL
from libs.contracts.words import Dimension
from libs.standards import Standard
from services.classification.domain import SERVICE, Message

_KIND: Final = "override"


class Override(NamedTuple):
    """An override at one revision, and whose it is."""

    body: str
    network: str
    change: OverrideChange

    def decided(self, state: OverrideState, by: str, now: datetime, note: str | None) -> Override:
        """Approved or refused."""
        return self._next(state=state, decided_by=by, decided_at=now, decision_note=note)

    def withdrawn(self, by: str, now: datetime, note: str | None) -> Override:
        return self._next(state=OverrideState.WITHDRAWN, ended_by=by, ended_at=now, end_note=note)

    def expired(self) -> Override:
        return self._next(state=OverrideState.EXPIRED, ended_at=self.change.expires_at)

    def message(self, municipality: str, now: datetime) -> Message:
        """The event of this revision."""
        change = self.change
        event = OverrideChanged(
            id=f"{change.override_id}:{change.revision}",
            source=source_urn(municipality, self.body, SERVICE),
            subject=change.override_id,
            time=now,
            body=self.body,
            network=self.network,
            revision=change.revision,
            data=change,
        )
        key = make_key(self.body, _KIND, change.asset_id, change.dimension, change.override_id)
        return Message(CONTROL.name, key, event.model_dump_json(exclude_none=True).encode(), kafka_headers(event))

    def _next(self, **changed: Any) -> Override:
        update = {**changed, "revision": self.change.revision + 1}
        return self._replace(change=self.change.model_copy(update=update))


def rank_without_override(standard: Standard, dimension: Dimension, explanation: Explanation) -> int:
    """The rank that an asset has, or would have, with no override: while one is in force, what it would inherit is not known."""
    codes = [explanation.derived, explanation.declared]
    if explanation.origin != "override":
        codes.append(explanation.level)
    return max(standard.rank(dimension, code) for code in codes if code is not None)
