# SPDX-License-Identifier: Apache-2.0
"""A body's ledger written from the register, page by page onto disk; every row is read again to see that it says all that is registered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import BinaryIO, Final, Literal, NamedTuple

from libs.contracts import EarlierScales, Feed, Profile, asset_id
from libs.persistence import Sessions, driver_of
from libs.security import FieldError
from services.inventory import store as register_store
from services.inventory.domain import Link, Outcome, Part, Refused, Register, Source, Target
from services.inventory.doors.faults import pointer_step
from services.inventory.ledgers import store
from services.inventory.ledgers.columns import Columns
from services.inventory.ledgers.header import of_table
from services.inventory.ledgers.reading import Ledger, Told, line_of
from services.inventory.ledgers.sheets import Value
from services.inventory.ledgers.store import Registered
from services.inventory.ledgers.writing import (
    Asset,
    CsvWriter,
    Encoding,
    Writer,
    XlsxWriter,
    as_written,
    cells_of,
    replaced_for_cp932,
    unheld_by,
)

PAGE: Final = 1000

Format = Literal["csv", "xlsx"]


class Wanted(NamedTuple):
    """`replace`: write the nearest character, else 〓, for what the encoding does not have. `retired`: also those that are."""

    feed: Feed
    body: str
    format: Format
    encoding: Encoding
    replace: bool
    retired: bool


class Exported:
    """What was written: `rows` assets, of which `not_held` say less than the register does, with `replaced` cells.

    `faults` are cells that the encoding cannot hold, where nothing was to be replaced: `/<number>/<header>`.
    """

    def __init__(self) -> None:
        self.rows = 0
        self.not_held = 0
        self.replaced = 0
        self.unheld = 0
        self.faults: list[FieldError] = []


class Export:
    """Reads pages of the register in transactions of their own, so that a large ledger keeps no other waiting."""

    def __init__(self, sessions: Sessions, profile: Profile, columns: Columns, earlier: EarlierScales) -> None:
        self._sessions = sessions
        self._profile = profile
        self._columns = columns
        self._earlier = earlier
        self._header = of_table(columns, earlier)

    async def write(self, file: BinaryIO, wanted: Wanted, most_faults: int) -> Exported:
        writer: Writer = CsvWriter(file, wanted.encoding) if wanted.format == "csv" else XlsxWriter(file)
        done = Exported()
        writer.write(list(self._columns.columns))
        async for page in self._pages(wanted):
            numbers = await self._numbers(wanted, page)
            await asyncio.to_thread(self._write, writer, wanted, page, numbers, done, most_faults)
        await asyncio.to_thread(writer.close)
        return done

    async def _pages(self, wanted: Wanted) -> AsyncIterator[Sequence[Registered]]:
        after = ""
        while True:
            async with self._sessions.session([wanted.body]) as session:
                page = await store.assets_of(
                    session, wanted.feed.id, wanted.body, after=after, limit=PAGE, retired=wanted.retired
                )
            if page:
                yield page
            if len(page) < PAGE:
                return
            after = page[-1].source_key

    async def _numbers(self, wanted: Wanted, page: Sequence[Registered]) -> Mapping[str, str]:
        """The numbers of assets that relations name, also of another body's on the network, by asset id.

        Nothing of that body's is told by it: only numbers by which this body's own ledger told of its relations are looked up.
        """
        feed, municipality = wanted.feed.id, self._profile.municipality
        named = {
            Source(feed, number)
            for one in page
            for _, told_by, number in one.told.get("relations", ())
            if told_by == feed
        }
        async with self._sessions.session(self._profile.body_by_id) as session:
            seen = await register_store.targets_under(await driver_of(session), named)
        numbers = {asset_id(municipality, *source): source.source_key for source in named}
        return numbers | {target.asset_id: source.source_key for source, target in sorted(seen.items())}

    def _write(
        self,
        writer: Writer,
        wanted: Wanted,
        page: Sequence[Registered],
        numbers: Mapping[str, str],
        done: Exported,
        most_faults: int,
    ) -> None:
        for one in page:
            if one.held.state is None:
                continue
            asset = Asset(one.source_key, one.held.state, numbers)
            cells = cells_of(asset, self._columns, self._earlier)
            cells = self._encoded(cells, one.source_key, wanted, done, most_faults)
            writer.write(cells)
            done.rows += 1
            done.not_held += not self._says_all(wanted, one, numbers, cells)

    def _encoded(
        self, cells: list[Value], number: str, wanted: Wanted, done: Exported, most_faults: int
    ) -> list[Value]:
        if wanted.format != "csv":
            return cells
        held = list(cells)
        for at, (name, value) in enumerate(zip(self._columns.columns, cells, strict=True)):
            unheld = unheld_by(wanted.encoding, value)
            if not unheld:
                continue
            held[at] = replaced_for_cp932(value)
            if wanted.replace:
                done.replaced += 1
                continue
            done.unheld += 1
            if len(done.faults) < most_faults:
                field = f"/{pointer_step(number)}/{pointer_step(name)}"
                done.faults.append(FieldError(field, "inventory.ledger.not_in_cp932", characters=unheld))
        return held

    def _says_all(self, wanted: Wanted, one: Registered, numbers: Mapping[str, str], cells: Sequence[Value]) -> bool:
        """Whether the row says all that is registered, whichever source told it: an import of the row alone would change nothing."""
        feed = wanted.feed.id
        ledger = Ledger(wanted.feed, wanted.body, one.source_version + 1, self._columns, self._earlier)
        line = line_of([as_written(value, wanted.format) for value in cells], self._header, ledger)
        if not isinstance(line, Told):
            return False
        link = Link(feed, one.source_key, one.asset_id, one.source_version)
        targets = {Source(feed, number): Target(found, None) for found, number in numbers.items()}
        register = Register(
            self._profile, Part({Source(feed, one.source_key): link}, {one.asset_id: one.held}, targets)
        )
        try:
            return register.take(line.item).outcome is Outcome.UNCHANGED
        except Refused:
            return False
