# SPDX-License-Identifier: Apache-2.0
"""Schemathesis over the OpenAPI documents of both services, as each kind of caller: nothing found."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.city import City

LONG = os.environ.get("DAICHO_TEST_LONG") == "1"
SEED = int(os.environ.get("DAICHO_TEST_SEED", "20260401"))
ROOT = Path(__file__).resolve().parents[3]
CONFIG = Path(__file__).with_name("schemathesis.toml")
EXAMPLES = "100"
CALLERS = (
    ("inventory", "security-office", "^/v1/(?!feeds)|^/health|^/metrics"),
    ("inventory", "body-mayor", "^/v1/(assets|merge|ledger)"),
    ("inventory", "feed-cmdb", "^/v1/(feeds|receipts)"),
    ("inventory", "feed-netbox", "netbox"),
    ("inventory", "feed-ledger", "/ledger"),
    ("classification", "security-office", "."),
    ("classification", "body-mayor", "overrides"),
)
"""The service, who calls, and the paths on which that caller has most to say."""

pytestmark = [
    pytest.mark.timeout(3600),
    pytest.mark.skipif(not LONG, reason="what it finds depends on the moment still: make test-long"),
]


@pytest.mark.parametrize(("service", "caller", "paths"), CALLERS)
def test_nothing_is_found(hostile: City, tmp_path: Path, service: str, caller: str, paths: str) -> None:
    found = subprocess.run(
        [
            *(Path(sys.executable).with_name("schemathesis"), "--config-file", CONFIG, "run"),
            *(ROOT / f"schemas/openapi/{service}.json", "--url", hostile.instance.addresses[service]),
            *("--header", f"Authorization: Bearer {hostile.instance.token(caller)}", "--checks", "all"),
            *("--include-path-regex", paths, "--seed", str(SEED), "--max-examples", EXAMPLES),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert found.returncode == 0, f"DAICHO_TEST_SEED={SEED}\n{found.stdout}\n{found.stderr}"
    assert "generated" in found.stdout
    assert not hostile.instance.ended()
