# SPDX-License-Identifier: Apache-2.0
"""Conditions in the Common Expression Language, compiled once.

A condition sees every declared fact under its own name, `kind` and `zone`; an obligation's also sees the effective levels
(`confidentiality >= C3B`). A fact that an asset lacks has its type's empty value: false, "", [] or, for numbers, null.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, Final

import cel

from libs.catalogue import Sentence
from libs.standards.document import Fact

ASSET_NAMES: Final = frozenset({"kind", "zone"})
EMPTY: Final[Mapping[str, Any]] = {"boolean": False, "text": "", "list": (), "integer": None, "number": None}
"""The value of a fact that is missing or of another type than declared, by type."""
_SYNTAX: Final = re.compile(
    r"ERROR: <input>:\d+:(?P<at>\d+): (?:Syntax error: )?(?P<detail>.*?)(?: expecting .*)?$", re.MULTILINE
)


class ConditionError(Exception):
    """A condition that cannot be used, in one sentence."""

    def __init__(self, sentence: Sentence) -> None:
        super().__init__(sentence)
        self.sentence = sentence


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
            unfit = Sentence("standard.condition.unfit", source=self.source, kind=type(error).__name__)
            raise ConditionError(unfit) from error
        if not isinstance(result, bool):
            raise ConditionError(Sentence("standard.condition.not_boolean", source=self.source))
        return result


def compile_condition(source: str, names: frozenset[str]) -> Condition:
    """Compile a condition that may read `names`. Raises ConditionError for a mistake in it, or another name."""
    program = compile_program(source)
    read = frozenset(program.variables())
    if unknown := sorted(read - names):
        raise ConditionError(_unknown(unknown[0], names))
    return Condition(program, read)


def compile_program(source: str) -> cel.Program:
    """Compile an expression that may give anything. Raises ConditionError for a mistake in it."""
    try:
        return cel.compile(source)
    except ValueError as error:
        raise ConditionError(_no_expression(str(error))) from error


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


def _unknown(name: str, names: frozenset[str]) -> Sentence:
    like = get_close_matches(name, sorted(names), n=1)
    return (
        Sentence("standard.condition.misspelt", name=name, like=like[0])
        if like
        else Sentence("standard.condition.unknown_name", name=name)
    )


def _no_expression(told: str) -> Sentence:
    """What the parser says first, and at which character; what it would rather have had is a list of its own tokens."""
    found = _SYNTAX.search(told)
    if found is None:
        return Sentence("standard.condition.not_cel", at=1, detail=" ".join(told.split()))
    return Sentence("standard.condition.not_cel", at=found["at"], detail=found["detail"].strip())
