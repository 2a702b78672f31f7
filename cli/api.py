# SPDX-License-Identifier: Apache-2.0
"""A service's API, as a command asks it: a refusal becomes a sentence with its title, detail and offending fields."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any, BinaryIO, Final, Self

import httpx
from pydantic import ValidationError

from cli.errors import FAILED, MISUSED, CliError
from cli.language import current
from cli.running import Running
from libs.contracts import Problem

PATIENCE: Final = 30.0
_PROBLEM: Final = "application/problem+json"
_INPUT_AT_FAULT: Final = frozenset({400, 413, 415, 422})


class Api:
    """Asks one service in the name of one client. Raises CliError where it refuses or cannot be reached."""

    def __init__(
        self, running: Running, service: str, client: str, transport: httpx.BaseTransport | None = None
    ) -> None:
        self._http = httpx.Client(
            base_url=running.addresses[service],
            headers={"Authorization": f"Bearer {running.token(client)}", "Accept-Language": current()},
            timeout=PATIENCE,
            transport=transport,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def get(self, path: str, **query: object) -> Any:
        """The JSON of an answer; parameters that are None are left out."""
        return self._ask("GET", path, query)

    def pages(self, path: str, by: str = "after", **query: object) -> Iterator[dict[str, Any]]:
        """The items of a list, page by page as they are asked for; `by` is the parameter that takes what a page gives as `next`."""
        place = None
        while True:
            page = self.get(path, **{by: place}, **query)
            yield from page["items"]
            place = page["next"]
            if place is None:
                return

    def content(self, path: str, **query: object) -> bytes:
        """An answer that is no JSON, byte for byte."""
        return self._send("GET", path, query).content

    def post(
        self,
        path: str,
        content: bytes | Iterable[bytes],
        headers: Mapping[str, str],
        *,
        patience: float | None = PATIENCE,
        **query: object,
    ) -> Any:
        """`patience` None: however long the answer takes."""
        return self._ask("POST", path, query, content=content, headers=headers, timeout=patience)

    def change(
        self,
        path: str,
        content: Mapping[str, Any],
        revision: int | None = None,
        *,
        method: str = "POST",
        **query: object,
    ) -> Any:
        """Send JSON; a person's write is on the `revision` that they have read."""
        headers = {} if revision is None else {"If-Match": f'"{revision}"'}
        return self._ask(method, path, query, json=content, headers=headers)

    def download(self, path: str, file: BinaryIO, **query: object) -> Mapping[str, str]:
        """Write an answer to a file as it comes in, however long that takes; its headers."""
        try:
            with self._http.stream("GET", path, params=_given(query), timeout=None) as answer:
                if answer.is_error:
                    answer.read()
                    raise _refusal(answer)
                for piece in answer.iter_bytes():
                    file.write(piece)
                return answer.headers
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error

    def _ask(self, method: str, path: str, query: Mapping[str, object], **request: Any) -> Any:
        return self._send(method, path, query, **request).json()

    def _send(self, method: str, path: str, query: Mapping[str, object], **request: Any) -> httpx.Response:
        try:
            answer = self._http.request(method, path, params=_given(query), **request)
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        if answer.is_error:
            raise _refusal(answer)
        return answer

    def _unreachable(self, error: httpx.HTTPError) -> CliError:
        return CliError("cli.unreachable", address=self._http.base_url, detail=type(error).__name__)


def _given(query: Mapping[str, object]) -> dict[str, str]:
    return {name: str(value) for name, value in query.items() if value is not None}


def _refusal(answer: httpx.Response) -> CliError:
    code = MISUSED if answer.status_code in _INPUT_AT_FAULT else FAILED
    if answer.headers.get("content-type", "").partition(";")[0] == _PROBLEM:
        try:
            problem = Problem.model_validate_json(answer.content)
        except ValidationError:
            pass
        else:
            fields = "".join(f"\n  {one.field}: {one.detail}" for one in problem.errors)
            return CliError("cli.refused", code=code, title=problem.title, detail=problem.detail, fields=fields)
    return CliError("cli.refused_plainly", code=code, status=answer.status_code, address=answer.request.url)
