# SPDX-License-Identifier: Apache-2.0
"""Which processes an instance runs, which rooms of a service each of them runs, and over how many partitions they share the work."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Process:
    """A process `python -m services.<service>.main <rooms>`; each serves its health on a port of its own.

    `niceness`: how far it gives way to the others where all want the same cores (POSIX nice, 0–19).
    """

    name: str
    service: str
    rooms: tuple[str, ...]
    niceness: int = 0


Layout = tuple[Process, ...]

ROOMS: Final = {
    "inventory": ("api", "worker", "relay", "pull", "debezium"),
    "classification": ("api", "worker", "projector", "relay"),
}
TOGETHER: Final[Layout] = (
    Process("inventory", "inventory", ROOMS["inventory"]),
    Process("classification-worker", "classification", ("worker",)),
    Process("classification-reading", "classification", ("api", "projector", "relay"), niceness=10),
)
"""Few processes; classifying is one of its own, and comes first, so that those who read do not keep it waiting."""
APART: Final[Layout] = tuple(
    Process(f"{service}-{room}", service, (room,)) for service, rooms in ROOMS.items() for room in rooms
)
"""A process for each room, named `<service>-<room>`: one can be killed without the others."""


PARTITIONS: Final = 2
"""Of each topic that follows the instance's number. Networks are what is spread over them, and a city has a few; each partition costs
a transaction of its own at every step."""


def services(layout: Layout) -> tuple[str, ...]:
    """The services of a layout, each once."""
    return tuple(dict.fromkeys(process.service for process in layout))
