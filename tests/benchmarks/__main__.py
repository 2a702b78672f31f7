# SPDX-License-Identifier: Apache-2.0
"""`python -m tests.benchmarks [scenario…]`: each against its floor, on a stack of its own, into build/bench/<scenario>.json."""

from __future__ import annotations

import argparse
import gc
import json
import sys
import tempfile
from pathlib import Path

import uvloop

from libs.devstack import devstack
from libs.rooms import COLLECT_AFTER
from tests.benchmarks import (
    classification_stream,
    deep_and_wide,
    import_ledger,
    inventory_changes,
    inventory_ingest,
    pages,
    reclassify,
    restart,
    snapshot_unchanged,
    what_if,
)
from tests.benchmarks.place import Place
from tests.benchmarks.report import Result

SCENARIOS = {
    scenario.NAME: scenario
    for scenario in (
        classification_stream,
        inventory_ingest,
        inventory_changes,
        snapshot_unchanged,
        pages,
        deep_and_wide,
        what_if,
        reclassify,
        restart,
        import_ledger,
    )
}
DIRECTORY = Path("build/bench")


def write(result: Result, directory: Path) -> Path:
    """The result as a file of the directory."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{result.scenario}.json"
    path.write_text(json.dumps(result.document(), ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    return path


def _whole(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text}: must be 1 or more")
    return number


def _arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests.benchmarks", description=__doc__)
    parser.add_argument("scenarios", nargs="*", metavar="scenario", help=f"all if none: {', '.join(SCENARIOS)}")
    parser.add_argument("--count", type=_whole, help="messages; each scenario has its own number")
    parser.add_argument("--rounds", type=_whole, default=3)
    parser.add_argument("--directory", type=Path, default=DIRECTORY)
    given = parser.parse_args(arguments)
    if unknown := set(given.scenarios) - SCENARIOS.keys():
        parser.error(f"{', '.join(sorted(unknown))}: give one or more of {', '.join(SCENARIOS)}")
    return given


def main(arguments: list[str] | None = None) -> int:
    given = _arguments(arguments)
    gc.set_threshold(*COLLECT_AFTER)
    with tempfile.TemporaryDirectory(prefix="daicho-bench-") as data, devstack(Path(data)) as stack:
        for name in given.scenarios or SCENARIOS:
            scenario = SCENARIOS[name]
            result = uvloop.run(scenario.run(Place(stack), given.count or scenario.COUNT, given.rounds))
            path = write(result, given.directory)
            sys.stdout.write(f"{result.line()}  {path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
