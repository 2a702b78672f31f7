# SPDX-License-Identifier: Apache-2.0
"""What a service answers becomes data, or a sentence."""

from __future__ import annotations

import json
from typing import ClassVar

import httpx
import pytest

from cli.api import Api
from cli.errors import CliError
from cli.language import speaking


class Instance:
    """The part of a running instance that a client of an API needs."""

    addresses: ClassVar[dict[str, str]] = {"inventory": "http://inventory.test"}

    def token(self, client: str) -> str:
        return f"token-of-{client}"


def ask(answer, **query):
    with speaking("ja"), Api(Instance(), "inventory", "body-fire", httpx.MockTransport(answer)) as api:
        return api.get("/v1/assets", **query)


def test_it_asks_with_the_clients_token_in_the_persons_language_without_what_is_not_given():
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"url": str(request.url), "headers": dict(request.headers)})

    got = ask(answer, body="fire", after=None)
    assert got["url"] == "http://inventory.test/v1/assets?body=fire"
    assert got["headers"]["authorization"] == "Bearer token-of-body-fire"
    assert got["headers"]["accept-language"] == "ja"


@pytest.mark.parametrize(("status", "code"), [(422, 2), (400, 2), (413, 2), (403, 1), (404, 1), (503, 1)])
def test_a_problem_is_told_with_title_detail_and_fields(status, code):
    problem = {
        "type": "urn:daicho:problem:invalid",
        "title": "入力の誤り",
        "status": status,
        "detail": "2件の項目に誤りがあります。",
        "errors": [{"field": "/items/0/body", "detail": "必須です"}, {"field": "/items/1", "detail": "型が違います"}],
    }
    headers = {"content-type": "application/problem+json; charset=utf-8"}
    with pytest.raises(CliError) as refused:
        ask(lambda _: httpx.Response(status, headers=headers, content=json.dumps(problem).encode()))
    assert refused.value.code == code
    assert refused.value.sentence("ja") == (
        "入力の誤り：2件の項目に誤りがあります。\n  /items/0/body: 必須です\n  /items/1: 型が違います"
    )


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(502, text="<html>Bad Gateway</html>"),
        httpx.Response(502, headers={"content-type": "application/problem+json"}, text="{"),
    ],
)
def test_another_answer_is_told_by_its_status(answer):
    with pytest.raises(CliError) as refused:
        ask(lambda _: answer)
    assert refused.value.sentence("en") == "http://inventory.test/v1/assets answered with status 502."


def test_a_service_that_is_not_there_is_told():
    def fail(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    with pytest.raises(CliError) as refused:
        ask(fail)
    assert "http://inventory.test cannot be reached (ConnectError)" in refused.value.sentence("en")
