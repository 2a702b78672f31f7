# SPDX-License-Identifier: Apache-2.0
"""Writes the made-up city's feeds: `python -m samples.generate --directory build/samples --seed 20260401`."""

from __future__ import annotations

import argparse
from pathlib import Path

from samples.assets import Ledgers, city
from samples.ledgers import files
from samples.line import Expect, Line
from samples.malformed import malformed
from samples.stream import Registered, changes, expected_register

__all__ = ["Expect", "Ledgers", "Line", "Registered", "changes", "city", "expected_register", "files", "malformed"]

SEED, ASSETS, CHANGES = 20260401, 3_000, 20_000


def write(directory: Path, seed: int = SEED, assets: int = ASSETS, count: int = CHANGES) -> None:
    """`ledgers/<body>.csv` and `changes.ndjson` under `directory`; the same arguments give the same bytes."""
    ledgers = city(seed, assets)
    (directory / "ledgers").mkdir(parents=True, exist_ok=True)
    for name, content in files(ledgers).items():
        (directory / "ledgers" / name).write_bytes(content)
    with (directory / "changes.ndjson").open("w", encoding="utf-8", newline="\n") as stream:
        stream.writelines(f"{line.to_json()}\n" for line in changes(ledgers, seed, count))


def _whole(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text}: must be 1 or more / 1以上にしてください")
    return number


def main() -> None:
    parser = argparse.ArgumentParser(prog="samples.generate", description=__doc__)
    parser.add_argument("--directory", type=Path, required=True, help="where to write / 書き出し先")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--assets", type=_whole, default=ASSETS, help="assets in the nine ledgers / 台帳の資産数")
    parser.add_argument("--changes", type=_whole, default=CHANGES, help="lines of the stream / 変更の件数")
    given = parser.parse_args()
    write(given.directory, given.seed, given.assets, given.changes)


if __name__ == "__main__":
    main()
