# SPDX-License-Identifier: Apache-2.0
"""`schemas/standard/` is what the models say, and takes the standards that are shipped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from libs.standards.schema import documents, main

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "schemas" / "standard"
FILES = sorted((ROOT / "standards").glob("*/**/*.yaml"))


def schema_for(file: Path) -> dict[str, Any]:
    name = file.parent.name if file.parent.name in ("obligations", "changes") else file.stem
    found: dict[str, Any] = json.loads(documents()[f"{name}.schema.json"])
    return found


def test_the_committed_schemas_are_those_of_the_models() -> None:
    committed = {file.name: file.read_text(encoding="utf-8") for file in FOLDER.iterdir()}
    assert committed == documents(), "run make schemas"


@pytest.mark.parametrize("name", documents())
def test_each_schema_is_a_schema_of_2020_12(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(json.loads(documents()[name]))


@pytest.mark.parametrize(
    "file", [file for file in FILES if file.name != "standard.yaml"], ids=lambda file: str(file.relative_to(ROOT))
)
def test_what_is_shipped_fits(file: Path) -> None:
    # dates are texts to an editor
    content = json.loads(json.dumps(yaml.safe_load(file.read_text(encoding="utf-8")), default=str))
    errors = [*jsonschema.Draft202012Validator(schema_for(file)).iter_errors(content)]
    assert not errors, errors[0].message


def test_a_mistyped_word_is_refused() -> None:
    content = yaml.safe_load((ROOT / "standards/base/rules.yaml").read_text(encoding="utf-8"))
    content[0]["wehn"] = content[0].pop("when")
    assert list(jsonschema.Draft202012Validator(schema_for(Path("rules.yaml"))).iter_errors(content))


def test_what_stands_for_nothing_is_removed(tmp_path: Path) -> None:
    (tmp_path / "old.schema.json").write_text("{}", "utf-8")
    main(tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == set(documents())
