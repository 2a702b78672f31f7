# SPDX-License-Identifier: Apache-2.0
"""Ledgers through the service as it runs: checked, imported by file and by row, exported, and imported again without a change."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import date
from typing import Any

import httpx
import pytest
from openpyxl import Workbook, load_workbook

from libs.bus import apply_topics
from libs.contracts import asset_id
from libs.devstack import Stack
from libs.security.clients import SECURITY_OFFICE
from samples.generate import city, files
from tests.integration.service import Service, account, environment_of, running_issuer

Look = Callable[..., Awaitable[list[dict[str, Any]]]]
As = Callable[[str], httpx.AsyncClient]
CSV = {"content-type": "text/csv"}
HEADER = "台帳番号,情報資産名,種類,件数,備考\r\n"
LEDGER = "/v1/feeds/ledger/ledger"


@pytest.fixture(scope="module")
async def as_(stack: Stack, owner_dsn: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[As]:
    """A client's own connection to a running service, by the client's name."""
    await apply_topics(account(stack, "admin"))
    clients: dict[str, httpx.AsyncClient] = {}
    with running_issuer(tmp_path_factory.mktemp("issuer")) as issuer:
        log = tmp_path_factory.mktemp("logs") / "inventory.log"
        service = Service("inventory", environment_of(stack, "inventory", issuer.url), log)
        await asyncio.to_thread(service.start)

        def of(name: str) -> httpx.AsyncClient:
            if name not in clients:
                headers = {"Authorization": f"Bearer {issuer.token(name)}", "Accept-Language": "en"}
                clients[name] = httpx.AsyncClient(base_url=service.url, headers=headers, timeout=60)
            return clients[name]

        yield of
        for client in clients.values():
            await client.aclose()
        assert await asyncio.to_thread(service.stop) == 0


async def imported(as_: As, content: bytes, body: str = "audit", **query: Any) -> dict[str, Any]:
    """What was answered, once every row that was accepted is in the register."""
    feeder = as_("feed-ledger")
    answer = await feeder.post(LEDGER, content=content, headers=CSV, params={"body": body, **query})
    assert answer.status_code == 202, answer.text
    for receipt in answer.json()["receipts"][-1:]:
        async with asyncio.timeout(30):
            while (await feeder.get(f"/v1/receipts/{receipt['id']}")).json()["status"] == "pending":
                await asyncio.sleep(0.02)
    return answer.json()


async def checked(as_: As, content: bytes, body: str = "audit") -> dict[str, Any]:
    answer = await as_("feed-ledger").post(f"{LEDGER}/check", content=content, headers=CSV, params={"body": body})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def exported(as_: As, body: str = "audit", **query: Any) -> httpx.Response:
    answer = await as_(f"body-{body}").get("/v1/ledger", params={"body": body, **query})
    assert answer.status_code == 200, answer.text
    return answer


async def revisions(look: Look, body: str) -> int:
    return (await look("SELECT count(*) AS n FROM asset_revision WHERE body = $1", body))[0]["n"]


def workbook() -> bytes:
    """As a section keeps it: a title, a two-row header with merged cells, two sheets, and one that is no ledger."""
    book = Workbook()
    sheet = book.worksheets[0]
    sheet.title = "本庁"
    for row in (
        ["情報資産管理台帳"],
        ["管理番号", "情報資産の\n名称", "種類", "分類区分"],
        [None, None, None, "機密性", "登録日"],
        ["X-1", "監査調書", "関連文書", "３Ｂ", date(2026, 4, 1)],
        ["X-2", "=HYPERLINK", None, "2", "R8.4.1"],
    ):
        sheet.append(row)
    sheet["B5"].data_type = "s"
    for merged in ("A1:E1", "A2:A3", "B2:B3", "C2:C3", "D2:E2", "C4:C5"):
        sheet.merge_cells(merged)
    branch = book.create_sheet("支所")
    branch.append(["台帳番号", "情報資産名", "種類"])
    branch.append(["X-3", "名簿", "情報"])
    book.create_sheet("記入要領").append(["この台帳の書き方"])
    content = io.BytesIO()
    book.save(content)
    return content.getvalue()


class TestImport:
    async def test_a_workbook_with_several_sheets_is_taken(self, as_: As) -> None:
        told = await imported(as_, workbook())

        assert told["accepted"] == 3
        assert [(one["sheet"], one["row"]) for one in told["receipts"]] == [("本庁", 4), ("本庁", 5), ("支所", 2)]
        assert [one["sheet"] for one in told["sheets_passed_over"]] == ["記入要領"]
        shown = (await as_("body-audit").get(f"/v1/assets/{asset_id('990019', 'ledger', 'X-2')}")).json()
        assert (shown["name"], shown["kind"], shown["declared"]["confidentiality"]) == ("=HYPERLINK", "document", "2")
        assert shown["facts"] == {"registered_on": "2026-04-01"}

    async def test_of_a_file_with_a_wrong_cell_nothing_is_taken(self, as_: As, look: Look) -> None:
        before = await revisions(look, "audit")
        content = (HEADER + "W-1,名簿,情報,1,\r\nW-2,名簿,本,x,\r\n").encode("cp932")
        answer = await as_("feed-ledger").post(LEDGER, content=content, headers=CSV, params={"body": "audit"})

        assert answer.status_code == 422
        assert [one["field"] for one in answer.json()["errors"]] == ["/rows/3/種類", "/rows/3/件数"]
        await imported(as_, (HEADER + "W-3,名簿,情報,1,\r\n").encode())
        assert await revisions(look, "audit") == before + 1

    async def test_row_by_row_the_good_are_taken_and_each_wrong_cell_is_told(self, as_: As) -> None:
        content = HEADER + "R-1,名簿,情報,1,\r\nR-2,名簿,本,x,\r\nR-1,名簿,情報,,\r\nR-3,名簿,情報,3,\r\n"
        told = await imported(as_, content.encode("utf-8-sig"), mode="rows")

        assert (told["accepted"], [one["row"] for one in told["receipts"]]) == (2, [2, 5])
        assert [(one["row"], one["column"], one["cell"]) for one in told["refused"]] == [
            (3, "種類", "C3"),
            (3, "件数", "D3"),
            (4, "台帳番号", "A4"),
        ]
        assert all(one["detail"]["ja"] and one["detail"]["en"] for one in told["refused"])

    async def test_row_by_row_a_file_without_a_good_row_is_refused(self, as_: As) -> None:
        content = (HEADER + "N-1,,情報,,\r\n").encode()
        answer = await as_("feed-ledger").post(
            LEDGER, content=content, headers=CSV, params={"body": "audit", "mode": "rows"}
        )

        assert answer.status_code == 422

    async def test_only_their_number_is_told_if_that_is_asked_for(self, as_: As) -> None:
        told = await imported(as_, (HEADER + "C-1,名簿,情報,1,\r\n").encode(), receipts="false")

        assert (told["accepted"], told["receipts"]) == (1, [])

    @pytest.mark.parametrize(
        "content", [b"PK\x03\x04 no workbook", bytes.fromhex("d0cf11e0a1b11ae1"), b"\xff\xfea\x00"]
    )
    async def test_what_cannot_be_read_at_all_is_a_bad_request(self, as_: As, content: bytes) -> None:
        for path in (LEDGER, f"{LEDGER}/check"):
            answer = await as_("feed-ledger").post(path, content=content, headers=CSV, params={"body": "audit"})
            assert (answer.status_code, len(answer.json()["errors"])) == (400, 1)


class TestCheck:
    async def test_it_says_what_would_happen_and_changes_nothing(self, as_: As, look: Look) -> None:
        await imported(as_, (HEADER + "K-1,名簿,情報,1,\r\nK-2,名簿,情報,2,旧\r\nK-3,名簿,情報,3,\r\n").encode())
        before = await revisions(look, "audit")
        content = HEADER + "K-1,名簿,情報,1,\r\nK-2,名簿,情報,20,新\r\nK-3,名簿,本,3,\r\nK-4,名簿,情報,4,\r\n"
        told = await checked(as_, content.encode())

        assert told["rows"] == {"new": 1, "changed": 1, "unchanged": 1, "ignored": 0, "refused": 1}
        assert [(one["row"], one["source_key"], one["outcome"], one["columns"]) for one in told["changes"]] == [
            (3, "K-2", "changed", ["件数", "備考"]),
            (5, "K-4", "new", []),
        ]
        assert [(one["cell"], one["column"]) for one in told["refused"]] == [("C4", "種類")]
        assert await revisions(look, "audit") == before

    async def test_what_the_register_itself_would_refuse_is_told(self, as_: As) -> None:
        header = "台帳番号,情報資産名,種類,関連資産\r\n"
        await imported(as_, (header + "K-W,浄水場,施設・設備,\r\n").encode(), body="waterworks")
        told = await checked(as_, (header + "K-9,名簿,情報,設置: K-W\r\n").encode())

        assert told["rows"]["refused"] == 1
        assert [(one["row"], one["column"]) for one in told["refused"]] == [(2, "関連資産")]
        assert "another network" in told["refused"][0]["detail"]["en"]


@pytest.fixture(scope="module")
async def bodies(as_: As) -> list[str]:
    """The ledgers of a whole city, which name assets of each other, and what spreadsheets stumble over."""
    for name, content in files(city(20260401, 400)).items():
        await imported(as_, content, body=name.removesuffix(".csv"))
    awkward = [
        ("T-1", "=1+1", "'=1+1"),
        ("T-2", "@SUM(A1)", "+81 3"),
        ("T-3", "'前に引用符", "''-x"),
        ("T-4", "二行の\n名", '引用"符,'),
        ("T-5", "髙橋﨑", "〜−"),
    ]
    rows = "".join(
        '"'
        + '","'.join(cell.replace('"', '""') for cell in (number, quoted(name), "情報", "7", quoted(remark)))
        + '"\r\n'
        for number, name, remark in awkward
    )
    await imported(as_, (HEADER + rows).encode(), body="agriculture")
    old = (
        "台帳番号,情報資産名,種類,機密性,保存期限,状態\r\nT-6,名簿,情報,機密性3,永年,\r\nT-7,名簿,情報,3B,R13.3.31,\r\n"
    )
    await imported(as_, old.encode(), body="equity")
    return ["mayor", "education", "waterworks", "election", "agriculture", "equity"]


class TestRoundTrip:
    """Export and import again: no revision more."""

    @pytest.mark.parametrize(("form", "encoding"), [("csv", "utf-8-sig"), ("xlsx", "utf-8-sig"), ("csv", "cp932")])
    async def test_nothing_is_changed(self, as_: As, look: Look, bodies: list[str], form: str, encoding: str) -> None:
        for body in bodies:
            if (body, encoding) == ("agriculture", "cp932"):
                continue
            before = await revisions(look, body)
            file = await exported(as_, body, format=form, encoding=encoding)
            assert file.headers["Daicho-Not-Held"] == file.headers["Daicho-Replaced"] == "0"
            told = await imported(as_, file.content, body=body)
            assert told["accepted"] == int(file.headers["Daicho-Rows"]) > 0
            assert await revisions(look, body) == before > 0

    async def test_no_cell_of_an_export_is_a_formula(self, as_: As, bodies: list[str]) -> None:
        book = load_workbook(io.BytesIO((await exported(as_, "agriculture", format="xlsx")).content))
        assert not [cell for row in book.worksheets[0] for cell in row if cell.data_type == "f"]
        text = (await exported(as_, "agriculture")).content.decode("utf-8-sig")
        assert "T-1,'=1+1," in text
        assert ",'+81 3" in text

    async def test_what_cp932_does_not_have_is_told_and_replaced_only_if_asked(
        self, as_: As, bodies: list[str]
    ) -> None:
        query = {"body": "agriculture", "encoding": "cp932"}
        refused = await as_("body-agriculture").get("/v1/ledger", params=query)
        assert refused.status_code == 422
        assert [one["field"] for one in refused.json()["errors"]] == ["/T-5/備考"]

        file = await exported(as_, "agriculture", encoding="cp932", replace=True)
        assert (file.headers["Daicho-Replaced"], file.headers["Daicho-Not-Held"]) == ("1", "1")
        assert "髙橋﨑" in file.content.decode("cp932")
        assert "～－" in file.content.decode("cp932")

    async def test_a_relation_keeps_the_number_by_which_the_ledger_told_it(self, as_: As) -> None:
        """Also to what was never told of."""
        content = "台帳番号,情報資産名,種類,関連資産\r\nU-1,名簿,情報,稼働: U-2\r\n"
        await imported(as_, content.encode(), body="assessment")
        file = await exported(as_, "assessment")

        assert "稼働: U-2" in file.content.decode("utf-8-sig")
        assert file.headers["Daicho-Not-Held"] == "0"

    async def test_the_retired_come_along_only_if_asked_for(self, as_: As) -> None:
        header = "台帳番号,情報資産名,種類,状態\r\n"
        await imported(as_, (header + "D-1,名簿,情報,利用中\r\n").encode(), body="assembly")
        await imported(as_, (header + "D-1,名簿,情報,廃止\r\n").encode(), body="assembly")
        assert "D-1" not in (await exported(as_, "assembly")).text

        file = await exported(as_, "assembly", retired=True)
        assert "廃止" in file.content.decode("utf-8-sig")
        assert (await checked(as_, file.content, "assembly"))["rows"]["changed"] == 0


def quoted(text: str) -> str:
    """As an official's spreadsheet keeps a text from being taken for a formula."""
    return f"'{text}" if text.lstrip("'")[:1] in tuple("=+-@") else text


class TestWhoMay:
    async def test_the_ledger_of_another_body_is_for_nobody_else(self, as_: As) -> None:
        query = {"body": "audit"}
        assert (await as_("body-education").get("/v1/ledger", params=query)).status_code == 403
        assert (await as_("feed-ledger").get("/v1/ledger", params=query)).status_code == 403
        assert (await as_(SECURITY_OFFICE).get("/v1/ledger", params=query)).status_code == 200
        assert (await as_(SECURITY_OFFICE).get("/v1/ledger", params={"body": "nobody"})).status_code == 403

    async def test_a_body_without_a_ledger_feed_is_told(self, as_: As) -> None:
        answer = await as_(SECURITY_OFFICE).get("/v1/ledger", params={"body": "fire"})
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "query:feed")

    @pytest.mark.parametrize("path", [LEDGER, f"{LEDGER}/check"])
    async def test_who_may_not_tell_of_a_body_learns_nothing_of_it(self, as_: As, path: str) -> None:
        sent = {"content": (HEADER + "X-1,名簿,情報,1,\r\n").encode(), "headers": CSV}
        assert (await as_("feed-ledger").post(path, params={"body": "hospital"}, **sent)).status_code == 403
        assert (await as_("feed-cmdb").post(path, params={"body": "audit"}, **sent)).status_code == 403
        assert (await as_("body-audit").post(path, params={"body": "audit"}, **sent)).status_code == 403
