# SPDX-License-Identifier: Apache-2.0
"""Which standard holds where: the base on every network, but on a separated one its body's own (基本方針 §9)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from libs.standards.standard import Standard


@dataclass(frozen=True)
class StandardsInForce:
    """The standards of an instance; `own` has, by network, those that stand there in the base's place.

    All have the scales of the base: an overlay does not change them, so levels of all networks compare.
    """

    base: Standard
    own: Mapping[str, Standard] = field(default_factory=dict)

    def of(self, network: str) -> Standard:
        return self.own.get(network, self.base)

    def __iter__(self) -> Iterator[Standard]:
        """Each standard, the base first."""
        yield self.base
        yield from self.own.values()
