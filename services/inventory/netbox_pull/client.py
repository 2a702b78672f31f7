# SPDX-License-Identifier: Apache-2.0
"""NetBox's REST API, as far as the pull reads it (NetBox 4.7, integrations/rest-api and its source).

Pages go by id (`id__gt`, `ordering=id`), which every NetBox offers and which does not shift when objects come and go meanwhile; `next` only
says whether there is more. The `ETag` of an object is made of `last_updated`, which does not move with every change, so that it is of no use here.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Annotated, Any, Final, NamedTuple, TypeVar

import httpx
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, SecretStr, ValidationError

from libs.contracts import NetboxPull
from services.inventory.netbox_pull.domain import Change, Trouble

PAGE: Final = 100
"""Objects, or ids asked for, a request."""
CHANGES_A_PAGE: Final = 500
MAX_BYTES: Final = 32 * 1024 * 1024
PATIENCE: Final = 60.0
"""Seconds for one answer."""
PAUSES: Final = (1.0, 5.0, 15.0)
"""Seconds before a request is repeated, once for each."""
LONGEST_PAUSE: Final = 60.0
"""What NetBox asks to wait beyond that, the next pull waits."""

_CHANGE_FIELDS: Final = "id,time,action,changed_object_type,changed_object_id"
_V2: Final = "nbt_"
"""How a token of NetBox 4.5 or later begins."""
_PASSING: Final = frozenset({Trouble.UNREACHABLE, Trouble.UNAVAILABLE})
_REFUSED: Final = frozenset({401, 403})
_NO_SUCH_REFERENCE: Final = 400
_GONE: Final = 404

Params = Sequence[tuple[str, str | int]]
Sleep = Callable[[float], Awaitable[None]]
Clock = Callable[[], datetime]
ModelT = TypeVar("ModelT", bound=BaseModel)


class NetboxError(Exception):
    """NetBox cannot be read now. `retry_after`: for how many seconds it asks to be left alone."""

    def __init__(self, code: Trouble, detail: str, retry_after: float | None = None) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.retry_after = retry_after


class _Choice(BaseModel):
    value: str


class _Record(BaseModel):
    id: int
    time: AwareDatetime
    action: _Choice
    changed_object_type: str
    changed_object_id: int


class _Object(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)

    id: Annotated[int, Field(ge=1)]


class _List(BaseModel):
    next: str | None
    results: tuple[dict[str, Any], ...]


class Page(NamedTuple):
    """Objects, and a moment of NetBox's clock after which they were read."""

    objects: Sequence[Mapping[str, Any]]
    read_after: datetime


class ChangePage(NamedTuple):
    """As `Page`, of records of the change log in the order of their ids."""

    changes: Sequence[Change]
    read_after: datetime


class _Answer(NamedTuple):
    status: int
    content: bytes
    read_after: datetime


def http_client(pull: NetboxPull) -> httpx.AsyncClient:
    """Checks certificates, follows no redirect, and takes neither proxy nor password from the environment. Raises OSError or SSLError for the
    file of certificates."""
    return httpx.AsyncClient(
        verify=ssl.create_default_context(cafile=pull.ca_file),
        follow_redirects=False,
        trust_env=False,
        timeout=httpx.Timeout(PATIENCE, connect=10.0),
        limits=httpx.Limits(max_connections=1),
    )


class Netbox:
    """One NetBox. Every method raises NetboxError; what it asks again by itself, it asks no more than `len(PAUSES)` times."""

    def __init__(
        self, http: httpx.AsyncClient, url: str, token: SecretStr, clock: Clock, sleep: Sleep = asyncio.sleep
    ) -> None:
        self._http = http
        self._api = f"{url.rstrip('/')}/api"
        self._token = token
        self._clock = clock
        self._sleep = sleep
        self._told_at: datetime | None = None

    async def newest_change(self) -> ChangePage:
        """The last record of the change log, or none where it is empty."""
        answer = await self._get("core/object-changes", [("ordering", "-id"), ("limit", 1), ("fields", _CHANGE_FIELDS)])
        return ChangePage(_changes(_parsed(_List, answer.content).results), answer.read_after)

    async def changes(self, since: datetime) -> AsyncIterator[ChangePage]:
        """The change log from a time on; at least one page, which may be empty."""
        query: Params = [("time_after", since.isoformat()), ("fields", _CHANGE_FIELDS)]
        async for page in self._pages("core/object-changes", query, CHANGES_A_PAGE):
            yield ChangePage(_changes(page.objects), page.read_after)

    async def objects(self, collection: str, query: Params = ()) -> AsyncIterator[Page]:
        """The objects of a collection, those that fit the query."""
        async for page in self._pages(collection, query, PAGE):
            yield page

    async def showing(self, collection: str, parameter: str, number: int) -> AsyncIterator[Page]:
        """The objects that show another one; nothing where NetBox no longer knows that one."""
        async for page in self._pages(collection, [(parameter, number)], PAGE, or_nothing=_NO_SUCH_REFERENCE):
            yield page

    async def one(self, collection: str, number: int) -> Page:
        """An object, or none where it is no more."""
        answer = await self._get(f"{collection}/{number}", [], accepted=_GONE)
        if answer.status == _GONE:
            return Page((), answer.read_after)
        found = _parsed(_Object, answer.content)
        if found.id != number:
            raise NetboxError(Trouble.UNUSABLE, "another object than asked for")
        return Page((found.model_dump(),), answer.read_after)

    async def _pages(
        self, collection: str, query: Params, size: int, or_nothing: int | None = None
    ) -> AsyncIterator[Page]:
        after, more = 0, True
        while more:
            place: Params = [("id__gt", after), ("ordering", "id"), ("limit", size)]
            answer = await self._get(collection, [*query, *place], accepted=or_nothing)
            if answer.status == or_nothing:
                return
            page = _parsed(_List, answer.content)
            ids = [_of(_Object, one).id for one in page.results]
            if any(later <= earlier for earlier, later in zip([after, *ids], ids, strict=False)):
                raise NetboxError(Trouble.UNUSABLE, "a page that is not in the order of ids")
            yield Page(page.results, answer.read_after)
            more = page.next is not None and bool(ids)
            after = ids[-1] if ids else after

    async def _get(self, path: str, params: Params, accepted: int | None = None) -> _Answer:
        for pause in (*PAUSES, None):
            try:
                return await self._asked(path, params, accepted)
            except NetboxError as error:
                again = error.code in _PASSING and (error.retry_after or 0.0) <= LONGEST_PAUSE
                if pause is None or not again:
                    raise
                await self._sleep(max(pause, error.retry_after or 0.0))
        raise AssertionError("the last attempt returns or raises")

    async def _asked(self, path: str, params: Params, accepted: int | None) -> _Answer:
        read_after = self._told_at
        scheme = "Bearer" if self._token.get_secret_value().startswith(_V2) else "Token"
        headers = {
            "Accept": "application/json",
            # what is not compressed cannot grow beyond its bound when it is unpacked
            "Accept-Encoding": "identity",
            "Authorization": f"{scheme} {self._token.get_secret_value()}",
        }
        try:
            async with (
                asyncio.timeout(PATIENCE),
                self._http.stream("GET", f"{self._api}/{path}/", params=list(params), headers=headers) as response,
            ):
                _check(response, accepted, self._clock())
                content = await _bounded(response)
                self._told_at = self._moment(response)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise NetboxError(Trouble.UNREACHABLE, type(error).__name__) from error
        # of the first answer it is only known that it took no longer than this
        return _Answer(response.status_code, content, read_after or self._told_at - timedelta(seconds=PATIENCE))

    def _moment(self, response: httpx.Response) -> datetime:
        """NetBox's clock, and never ahead of ours: a moment too early does no harm, one too late would hide changes."""
        try:
            told = parsedate_to_datetime(response.headers["Date"])
        except (KeyError, ValueError):
            raise NetboxError(Trouble.UNUSABLE, "an answer without the time (RFC 9110 §6.6.1)") from None
        return min(told if told.tzinfo else told.replace(tzinfo=UTC), self._clock())


def _check(response: httpx.Response, accepted: int | None, now: datetime) -> None:
    status = response.status_code
    if status in (httpx.codes.OK, accepted):
        return
    if response.is_redirect:
        raise NetboxError(
            Trouble.REDIRECTED, f"status {status}: declare the address to which it points, if it is right"
        )
    if status in _REFUSED:
        raise NetboxError(Trouble.REFUSED, f"status {status}")
    if status == httpx.codes.TOO_MANY_REQUESTS or response.is_server_error:
        raise NetboxError(
            Trouble.UNAVAILABLE, f"status {status}", _retry_after(response.headers.get("Retry-After"), now)
        )
    raise NetboxError(Trouble.REJECTED, f"status {status}")


def _retry_after(told: str | None, now: datetime) -> float | None:
    """Seconds (RFC 9110 §10.2.3: a number of them, or a date)."""
    if told is None:
        return None
    if told.strip().isdigit():
        return float(told)
    try:
        moment = parsedate_to_datetime(told)
    except ValueError:
        return None
    return max((moment - now).total_seconds(), 0.0) if moment.tzinfo else None


async def _bounded(response: httpx.Response) -> bytes:
    content = bytearray()
    async for part in response.aiter_raw():
        content += part
        if len(content) > MAX_BYTES:
            raise NetboxError(Trouble.UNUSABLE, f"an answer of more than {MAX_BYTES} bytes")
    return bytes(content)


def _parsed(model: type[ModelT], content: bytes) -> ModelT:
    try:
        return model.model_validate_json(content)
    except ValidationError as error:
        raise NetboxError(Trouble.UNUSABLE, f"{error.error_count()} faults in the shape of an answer") from None


def _of(model: type[ModelT], given: Mapping[str, Any]) -> ModelT:
    try:
        return model.model_validate(given)
    except ValidationError:
        raise NetboxError(Trouble.UNUSABLE, "an object without an id or time") from None


def _changes(records: Iterable[Mapping[str, Any]]) -> list[Change]:
    return [
        Change(
            record.id,
            record.time,
            record.action.value == "delete",
            record.changed_object_type,
            record.changed_object_id,
        )
        for record in (_of(_Record, one) for one in records)
    ]
