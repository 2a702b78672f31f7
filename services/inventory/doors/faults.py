# SPDX-License-Identifier: Apache-2.0
"""pydantic's errors as faults that a sender can act on."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from libs.catalogue import field_sentence
from services.inventory.doors.delivery import Fault, UnreadableError


def faults_of(error: ValidationError, under: str = "") -> list[Fault]:
    """One fault for each offending field, at `under` and the field's own path; what was sent is not in it."""
    found: dict[str, Fault] = {}
    for one in _without_consequences(error.errors(include_url=False, include_input=False)):
        path, exact = _path(one["loc"])
        pointer = under + "".join(f"/{step}" for step in path)
        found.setdefault(pointer, _fault(pointer, one) if exact else Fault(pointer, "problems.field.other"))
    return list(found.values())


def unreadable(error: ValidationError) -> UnreadableError:
    """For JSON that was read as a model whole: `malformed` where it is not even JSON."""
    malformed = any(one["type"] == "json_invalid" for one in error.errors())
    return UnreadableError(faults_of(error), malformed=malformed)


def _without_consequences(errors: Sequence[ErrorDetails]) -> list[ErrorDetails]:
    """pydantic counts only the members of a list that are right, and so calls one too short whose members are all wrong."""
    within = {error["loc"][:depth] for error in errors for depth in range(len(error["loc"]))}
    return [error for error in errors if not (error["type"] == "too_short" and error["loc"] in within)]


def pointer_step(step: str | int) -> str:
    """One step of a JSON Pointer (RFC 6901 §3), no longer than a screen's line."""
    return str(step).replace("~", "~0").replace("/", "~1")[:100]


def _path(location: Sequence[str | int]) -> tuple[list[str], bool]:
    """The steps to the field, and whether the error is the field's only one: below a fact are the branches of its type."""
    steps = [pointer_step(step) for step in location if step != "[key]"]
    if "facts" in steps and len(steps) > steps.index("facts") + 2:
        return steps[: steps.index("facts") + 2], False
    return steps, True


def _fault(pointer: str, error: ErrorDetails) -> Fault:
    told = field_sentence(error)
    return Fault(pointer, told.key, **told.args)
