# SPDX-License-Identifier: Apache-2.0
"""What is too large to be kept in memory: a body as it comes in, the rows of a ledger, an answer. On disk from 1 MiB on, gone at the end."""

from __future__ import annotations

import asyncio
import errno
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import BinaryIO, Final, Self, cast

from fastapi import Request
from pydantic import BaseModel
from pydantic_core import to_json

from libs.contracts import FeedItem, ProblemType
from libs.security import ProblemError
from services.inventory.ledgers.answers import decision_told, fault_told
from services.inventory.ledgers.faults import CellFault
from services.inventory.ledgers.reading import Ledger, PassedOver, Refused, Told, lines

IN_MEMORY: Final = 1024 * 1024
_CHUNK: Final = 256 * 1024


def temporary() -> BinaryIO:
    """A file of no name; closing it is its end."""
    return cast(BinaryIO, tempfile.SpooledTemporaryFile(IN_MEMORY))


@contextmanager
def room() -> Iterator[None]:
    """Raises ProblemError (503) where the disk has no room for what is written inside."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise ProblemError(ProblemType.BUSY, "inventory.ledger.no_room", headers={"Retry-After": "60"}) from error


async def body_of(request: Request) -> BinaryIO:
    """The body of a request; its route's limit holds. Raises ProblemError where the disk has no room."""
    file = temporary()
    try:
        with room():
            async for chunk in request.stream():
                await asyncio.to_thread(file.write, chunk)
    except BaseException:
        file.close()
        raise
    return file


async def sent_from(file: BinaryIO) -> AsyncIterator[bytes]:
    """A file's content from its beginning, piece by piece; it is closed at the end."""
    try:
        file.seek(0)
        while chunk := await asyncio.to_thread(file.read, _CHUNK):
            yield chunk
    finally:
        file.close()


class Spool:
    """Pieces of JSON, one a line."""

    def __init__(self) -> None:
        self._file = temporary()
        self.count = 0

    def add(self, piece: bytes) -> None:
        self._file.write(piece + b"\n")
        self.count += 1

    def __iter__(self) -> Iterator[bytes]:
        self._file.seek(0)
        return iter(self._file)

    def close(self) -> None:
        self._file.close()


class LedgerRow(BaseModel):
    """A good row, as it is kept until its turn."""

    sheet: str | None = None
    row: int
    item: FeedItem


class Sifted:
    """A ledger that was read once, row by row: the good rows, the faults, and what a person must decide. Close it at the end.

    `first_faults` are as many as a problem document tells.
    """

    def __init__(self, most_faults: int) -> None:
        self.rows, self.faults, self.decisions = Spool(), Spool(), Spool()
        self.refused = 0
        self.first_faults: list[CellFault] = []
        self.passed_over: list[PassedOver] = []
        self._most_faults = most_faults

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for spool in (self.rows, self.faults, self.decisions):
            spool.close()

    def read(self, file: BinaryIO, ledger: Ledger) -> None:
        """Raises UnreadableError where not even the format is right."""
        for line in lines(file, ledger):
            if isinstance(line, Told):
                self._take(line)
            elif isinstance(line, Refused):
                self.refuse(line.faults)
            else:
                self.passed_over.append(line)

    def refuse(self, faults: Sequence[CellFault]) -> None:
        """Count a row out, for one or more faults."""
        self.refused += 1
        for fault in faults:
            self.faults.add(to_json(fault_told(fault)))
        self.first_faults.extend(faults[: self._most_faults - len(self.first_faults)])

    def _take(self, told: Told) -> None:
        row = LedgerRow(sheet=told.at.sheet, row=told.at.row, item=told.item)
        self.rows.add(row.model_dump_json(exclude_none=True, exclude_defaults=True).encode())
        for one in told.undecided:
            self.decisions.add(to_json(decision_told(one)))

    def batches(self, size: int) -> Iterator[list[LedgerRow]]:
        """The good rows, in their order."""
        batch: list[LedgerRow] = []
        for piece in self.rows:
            batch.append(LedgerRow.model_validate_json(piece))
            if len(batch) == size:
                yield batch
                batch = []
        if batch:
            yield batch


def answer_of(known: Mapping[str, object], lists: Mapping[str, Spool]) -> BinaryIO:
    """A JSON object: members that are known, and lists whose pieces were spooled."""
    file = temporary()
    file.write(to_json(known)[:-1])
    for name, spool in lists.items():
        file.write(b"," + to_json(name) + b":[")
        for position, piece in enumerate(spool):
            file.write(piece if position == 0 else b"," + piece)
        file.write(b"]")
    file.write(b"}")
    return file
