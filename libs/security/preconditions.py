# SPDX-License-Identifier: Apache-2.0
"""What callers have read already, by the entity tag of a revision: `If-Match` of a change, `If-None-Match` of a read (RFC 9110 §13.1, RFC 6585 §3)."""

from __future__ import annotations

from libs.contracts import ProblemType
from libs.security.problems import ProblemError


def etag_of(revision: int) -> str:
    return f'"{revision}"'


def required(if_match: str | None) -> str:
    """What a change gives as `If-Match`. Raises ProblemError (428) where it gives nothing."""
    if if_match is None:
        raise ProblemError(ProblemType.PRECONDITION_REQUIRED, "problems.if_match_required")
    return if_match


def check_match(given: str, revision: int) -> None:
    """Raises ProblemError (412) unless this revision is the one that was read."""
    if given.strip() != etag_of(revision):
        raise ProblemError(ProblemType.PRECONDITION_FAILED, "problems.changed_meanwhile")


def is_known(if_none_match: str | None, tag: str) -> bool:
    """Whether a reader has what the tag stands for, and wants no more than to be told so (304); weak tags count as strong ones."""
    given = (if_none_match or "").split(",")
    return any(one.strip().removeprefix("W/") in (tag, "*") for one in given)
