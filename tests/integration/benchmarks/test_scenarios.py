# SPDX-License-Identifier: Apache-2.0
"""Every scenario runs, does its work whole, and leaves its figures behind; how fast is no test's matter."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.benchmarks.__main__ import SCENARIOS, main


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario_writes_what_it_found(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--count", "300", "--rounds", "1", "--directory", str(tmp_path)]) == 0

    [path] = tmp_path.iterdir()
    document = json.loads(path.read_text(encoding="utf-8"))
    assert path.stem == document["scenario"] == name
    assert document["unit"] == "assets/s"
    assert document["ours"] > 0
    assert document["floor"] > 0
    # both are rounded to whole ones, the ratio is not
    assert document["ratio"] == pytest.approx(document["ours"] / document["floor"], rel=0.02)
    assert capsys.readouterr().out.startswith(f"{name}: ")


def test_the_floor_of_ingest_has_all_rows_to_write(tmp_path: Path) -> None:
    main(["inventory-ingest", "--count", "300", "--rounds", "2", "--directory", str(tmp_path)])

    rows = json.loads((tmp_path / "inventory-ingest.json").read_text(encoding="utf-8"))["work"]["rows"]
    assert rows["asset_revision"] == rows["outbox"]
    assert 100 < rows["asset"] < rows["asset_revision"]
