# SPDX-License-Identifier: Apache-2.0
"""The doors: each a pure translation of bytes into feed items, one file a door. A new door is a file and a row here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from pydantic import BaseModel

from services.inventory.doors import glpi, mapped, netbox, plain
from services.inventory.doors.delivery import Delivery, Fault, Read, Sent, UnreadableError


class Door(NamedTuple):
    """Which feeds use it (`format` of the profile), which media types and how much at once it takes, how it reads; `form` is what it
    itself asks of JSON, before the feed's mapping does."""

    format: str
    media: frozenset[str]
    max_bytes: int
    read: Read
    form: type[BaseModel]


_JSON: Final = frozenset({"application/json"})
NDJSON: Final = "application/x-ndjson"
_MIB: Final = 1024 * 1024

DOORS: Final[Mapping[str, Door]] = {
    "items": Door("plain", _JSON | {NDJSON}, _MIB, plain.read, plain.PlainItems),
    "netbox": Door("netbox", _JSON, _MIB, netbox.read_webhook, netbox.Webhook),
    "netbox/objects": Door("netbox", _JSON, _MIB, netbox.read_objects, netbox.NetboxObjects),
    "records": Door("mapped", _JSON, _MIB, mapped.read, mapped.MappedRecords),
    "glpi": Door("glpi", _JSON, 8 * _MIB, glpi.read, glpi.Inventory),
}
"""By path: `/v1/feeds/{feed}/<path>`. Ledgers, which may be too large to be held in memory, have routes of their own (`ledgers/`)."""

__all__ = ["DOORS", "NDJSON", "Delivery", "Door", "Fault", "Read", "Sent", "UnreadableError"]
