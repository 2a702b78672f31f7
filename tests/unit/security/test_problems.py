# SPDX-License-Identifier: Apache-2.0
"""Every refusal and failure is a problem document, in the caller's language, without what the caller sent."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from typing import Annotated

import httpx
import pytest
from fastapi import Body, Depends, FastAPI, Header, Query, Request
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError
from structlog.testing import capture_logs

from libs.catalogue import messages
from libs.contracts import ProblemType
from libs.security import FieldError, ProblemError, TokenVerifier, authenticated, create_app
from libs.security import problems as problems_module
from libs.security.problems import language_of

SignToken = Callable[..., str]
LIMIT = 4096


class Item(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(min_length=1, max_length=5)]
    count: Annotated[int, Field(ge=0)] = 0
    at: AwareDatetime | None = None
    tags: dict[str, int] = {}


@pytest.fixture
def app(verifier: TokenVerifier) -> FastAPI:
    app = create_app("test", verifier, version="1", max_body_bytes=LIMIT)
    guard = [Depends(authenticated("reader"))]

    @app.post("/items", dependencies=guard)
    async def items(
        item: Item, limit: Annotated[int, Query(le=100)] = 10, if_match: Annotated[str, Header()] = ""
    ) -> str:
        return item.name

    @app.post("/raw", dependencies=guard)
    async def raw(request: Request) -> int:
        return len(await request.body())

    @app.post("/large", dependencies=guard, max_body_size=LIMIT * 4)
    async def large(body: Annotated[bytes, Body(media_type="text/csv")]) -> int:
        return len(body)

    @app.get("/conflict", dependencies=guard)
    async def conflict() -> str:
        raise ProblemError(
            ProblemType.CONFLICT,
            "problems.http.405",
            errors=[FieldError("/a", "problems.field.missing")],
            headers={"ETag": '"3"'},
        )

    @app.get("/failure", dependencies=guard)
    async def failure() -> str:
        raise RuntimeError("the ledger of 山田太郎")

    return app


@pytest.fixture
async def http(app: FastAPI, sign: SignToken) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    headers = {"Authorization": f"Bearer {sign()}", "Accept-Language": "en"}
    async with httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers) as client:
        yield client


async def test_each_field_is_named_and_nothing_sent_is_echoed(http: httpx.AsyncClient) -> None:
    sent = {
        "name": "秘密の名前",
        "count": -77123,
        "at": "2027-01-01T00:00:00",
        "tags": {"a/b~c": "秘密の値"},
        "naem": "秘密",
    }
    answer = await http.post("/items?limit=99999", json=sent | {"name": "秘密の名前です"})
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    document = answer.json()
    assert document["type"] == "urn:daicho:problem:invalid"
    assert document["title"] == "Invalid input"
    assert {one["field"]: one["detail"] for one in document["errors"]} == {
        "query:limit": "Give a value of 100 or below.",
        "/name": "Give at most 5 characters.",
        "/count": "Give a value of 0 or above.",
        "/at": "Give a date and time with its offset, such as 2026-04-01T09:00:00+09:00.",
        "/tags/a~1b~0c": "Give an integer.",
        "/naem": "This field is not known. Check its spelling, or remove it.",
    }
    assert "秘密" not in answer.text
    assert "77123" not in answer.text


async def test_japanese_is_the_default(http: httpx.AsyncClient) -> None:
    answer = await http.post("/items", json={}, headers={"Accept-Language": ""})
    assert answer.headers["content-language"] == "ja"
    assert answer.json()["errors"] == [{"field": "/name", "detail": "この項目は必須です。"}]
    assert "errorsに示す項目" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("header", "language"),
    [
        (None, "ja"),
        ("en", "en"),
        ("en-GB,ja;q=0.9", "en"),
        ("ja,en;q=0.9", "ja"),
        ("fr", "ja"),
        ("*", "ja"),
        ("en;q=0", "ja"),
        ("en;q=nonsense", "ja"),
        ("en;q=nan", "ja"),
        (";;;,,,", "ja"),
        ("EN", "en"),
        ("*, en;q=0.5", "ja"),
    ],
)
def test_the_language_is_the_one_asked_for(header: str | None, language: str) -> None:
    assert language_of(header) == language


@pytest.mark.parametrize(
    "content", [b"{", b"", b"\xff\xfe", b"{'a': 1}", b"[" * 3000, b'{"name":' * 400, b'{"name": "\xff"}']
)
async def test_a_body_that_is_no_json_is_refused(http: httpx.AsyncClient, content: bytes) -> None:
    answer = await http.post("/items", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == "urn:daicho:problem:invalid"


async def chunks(size: int) -> AsyncIterator[bytes]:
    for _ in range(size // 1024):
        yield b"x" * 1024


@pytest.mark.parametrize("path", ["/raw", "/items", "/nowhere"])
@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_above_the_limit_is_refused(http: httpx.AsyncClient, path: str, chunked: bool) -> None:
    content = chunks(LIMIT * 2) if chunked else b"x" * (LIMIT + 1)
    answer = await http.post(path, content=content, headers={"Content-Type": "application/json"})
    if path == "/nowhere" and chunked:
        assert answer.status_code == 404
        return
    assert (answer.status_code, answer.headers["content-type"]) == (413, "application/problem+json")
    assert answer.json()["type"] == "urn:daicho:problem:too-large"


async def test_a_body_above_the_limit_and_without_a_token_is_a_problem_too(http: httpx.AsyncClient) -> None:
    answer = await http.post("/raw", content=b"x" * (LIMIT + 1), headers={"Authorization": ""})
    assert (answer.status_code, answer.headers["content-type"]) == (413, "application/problem+json")


async def test_a_body_of_just_the_limit_and_a_route_with_a_limit_of_its_own_are_served(http: httpx.AsyncClient) -> None:
    assert (await http.post("/raw", content=b"x" * LIMIT)).json() == LIMIT
    csv = {"Content-Type": "text/csv"}
    assert (await http.post("/large", content=b"x" * LIMIT * 4, headers=csv)).json() == LIMIT * 4
    assert (await http.post("/large", content=chunks(LIMIT * 5), headers=csv)).status_code == 413


async def test_a_problem_raised_by_a_route_keeps_its_headers_and_fields(http: httpx.AsyncClient) -> None:
    answer = await http.get("/conflict")
    assert (answer.status_code, answer.headers["etag"]) == (409, '"3"')
    assert answer.json() == {
        "type": "urn:daicho:problem:conflict",
        "title": "Conflict",
        "status": 409,
        "detail": "This method cannot be used at this path.",
        "errors": [{"field": "/a", "detail": "This field is required."}],
    }


async def test_unknown_routes_and_methods_are_problems(http: httpx.AsyncClient) -> None:
    assert (await http.get("/nowhere")).json()["type"] == "urn:daicho:problem:not-found"
    answer = await http.put("/items")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert (answer.json()["type"], answer.json()["title"]) == ("about:blank", "Method Not Allowed")


async def test_a_failure_tells_nothing_and_is_logged(http: httpx.AsyncClient) -> None:
    with capture_logs() as logged:
        answer = await http.get("/failure")
    assert (answer.status_code, answer.json()["type"]) == (500, "urn:daicho:problem:internal")
    assert "山田" not in answer.text
    assert [(line["event"], line["path"]) for line in logged] == [("request failed", "/failure")]
    assert isinstance(logged[0]["exc_info"], RuntimeError)


async def test_many_errors_are_cut_off(http: httpx.AsyncClient) -> None:
    answer = await http.post("/items", json={"name": "a", "tags": {str(n): "x" for n in range(200)}})
    assert len(answer.json()["errors"]) == 50
    assert "200" in answer.json()["detail"]


def test_each_sentence_fits_the_limits_that_pydantic_tells() -> None:
    """Whatever pydantic says of a type, the sentence can be filled in."""
    samples: list[tuple[object, object]] = [
        ({"name": ""}, Item),
        ({"name": 1}, Item),
        ({"name": "a", "count": "x"}, Item),
        ({"name": "a", "at": "yesterday"}, Item),
    ]
    for value, model in samples:
        with pytest.raises(ValidationError) as invalid:
            model.model_validate(value)  # type: ignore[attr-defined]
        for error in invalid.value.errors():
            told = problems_module._field_error({**error, "loc": ("body", *error["loc"])})
            assert messages()[told.key].en.format_map(told.args)


def test_every_problem_has_a_title() -> None:
    for problem in ProblemType:
        assert f"problems.title.{problem}" in messages()


async def test_a_problem_document_has_the_members_of_rfc_9457(http: httpx.AsyncClient) -> None:
    document = json.loads((await http.get("/nowhere")).content)
    assert set(document) == {"type", "title", "status", "detail"}
    assert document["status"] == 404
