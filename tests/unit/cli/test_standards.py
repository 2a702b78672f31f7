# SPDX-License-Identifier: Apache-2.0
"""`daicho standards`: every mistake with its place, what holds for a body and why, and how two standards differ."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from cli.main import app
from cli.standard_folders import BASE

STANDARDS = BASE.parent
PROFILE = STANDARDS.parent / "samples" / "city" / "profile.yaml"


def run(*arguments: object, lang: str = "en") -> Result:
    return CliRunner().invoke(app, ["standards", *map(str, arguments), "--lang", lang])


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A copy of the overlay of the waterworks, to be spoilt."""
    return Path(shutil.copytree(STANDARDS / "waterworks", tmp_path / "own"))


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")


def city(folder: Path, **standards: str) -> Path:
    """The sample city, with standards of their own for the networks named."""
    content = yaml.safe_load(PROFILE.read_text(encoding="utf-8"))
    for network in content["networks"]:
        network["standard"] = standards.get(network["id"])
    file = folder / "profile.yaml"
    file.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
    return file


class TestValidate:
    @pytest.mark.parametrize("lang", ["ja", "en"])
    def test_a_standard_without_mistakes_is_counted(self, lang: str) -> None:
        told = run("validate", BASE, lang=lang)
        assert told.exit_code == 0
        assert "base/2026.1" in told.stdout
        assert "219" in told.stdout

    def test_an_overlay_is_checked_on_its_base(self) -> None:
        told = run("validate", STANDARDS / "waterworks")
        assert told.exit_code == 0
        assert "waterworks/2026.1 can be used: 11 changes to base/2026.1" in told.stdout
        assert "base-waterworks/2026.1 has no mistakes" in told.stdout

    def test_every_mistake_is_told_with_its_place(self, own: Path) -> None:
        edit(own / "changes.yaml", "id: OP-15", "id: OP-98")
        edit(own / "changes.yaml", "id: OP-18", "id: OP-99")
        told = run("validate", own)
        assert told.exit_code == 1
        lines = told.stdout.splitlines()
        assert [line.split(" is not")[0].rpartition(" ")[2] for line in lines] == ["OP-98", "OP-99"]
        assert all(line.startswith(f"{own}/changes.yaml:") for line in lines)
        assert told.stderr == f"Mistakes in {own}: 2; mend each at the place given above.\n"

    def test_mistakes_of_the_base_are_told_as_its_own(self, own: Path, tmp_path: Path) -> None:
        base = Path(shutil.copytree(BASE, tmp_path / "base"))
        edit(base / "facts.yaml", "published: {type: boolean", "published: {type: bool")
        told = run("validate", own, "--base", base)
        assert told.exit_code == 1
        assert told.stdout.startswith(f"{base}/facts.yaml:")

    def test_a_folder_that_is_not_there_is_a_misuse(self, tmp_path: Path) -> None:
        told = run("validate", tmp_path / "none", lang="ja")
        assert told.exit_code == 2
        assert "フォルダーはありません" in told.stderr

    def test_a_file_that_is_not_utf_8_is_a_misuse(self, own: Path) -> None:
        (own / "changes.yaml").write_bytes("理由".encode("shift_jis"))
        told = run("validate", own)
        assert told.exit_code == 2
        assert (
            told.stderr
            == f"{own}/changes.yaml:1:1: this is not UTF-8. Save the file in UTF-8; Shift_JIS and others cannot be read.\n"
        )

    def test_a_mistake_is_told_in_japanese_at_the_same_place(self, own: Path) -> None:
        edit(own / "changes.yaml", "id: OP-15", "id: OP-98")
        english, japanese = run("validate", own), run("validate", own, lang="ja")
        place = english.stdout.partition(": ")[0]
        assert japanese.stdout.startswith(f"{place}: OP-98 は、もととなる基準の obligations にありません。")


class TestResolve:
    def test_what_holds_and_a_folder_are_not_asked_for_at_once(self) -> None:
        told = run("resolve", "--body", "waterworks", "--active", "--overlay", STANDARDS / "waterworks")
        assert told.exit_code == 2
        assert "leave out --overlay" in told.stderr

    def test_what_stands_in_the_folders_is_not_taken_for_what_holds(self) -> None:
        told = run("resolve", "--body", "fire", "--profile", PROFILE)
        assert "--active" in told.stderr

    def resolved(self, *arguments: object) -> dict[str, Any]:
        told = run("resolve", *arguments)
        assert told.exit_code == 0, told.output
        content: dict[str, Any] = yaml.safe_load(told.stdout)
        return content

    def test_the_base_holds_where_the_profile_names_nothing_else(self) -> None:
        content = self.resolved("--body", "fire", "--profile", PROFILE)
        assert content["name"] == "base"
        assert {rule["from"] for rule in content["rules"]} == {"base/2026.1"}
        assert "dropped" not in content

    @pytest.mark.parametrize("by", ["profile", "option"])
    def test_each_entry_says_where_it_comes_from(self, tmp_path: Path, by: str) -> None:
        given = (
            ("--profile", city(tmp_path, waterworks="waterworks"))
            if by == "profile"
            else ("--profile", PROFILE, "--overlay", STANDARDS / "waterworks")
        )
        content = self.resolved("--body", "waterworks", *given)
        assert content["name"] == "base-waterworks"
        duties = {duty["id"]: duty["from"] for duty in content["obligations"]}
        assert duties["T-01"] == "base/2026.1"
        assert (duties["W-01"]["how"], duties["W-01"]["overlay"]) == ("added", "waterworks/2026.1")
        assert (duties["OP-15"]["how"], duties["OP-15"]["fields"]) == ("changed", ["period", "when"])
        assert set(duties["OP-15"]["reason"]) == {"ja", "en"}
        assert content["facts"]["process_control"]["from"]["how"] == "added"
        assert [(one["section"], one["id"]) for one in content["dropped"]] == [("obligations", "OP-18")]

    @pytest.mark.parametrize(
        ("body", "of", "code", "sentence"),
        [
            ("harbour", "waterworks", 2, "The body harbour is not declared"),
            ("waterworks", "harbour", 1, "The body harbour of the overlay waterworks/2026.1 is not in the profile"),
            ("fire", "fire", 1, "the network mayor of fire is not separated"),
            ("fire", "waterworks", 1, "is for the network waterworks, which is not that of fire"),
        ],
    )
    def test_what_the_policy_does_not_allow_is_refused(
        self, own: Path, body: str, of: str, code: int, sentence: str
    ) -> None:
        edit(own / "overlay.yaml", "body: waterworks", f"body: {of}")
        told = run("resolve", "--body", body, "--profile", PROFILE, "--overlay", own)
        assert told.exit_code == code
        assert sentence in told.stderr
        assert told.stdout == ""

    def test_a_body_that_is_not_in_charge_is_refused(self, own: Path, tmp_path: Path) -> None:
        profile = city(tmp_path)
        edit(profile, "in_charge: waterworks", "in_charge: mayor")
        told = run("resolve", "--body", "waterworks", "--profile", profile, "--overlay", own, lang="ja")
        assert told.exit_code == 1
        assert "ネットワーク waterworks を所管するのは waterworks ではなく mayor です" in told.stderr

    def test_a_whole_standard_is_no_overlay(self) -> None:
        told = run("resolve", "--body", "waterworks", "--profile", PROFILE, "--overlay", BASE)
        assert told.exit_code == 2
        assert "has no overlay.yaml" in told.stderr


class TestDiff:
    def differences(self, *folders: Path) -> list[dict[str, Any]]:
        told = run("diff", *folders, "--json")
        assert told.exit_code == 0, told.output
        listed: list[dict[str, Any]] = json.loads(told.stdout)["differences"]
        return listed

    def test_programs_get_each_field(self) -> None:
        found = self.differences(BASE, STANDARDS / "waterworks")
        period = {
            "section": "obligations",
            "id": "OP-15",
            "what": "changed",
            "field": "period",
            "before": "P1Y",
            "after": "P6M",
        }
        assert period in found
        by_kind = {
            kind: {one["id"] for one in found if one["what"] == kind} for kind in ("added", "changed", "dropped")
        }
        assert by_kind == {
            "added": {"process_control", "WCR-01", "WIR-01", "WAR-01", "W-01", "W-02", "W-03"},
            "changed": {"connects", "OP-15", "T-10"},
            "dropped": {"OP-18"},
        }

    def test_the_other_way_round_what_was_added_is_dropped(self) -> None:
        found = {(one["what"], one["id"]) for one in self.differences(STANDARDS / "waterworks", BASE)}
        assert {("dropped", "W-01"), ("added", "OP-18")} <= found

    def test_a_standard_does_not_differ_from_itself(self) -> None:
        assert self.differences(BASE, BASE) == []

    @pytest.mark.parametrize(
        ("lang", "words"), [("ja", ("対策義務", "追加", "削除")), ("en", ("obligation", "added", "dropped"))]
    )
    def test_people_get_a_table(self, lang: str, words: tuple[str, ...]) -> None:
        told = run("diff", STANDARDS / "education", STANDARDS / "waterworks", lang=lang)
        assert told.exit_code == 0
        for word in words:
            assert word in told.stdout
