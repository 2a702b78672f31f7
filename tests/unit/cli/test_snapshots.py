# SPDX-License-Identifier: Apache-2.0
"""`daicho feed snapshot`: a file is told as all that there is, and people decide on what they have read."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import httpx
import pytest
from typer.testing import CliRunner, Result

from cli import feeds, ledgers, people, snapshots
from cli.api import Api
from cli.main import app

PROFILE = Path(__file__).parents[3] / "samples/city/profile.yaml"
SHOWN = {
    "snapshot_id": "p-1",
    "feed": "cmdb",
    "network": "mayor",
    "session": "s1",
    "bodies": ["mayor"],
    "state": "waiting",
    "begun_at": "2026-04-01T00:00:00Z",
    "sent": 3,
    "accepted": 3,
    "known": 10,
    "missing": 7,
    "remaining": 7,
    "retired": 0,
    "decided_by": None,
    "revision": 2,
}
MISSING = {"source_key": "S-9", "name": "旧サーバ", "kind": "system", "told_by": ["ledger"]}
FEED = {
    "feed": "cmdb",
    "name": {"ja": "構成管理", "en": "CMDB"},
    "every": "P1D",
    "heard_at": "2026-04-01T00:00:00Z",
    "silent_since": None,
}


class Instance:
    """The part of a running instance that the commands need."""

    addresses: ClassVar[dict[str, str]] = {"inventory": "http://inventory.test"}
    profile = PROFILE

    def token(self, client: str) -> str:
        return f"token-of-{client}"


class Service:
    """A service with one snapshot in a state, that refuses what it is told to; and what it was asked."""

    def __init__(self, state: str = "done", refused: str | None = None) -> None:
        self.state, self.refused = state, refused
        self.asked: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        path = request.url.path
        if self.refused is not None and path.endswith(self.refused):
            problem = {"type": "urn:daicho:problem:invalid", "title": "入力の誤り", "status": 422, "detail": "誤り"}
            return httpx.Response(422, json=problem, headers={"content-type": "application/problem+json"})
        return httpx.Response(200, json=self._answer(request.method, path))

    def _answer(self, method: str, path: str) -> Any:
        part = {"snapshot_id": "p-1", "network": "mayor", "bodies": ["audit", "mayor"]}
        told = {"sheets_passed_over": [], "decisions": [], "refused": []}
        shown = {**SHOWN, "state": self.state}
        begun = {"session": "s1", "snapshots": [part]}
        answers: dict[str, Any] = {
            "feeds": [FEED],
            "items": {"receipts": []},
            "snapshots": begun if method == "POST" else {"items": [shown], "next": None},
            "end": begun,
            "abort": begun,
            "ledger": {"accepted": 1, "snapshot": "s1", **told},
            "missing": {"items": [MISSING], "next": None},
        }
        return answers.get(path.rpartition("/")[2], shown)

    def written(self) -> list[tuple[str, Any]]:
        """The path and the content of each change that was asked for."""
        return [(one.url.path, json.loads(one.content)) for one in self.asked if one.method == "POST"]


Run = Callable[..., Result]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    def ran(service: Service, *arguments: str) -> Result:
        for module in (snapshots, feeds, ledgers, people):
            monkeypatch.setattr(module, "Api", partial(Api, transport=httpx.MockTransport(service)))
            monkeypatch.setattr(module, "load", lambda _: Instance())
        return CliRunner().invoke(app, [*arguments, "--lang", "ja"], env={"COLUMNS": "240"})

    return ran


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Three items of two assets of one body, and one of another's."""
    items = [("mayor", "A"), ("mayor", "A"), ("mayor", "B"), ("audit", "C")]
    path = tmp_path / "all.ndjson"
    path.write_text("".join(json.dumps({"body": body, "source_key": key}) + "\n" for body, key in items))
    return path


def test_a_file_is_told_in_a_session_which_ends_with_what_was_told_of_each_body(
    run: Run, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "AT_ONCE", 3)
    service = Service()
    result = run(service, "feed", "snapshot", "send", "cmdb", str(file), "--body", "mayor", "--body", "audit")

    assert result.exit_code == 0, result.output
    assert "完了" in result.output
    begun, first, second, ended = service.written()
    assert begun == ("/v1/feeds/cmdb/snapshots", {"bodies": ["mayor", "audit"]})
    assert [len(content["items"]) for _, content in (first, second)] == [3, 1]
    assert {one.url.params["snapshot"] for one in service.asked if one.url.path.endswith("/items")} == {"s1"}
    assert ended == ("/v1/feeds/cmdb/snapshots/s1/end", {"items": {"audit": 1, "mayor": 2}})


def test_a_document_of_items_is_read_too_and_what_waits_is_told_by_the_exit_code(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "all.json"
    path.write_text(json.dumps({"items": [{"body": "mayor", "source_key": "A"}]}))
    result = run(Service("waiting"), "feed", "snapshot", "send", "cmdb", str(path))

    assert (result.exit_code, "判断待ち" in result.output) == (1, True)


@pytest.mark.parametrize("refused", ["/items", "/end"])
def test_what_is_refused_ends_in_an_error(run: Run, file: Path, refused: str) -> None:
    service = Service(refused=refused)
    result = run(service, "feed", "snapshot", "send", "cmdb", str(file))

    assert result.exit_code == 2
    paths = [path for path, _ in service.written()]
    assert ("/v1/feeds/cmdb/snapshots/s1/abort" in paths) == (refused == "/items")


def test_assets_of_a_body_that_the_snapshot_is_not_of_give_it_up(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "all.jsonl"
    path.write_text(json.dumps({"body": "fire", "source_key": "A"}))
    service = Service()
    result = run(service, "feed", "snapshot", "send", "cmdb", str(path), "--body", "mayor")

    assert (result.exit_code, "fire" in result.output) == (2, True)
    assert service.written()[-1][0] == "/v1/feeds/cmdb/snapshots/s1/abort"


@pytest.mark.parametrize(("name", "content"), [("a.json", "{}"), ("a.json", "["), ("a.ndjson", "{"), ("a.json", "[3]")])
def test_a_file_without_items_is_told(run: Run, tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    result = run(Service(), "feed", "snapshot", "send", "cmdb", str(tmp_path / name))
    assert (result.exit_code, name in result.output) == (2, True)


def test_a_feed_that_sends_no_items_is_sent_another_way(run: Run, file: Path) -> None:
    result = run(Service(), "feed", "snapshot", "send", "netbox", str(file))
    assert (result.exit_code, "netbox" in result.output) == (2, True)


def test_a_session_may_be_begun_ended_and_given_up_by_hand(run: Run) -> None:
    service = Service()
    begun = run(service, "feed", "snapshot", "begin", "cmdb")
    assert begun.output == "s1\n"
    ended = run(service, "feed", "snapshot", "end", "cmdb", "s1", "--items", "mayor=3", "--items", "audit=0")
    assert ended.exit_code == 0, ended.output
    assert run(service, "feed", "snapshot", "abort", "cmdb", "s1", "--reason", "停電").exit_code == 0
    assert service.written() == [
        ("/v1/feeds/cmdb/snapshots", {}),
        ("/v1/feeds/cmdb/snapshots/s1/end", {"items": {"mayor": 3, "audit": 0}}),
        ("/v1/feeds/cmdb/snapshots/s1/abort", {"reason": "停電"}),
    ]
    wrong = run(service, "feed", "snapshot", "end", "cmdb", "s1", "--items", "mayor")
    assert (wrong.exit_code, "mayor=120" in wrong.output) == (2, True)


def test_what_waits_is_listed_and_shown_with_what_it_would_retire(run: Run) -> None:
    service = Service("waiting")
    listed = run(service, "feed", "snapshot", "list", "--waiting", "--feed", "cmdb")
    shown = run(service, "feed", "snapshot", "show", "p-1")

    assert dict(service.asked[0].url.params) == {"state": "waiting", "feed": "cmdb"}
    assert {"判断待ち", "3/3", "7/10"} <= set(listed.output.replace("│", " ").split())
    assert {"旧サーバ", "S-9", "ledger"} <= set(shown.output.replace("│", " ").split())


@pytest.mark.parametrize("decision", ["approve", "refuse"])
def test_a_decision_is_on_the_revision_that_was_read_and_has_a_reason(run: Run, decision: str) -> None:
    service = Service("waiting")
    result = run(service, "feed", "snapshot", decision, "p-1", "--reason", "撤去済み")

    assert result.exit_code == 0, result.output
    assert service.written() == [(f"/v1/snapshots/p-1/{decision}", {"reason": "撤去済み"})]
    assert service.asked[-1].headers["if-match"] == '"2"'


def test_a_ledger_may_be_all_there_is(run: Run, tmp_path: Path) -> None:
    (tmp_path / "ledger.csv").write_text("台帳番号,情報資産名,種類\n")
    service = Service()
    result = run(
        service, "ledger", "import", str(tmp_path / "ledger.csv"), "--body", "mayor", "--feed", "ledger", "--snapshot"
    )

    assert result.exit_code == 0, result.output
    assert service.asked[0].url.params["snapshot"] == "true"
    assert "完了" in result.output


def test_feeds_are_listed_with_when_they_were_heard_of(run: Run) -> None:
    service = Service()
    result = run(service, "feed", "list", "--silent")
    assert dict(service.asked[0].url.params) == {"silent": "true"}
    assert {"cmdb", "構成管理", "P1D"} <= set(result.output.replace("│", " ").split())
