# SPDX-License-Identifier: Apache-2.0
"""Conditions in the Common Expression Language, compiled once.

A condition sees every declared fact under its own name, `kind` and `zone`; an obligation's also sees the effective levels
(`confidentiality >= C3B`). A fact that an asset lacks has its type's empty value: false, "", [] or, for numbers, null.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import cel

from libs.standards.document import Fact

ASSET_NAMES: Final = frozenset({"kind", "zone"})
EMPTY: Final[Mapping[str, Any]] = {"boolean": False, "text": "", "list": (), "integer": None, "number": None}
"""The value of a fact that is missing or of another type than declared, by type."""


class ConditionError(Exception):
    """A condition that cannot be used, in one sentence."""


class Condition:
    """A compiled condition; `names` are those it reads."""

    __slots__ = ("_program", "names", "source")

    def __init__(self, program: cel.Program, names: frozenset[str]) -> None:
        self._program = program
        self.names = names
        self.source: str = program.source

    def holds(self, values: Mapping[str, Any]) -> bool:
        """Whether it holds for the values of at least its `names`, lists as tuples.

        Raises ConditionError where it gives no boolean, and KeyError where a value lacks.
        """
        # CEL knows lists, not tuples
        read = {name: list(value) if isinstance(value := values[name], tuple) else value for name in self.names}
        try:
            result = self._program.execute(read)
        except (TypeError, ValueError, RuntimeError, ArithmeticError) as error:
            advice = "compare like with like, and a number only after `!= null`"
            raise ConditionError(f"{self.source!r} cannot be evaluated: {type(error).__name__}: {advice}") from error
        if not isinstance(result, bool):
            raise ConditionError(f"{self.source!r} gives no true or false")
        return result


def compile_condition(source: str, names: frozenset[str]) -> Condition:
    """Compile a condition that may read `names`. Raises ConditionError for a mistake in it, or another name."""
    program = compile_program(source)
    read = frozenset(program.variables())
    if unknown := sorted(read - names):
        raise ConditionError(f"unknown name {unknown[0]}: declare it in facts.yaml, or mend its spelling")
    return Condition(program, read)


def compile_program(source: str) -> cel.Program:
    """Compile an expression that may give anything. Raises ConditionError for a mistake in it."""
    try:
        return cel.compile(source)
    except ValueError as error:
        raise ConditionError(f"not a CEL expression: {_one_line(error)}") from error


def fits(fact: Fact, value: object) -> bool:
    """Whether a value is of the declared type and among the declared values."""
    match fact.type:
        case "boolean":
            return isinstance(value, bool)
        case "integer":
            return isinstance(value, int) and not isinstance(value, bool)
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "text":
            return isinstance(value, str) and (fact.values is None or value in fact.values)
        case "list":
            return isinstance(value, list | tuple) and (fact.values is None or set(value) <= set(fact.values))


def expected(fact: Fact) -> str:
    """What `fits`: the declared type, and the declared values if they are closed."""
    return fact.type if fact.values is None else f"{fact.type}: {', '.join(fact.values)}"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
