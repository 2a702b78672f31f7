# SPDX-License-Identifier: Apache-2.0
"""The base standard as it is shipped."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from libs.standards import Standard, compile_standard, parse

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def base_files() -> dict[str, str]:
    """The files of the base standard, by their paths in its folder."""
    folder = ROOT / "standards" / "base"
    return {
        path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8") for path in sorted(folder.rglob("*.yaml"))
    }


@pytest.fixture(scope="session")
def base(base_files: dict[str, str]) -> Standard:
    return compile_standard(parse(base_files))


@pytest.fixture(scope="session")
def door_facts() -> set[str]:
    """The names of the facts that the doors of inventory fill in."""
    doors = ROOT / "services" / "inventory" / "doors"
    netbox = yaml.safe_load((doors / "netbox_fields.yaml").read_text(encoding="utf-8"))
    ledger = yaml.safe_load((doors / "ledger_columns.yaml").read_text(encoding="utf-8"))
    return set(netbox["facts"]) | {column["fact"] for column in ledger["columns"].values() if "fact" in column}
