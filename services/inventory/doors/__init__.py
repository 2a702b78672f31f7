# SPDX-License-Identifier: Apache-2.0
"""The doors: each a pure translation of bytes into feed items, one file a door. A new door is a file and a row here."""

from collections.abc import Mapping
from typing import Final

from services.inventory.doors import csv_ledger, netbox, plain
from services.inventory.doors.delivery import Delivery, Fault, Read, Sent, UnreadableError

DOORS: Final[Mapping[str, Read]] = {
    "items": plain.read,
    "netbox": netbox.read_webhook,
    "netbox/objects": netbox.read_objects,
    "ledger": csv_ledger.read,
}
"""Door → its translation; the door's path is `/v1/feeds/{feed}/<door>`."""

__all__ = ["DOORS", "Delivery", "Fault", "Read", "Sent", "UnreadableError"]
