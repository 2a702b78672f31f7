# SPDX-License-Identifier: Apache-2.0
"""`daicho assets merges` asks the inventory for what it shows, and decides on what it has read."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import httpx
import pytest
from typer.testing import CliRunner

from cli import merges, people
from cli.api import Api
from cli.main import app

CANDIDATE = {
    "candidate_id": "c-1",
    "asset_id": "a-1",
    "other_id": "a-2",
    "feed": "netbox",
    "source_key": "N-9",
    "evidence": [
        {"names": ["host", "site"], "agrees": True, "here": [["web01", "honcho"]], "there": [["web01", "honcho"]]}
    ],
    "told_apart": True,
    "revision": 3,
}
MERGE = {
    "merge_id": "m-1",
    "kind": "merged",
    "from_id": "a-1",
    "into_id": "a-2",
    "done_by": "officer",
    "undone_by": None,
}


class Instance:
    """The part of a running instance that a client of an API needs."""

    addresses: ClassVar[dict[str, str]] = {"inventory": "http://inventory.test"}

    def token(self, client: str) -> str:
        return f"token-of-{client}"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[str, list[httpx.Request]]]:
    """Runs the command against a service that has one candidate and one merge; what it printed, and asked."""

    def ran(*arguments: str) -> tuple[str, list[httpx.Request]]:
        asked: list[httpx.Request] = []

        def answer(request: httpx.Request) -> httpx.Response:
            asked.append(request)
            path = request.url.path
            content: Any = {**MERGE, "revision": 1}
            if path.startswith("/v1/merge-candidates") and request.method == "GET":
                content = CANDIDATE
            if path in ("/v1/merge-candidates", "/v1/merges"):
                content = {"items": [content], "next": None}
            return httpx.Response(200, json=content)

        for module in (merges, people):
            monkeypatch.setattr(module, "Api", partial(Api, transport=httpx.MockTransport(answer)))
            monkeypatch.setattr(module, "load", lambda _: Instance())
        result = CliRunner().invoke(app, ["assets", "merges", *arguments], env={"COLUMNS": "200"})
        assert result.exit_code == 0, result.output
        return result.output, asked

    return ran


def test_candidates_are_listed_with_their_evidence(run: Any) -> None:
    output, asked = run("list", "--body", "fire", "--lang", "ja")

    assert "一致 host + site: web01 + honcho / web01 + honcho" in output
    assert "連携元「netbox」は別のものとして報告している" in output
    assert dict(asked[0].url.params) == {"state": "proposed", "body": "fire"}


def test_what_was_done_is_listed(run: Any) -> None:
    output, _ = run("list", "--done", "--lang", "en")

    assert {"m-1", "merged", "officer"} <= set(output.replace("│", " ").split())


@pytest.mark.parametrize(
    ("arguments", "path", "content", "revision"),
    [
        (("accept", "c-1", "--keep", "a-1"), "/v1/merge-candidates/c-1/accept", {"keep": "a-1"}, 3),
        (("reject", "c-1", "--note", "別の機器"), "/v1/merge-candidates/c-1/reject", {"note": "別の機器"}, 3),
        (("undo", "m-1"), "/v1/merges/m-1/undo", {}, 1),
    ],
)
def test_a_decision_is_on_the_revision_that_was_read(
    run: Any, arguments: tuple[str, ...], path: str, content: dict[str, str], revision: int
) -> None:
    _, (_, decided) = run(*arguments)

    assert (decided.method, decided.url.path, decided.headers["if-match"]) == ("POST", path, f'"{revision}"')
    assert json.loads(decided.content) == content
