# SPDX-License-Identifier: Apache-2.0
"""Which standard holds where: the base on every network, but on a separated one its body's own (基本方針 §9)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta, timezone
from typing import Final

from libs.standards.standard import Standard

_JAPAN: Final = timezone(timedelta(hours=9), "JST")
"""Without summer time since 1952 (夏時刻法を廃止する法律)."""


def day_of(now: datetime) -> date:
    """The day that it is in Japan; `now` is aware of its zone."""
    return now.astimezone(_JAPAN).date()


@dataclass(frozen=True)
class StandardsInForce:
    """The standards of an instance; `own` has, by network, those that stand there in the base's place.

    All have the scales of the base, so that levels of all networks compare; raises ValueError for another.
    """

    base: Standard
    own: Mapping[str, Standard] = field(default_factory=dict)

    def __post_init__(self) -> None:
        scales = self.base.published().scales
        for network, standard in self.own.items():
            if standard.published().scales != scales:
                raise ValueError(f"{standard.version}, of {network}, has other scales than the base: give it the same")

    def of(self, network: str) -> Standard:
        return self.own.get(network, self.base)

    def on(self, now: datetime) -> StandardsInForce:
        """The same standards as they hold on the day that it is in Japan."""
        day = day_of(now)
        return StandardsInForce(self.base.on(day), {network: one.on(day) for network, one in self.own.items()})

    def next_change(self) -> datetime | None:
        """When an entry next begins or ceases to hold."""
        days = [day for standard in self if (day := standard.next_change()) is not None]
        return datetime.combine(min(days), time.min, _JAPAN) if days else None

    def __iter__(self) -> Iterator[Standard]:
        """Each standard, the base first."""
        yield self.base
        yield from self.own.values()
