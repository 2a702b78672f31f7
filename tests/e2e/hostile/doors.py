# SPDX-License-Identifier: Apache-2.0
"""Each door of the inventory, with what is sent to it: malformed without end, and good items in between."""

from __future__ import annotations

import base64
import csv
import gzip
import hashlib
import hmac
import io
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Final

from openpyxl import Workbook

from libs.contracts import FeedItem, make_key
from tests.fuzzing import VALUES, Breaker, changed, mutated

SAMPLES: Final = Path(__file__).parents[3] / "samples"
SCHEMA: Final = json.loads(Path("schemas/events/daicho.feed.item.v1.json").read_text(encoding="utf-8"))
GOOD: Final = "GOOD-"
"""So begin the source keys of good items, and no other's."""
LEDGER_BODY: Final = "audit"
HEADER: Final = ("台帳番号", "情報資産名", "種類", "件数")
XLSX: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_EVENT, _ITEM = Breaker(SCHEMA), Breaker(FeedItem.model_json_schema())


@dataclass
class Sown:
    """The good items so far, by their source keys; `number` is of all that was made."""

    keys: set[str] = field(default_factory=set)
    number: Iterator[int] = field(default_factory=lambda: count(1))

    def key(self) -> str:
        key = f"{GOOD}{next(self.number)}"
        self.keys.add(key)
        return key


def item(source_key: str) -> dict[str, Any]:
    """A good one of the feed `cmdb`."""
    return {
        "body": "mayor",
        "feed": "cmdb",
        "source_key": source_key,
        "source_version": 1,
        "kind": "system",
        "name": "税務システム",
        "facts": {"record_count": 1200, "personal_data": True, "data_kinds": ["tax"]},
        "declared": {"confidentiality": "3B"},
        "relations": [{"type": "runs_on", "source_key": "FZ-HOST"}],
        "observed_at": "2026-04-01T09:00:00+09:00",
    }


def event(of: dict[str, Any]) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": f"{of['source_key']}@1",
        "source": "urn:daicho:990019:mayor:cmdb",
        "type": "daicho.feed.item.v1",
        "subject": of["source_key"],
        "time": "2026-04-01T09:00:00+09:00",
        "body": "mayor",
        "network": "mayor",
        "data": of,
    }


def key_of(source_key: str) -> bytes:
    return make_key("mayor", "mayor", "cmdb", source_key)


def written(content: object) -> bytes:
    return json.dumps(content, ensure_ascii=False).encode("utf-8", "surrogatepass")


def bad_event(rng: random.Random, number: int) -> bytes:
    """Against the schema, or with bytes spoilt."""
    good = event(item(f"FZ-{number}"))
    return written(_EVENT.broken(good, rng)) if rng.random() < 0.6 else mutated(written(good), rng)


def bad_item(rng: random.Random, number: int) -> bytes:
    """As `bad_event`."""
    good = item(f"FZ-{number}")
    return written(_ITEM.broken(good, rng)) if rng.random() < 0.6 else mutated(written(good), rng)


def _spoilt(content: bytes) -> Callable[[random.Random], bytes]:
    parsed = json.loads(content)
    return lambda rng: mutated(content, rng) if rng.random() < 0.5 else written(changed(parsed, rng))


def _webhook() -> bytes:
    with gzip.open(SAMPLES / "netbox/webhooks.ndjson.gz") as lines:
        return base64.b64decode(json.loads(next(iter(lines)))["body"])


def _objects() -> bytes:
    initial = json.loads(gzip.decompress((SAMPLES / "netbox/initial.json.gz").read_bytes()))
    return json.dumps({"object_type": "dcim.device", "objects": list(initial["devices"].values())[:1]}).encode()


WHOLE: Final[dict[tuple[str, str], bytes]] = {
    ("netbox", "netbox"): _webhook(),
    ("netbox", "netbox/objects"): _objects(),
    ("glpi", "glpi"): (SAMPLES / "glpi/inventory.json").read_bytes(),
    ("facilities", "records"): (SAMPLES / "cmdb/facilities.json").read_bytes(),
}
"""A good delivery of each door that reads another's format, by its feed and path."""
SPOILT: Final = {door: _spoilt(content) for door, content in WHOLE.items()}
_CHANGES: Final = [json.loads(line) for line in (SAMPLES / "cmdb/changes.ndjson").read_text("utf-8").splitlines()]
_ROW: Final = next(one["value"] for one in _CHANGES if one["value"] and one["value"].get("op") == "c")


def signature(content: bytes, secret: str) -> str:
    return hmac.new(secret.encode(), content, hashlib.sha512).hexdigest()


def change(source_key: str, number: int) -> bytes:
    """A good change of a row of its own."""
    row = {**_ROW["after"], "id": number, "asset_no": source_key, "serial_no": f"S-{source_key}"}
    return written({**_ROW, "op": "c", "before": None, "after": row})


def bad_change(rng: random.Random, number: int) -> bytes:
    good = change(f"FZ-{number}", number)
    return mutated(good, rng) if rng.random() < 0.5 else written(changed(json.loads(good), rng))


def rows(rng: random.Random, number: Iterator[int], sown: Sown, size: int) -> list[list[Any]]:
    """A ledger's rows, most of them with one cell that cannot be, the first one good."""
    found = [[sown.key(), "監査調書", "関連文書", "1,200件"]]
    for _ in range(size):
        row: list[Any] = [f"FZ-{next(number)}", "監査調書", "関連文書", "1200"]
        row[rng.randrange(4)] = rng.choice(_CELLS)
        found.append(row)
    return found


_CELLS: Final = (
    *(value for value in VALUES if isinstance(value, str | int | float) and value != "\x00"),
    "=1+1",
    "令和99年13月40日",
    "\r\n",
    "𠮷" * 301,
    '"',
    "１２３，４５６，７８",
)


def as_csv(content: list[list[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows([HEADER, *content])
    return text.getvalue().encode("utf-8-sig")


def as_xlsx(content: list[list[Any]]) -> bytes:
    book = Workbook(write_only=True)
    sheet = book.create_sheet("台帳")
    for row in [list(HEADER), *content]:
        sheet.append([value if not isinstance(value, int) or abs(value) < 2**63 else str(value) for value in row])
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()
