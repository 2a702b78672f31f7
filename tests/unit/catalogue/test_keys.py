# SPDX-License-Identifier: Apache-2.0
"""The catalogue and the code agree: no key is used that is not there, and none is there that nobody uses."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from libs.catalogue import messages

ROOT = Path(__file__).parents[3]
CALLS = {
    "text": 0,
    "text_pair": 0,
    "ProblemError": 1,
    "FieldError": 1,
    "problem_response": 3,
    "CliError": 0,
    "Sentence": 0,
}
"""Where in the arguments of each call a key of the catalogue stands."""
AREAS = {key.split(".")[0] for key in messages()}


def sources() -> Iterator[tuple[Path, ast.Module]]:
    for folder in ("libs", "services", "cli"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            yield file, ast.parse(file.read_text(encoding="utf-8"))


def pattern_of(expression: ast.expr) -> str | None:
    """A regular expression for the keys that an expression can be; None where it is a variable."""
    if isinstance(expression, ast.Constant) and isinstance(expression.value, str):
        return re.escape(expression.value)
    if isinstance(expression, ast.JoinedStr):
        parts = (re.escape(one.value) if isinstance(one, ast.Constant) else r"[\w.-]+" for one in expression.values)
        return "".join(map(str, parts))
    return None


def patterns_of(expression: ast.expr) -> list[str]:
    branches = (expression.body, expression.orelse) if isinstance(expression, ast.IfExp) else (expression,)
    return [found for branch in branches if (found := pattern_of(branch)) is not None]


def asked(tree: ast.Module) -> Iterator[str]:
    """What the calls of `CALLS` ask the catalogue for; SQLAlchemy has a `text` of its own."""
    others = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and not str(node.module).startswith(("libs.", "cli."))
        for alias in node.names
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "id", "")
            if name in CALLS.keys() - others and len(node.args) > CALLS[name]:
                yield from patterns_of(node.args[CALLS[name]])


def mentioned(tree: ast.Module) -> Iterator[str]:
    """Every string that could be a key, wherever it stands: a key may reach the catalogue through a variable."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant | ast.JoinedStr):
            pattern = pattern_of(node)
            if pattern and pattern.replace("\\", "").split(".")[0] in AREAS:
                yield pattern


def fits(pattern: str) -> bool:
    return any(re.fullmatch(pattern, key) for key in messages())


ASKED = sorted({(str(file.relative_to(ROOT)), pattern) for file, tree in sources() for pattern in asked(tree)})
MENTIONED = {pattern for _, tree in sources() for pattern in mentioned(tree)}


@pytest.mark.parametrize(("file", "pattern"), ASKED)
def test_what_the_code_asks_for_is_there(file: str, pattern: str):
    assert fits(pattern), f"{file} asks for {pattern}: add it to libs/catalogue/messages/"


@pytest.mark.parametrize("key", sorted(messages()))
def test_what_is_there_is_asked_for(key: str):
    assert any(re.fullmatch(pattern, key) for pattern in MENTIONED), f"nobody uses {key}: remove it from the catalogue"
