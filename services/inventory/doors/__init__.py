# SPDX-License-Identifier: Apache-2.0
"""The doors: each a pure translation of bytes into feed items, one file a door. A new door is a file and a row here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from services.inventory.doors import csv_ledger, glpi, mapped, netbox, plain
from services.inventory.doors.delivery import Delivery, Fault, Read, Sent, Undecided, UnreadableError


class Door(NamedTuple):
    """Which feeds use it (`format` of the profile), which media types and how much at once it takes, how it reads."""

    format: str
    media: frozenset[str]
    max_bytes: int
    read: Read


_JSON: Final = frozenset({"application/json"})
_CSV: Final = frozenset({"text/csv", "application/csv", "application/vnd.ms-excel", "application/octet-stream"})
NDJSON: Final = "application/x-ndjson"
_MIB: Final = 1024 * 1024

DOORS: Final[Mapping[str, Door]] = {
    "items": Door("plain", _JSON | {NDJSON}, _MIB, plain.read),
    "netbox": Door("netbox", _JSON, _MIB, netbox.read_webhook),
    "netbox/objects": Door("netbox", _JSON, _MIB, netbox.read_objects),
    "records": Door("mapped", _JSON, _MIB, mapped.read),
    "glpi": Door("glpi", _JSON, 8 * _MIB, glpi.read),
    "ledger": Door("csv", _CSV, 8 * _MIB, csv_ledger.read),
}
"""By path: `/v1/feeds/{feed}/<path>`."""

__all__ = ["DOORS", "NDJSON", "Delivery", "Door", "Fault", "Read", "Sent", "Undecided", "UnreadableError"]
