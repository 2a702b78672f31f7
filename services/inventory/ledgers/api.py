# SPDX-License-Identifier: Apache-2.0
"""Ledgers over HTTP: imported, checked without a change, and exported."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Annotated, Any, BinaryIO, Final, Literal

from fastapi import APIRouter, Header, Request, Response
from fastapi.responses import StreamingResponse
from pydantic_core import to_json

from libs.contracts import EarlierScales, Feed, ProblemType, Profile
from libs.contracts.words import Slug
from libs.persistence import Sessions
from libs.security import FieldError, Identity, ProblemError
from libs.security.problems import MAX_FIELDS
from services.inventory.calls import Feeder, Reader
from services.inventory.doors import UnreadableError
from services.inventory.doors.entering import Version, as_problem, check_form, feed_of, in_session, numbered
from services.inventory.intake import Intake
from services.inventory.ledgers.answers import LedgerAccepted, LedgerChecked, LedgerReceipt, sheet_told
from services.inventory.ledgers.checking import Check
from services.inventory.ledgers.columns import ColumnsByFeed
from services.inventory.ledgers.exporting import Export, Exported, Format, Wanted
from services.inventory.ledgers.reading import Ledger
from services.inventory.ledgers.spooling import Sifted, Spool, answer_of, body_of, room, sent_from, temporary
from services.inventory.ledgers.writing import CsvWriter, Encoding, XlsxWriter
from services.inventory.snapshots.domain import beginning, ending, new_session
from services.inventory.worker import Clock

FORM: Final = "csv"
"""A ledger feed's `format` in the profile; its files may be workbooks as well."""
MEDIA: Final = frozenset(
    {CsvWriter.media, XlsxWriter.media, "application/csv", "application/vnd.ms-excel", "application/octet-stream"}
)
MAX_BYTES: Final = 512 * 1024 * 1024
"""A ledger of 1,000,000 rows as CSV has about 300 MB."""
AT_ONCE: Final = 4
"""Ledgers that are read or written at a time; each may keep a processor busy for minutes."""
BATCH: Final = 1000

_RETRY_AFTER: Final = {"Retry-After": "30"}
_BODY: Final[Mapping[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {media: {"schema": {"type": "string", "format": "binary"}} for media in sorted(MEDIA)},
    }
}

Mode = Literal["file", "rows"]


class LedgerApi:
    """The routes, over what they need."""

    def __init__(
        self,
        sessions: Sessions,
        intake: Intake,
        profile: Profile,
        earlier: EarlierScales,
        columns: ColumnsByFeed,
        clock: Clock,
    ) -> None:
        self._sessions = sessions
        self._intake = intake
        self._profile = profile
        self._earlier = earlier
        self._columns = columns
        self._clock = clock
        self._places = asyncio.Semaphore(AT_ONCE)

    def router(self) -> APIRouter:
        router = APIRouter(prefix="/v1", tags=["ledgers"])
        for path, status, answer, route in (
            ("/feeds/{feed}/ledger", 202, LedgerAccepted, self.import_),
            ("/feeds/{feed}/ledger/check", 200, LedgerChecked, self.check),
        ):
            add = router.post(
                path, status_code=status, response_model=answer, max_body_size=MAX_BYTES, openapi_extra=dict(_BODY)
            )
            add(route)
        router.get("/ledger", response_class=Response, responses={200: {"content": _written()}})(self.export)
        return router

    async def import_(
        self,
        feed: Slug,
        body: Slug,
        request: Request,
        caller: Feeder,
        version: Version = None,
        mode: Mode = "file",
        receipts: bool = True,
        snapshot: bool = False,
        traceparent: Annotated[str | None, Header()] = None,
    ) -> Response:
        """A ledger of one body as CSV (UTF-8 or cp932) or XLSX.

        `mode=file`: all rows or none. `mode=rows`: good rows are accepted, and what is wrong with the others is in `refused`.
        Without `version` the time counts, in microseconds. `receipts=false` answers with their number alone. `snapshot=true`: the ledger is
        all that its feed has of the body, and what is not in it is retired, as at the end of a snapshot; unless a row was refused.
        """
        session = new_session() if snapshot else None
        ledger = self._ledger(feed, body, request, caller, version)
        async with self._sifted(request, ledger) as sifted:
            if sifted.refused and (mode == "file" or not sifted.rows.count):
                raise _refusal(sifted)
            kept = Spool()
            try:
                if session is not None:
                    await self._intake.mark(beginning(self._profile, feed, session, [body]), traceparent)
                for rows in sifted.batches(BATCH):
                    items = [in_session(row.item, session) for row in rows]
                    taken = await self._intake.accept(items, traceparent)
                    for row, receipt in zip(rows, taken, strict=True) if receipts else ():
                        kept.add(to_json(LedgerReceipt(sheet=row.sheet, row=row.row, **receipt.model_dump())))
                if session is not None:
                    items_sent = {body: sifted.rows.count + sifted.refused}
                    await self._intake.mark(ending(self._profile, feed, session, items_sent), traceparent)
                known = {"accepted": sifted.rows.count, "snapshot": session, **_told_of(sifted)}
                lists = {"receipts": kept, "decisions": sifted.decisions, "refused": sifted.faults}
                answer = await asyncio.to_thread(answer_of, known, lists)
            finally:
                kept.close()
        return _json(answer, 202)

    async def check(
        self, feed: Slug, body: Slug, request: Request, caller: Feeder, version: Version = None
    ) -> Response:
        """What an import of the same file would do, and every cell that is wrong; nothing is changed."""
        ledger = self._ledger(feed, body, request, caller, version)
        check = Check(self._sessions, self._profile, ledger.columns)
        async with self._sifted(request, ledger) as sifted:
            for rows in sifted.batches(BATCH):
                for fault in await check.compare(rows):
                    sifted.refuse([fault])
            known = {"rows": check.counts(sifted.refused), "changes": check.changes, **_told_of(sifted)}
            lists = {"decisions": sifted.decisions, "refused": sifted.faults}
            answer = await asyncio.to_thread(answer_of, known, lists)
        return _json(answer, 200)

    async def export(
        self,
        body: Slug,
        caller: Reader,
        feed: Slug | None = None,
        format: Format = "csv",
        encoding: Encoding = "utf-8-sig",
        replace: bool = False,
        retired: bool = False,
    ) -> Response:
        """The ledger of one body in the columns that an import reads: imported again, it changes nothing.

        `feed` may be left out where one ledger feed speaks for the body. What `encoding` cannot hold is told and nothing is written, unless
        `replace` puts 〓 for it. In the answer's headers: `Daicho-Rows`, `Daicho-Replaced` (cells), and `Daicho-Not-Held` (assets of which a
        ledger cannot say all that is registered).
        """
        if body not in self._profile.body_by_id or not caller.may_read(body):
            raise ProblemError(ProblemType.FORBIDDEN, "inventory.ledger.not_your_body")
        wanted = Wanted(self._ledger_feed(feed, body), body, format, encoding, replace, retired)
        export = Export(self._sessions, self._profile, self._columns.of(wanted.feed.id), self._earlier)
        async with self._place():
            file = temporary()
            try:
                with room():
                    done = await export.write(file, wanted, MAX_FIELDS)
                if done.unheld:
                    raise _unheld(done)
            except BaseException:
                file.close()
                raise
        return _download(file, wanted, done, self._clock().date().isoformat())

    def _ledger(self, feed: str, body: str, request: Request, caller: Identity, version: int | None) -> Ledger:
        declared = feed_of(self._profile, feed, caller)
        if body not in declared.bodies or not caller.may_feed(feed, body):
            raise ProblemError(ProblemType.FORBIDDEN, "inventory.not_your_body", feed=feed)
        check_form(declared, FORM, request.headers.get("content-type", ""), MEDIA)
        return Ledger(declared, body, numbered(version, self._clock()), self._columns.of(feed), self._earlier)

    def _ledger_feed(self, feed: str | None, body: str) -> Feed:
        feeds = [one for one in self._profile.feeds if one.format == FORM and body in one.bodies]
        found = [one for one in feeds if feed in (None, one.id)]
        if len(found) != 1:
            known = ", ".join(one.id for one in feeds)
            error = FieldError("query:feed", "inventory.ledger.which_feed", known=known)
            raise ProblemError(ProblemType.INVALID, "problems.invalid", errors=[error], count=1)
        return found[0]

    @asynccontextmanager
    async def _sifted(self, request: Request, ledger: Ledger) -> AsyncIterator[Sifted]:
        """The request's ledger, read as a whole."""
        file = await body_of(request)
        try:
            with Sifted(MAX_FIELDS) as sifted:
                async with self._place():
                    with room():
                        try:
                            await asyncio.to_thread(sifted.read, file, ledger)
                        except UnreadableError as error:
                            raise as_problem(error) from None
                        yield sifted
        finally:
            file.close()

    @asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        """Raises ProblemError where as many as may be are at it already."""
        if self._places.locked():
            raise ProblemError(ProblemType.BUSY, "inventory.ledger.busy", headers=_RETRY_AFTER)
        async with self._places:
            yield


def _refusal(sifted: Sifted) -> ProblemError:
    errors = [FieldError(fault.at.pointer, fault.key, **fault.args) for fault in sifted.first_faults]
    return ProblemError(ProblemType.INVALID, "problems.invalid", errors=errors, count=sifted.faults.count)


def _unheld(done: Exported) -> ProblemError:
    return ProblemError(ProblemType.INVALID, "inventory.ledger.unheld", errors=done.faults, count=done.unheld)


def _told_of(sifted: Sifted) -> dict[str, Any]:
    return {"sheets_passed_over": [sheet_told(one) for one in sifted.passed_over]}


def _json(answer: BinaryIO, status: int) -> Response:
    return StreamingResponse(sent_from(answer), status, media_type="application/json")


def _download(file: BinaryIO, wanted: Wanted, done: Exported, day: str) -> Response:
    media = CsvWriter.media if wanted.format == "csv" else XlsxWriter.media
    charset = (
        f"; charset={'utf-8' if wanted.encoding == 'utf-8-sig' else 'windows-31j'}" if wanted.format == "csv" else ""
    )
    headers = {
        "Content-Type": media + charset,
        "Content-Disposition": f'attachment; filename="ledger-{wanted.body}-{day}.{wanted.format}"',
        "Cache-Control": "no-store",
        "Daicho-Rows": str(done.rows),
        "Daicho-Not-Held": str(done.not_held),
        "Daicho-Replaced": str(done.replaced),
    }
    return StreamingResponse(sent_from(file), headers=headers)


def _written() -> dict[str, Any]:
    return {media: {"schema": {"type": "string", "format": "binary"}} for media in (CsvWriter.media, XlsxWriter.media)}
