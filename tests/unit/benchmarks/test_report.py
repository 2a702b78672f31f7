# SPDX-License-Identifier: Apache-2.0
"""The document that a scenario leaves behind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks.__main__ import SCENARIOS, main, write
from tests.benchmarks.report import Result, Rounds


def result(**changed: Any) -> Result:
    fields: dict[str, Any] = {
        "scenario": "some-scenario",
        "unit": "assets/s",
        "ours": Rounds.of(100, (1.0, 4.0, 2.0)),
        "floor": Rounds.of(100, (0.5, 0.2, 1.0)),
        "floor_is": "bare library",
        "work": {"items": 100},
        **changed,
    }
    return Result(**fields)


def test_the_ratio_is_of_the_medians_not_of_the_best_or_the_mean() -> None:
    document = result().document()

    assert (document["ours"], document["floor"], document["ratio"]) == (50, 200, 0.25)
    assert document["rounds"] == {"ours": [100, 25, 50], "floor": [200, 500, 100]}


def test_a_result_tells_what_it_was_measured_with() -> None:
    document = result(also={"another": Rounds.of(10, (2.0,))}).document()

    assert {"scenario", "unit", "floor_is", "work", "command", "at"} <= document.keys()
    assert document["machine"].keys() == {"processor", "cores", "memory_gib", "system", "python", "libraries"}
    assert document["machine"]["cores"] >= 1
    assert all(document["machine"]["libraries"].values())
    assert document["also"] == {"another": {"median": 5, "rounds": [5]}}


def test_a_result_is_written_under_its_scenario(tmp_path: Path) -> None:
    path = write(result(), tmp_path / "bench")

    assert path.name == "some-scenario.json"
    assert json.loads(path.read_text(encoding="utf-8"))["ratio"] == 0.25


@pytest.mark.parametrize("arguments", [["no-such-scenario"], ["--count", "0"], ["--rounds", "-1"]])
def test_what_cannot_be_run_is_told_before_anything_starts(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(arguments)

    assert exit_.value.code == 2
    said = capsys.readouterr().err
    assert arguments[-1] in said
    assert arguments[0].startswith("--") or all(name in said for name in SCENARIOS)
