# SPDX-License-Identifier: Apache-2.0
"""Items over HTTP line by line: taken as they come, answered by their numbers, in memory that does not grow with their number."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any, Final

from anyio import SpooledTemporaryFile
from fastapi import Request, Response
from fastapi.responses import StreamingResponse
from pydantic_core import to_json

from libs.catalogue import text
from libs.contracts import Feed, FeedItem, ProblemType
from libs.security import ProblemError
from libs.security.problems import MAX_FIELDS, language_of
from services.inventory.doors import NDJSON, Fault, UnreadableError
from services.inventory.doors.entering import in_session
from services.inventory.doors.ndjson import Line, Lines, read_line
from services.inventory.intake import Intake, Receipt

MAX_BYTES: Final = 64 * 1024 * 1024
AT_ONCE: Final = 1000
"""Lines that go to the broker together."""
_IN_MEMORY: Final = 1024 * 1024
"""Bytes of answers kept in memory; more are kept in a file until all lines have been read."""
_PIECE: Final = 64 * 1024

Answer = dict[str, Any]


class LineReader:
    """What a caller may send as a feed, a line at a time."""

    def __init__(self, feed: Feed, may_speak: Callable[[FeedItem], bool], snapshot: str | None = None) -> None:
        self._feed, self._may_speak, self._snapshot = feed, may_speak, snapshot

    def read(self, line: Line) -> FeedItem:
        """Raises UnreadableError."""
        item = read_line(self._feed, line)
        if not self._may_speak(item):
            raise UnreadableError([Fault("/body", "inventory.not_your_body", feed=self._feed.id)])
        return in_session(item, self._snapshot)


async def take(request: Request, reader: LineReader, intake: Intake, traceparent: str | None) -> Response:
    """Accept the good lines of a request, and answer every line.

    Raises ProblemError (503) where the broker does not take them: nothing is promised then, and all may be sent again.
    """
    answers = _Answers(request)
    try:
        taken = await _taken(request, reader, intake, traceparent, answers)
    except BaseException:
        await answers.close()
        raise
    return StreamingResponse(answers.pieces(), 202 if taken else 422, media_type=NDJSON)


async def body_within(request: Request, limit: int) -> bytes:
    """The whole body; raises ProblemError (413) as soon as it is larger than the limit, which is below that of the route."""
    content = bytearray()
    async for piece in request.stream():
        content += piece
        if len(content) > limit:
            raise ProblemError(ProblemType.TOO_LARGE, "problems.http.413")
    return bytes(content)


async def _taken(
    request: Request, reader: LineReader, intake: Intake, traceparent: str | None, answers: _Answers
) -> int:
    """How many lines were accepted."""
    taken = 0
    waiting: list[tuple[int, FeedItem | UnreadableError]] = []

    async def settle() -> int:
        items = [read for _, read in waiting if isinstance(read, FeedItem)]
        receipts = iter(await intake.accept(items, traceparent))
        for number, read in waiting:
            await answers.add(number, next(receipts) if isinstance(read, FeedItem) else read)
        waiting.clear()
        return len(items)

    async for line in _lines(request):
        try:
            waiting.append((line.number, reader.read(line)))
        except UnreadableError as error:
            waiting.append((line.number, error))
        if len(waiting) >= AT_ONCE:
            taken += await settle()
    return taken + await settle()


async def _lines(request: Request) -> AsyncIterator[Line]:
    lines = Lines()
    async for piece in request.stream():
        for line in lines.add(piece):
            yield line
    for line in lines.end():
        yield line


class _Answers:
    """The answers, in the order of the lines."""

    def __init__(self, request: Request) -> None:
        self._language = language_of(request.headers.get("accept-language"))
        self._file = SpooledTemporaryFile[bytes](max_size=_IN_MEMORY)

    async def add(self, number: int, found: Receipt | UnreadableError) -> None:
        told: Answer = {"receipt": found} if isinstance(found, Receipt) else {"errors": self._errors(found)}
        await self._file.write(to_json({"line": number, **told}) + b"\n")

    async def pieces(self) -> AsyncIterator[bytes]:
        """What was answered, from the beginning; then it is gone."""
        try:
            await self._file.seek(0)
            while piece := await self._file.read(_PIECE):
                yield piece
        finally:
            await self.close()

    async def close(self) -> None:
        await self._file.aclose()

    def _errors(self, error: UnreadableError) -> list[dict[str, str]]:
        return [
            {"field": fault.field, "detail": text(fault.key, self._language, **fault.args)}
            for fault in error.faults[:MAX_FIELDS]
        ]
