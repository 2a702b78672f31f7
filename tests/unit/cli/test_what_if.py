# SPDX-License-Identifier: Apache-2.0
"""What `daicho what-if` refuses, and what it shows and writes, in both languages."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
from datetime import date
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.errors import CliError
from cli.language import speaking
from cli.main import app
from cli.profile import read_profile
from cli.rows import Names
from cli.standard_folders import BASE
from cli.what_if.candidate import BASE_NETWORK, check_facts, read_candidate, read_facts, read_standards
from cli.what_if.page import Bars, chart, to_html
from cli.what_if.report import Report, table, to_csv, to_json
from libs.contracts import Asset, Dimension
from libs.standards import Standard
from libs.standards.overlay import Overlay
from libs.standards.what_if import compare

PROFILE = BASE.parents[1] / "samples" / "city" / "profile.yaml"
HOSTILE = "<script>alert('台帳')</script>"
FORMULA = '=HYPERLINK("http://example.invalid")'


@pytest.fixture(scope="module")
def base() -> Standard:
    return read_standards(read_profile(PROFILE), date(2026, 4, 1))[BASE_NETWORK]


def asset(asset_id: str, name: str, **more: Any) -> Asset:
    fields = {
        "asset_id": asset_id,
        "body": "mayor",
        "network": "mayor",
        "kind": "information",
        "name": name,
        "facts": {},
    }
    return Asset(**fields | more)


@pytest.fixture(scope="module")
def report(base: Standard) -> Report:
    register = [
        asset("a1", HOSTILE, facts={"personal_data": True}, section=FORMULA),
        asset("a2", "公開資料", facts={"published": True}),
        asset("b1", "浄水場図面", body="waterworks", network="waterworks"),
    ]
    changes = {"a1": {"personal_data": None}, "a2": {"mynumber_data": True}}
    names = Names({"mayor": "市長部局 & 本庁"})
    return Report(compare(register, base, base, changes), (base,), (base,), names)


class Page(HTMLParser):
    """What stands on a page: its tags, its words, and what it would load from elsewhere."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.words = ""
        self.references: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag not in ("meta", "br", "rect"):
            self.open.append(tag)
        self.references += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


class TestPage:
    @pytest.mark.parametrize("lang", ["ja", "en"])
    def test_it_is_whole_and_needs_nothing_from_elsewhere(self, report: Report, lang: Any) -> None:
        with speaking(lang):
            html = to_html(report)
        page = Page(html)
        assert page.open == []
        assert "svg" in page.tags
        assert page.tags.isdisjoint({"script", "link", "img", "iframe"})
        assert all(one.startswith("#") for one in page.references)
        assert f'<html lang="{lang}">' in html

    def test_each_chart_says_its_numbers_to_those_who_cannot_see_it(self, report: Report) -> None:
        with speaking("en"):
            html = to_html(report)
        labels = re.findall(r'aria-label="([^"]*)"', html)
        assert len(labels) == html.count("<svg")
        counts = report.comparison.bodies[0]
        raised, lowered = (getattr(counts, one)[Dimension.CONFIDENTIALITY] for one in ("raised", "lowered"))
        assert f"confidentiality: raised {raised}, lowered {lowered}" in labels[0]

    def test_names_stay_words(self, report: Report) -> None:
        with speaking("ja"):
            page = Page(to_html(report))
        assert HOSTILE in page.words
        assert "市長部局 & 本庁" in page.words
        assert "script" not in page.tags

    def test_each_obligation_named_is_explained_below(self, report: Report) -> None:
        with speaking("ja"):
            html = to_html(report)
        assert report.comparison.differences[0].lifted
        for difference in report.comparison.differences:
            for duty in (*difference.imposed, *difference.lifted):
                assert f'<dt id="{duty}">' in html

    @pytest.mark.parametrize(
        ("lang", "expected"),
        [
            ("ja", ("3件のうち2件", "何も公表していません", "機密性", "人的セキュリティ")),
            ("en", ("2 of 3 assets", "nothing has been published", "confidentiality", "human")),
        ],
    )
    def test_it_speaks_the_language_of_the_person(self, report: Report, lang: Any, expected: tuple[str, ...]) -> None:
        with speaking(lang):
            words = Page(to_html(report)).words
        for sentence in expected:
            assert sentence in words

    def test_a_body_of_which_nothing_changes_has_no_part_of_its_own(self, report: Report) -> None:
        with speaking("en"):
            html = to_html(report)
        assert html.count("<section>") == 1
        assert "浄水場図面" not in html

    def test_bars_are_to_one_scale_and_a_chart_of_nothing_is_still_one(self) -> None:
        drawn = chart("t", [Bars("a", 10, 5), Bars("b", 0, 1)], "up", "down")
        assert 'width="240.0"' in drawn
        assert 'width="120.0"' in drawn
        assert 'width="0.0"' in chart("t", [Bars("a", 0, 0)], "up", "down")


class TestCsv:
    @pytest.mark.parametrize(
        ("lang", "first"),
        [
            ("ja", ["行政機関", "情報資産", "ID", "種別", "所管課", "機密性（現行）", "機密性（変更案）"]),
            ("en", ["Body", "asset", "id", "kind", "section", "confidentiality (now)", "confidentiality (candidate)"]),
        ],
    )
    def test_a_row_for_each_asset_that_would_change(self, report: Report, lang: Any, first: list[str]) -> None:
        with speaking(lang):
            headings, *rows = csv.reader(io.StringIO(to_csv(report), newline=""))
        assert headings[:7] == first
        assert [row[2] for row in rows] == ["a1", "a2"]
        assert {len(row) for row in rows} == {len(headings)}
        changed = report.comparison.differences[0]
        assert rows[0][5:7] == [changed.before.confidentiality, changed.after.confidentiality]
        assert rows[0][-1] == " ".join(changed.lifted)

    def test_a_cell_never_is_a_formula(self, report: Report) -> None:
        rows = list(csv.reader(io.StringIO(to_csv(report), newline="")))
        assert rows[1][4] == f"'{FORMULA}"


def test_json_has_the_same_words_in_every_language(report: Report) -> None:
    with speaking("ja"):
        japanese = to_json(report)
    with speaking("en"):
        assert to_json(report) == japanese
    document = json.loads(japanese)
    assert (document["assets"], document["changed"]) == (3, 2)
    assert [one["body"] for one in document["bodies"]] == ["mayor", "waterworks"]
    lowered = [one["lowered"]["confidentiality"] for one in document["bodies"]]
    assert lowered == [1, 0]
    assert (
        document["differences"][0]["before"]["confidentiality"]
        != document["differences"][0]["after"]["confidentiality"]
    )


def test_the_table_has_a_row_for_each_body(report: Report) -> None:
    with speaking("ja"):
        shown = table(report)
    assert list(shown.columns[0].cells) == ["市長部局 & 本庁", "waterworks"]
    assert list(shown.columns[3].cells) == ["↑1 ↓1", "↑0 ↓0"]


class TestCandidateFacts:
    @pytest.mark.parametrize(
        ("content", "expected"),
        [
            ("a1: {personal_data: maybe}", "a1 の personal_data の値が型に合いません。boolean"),
            ("a1: {medium: 石板}", "a1 の medium の値"),
            ("a1: {colour: red}", "a1 の colour という事項"),
            ("a9: {personal_data: true}", "a9 は台帳にありません"),
        ],
    )
    def test_what_the_standard_cannot_use_is_named(
        self, base: Standard, tmp_path: Path, content: str, expected: str
    ) -> None:
        file = tmp_path / "facts.yaml"
        file.write_text(content, encoding="utf-8")
        with pytest.raises(CliError) as refused:
            check_facts(read_facts(file), {"a1": base})
        assert expected in refused.value.sentence("ja")

    @pytest.mark.parametrize(
        ("content", "expected"),
        [
            ("- a1", "at -"),
            ("a1: true", "at a1"),
            ("a1: {lease_end: 2026-04-01}", "at a1: lease_end"),
            ("a1: {Rack: x}", "at a1: Rack"),
            ("a1: {", "is not YAML"),
            ("", "at -"),
        ],
    )
    def test_a_file_of_another_shape_is_refused_at_its_place(self, tmp_path: Path, content: str, expected: str) -> None:
        file = tmp_path / "facts.yaml"
        file.write_text(content, encoding="utf-8")
        with pytest.raises(CliError) as refused:
            read_facts(file)
        assert expected in refused.value.sentence("en")

    def test_values_stay_what_they_are_and_null_takes_a_fact_away(self, tmp_path: Path, base: Standard) -> None:
        file = tmp_path / "facts.yaml"
        file.write_text("a1: {personal_data: false, record_count: 7, medium: null, tags: [x]}", encoding="utf-8")
        changes = read_facts(file)
        assert changes == {"a1": {"personal_data": False, "record_count": 7, "medium": None, "tags": ["x"]}}
        check_facts(changes, {"a1": base})


class TestStandards:
    DAY = date(2026, 4, 1)

    def versions(self, candidate: Path | None = None) -> dict[str, str]:
        given = None if candidate is None else read_candidate(candidate)
        found = read_standards(read_profile(PROFILE), self.DAY, given)
        return {network: standard.version for network, standard in found.items()}

    def copied(self, name: str, to: Path, **replaced: str) -> Path:
        folder = Path(shutil.copytree(BASE.parent / name, to / name))
        head = folder / ("standard.yaml" if name == "base" else "overlay.yaml")
        content = head.read_text(encoding="utf-8")
        for before, after in replaced.items():
            line = next(line for line in content.splitlines() if line.startswith(f"{before}:"))
            content = content.replace(line, f"{before}: {after}")
        head.write_text(content, encoding="utf-8")
        return folder

    def test_each_network_has_what_the_profile_names(self) -> None:
        assert self.versions() == {
            "": "base/2026.1", "waterworks": "base-waterworks/2026.1", "education": "base-education/2026.1",
        }  # fmt: skip

    def test_a_candidate_overlay_stands_on_its_bodys_network_alone(self, tmp_path: Path) -> None:
        candidate = self.copied("waterworks", tmp_path, version='"2027.1"')

        assert self.versions(candidate) == self.versions() | {"waterworks": "base-waterworks/2027.1"}

    def test_what_is_active_holds_in_the_place_of_what_is_shipped(self, tmp_path: Path) -> None:
        profile, later = read_profile(PROFILE), read_candidate(self.copied("base", tmp_path, version='"2027.1"'))
        assert not isinstance(later.proposed, Overlay)
        own = later.proposed.model_copy(update={"name": "base-education", "version": "2027.2"})
        active = {None: later.proposed, "education": own, "mayor": own}
        on_it = read_candidate(self.copied("waterworks", tmp_path, version='"2027.3"', base="base/2027.1"))

        now = read_standards(profile, self.DAY, activated=active)
        proposed = read_standards(profile, self.DAY, on_it, active)

        held = {"": "base/2027.1", "waterworks": "base-waterworks/2026.1", "education": "base-education/2027.2"}
        assert {network: one.version for network, one in now.items()} == held
        assert proposed["waterworks"].version == "base-waterworks/2027.3"

    def test_below_a_candidate_base_of_the_same_version_the_overlays_stay(self, tmp_path: Path) -> None:
        folder = self.copied("base", tmp_path)
        rules = folder / "rules.yaml"
        content = rules.read_text(encoding="utf-8")
        rules.write_text(content.replace('"minutes" in data_kinds', '"maps" in data_kinds'), encoding="utf-8")

        found = read_standards(read_profile(PROFILE), self.DAY, read_candidate(folder))

        assert {"maps" in str(standard.document.rules) for standard in found.values()} == {True}

    def test_a_candidate_base_of_another_version_leaves_the_others_what_they_have(self, tmp_path: Path) -> None:
        candidate = self.copied("base", tmp_path, version='"2027.1"')

        assert self.versions(candidate) == self.versions() | {"": "base/2027.1"}

    def test_a_candidate_overlay_of_who_may_have_none_is_refused(self, tmp_path: Path) -> None:
        candidate = self.copied("waterworks", tmp_path, body="fire")

        with pytest.raises(CliError) as refused:
            self.versions(candidate)
        assert "基本方針 §9" in refused.value.sentence("ja")


class TestCommand:
    def test_a_mistake_in_the_candidate_is_told_with_its_place(self, tmp_path: Path) -> None:
        folder = tmp_path / "candidate"
        shutil.copytree(BASE, folder)
        rules = folder / "rules.yaml"
        rules.write_text(rules.read_text(encoding="utf-8").replace("dimension:", "dimensoin:", 1), encoding="utf-8")
        run = CliRunner().invoke(app, ["what-if", str(folder), "--lang", "ja"])
        assert run.exit_code == 1
        line = next(
            number
            for number, text in enumerate(rules.read_text(encoding="utf-8").splitlines(), 1)
            if "dimensoin" in text
        )
        assert f"{rules}:{line}:" in run.stderr

    def test_a_folder_without_a_standard_is_told_which_files_lack(self, tmp_path: Path) -> None:
        run = CliRunner().invoke(app, ["what-if", str(tmp_path), "--lang", "en"])
        assert run.exit_code == 1
        assert f"{tmp_path}/standard.yaml:1:1: this file is missing" in run.stderr

    def test_with_nothing_to_compare_it_says_what_to_give(self) -> None:
        run = CliRunner().invoke(app, ["what-if", "--lang", "en"])
        assert run.exit_code == 2
        assert "--facts" in run.stderr

    def test_without_an_instance_it_says_so(self, tmp_path: Path) -> None:
        run = CliRunner().invoke(app, ["what-if", str(BASE), "--data", str(tmp_path), "--lang", "en"])
        assert run.exit_code == 1
        assert "No instance is running" in run.stderr
