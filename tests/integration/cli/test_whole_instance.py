# SPDX-License-Identifier: Apache-2.0
"""`daicho up` to `daicho down` as a person types it, and what becomes of an instance whose parts are killed."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jsonschema
import psutil
import pytest
from openpyxl import load_workbook
from typer.testing import CliRunner, Result

from cli.main import app
from cli.running import load

ROOT = Path(__file__).parents[3]
PREPARED = ["make setup", "source .venv/bin/activate"]
"""What `make test` has done already."""


def first_five_minutes(readme: str) -> list[str]:
    """The commands that a README begins with."""
    block = re.search(r"```sh\n(.*?)```", (ROOT / readme).read_text(encoding="utf-8"), re.DOTALL)
    assert block is not None
    return [line for line in block[1].splitlines() if line and not line.startswith("#")]


class Shell:
    """Runs commands in one folder as a person types them, in English, wide enough that no cell is folded."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / ".daicho"

    def __call__(self, *arguments: str, code: int = 0) -> str:
        """What was said; of a failure what is on the error stream."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            ["daicho", *arguments],
            cwd=self.folder,
            env=os.environ | {"PATH": path, "LANG": "en_GB.UTF-8", "LC_ALL": "", "COLUMNS": "240"},
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert done.returncode == code, done.stderr + done.stdout
        assert "Traceback" not in done.stderr
        return done.stderr if code else done.stdout

    def processes(self) -> list[int]:
        """Every process whose command line or folder is of this data folder."""
        mine = str(self.data)
        return [one.pid for one in psutil.process_iter(["cmdline"]) if mine in " ".join(one.info["cmdline"] or ())]


class Typed:
    """The same without a process for each command, which takes most of its time to start."""

    def __init__(self, data: Path) -> None:
        self.data = data

    def __call__(self, *arguments: str, code: int = 0, output: bool = False) -> str:
        """What was said; of a failure what is on the error stream, unless `output` is asked for."""
        done = self.result(*arguments)
        assert done.exit_code == code, done.output
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return done.stderr if code and not output else done.stdout

    def result(self, *arguments: str) -> Result:
        command = [*arguments, "--data", str(self.data), "--lang", "en"]
        return CliRunner(env={"COLUMNS": "240"}).invoke(app, command)


@pytest.fixture
def typed(daicho: Shell) -> Typed:
    return Typed(daicho.data)


@pytest.fixture(scope="module")
def daicho(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """`daicho up` in a folder that looks like a checkout, with no instance in it, until `daicho down`."""
    checkout = tmp_path_factory.mktemp("up")
    for name in ("examples", "samples", "standards"):
        (checkout / name).symlink_to(ROOT / name)
    shell = Shell(checkout)
    shell("up")
    yield shell
    shell("down")
    assert shell.processes() == []
    assert not (shell.data / "instance.json").exists()


def awaited(condition: Callable[[], bool], seconds: float = 30) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def test_both_languages_begin_with_the_same_commands():
    assert first_five_minutes("README.md") == first_five_minutes("README.ja.md")


def test_the_first_five_minutes(daicho: Shell, typed: Typed):
    """The README's, command by command."""
    whole = first_five_minutes("README.md")
    around = [*whole[: len(PREPARED) + 1], whole[-1]]
    assert around == [*PREPARED, "daicho up", "daicho down"]
    assert "ended" not in typed("status")

    words = [shlex.split(command) for command in whole[len(PREPARED) + 1 : -1]]
    told = [daicho(*arguments) for program, *arguments in words]

    assert [one[:2] for one in words] == [
        ["daicho", part] for part in ("feed", "tail", "assets", "explain", "feed", "tail")
    ]
    accepted, imposed, listed, explained, _, lifted = told
    assert accepted == "3 items accepted.\n"
    for expected in ("料金システム用サーバ", "水道料金調定データ", "+ "):
        assert expected in imposed
    assert "3 assets" in listed
    assert "active" in listed
    for expected in ("3B", "水道料金", "inherited"):
        assert expected in explained
    assert len(lifted) > len(imposed)
    assert "- " in lifted
    shown = typed("assets", "show", "--feed", "cmdb", "SYS-1")
    assert "runs on →" in shown
    assert "cmdb SYS-1" in shown
    assert awaited(lambda: "inherited" not in typed("explain", "--feed", "cmdb", "SRV-1"))


def test_an_old_ledger_is_taken_and_the_rows_to_decide_are_told(typed: Typed, tmp_path: Path):
    ledger = tmp_path / "old.csv"
    ledger.write_text("台帳番号,情報資産名,種類,機密性\nOLD-1,名簿,情報,3\nOLD-2,様式,情報,1\n", encoding="utf-8")

    accepted, *told = typed("feed", "post", "ledger", str(ledger), "--body", "waterworks").splitlines()
    assert accepted == "2 items accepted."
    assert len(told) == 1
    assert told[0].startswith("  /rows/2/機密性: Level 3 of the earlier scale is one of today's 3C / 3B / 3A.")


def test_a_ledger_is_checked_imported_and_exported(typed: Typed, tmp_path: Path):
    ledger, copy = tmp_path / "ledger.csv", tmp_path / "ledger.checked.xlsx"
    header = "台帳番号,情報資産名,種類,登録日\r\n"
    ledger.write_bytes((header + "L-1,名簿①,情報,R8.4.1\r\nL-2,=1+1,本,令和8年\r\n").encode("cp932"))
    of = ["--body", "audit", "--feed", "ledger"]

    told = typed("ledger", "check", str(ledger), *of, code=1, output=True)
    assert "make 1 new, change 0" in told
    assert "C3 種類" in told
    assert str(copy) in told.replace("\n", "")
    sheet = load_workbook(copy).worksheets[0]
    assert {cell.coordinate for row in sheet for cell in row if cell.comment} == {"C3", "D3"}
    assert json.loads(typed("ledger", "check", str(ledger), *of, "--json", code=1, output=True))["rows"]["refused"] == 1

    assert "/rows/3/種類" in typed("ledger", "import", str(ledger), *of, code=2)
    assert "1 items accepted." in typed("ledger", "import", str(ledger), *of, "--rows", code=1, output=True)
    assert awaited(lambda: "名簿①" in typed("assets", "list", "--body", "audit"))

    for name in ("out.csv", "out.xlsx"):
        out = tmp_path / name
        assert "1 assets written" in typed("ledger", "export", str(out), "--body", "audit")
        assert "leave 1 as they are" in typed("ledger", "check", str(out), *of)
        assert "1 items accepted." in typed("ledger", "import", str(out), *of)
    assert list(tmp_path.glob("*.part")) == []
    denied = typed("ledger", "export", str(tmp_path / "no.csv"), "--body", "audit", "--as", "body-fire", code=1)
    assert "may not read the ledger" in denied
    assert not (tmp_path / "no.csv").exists()


def test_an_override_is_asked_by_one_and_approved_by_another(typed: Typed):
    tomorrow = (datetime.now(UTC) + timedelta(days=2)).strftime("%Y-%m-%d")
    wanted = ["--dimension", "availability", "--level", "1", "--reason", "更改まで代替機がある", "--until", tomorrow]
    asked = typed("override", "ask", "--feed", "cmdb", "SYS-1", *wanted, "--as", "body-waterworks")
    override_id = asked.split()[-1]

    own = typed("override", "approve", override_id, "--as", "body-waterworks", code=1)
    assert "Another person must" in own
    assert "approved" in typed("override", "approve", override_id, "--note", "庁議")
    assert awaited(lambda: "更改まで代替機がある" in typed("explain", "--feed", "cmdb", "SYS-1"))
    listed = typed("override", "list", "--state", "approved")
    assert "庁議" in listed.replace("\n", "")
    assert "withdrawn" in typed("override", "withdraw", override_id, "--as", "body-waterworks")
    assert awaited(lambda: "更改まで代替機がある" not in typed("explain", "--feed", "cmdb", "SYS-1"))
    assert "/reason" in typed(
        "override", "ask", "--feed", "cmdb", "SYS-1", *wanted[:4], "--reason", "", *wanted[6:], code=2
    )


def test_what_could_not_be_taken_is_corrected_given_up_and_released(typed: Typed, tmp_path: Path):
    def item(source_key: str, version: int, **fields: object) -> dict[str, object]:
        return {"body": "mayor", "feed": "cmdb", "source_key": source_key, "source_version": version, **fields}

    def waiting(source_key: str) -> list[str]:
        rows = typed("deadletters", "list", "--key", f"mayor/mayor/cmdb/{source_key}").splitlines()
        return [cell.strip() for row in rows for cell in row.split("│")[2:3] if "inventory:" in cell]

    def put_aside(source_key: str, *items: dict[str, object]) -> list[str]:
        """Post what cannot be taken; the ids of the letters, oldest first."""
        file = tmp_path / "items.json"
        file.write_text(json.dumps({"items": items}), encoding="utf-8")
        typed("feed", "post", "cmdb", str(file))
        assert awaited(lambda: len(waiting(source_key)) == len(items))
        return waiting(source_key)

    # SRV-1 is on the network of the waterworks
    across = {"relations": [{"type": "connects", "source_key": "SRV-1"}], "kind": "network"}
    first, _ = put_aside("DL-1", item("DL-1", 1, **across), item("DL-1", 2, kind="network", name="基幹"))
    shown = typed("deadletters", "show", first)
    assert "data.relations.0.source_key" in shown
    assert json.loads(typed("deadletters", "show", first, "--json"))["behind"] == 1
    assert "mayor/mayor/cmdb/DL-1" in typed("deadletters", "keys", "--reason", "other-network-relation")

    file = tmp_path / "corrected.json"
    file.write_text('{"body": "mayor"}', encoding="utf-8")
    edit = ["deadletters", "edit", first, "--note", "接続先の誤記"]
    assert "/item/source_key" in typed(*edit, "--file", str(file), code=2)
    editor = tmp_path / "editor.py"
    script = "import json,sys; f = sys.argv[1]; item = json.load(open(f)); item.pop('relations'); json.dump(item, open(f, 'w'))"
    editor.write_text(script, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VISUAL", f"{sys.executable} {editor}")
        assert f"{first} was corrected, and 2 messages went back" in typed(*edit)
    assert awaited(lambda: "基幹" in typed("assets", "list", "--body", "mayor", "--name", "基幹"))
    assert "接続先の誤記" in typed("deadletters", "list", "--decided", "--key", "mayor/mayor/cmdb/DL-1")

    (given_up,) = put_aside("DL-2", item("DL-2", 1, **across))
    assert "was given up" in typed("deadletters", "discard", given_up, "--note", "重複")
    assert "decided on" in typed("deadletters", "discard", given_up, "--note", "重複", code=1)
    put_aside("DL-3", item("DL-3", 1, **across))
    assert "1 messages of 1 keys" in typed("deadletters", "release", "--reason", "other-network-relation")
    assert "either a key or --reason" in typed("deadletters", "release", code=2)
    assert "not permitted" in typed("deadletters", "list", "--as", "body-fire", code=1).lower()
    assert "told to go on" in typed("deadletters", "resume", "inventory", "0", "--note", "連携元を直した")


def test_an_auditor_sees_rule_condition_and_path_and_may_take_them_along(typed: Typed, tmp_path: Path):
    picture = tmp_path / "way.svg"
    tree = typed("explain", "--feed", "cmdb", "SYS-1", "--svg", str(picture))
    assert "where " in tree
    assert "rests on " in tree
    assert "reads " in tree
    assert picture.read_text(encoding="utf-8").startswith("<?xml")
    told = json.loads(typed("explain", "--feed", "cmdb", "SYS-1", "--json"))
    assert set(told) == {"explanation", "obligations", "findings"}
    assert set(told["explanation"]["dimensions"]) == {"confidentiality", "integrity", "availability"}
    said = typed("explain", "--feed", "cmdb", "SYS-1", "--svg", str(tmp_path / "no" / "way.svg"), code=2)
    assert "way.svg" in said.replace("\n", "")


def test_a_standard_is_published_by_one_and_activated_by_another(typed: Typed, tmp_path: Path):
    second, third, own = (
        copied(tmp_path, "base", "2026.2"),
        copied(tmp_path, "base", "2026.3"),
        copied(tmp_path, "waterworks", "2026.2"),
    )
    assert "base/2026.2 is published (by body-mayor)" in typed("standards", "publish", str(second))
    assert "Another security officer must" in typed("standards", "activate", published(typed, third), "--yes", code=1)
    assert "body-mayor" in typed("standards", "activate", "base/2026.2", "--yes", "--as", "body-mayor", code=1)
    assert "base/2026.2" in typed("standards", "activate", "base/2026.2", code=1), "nobody said yes"

    told = typed("standards", "activate", "base/2026.2", "--yes")

    assert "base/2026.1" in told.splitlines()[0] + told.splitlines()[1]
    assert "base/2026.2 is applied to every asset." in told
    assert typed("standards", "activate", "base/2026.2") == "base/2026.2 is applied to every asset.\n"
    assert "waterworks/2026.2 is published (by body-waterworks)" in typed("standards", "publish", str(own))
    states = {
        f"{one['name']}/{one['version']}": one["state"] for one in json.loads(typed("standards", "list", "--json"))
    }
    assert states == {
        "base/2026.1": "superseded", "base/2026.2": "active", "base/2026.3": "published",
        "waterworks/2026.1": "active", "waterworks/2026.2": "published", "education/2026.1": "active",
    }  # fmt: skip
    listed = typed("standards", "list")
    assert "shipped" in listed
    assert "body-waterworks" in listed
    assert "base/2026.2" in typed("what-if", str(third)).splitlines()[0], "what-if compares with what is active"
    assert "version: '2026.2'" in typed("standards", "resolve", "--body", "fire", "--active")
    assert "version: '2026.1'" in typed("standards", "resolve", "--body", "waterworks", "--active")
    typed("oscal", "export", str(tmp_path / "oscal"), "--active")
    catalogs = {file.parent.name: json.loads(file.read_bytes()) for file in (tmp_path / "oscal").rglob("catalog.json")}
    versions = {name: one["catalog"]["metadata"]["version"] for name, one in catalogs.items()}
    assert versions == {"oscal": "2026.2", "base-2026.1": "2026.1"}
    assert (tmp_path / "oscal" / "base-2026.1" / "waterworks-profile.json").exists()
    told = typed("standards", "activate", "base/2026.3", "--yes", "--as", "security-office-2")
    assert "base/2026.3 is applied to every asset." in told
    (second / "rules.yaml").write_text("- id: CR-01\n", encoding="utf-8")
    assert "Mistakes in" in typed("standards", "publish", str(second), code=1)
    assert "NAME/VERSION" in typed("standards", "activate", "base", code=2)


def copied(folder: Path, name: str, version: str) -> Path:
    """A standard that is shipped, as another version."""
    copy = Path(shutil.copytree(ROOT / "standards" / name, folder / f"{name}-{version}"))
    head = copy / ("standard.yaml" if name == "base" else "overlay.yaml")
    head.write_text(head.read_text(encoding="utf-8").replace('"2026.1"', f'"{version}"'), encoding="utf-8")
    return copy


def published(typed: Typed, folder: Path) -> str:
    """Published by the security office itself."""
    typed("standards", "publish", str(folder), "--as", "security-office")
    return folder.name.replace("-", "/")


def test_every_event_fits_its_published_schema(typed: Typed):
    typed("tail", "assets", "--body", "waterworks", "--once", "1")
    code = """
import asyncio, json, sys
from pathlib import Path
from aiokafka import AIOKafkaConsumer
from cli.kafka import account
async def main():
    topics = ("daicho.feed.v1", "daicho.assets.v1", "daicho.classifications.v1", "daicho.obligations.v1", "daicho.control.v1")
    settings = account(Path(sys.argv[1]), "admin").client()
    consumer = AIOKafkaConsumer(*topics, **settings, auto_offset_reset="earliest", isolation_level="read_committed")
    await consumer.start()
    batches = await consumer.getmany(timeout_ms=3000)
    seen = set()
    while len(seen) < len(topics):
        for partition, records in batches.items():
            seen.add(partition.topic)
            for record in records:
                print(record.value.decode())
        batches = await consumer.getmany(timeout_ms=1000)
    await consumer.stop()
asyncio.run(main())
"""
    lines = subprocess.run(
        [sys.executable, "-c", code, str(typed.data)], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    ).stdout.splitlines()
    checked = set()
    for line in lines:
        event = json.loads(line)
        schema = json.loads((ROOT / "schemas" / "events" / f"{event['type']}.json").read_text(encoding="utf-8"))
        jsonschema.Draft202012Validator(schema).validate(event)
        checked.add(event["type"])
    assert len(checked) == 8


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["explain", "00000000-0000-0000-0000-000000000000"], 1, ""),
        (["explain", "no-uuid"], 2, "asset_id"),
        (["explain", "--feed", "nobody", "SRV-1"], 2, "The feed nobody is not declared"),
        (["assets", "list", "--kind", "castle"], 2, "kind"),
        (["feed", "post", "cmdb", "none.json"], 2, "none.json cannot be read"),
        (["feed", "post", "ledger", "examples/first-assets.json"], 2, "name it with --body"),
        (["feed", "post", "cmdb", "README.md"], 2, ""),
        (["feed", "post", "cmdb", "examples/first-assets.json", "--as", "body-fire"], 1, ""),
    ],
)
def test_what_a_service_refuses_is_told_in_a_sentence(typed: Typed, arguments, code, sentence):
    said = typed(*arguments, code=code)
    assert sentence in said
    assert said.strip()


def test_a_body_sees_its_own_assets_only(typed: Typed):
    assert "0 assets" in typed("assets", "list", "--as", "body-fire")
    typed("explain", "--feed", "cmdb", "SRV-1", "--as", "body-fire", code=1)


def test_a_killed_service_is_started_again(daicho: Shell, typed: Typed):
    before = load(daicho.data).processes["classification-worker"]
    before.find().kill()
    assert awaited(lambda: load(daicho.data).processes["classification-worker"] != before)
    assert awaited(lambda: typed.result("status").exit_code == 0)


def test_a_killed_supervisor_leaves_no_process(daicho: Shell):
    """The last one: the fixture then sees that `down` clears away the rest."""
    load(daicho.data).supervisor.find().kill()
    assert awaited(lambda: daicho.processes() == [])
    assert "No instance is running" in daicho("status", code=1)
