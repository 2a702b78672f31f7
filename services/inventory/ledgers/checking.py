# SPDX-License-Identifier: Apache-2.0
"""What a ledger would do to the register, by the same reconciliation that the worker does, with nothing written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final

from libs.contracts import Profile
from libs.persistence import Sessions, driver_of
from services.inventory import store
from services.inventory.domain import Decision, Outcome, Refused, Register, Source, State
from services.inventory.ledgers.answers import LedgerChange, RowCounts
from services.inventory.ledgers.columns import Columns
from services.inventory.ledgers.faults import At, CellFault
from services.inventory.ledgers.spooling import LedgerRow

MOST_CHANGES: Final = 1000


class Check:
    """Counts what would become of rows, batch by batch. What is told of a row is what its receipt would tell: nothing of another's."""

    def __init__(self, sessions: Sessions, profile: Profile, columns: Columns) -> None:
        self._sessions = sessions
        self._profile = profile
        self._columns = columns
        self._outcomes: Counter[str] = Counter()
        self.changes: list[LedgerChange] = []

    def counts(self, refused: int) -> RowCounts:
        """`refused` rows are those that were left out, of the reading and of this."""
        return RowCounts(refused=refused, **self._outcomes)

    async def compare(self, rows: Sequence[LedgerRow]) -> list[CellFault]:
        """The faults of those rows that the register would refuse."""
        register = await self._register(rows)
        faults = []
        for row in rows:
            try:
                self._note(row, register.take(row.item))
            except Refused as refused:
                faults.append(self._fault(row, refused))
        return faults

    async def _register(self, rows: Sequence[LedgerRow]) -> Register:
        """As the worker sees it, which knows of all bodies."""
        items = [row.item for row in rows]
        async with self._sessions.session(self._profile.body_by_id) as session:
            connection = await driver_of(session)
            known = await store.known_under(connection, {Source(item.feed, item.source_key) for item in items})
            return await store.register_for(connection, self._profile, items, known)

    def _note(self, row: LedgerRow, decision: Decision) -> None:
        own = [one for one in decision.revisions if one.after["asset_id"] == decision.link.asset_id]
        if not own:
            self._outcomes[(Outcome.UNCHANGED if decision.revisions else decision.outcome).value] += 1
            return
        last = own[-1]
        outcome = "new" if last.before is None else "changed"
        self._outcomes[outcome] += 1
        if len(self.changes) < MOST_CHANGES:
            columns = () if last.before is None else tuple(self._differing(last.before, last.after))
            change = LedgerChange(
                sheet=row.sheet, row=row.row, source_key=row.item.source_key, outcome=outcome, columns=columns
            )
            self.changes.append(change)

    def _differing(self, before: State, after: State) -> Iterator[str]:
        for name, column in self._columns.columns.items():
            path = ("status",) if column.field == "operation" else column.path
            if _value(before, path) != _value(after, path):
                yield name

    def _fault(self, row: LedgerRow, refused: Refused) -> CellFault:
        """In the words of the dead letter that it would be."""
        step = refused.field.removeprefix("data.").partition(".")[0]
        header = next((name for name, column in self._columns.columns.items() if column.field == step), "")
        return CellFault(At(row.sheet, row.row, header), f"reason.{refused.reason}")


def _value(state: State, path: Sequence[str]) -> Any:
    value: Any = state
    for step in path:
        value = (value or {}).get(step)
    return value
