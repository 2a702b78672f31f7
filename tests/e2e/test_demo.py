# SPDX-License-Identifier: Apache-2.0
"""The demo at a tenth of its length: what it says, what it writes, and that it leaves nothing running."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

CHANGES = 2_000


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Any], Path]:
    build = tmp_path_factory.mktemp("demo")
    daicho = Path(sys.executable).with_name("daicho")
    command = [daicho, "demo", "--changes", str(CHANGES), "--build", str(build), "--lang", "en"]
    told = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False)
    assert told.returncode == 0, told.stdout + told.stderr
    return told.stdout, json.loads((build / "summary.json").read_text(encoding="utf-8")), build


def test_it_sends_the_samples_whole(demo: tuple[str, dict[str, Any], Path]) -> None:
    sent = demo[1]["sent"]

    assert sent["netbox_objects"] == 380
    assert sent["netbox_webhooks"] == 703
    assert sent["ledger_rows"] == 3_000
    assert sent["changes"] == CHANGES


def test_its_table_has_every_body_with_levels_and_obligations(demo: tuple[str, dict[str, Any], Path]) -> None:
    told, summary, _ = demo

    assert len(summary["bodies"]) == 11
    for figures in summary["bodies"]:
        assert figures["assets"] > 0
        assert figures["obligations_in_force"] > 0
        assert figures["imposed"] - figures["lifted"] == figures["obligations_in_force"]
        for counts in figures["levels"].values():
            assert sum(counts.values()) == figures["assets"]
    assert sum(figures["lifted"] for figures in summary["bodies"]) > 0
    assert "Result by body" in told


def test_it_measures_the_delay_and_counts_the_dead_letters(demo: tuple[str, dict[str, Any], Path]) -> None:
    summary = demo[1]

    assert summary["delay_ms"]["count"] > CHANGES / 10
    assert 0 < summary["delay_ms"]["p50"] <= summary["delay_ms"]["p99"]
    reasons = [reason for figures in summary["bodies"] for reason in figures["dead_letters"]]
    assert {*reasons, *summary["dead_letters_of_no_known_body"]} >= {"schema", "not-json", "unknown-body"}


def test_it_leaves_nothing_running(demo: tuple[str, dict[str, Any], Path]) -> None:
    data = str(demo[2])

    left = [process for process in psutil.process_iter(["cmdline"]) if data in " ".join(process.info["cmdline"] or ())]
    assert left == []
