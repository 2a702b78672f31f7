# SPDX-License-Identifier: Apache-2.0
"""Whatever bytes come to a door: they give items, or an error that says what is wrong with them, and never another exception."""

from __future__ import annotations

import base64
import gzip
import io
import json
import random
from collections.abc import Callable, Iterator

import pytest

from libs.catalogue import text
from libs.contracts import Feed, Profile
from services.inventory.doors import DOORS, Sent, UnreadableError
from services.inventory.doors.debezium import Change, read_change
from services.inventory.doors.ndjson import Lines, read_line
from services.inventory.ledgers.columns import default_columns
from services.inventory.ledgers.reading import Ledger, Refused, lines
from tests.fuzzing import changed, mutated
from tests.unit.inventory.feeds import FEEDS, MAPPINGS, SAMPLES

SEED = 20260401
ROUNDS = 300


def spoilt(content: bytes, rng: random.Random) -> Iterator[bytes]:
    yield from (b"", b"null", b"[]", b"{}", b"[" * 100_000, b'{"a":' * 100_000, b"\xff" * 10, b"1")
    try:
        parsed = json.loads(content)
    except ValueError:
        parsed = None
    for _ in range(ROUNDS):
        yield mutated(content, rng)
        if parsed is not None:
            yield json.dumps(changed(parsed, rng), ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")


def takes(read: Callable[[], object]) -> None:
    try:
        read()
    except UnreadableError as error:
        for fault in error.faults:
            assert all(text(fault.key, language, **fault.args) for language in ("ja", "en"))


def webhook() -> bytes:
    with gzip.open(SAMPLES / "netbox/webhooks.ndjson.gz") as lines:
        return base64.b64decode(json.loads(next(iter(lines)))["body"])


def netbox_objects() -> bytes:
    initial = json.loads(gzip.decompress((SAMPLES / "netbox/initial.json.gz").read_bytes()))
    return json.dumps({"object_type": "dcim.device", "objects": list(initial["devices"].values())[:2]}).encode()


CONTENT: dict[str, tuple[str, Callable[[], bytes]]] = {
    "items": ("cmdb", (SAMPLES.parent / "examples/first-assets.json").read_bytes),
    "netbox": ("netbox", webhook),
    "netbox/objects": ("netbox", netbox_objects),
    "records": ("facilities", (SAMPLES / "cmdb/facilities.json").read_bytes),
    "glpi": ("glpi", (SAMPLES / "glpi/inventory.json").read_bytes),
}


def feed_of(profile: Profile, name: str) -> Feed:
    return {**FEEDS, **profile.feed_by_id}[name]


@pytest.mark.parametrize("door", DOORS)
def test_a_door_gives_items_or_says_what_is_wrong(profile: Profile, door: str) -> None:
    name, content = CONTENT[door]
    feed = feed_of(profile, name)
    rng = random.Random(f"{SEED}/{door}")

    for bad in spoilt(content(), rng):
        sent = Sent(bad, feed, version=1, mapping=MAPPINGS.get(name))
        takes(lambda sent=sent: DOORS[door].read(sent))


@pytest.mark.parametrize("name", ["partial.json", "switch.json"])
def test_other_inventories_do_as_well(name: str) -> None:
    rng = random.Random(f"{SEED}/{name}")
    for bad in spoilt((SAMPLES / "glpi" / name).read_bytes(), rng):
        takes(lambda bad=bad: DOORS["glpi"].read(Sent(bad, FEEDS["glpi"], version=1)))


def test_a_change_gives_items_or_says_what_is_wrong() -> None:
    rng = random.Random(f"{SEED}/debezium")
    feed, mapping = FEEDS["equipment-db"], MAPPINGS["equipment-db"]
    for line in (SAMPLES / "cmdb/changes.ndjson").read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        for _ in range(ROUNDS):
            change = Change(changed(record["key"], rng), changed(record["value"], rng))
            takes(lambda change=change: read_change(feed, mapping, change))


def test_a_line_gives_an_item_or_says_what_is_wrong(profile: Profile) -> None:
    rng = random.Random(f"{SEED}/ndjson")
    items = json.loads((SAMPLES.parent / "examples/first-assets.json").read_text(encoding="utf-8"))["items"]
    content = "\n".join(json.dumps(item, ensure_ascii=False) for item in items).encode()

    for bad in spoilt(content, rng):
        reader = Lines()
        for line in (*reader.add(bad), *reader.end()):
            takes(lambda line=line: read_line(profile.feed_by_id["cmdb"], line))


def test_a_ledger_gives_rows_or_says_what_is_wrong(profile: Profile) -> None:
    rng = random.Random(f"{SEED}/ledger")
    ledger = Ledger(profile.feed_by_id["ledger"], "audit", 1, default_columns(), {})
    content = '台帳番号,情報資産名,種類,件数\r\nL-1,監査調書①,関連文書,"1,200件"\r\n'.encode()

    for bad in spoilt(content, rng):
        takes(lambda bad=bad: told(lines(io.BytesIO(bad), ledger)))


def told(found: Iterator[object]) -> None:
    for fault in (fault for line in found if isinstance(line, Refused) for fault in line.faults):
        assert all(text(fault.key, language, **fault.args) for language in ("ja", "en"))
