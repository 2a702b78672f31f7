# SPDX-License-Identifier: Apache-2.0
"""Every scenario runs, does its work whole, and leaves its figures behind; how fast is no test's matter."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.benchmarks.__main__ import SCENARIOS, main


def test_every_scenario_does_its_work_and_writes_what_it_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--count", "300", "--rounds", "2", "--directory", str(tmp_path)]) == 0

    found = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in tmp_path.iterdir()}
    assert found.keys() == SCENARIOS.keys()
    for name, document in found.items():
        assert document["scenario"] == name
        assert document["unit"] == "assets/s"
        assert len(document["rounds"]["ours"]) == len(document["rounds"]["floor"]) == 2
        # both are rounded to whole ones, the ratio to thousandths
        assert document["ratio"] == pytest.approx(document["ours"] / document["floor"], rel=0.02, abs=0.001)
    # the services' log stands between
    said = [line for line in capsys.readouterr().out.splitlines() if ", ratio " in line]
    assert [line.partition(":")[0] for line in said] == list(SCENARIOS)

    stream = found["classification-stream"]["work"]
    assert 0 < stream["assets"] < stream["events"] == 300
    assert stream["events_written"] >= stream["assets"]
    assert stream["times_faust"] > 0
    assert found["reclassify-1m"]["work"]["assets"] == found["restart-1m"]["work"]["assets"] == 300
    for name in ("inventory-ingest", "inventory-changes"):
        assert found[name]["work"]["rows"] == {"asset": 300, "asset_revision": 300, "outbox": 300}
    imported = found["import-1m"]["work"]
    assert imported["rows"] == 300
    assert {"inventory", "classification-worker"} <= imported["peak_memory_mib"].keys()
