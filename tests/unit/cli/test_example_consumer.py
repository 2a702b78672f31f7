# SPDX-License-Identifier: Apache-2.0
"""The example stays what it promises: short, and of aiokafka alone."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

CONSUMER = Path(__file__).parents[3] / "examples" / "consumer.py"


def test_it_is_under_forty_lines():
    assert len(CONSUMER.read_text(encoding="utf-8").splitlines()) < 40


def test_it_needs_aiokafka_alone():
    imported = {
        name.split(".")[0]
        for node in ast.walk(ast.parse(CONSUMER.read_text(encoding="utf-8")))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names])
    }
    assert imported - sys.stdlib_module_names == {"aiokafka"}
