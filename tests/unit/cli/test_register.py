# SPDX-License-Identifier: Apache-2.0
"""`daicho assets history | relations | diff | search` ask the inventory for what they show; a day means its end."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import httpx
import pytest
from typer.testing import CliRunner

from cli import register
from cli.api import Api
from cli.errors import CliError
from cli.main import app
from cli.moments import moment_of

CHANGE = {"feed": "netbox", "source_key": "N-1", "source_version": 3, "reason": "更新"}
MOMENT = {"revision": 2, "recorded_at": "2026-04-02T00:00:00Z", "change": CHANGE}
ASSET = {
    "asset_id": "a-1",
    "name": "税システム",
    "kind": "system",
    "section": None,
    "body": "mayor",
    "status": "active",
}
SERIAL = {"field": "facts.serial", "before": "A", "after": ["B", "C"]}
PAGES: dict[str, Any] = {
    "/v1/assets/a-1/history": {**MOMENT, "asset": ASSET, "fields": [SERIAL]},
    "/v1/assets/a-1/relations/history": {
        "type": "stores",
        "direction": "from",
        "asset_id": "a-2",
        "name": "住民記録",
        "since": MOMENT,
        "until": None,
    },
    "/v1/differences": {"asset_id": "a-1", "what": "changed", "asset": ASSET, "fields": [{**SERIAL, **MOMENT}]},
    "/v1/search": {**ASSET, "match": "exact"},
}
Run = Callable[..., tuple[str, list[httpx.Request]]]


class Instance:
    """The part of a running instance that a client of an API needs."""

    addresses: ClassVar[dict[str, str]] = {"inventory": "http://inventory.test"}

    def token(self, client: str) -> str:
        return f"token-of-{client}"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the command against a service that has one item a page, on two pages; what it printed, and asked."""

    def ran(*arguments: str) -> tuple[str, list[httpx.Request]]:
        asked: list[httpx.Request] = []

        def answer(request: httpx.Request) -> httpx.Response:
            asked.append(request)
            if request.url.params.get("format") == "csv":
                return httpx.Response(200, content="差分\n".encode())
            more = 7 if len(asked) == 1 else None
            return httpx.Response(200, json={"items": [PAGES[request.url.path]], "next": more})

        monkeypatch.setattr(register, "load", lambda data: Instance())
        monkeypatch.setattr(register, "Api", partial(Api, transport=httpx.MockTransport(answer)))
        monkeypatch.setenv("COLUMNS", "240")
        result = CliRunner().invoke(app, ["assets", *arguments, "--lang", "ja"])
        assert result.exit_code == 0, result.output
        return result.output, asked

    return ran


def test_a_day_means_its_end_and_a_moment_itself() -> None:
    assert moment_of("2026-03-31").isoformat()[:19] == "2026-04-01T00:00:00"
    assert moment_of("2026-03-31T17:15:00+09:00") == datetime.fromisoformat("2026-03-31T08:15:00+00:00")
    for wrong in ("2026-13-01", "yesterday", "9999-12-31", ""):
        with pytest.raises(CliError):
            moment_of(wrong)


def test_history_says_who_changed_what_and_why(run: Run) -> None:
    said, asked = run("history", "a-1", "--as-of", "2026-03-31")
    assert all(one in said for one in ("netbox N-1", "更新", "facts.serial", "B, C"))
    assert asked[0].url.params["as_of"].startswith("2026-04-01T00:00:00")
    assert [request.url.params.get("before") for request in asked] == [None, "7"]


def test_relations_say_since_when(run: Run) -> None:
    said, asked = run("relations", "a-1")
    assert all(one in said for one in ("← 格納", "住民記録", "netbox N-1"))
    assert [request.url.params.get("after") for request in asked] == [None, "7"]


def test_differences_are_shown_and_counted(run: Run) -> None:
    said, asked = run("diff", "2026-03-31", "2026-04-30", "--body", "mayor", "--what", "changed", "--limit", "2")
    assert all(one in said for one in ("変更", "税システム", "facts.serial", "更新", "変更2件"))
    given = asked[0].url.params
    assert (given["body"], given["what"], given["limit"]) == ("mayor", "changed", "2")
    assert (given["from"][:10], given["to"][:10]) == ("2026-04-01", "2026-05-01")


def test_differences_are_written_as_csv(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "differences.csv"
    said, asked = run("diff", "2026-03-31", "2026-04-30", "--csv", str(file))
    assert str(file) in said.replace("\n", "")
    assert file.read_text(encoding="utf-8") == "差分\n"
    assert len(asked) == 1


def test_words_are_searched_for_together(run: Run) -> None:
    said, asked = run("search", "税", "システム", "--retired", "--limit", "1")
    assert all(one in said for one in ("税システム", "情報システム", "現用", "1件"))
    assert (asked[0].url.params["q"], asked[0].url.params["retired"]) == ("税 システム", "true")
