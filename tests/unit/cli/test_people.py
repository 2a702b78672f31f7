# SPDX-License-Identifier: Apache-2.0
"""`daicho assets` sends what a person changes on the revision that was read, and says whether it is done or waits."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import httpx
import pytest
from typer.testing import CliRunner

from cli import assets, disposals, edits, people, requests
from cli.api import Api
from cli.main import app

ASSET = {
    "asset_id": "a-1",
    "body": "mayor",
    "kind": "media",
    "name": "保存用ディスク",
    "section": None,
    "zone": "lgwan",
    "status": "active",
    "facts": {"medium": "hdd"},
    "revision": 4,
    "updated_at": "2026-04-01T00:00:00Z",
}
EDIT = {
    "field": "facts.medium",
    "value": "hdd",
    "otherwise": None,
    "by": "tanaka",
    "at": "2026-04-01T00:00:00Z",
    "reason": "現物を確認",
    "approved_by": None,
}
ATTACHMENT = {
    "attachment_id": "t-1",
    "title": "保守契約書",
    "kind": "contract",
    "uri": None,
    "number": "総務第1号",
    "added_by": "tanaka",
    "added_at": "2026-04-01T00:00:00Z",
    "revision": 1,
}
DISPOSAL = {
    "disposal_id": "d-1",
    "asset_id": "a-1",
    "medium": "hdd",
    "methods": [{"id": "overwrite", "name": {"ja": "全領域の上書き", "en": "Overwritten wholly"}}],
    "disposed_on": "2026-04-01",
    "done_by": "委託業者",
    "approved_by": "課長",
    "witnessed_by": None,
    "certificate": None,
    "note": None,
    "corrected_by": None,
    "remarks": [{"remark": "too_weak", "text": {"ja": "破壊が必要です。", "en": "It must be destroyed."}}],
}
REQUEST = {
    "request_id": "r-1",
    "asset_id": "a-1",
    "act": "edit",
    "given": {"declared": {"confidentiality": "3B"}, "reason": "個人情報を含む"},
    "asked_by": "tanaka",
    "asked_at": "2026-04-01T00:00:00Z",
    "state": "asked",
    "changed_since": ["name"],
    "decided_by": None,
    "decided_at": None,
    "note": None,
    "revision": 1,
}
RETIRED = {
    **ASSET,
    "disposal_record": "missing",
    "notice": {"ja": "廃棄記録がありません。", "en": "There is no record."},
}
ANSWERS: dict[str, Any] = {
    "GET /v1/assets/a-1": ASSET,
    "GET /v1/assets/a-1/relations": [],
    "GET /v1/assets/a-1/history": {"items": [], "next": None},
    "GET /v1/assets/a-1/edits": [EDIT],
    "GET /v1/assets/a-1/attachments": [ATTACHMENT],
    "GET /v1/assets/a-1/disposals": [DISPOSAL],
    "GET /v1/requests": {"items": [REQUEST], "next": None},
    "GET /v1/requests/r-1": REQUEST,
    "GET /v1/attachments/t-1": ATTACHMENT,
    "GET /v1/disposals": {"items": [DISPOSAL], "next": None},
    "GET /v1/disposals/missing": {"items": [ASSET], "next": None},
    "POST /v1/assets": ASSET,
    "PATCH /v1/assets/a-1": {**ASSET, "revision": 5},
    "POST /v1/assets/a-1/edits/take-back": {**ASSET, "revision": 5},
    "POST /v1/assets/a-1/retire": RETIRED,
    "POST /v1/assets/a-1/restore": ASSET,
    "POST /v1/assets/a-1/disposals": DISPOSAL,
    "POST /v1/assets/a-1/attachments": ATTACHMENT,
    "POST /v1/attachments/t-1/remove": ATTACHMENT,
    "POST /v1/requests/r-1/approve": {**REQUEST, "state": "approved"},
    "POST /v1/requests/r-1/refuse": {**REQUEST, "state": "refused"},
    "POST /v1/requests/r-1/withdraw": {**REQUEST, "state": "withdrawn"},
}
Run = Callable[..., tuple[str, list[httpx.Request]]]


class Instance:
    """The part of a running instance that a client of an API needs."""

    addresses: ClassVar[dict[str, str]] = {"inventory": "http://inventory.test"}
    profile = Path("samples/city/profile.yaml")

    def token(self, client: str) -> str:
        return f"token-of-{client}"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the command against a service that answers `ANSWERS`; what it printed, and asked. `answers` are put in their place."""

    def ran(*arguments: str, code: int = 0, **answers: Any) -> tuple[str, list[httpx.Request]]:
        asked: list[httpx.Request] = []

        def answer(request: httpx.Request) -> httpx.Response:
            asked.append(request)
            found = answers.get(request.method, ANSWERS[f"{request.method} {request.url.path}"])
            return httpx.Response(200, json=found)

        for module in (assets, disposals, edits, people, requests):
            monkeypatch.setattr(module, "Api", partial(Api, transport=httpx.MockTransport(answer)))
            monkeypatch.setattr(module, "load", lambda _: Instance())
        result = CliRunner().invoke(app, ["assets", *arguments], env={"COLUMNS": "200"})
        assert result.exit_code == code, result.output
        return result.output, asked

    return ran


@pytest.mark.parametrize(
    ("arguments", "sent", "content"),
    [
        (
            "edit a-1 --name 新 --fact rto_hours=4 --fact model=RX=1 --level integrity=2 --relate stores=b-1,b-2"
            " --clear section --clear facts.rack --reason 確認",
            "PATCH /v1/assets/a-1",
            {
                "name": "新",
                "section": None,
                "facts": {"rto_hours": 4, "model": "RX=1", "rack": None},
                "declared": {"integrity": "2"},
                "relations": {"stores": ["b-1", "b-2"]},
                "reason": "確認",
            },
        ),
        (
            "take-back a-1 name facts.model --reason 誤り",
            "POST /v1/assets/a-1/edits/take-back",
            {"fields": ["name", "facts.model"], "reason": "誤り"},
        ),
        ("restore a-1 --reason 誤り", "POST /v1/assets/a-1/restore", {"reason": "誤り"}),
        ("retire a-1 --reason 更新", "POST /v1/assets/a-1/retire", {"reason": "更新"}),
        (
            "dispose a-1 --method degauss --method shred --on 2026-04-01 --done-by 委託業者 --approved-by 課長 --certificate 証1",
            "POST /v1/assets/a-1/disposals",
            {
                "methods": ["degauss", "shred"],
                "disposed_on": "2026-04-01",
                "done_by": "委託業者",
                "approved_by": "課長",
                "certificate": "証1",
            },
        ),
        (
            "attach a-1 --title 契約書 --kind contract --number 総務第1号",
            "POST /v1/assets/a-1/attachments",
            {"title": "契約書", "kind": "contract", "number": "総務第1号"},
        ),
    ],
)
def test_what_a_person_does_is_on_the_revision_that_was_read(
    run: Run, arguments: str, sent: str, content: dict[str, Any]
) -> None:
    _, (_, done) = run(*arguments.split())

    assert f"{done.method} {done.url.path}" == sent
    assert done.headers["if-match"] == '"4"'
    assert json.loads(done.content) == content


@pytest.mark.parametrize(
    ("arguments", "sent", "content"),
    [
        (("requests", "approve", "r-1", "--note", "確認"), "/v1/requests/r-1/approve", {"note": "確認"}),
        (("requests", "refuse", "r-1", "--note", "不要"), "/v1/requests/r-1/refuse", {"note": "不要"}),
        (("requests", "withdraw", "r-1"), "/v1/requests/r-1/withdraw", {}),
        (("detach", "t-1", "--reason", "満了"), "/v1/attachments/t-1/remove", {"reason": "満了"}),
    ],
)
def test_a_decision_is_on_the_revision_that_was_read(
    run: Run, arguments: tuple[str, ...], sent: str, content: dict[str, str]
) -> None:
    _, (_, decided) = run(*arguments)

    assert (decided.method, decided.url.path, decided.headers["if-match"]) == ("POST", sent, '"1"')
    assert json.loads(decided.content) == content


def test_an_asset_is_added_without_a_revision(run: Run) -> None:
    output, (sent,) = run(
        *("add", "--body", "mayor", "--kind", "document", "--name", "設計書", "--reason", "台帳にない", "--lang", "ja")
    )
    assert "if-match" not in sent.headers
    assert json.loads(sent.content) == {"body": "mayor", "kind": "document", "name": "設計書", "reason": "台帳にない"}
    assert "登録しました。ID a-1" in output


def test_what_waits_is_said_to_wait(run: Run) -> None:
    output, _ = run("edit", "a-1", "--level", "confidentiality=3B", "--reason", "x", "--lang", "ja", PATCH=REQUEST)

    assert "ほかの人の承認を得ると実行されます。申請のID r-1" in output


def test_a_retirement_and_a_disposal_say_what_is_missing(run: Run) -> None:
    assert "廃棄記録がありません。" in run("retire", "a-1", "--reason", "x", "--lang", "ja")[0]
    output, _ = run(
        *("dispose", "a-1", "--method", "overwrite", "--on", "2026-04-01", "--done-by", "甲", "--approved-by", "乙"),
        *("--lang", "ja"),
    )
    assert "指摘: 破壊が必要です。" in output


def test_an_asset_is_shown_with_what_people_have_done_to_it(run: Run) -> None:
    output, _ = run("show", "a-1", "--lang", "ja")

    for expected in ("現物を確認", "総務第1号", "hdd 全領域の上書き", "個人情報を含む", "実施 委託業者、承認 課長"):
        assert expected in output


def test_disposals_and_those_that_are_missing_are_listed(run: Run) -> None:
    assert "d-1" in run("disposals", "--lang", "ja")[0]
    output, (asked,) = run("disposals", "--missing", "--body", "mayor", "--lang", "ja")
    assert "廃棄の記録がないもの 1件" in output
    assert dict(asked.url.params) == {"body": "mayor"}


def test_requests_are_listed_and_shown(run: Run) -> None:
    output, (asked,) = run("requests", "list", "--lang", "ja")
    assert dict(asked.url.params) == {"state": "asked"}
    assert "個人情報を含む" in output
    assert '"confidentiality": "3B"' in run("requests", "show", "r-1", "--lang", "ja")[0]
    assert "state" not in run("requests", "list", "--decided")[1][0].url.params


@pytest.mark.parametrize("wrong", [("--fact", "rto_hours"), ("--level", "secrecy=3B"), ("--relate", "=b-1")])
def test_what_is_no_pair_is_said(run: Run, wrong: tuple[str, str]) -> None:
    output, asked = run("edit", "a-1", "--reason", "x", *wrong, "--lang", "en", code=2)

    assert wrong[0] in output
    assert asked == []
