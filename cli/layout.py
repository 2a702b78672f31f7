# SPDX-License-Identifier: Apache-2.0
"""Which processes an instance runs, and which rooms of a service each of them runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Process:
    """A process `python -m services.<service>.main <rooms>`; each serves its health on a port of its own."""

    name: str
    service: str
    rooms: tuple[str, ...]


Layout = tuple[Process, ...]

ROOMS: Final = {
    "inventory": ("api", "worker", "relay"),
    "classification": ("api", "worker", "projector"),
}
TOGETHER: Final[Layout] = (
    Process("inventory", "inventory", ROOMS["inventory"]),
    Process("classification-worker", "classification", ("worker",)),
    Process("classification-reading", "classification", ("api", "projector")),
)
"""Few processes; classifying is one of its own, so that those who read do not keep it waiting."""
APART: Final[Layout] = tuple(
    Process(f"{service}-{room}", service, (room,)) for service, rooms in ROOMS.items() for room in rooms
)
"""A process for each room, named `<service>-<room>`: one can be killed without the others."""


def services(layout: Layout) -> tuple[str, ...]:
    """The services of a layout, each once."""
    return tuple(dict.fromkeys(process.service for process in layout))
