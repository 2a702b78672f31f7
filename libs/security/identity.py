# SPDX-License-Identifier: Apache-2.0
"""Who calls, as an access token says it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal

EVERY_BODY: Final = "*"


class Role(StrEnum):
    """What a caller may do; none implies another."""

    READER = "reader"
    FEEDER = "feeder"
    EDITOR = "editor"
    SECURITY_OFFICER = "security_officer"
    OPERATOR = "operator"


ROLES_OF_EVERY_BODY: Final = frozenset({Role.SECURITY_OFFICER, Role.OPERATOR})
"""`bodies: ["*"]` means something only beside one of these."""


@dataclass(frozen=True)
class Identity:
    """A caller whose token was checked. `bodies` is `"*"` for the security office and operators only."""

    subject: str
    bodies: frozenset[str] | Literal["*"]
    roles: frozenset[Role]
    feeds: frozenset[str] = frozenset()

    def has(self, *roles: Role) -> bool:
        """Whether the caller has at least one of the roles."""
        return not self.roles.isdisjoint(roles)

    def may_read(self, body: str) -> bool:
        """Whether what belongs to `body` may be shown to the caller."""
        return self.bodies == EVERY_BODY or body in self.bodies

    def may_feed(self, feed: str, body: str) -> bool:
        """Whether the caller may post items of `feed` that speak for `body`."""
        return Role.FEEDER in self.roles and feed in self.feeds and self.may_read(body)

    def scope(self, known: Iterable[str]) -> frozenset[str]:
        """The bodies of `known` (those of the instance's profile) that the caller may read."""
        return frozenset(body for body in known if self.may_read(body))
