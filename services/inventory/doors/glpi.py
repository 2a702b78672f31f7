# SPDX-License-Identifier: Apache-2.0
"""GLPI: an inventory as glpi-agent writes it in JSON (glpi-project/inventory_format). What of it goes into the register, and as what,
is in `glpi_inventory.yaml`, or in the mapping that the feed names in its place.

A partial inventory has a few sections beside those by which the machine is known: of all others it says nothing, and what they told
before stays (`FeedItem.kept`). The virtual machines that a host names are records of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BaseModel, Field, StringConstraints, ValidationError

from services.inventory.doors.delivery import Delivery, Sent, UnreadableError
from services.inventory.doors.faults import faults_of, unreadable
from services.inventory.doors.mapping import FeedMapping, Scene, load

MAPPING: Final = Path(__file__).with_name("glpi_inventory.yaml")
INVENTORY: Final = "inventory"
VIRTUAL_MACHINE: Final = "virtualmachine"
_SECTIONS: Final = "content"


class Inventory(BaseModel):
    """What the door itself reads of an inventory; the rest is the mapping's."""

    deviceid: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    content: dict[str, Any]
    itemtype: str = "Unmanaged"
    partial: bool = False
    tag: str | None = None


class _VirtualMachines(BaseModel):
    virtualmachines: Annotated[tuple[dict[str, Any], ...], Field(max_length=1000)] = ()


def read(sent: Sent) -> Delivery:
    """The machine's item, and one for each virtual machine that it names; all of them or none. Raises UnreadableError.

    `sent.version` must be given: an inventory does not say when it was made.
    """
    try:
        inventory = Inventory.model_validate_json(sent.content, strict=True)
    except ValidationError as error:
        raise unreadable(error) from None
    mapping = sent.mapping or default_mapping()
    return mapping.delivery(sent.feed, dict(_scenes(inventory)), version=sent.version)


@cache
def default_mapping() -> FeedMapping:
    """The mapping that is shipped, read once."""
    return load(MAPPING)


def _scenes(inventory: Inventory) -> Iterator[tuple[str, Scene]]:
    """What the mapping sees, by where it stands: the inventory, and each of its virtual machines with its host's `deviceid` and `tag`."""
    told = {"deviceid": inventory.deviceid, "itemtype": inventory.itemtype, "tag": inventory.tag}

    def untold(path: tuple[str, ...]) -> bool:
        return len(path) > 1 and path[0] == _SECTIONS and path[1] not in inventory.content

    row = {**told, _SECTIONS: inventory.content}
    yield "", Scene(row, {"part": INVENTORY}, untold if inventory.partial else None)
    for at, machine in enumerate(_machines(inventory)):
        under = f"/{_SECTIONS}/virtualmachines/{at}"
        yield under, Scene({**machine, "host": told}, {"part": VIRTUAL_MACHINE})


def _machines(inventory: Inventory) -> tuple[dict[str, Any], ...]:
    try:
        return _VirtualMachines.model_validate(inventory.content).virtualmachines
    except ValidationError as error:
        raise UnreadableError(faults_of(error, f"/{_SECTIONS}")) from None
