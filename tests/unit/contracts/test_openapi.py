# SPDX-License-Identifier: Apache-2.0
"""`schemas/openapi/` is what the services' routes say, and valid."""

from __future__ import annotations

import difflib
import json
import runpy
from pathlib import Path

import pytest
from openapi_spec_validator import validate

SCHEMAS = Path(__file__).parents[3] / "schemas"
DOCUMENTS = runpy.run_path(str(SCHEMAS / "openapi.py"))["documents"]()
WITHOUT_TOKEN = {"/health/live", "/health/ready", "/v1/feeds/{feed}/netbox"}
"""Supervisors have no token; a webhook is signed instead."""


@pytest.mark.parametrize("name", sorted(DOCUMENTS))
def test_the_committed_document_is_that_of_the_routes(name):
    file = SCHEMAS / name
    committed = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    wanted = DOCUMENTS[name].splitlines()
    differences = list(difflib.unified_diff(committed, wanted, f"schemas/{name}", "the routes", lineterm="", n=1))
    assert not differences, "run make schemas\n" + "\n".join(differences[:80])


def test_no_committed_document_is_of_no_service():
    assert {f"openapi/{file.name}" for file in (SCHEMAS / "openapi").glob("*")} == DOCUMENTS.keys()


@pytest.mark.parametrize("name", sorted(DOCUMENTS))
def test_it_is_valid_and_says_which_routes_ask_for_a_token(name):
    document = json.loads(DOCUMENTS[name])
    validate(document)
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert ("security" in operation) == (path not in WITHOUT_TOKEN), path
            assert "application/problem+json" in operation["responses"]["default"]["content"]
            assert "422" not in operation["responses"]
