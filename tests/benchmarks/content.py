# SPDX-License-Identifier: Apache-2.0
"""What the scenarios are fed with: the sample city, as large as is asked for."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import count as numbers
from itertools import islice
from pathlib import Path

import yaml
from aiokafka.structs import ConsumerRecord

from libs.contracts import (
    Asset,
    AssetChange,
    AssetChanged,
    AssetStatus,
    Change,
    FeedItem,
    Profile,
    kafka_headers,
    make_key,
    source_urn,
)
from libs.contracts.topics import ASSETS
from samples.assets import Item
from samples.generate import SEED, changes, city
from samples.line import Expect, Line, event_of, key_of
from samples.mutations import lowered, raised, with_facts
from services.classification.domain import AssetSeen
from services.classification.reading import AssetReader
from services.inventory.domain import Refused, Register, Scribe
from tests.benchmarks.floors import Message

PROFILE = Path(__file__).parents[2] / "samples/city/profile.yaml"
TIME = datetime(2026, 4, 1, tzinfo=UTC)
_LEDGER_SHARE = 0.15
"""As in the samples: 3,000 assets in the ledgers and 20,000 changes after them."""
_ASSETS_A_MESSAGE = 0.2
"""The samples change each asset several times."""
_MOST_DISTINCT = 20_000
"""Messages from which a register is made; a larger one has copies."""
_SPARE = 1.3
"""The samples repeat and refuse some, and so more are made than come out."""


def profile() -> Profile:
    """The sample city's."""
    return Profile.model_validate(yaml.safe_load(PROFILE.read_text(encoding="utf-8")))


def one_network() -> Profile:
    """The sample city, with all its bodies on the mayor's network: one graph."""
    city_profile = profile()
    bodies = tuple(body.model_copy(update={"network": "mayor"}) for body in city_profile.bodies)
    return city_profile.model_copy(update={"bodies": bodies})


def told_first(count: int) -> list[Message]:
    """`count` messages of the feed topic: the ledgers of a city with as many assets, none told of before."""
    return [_message(number, item) for number, item in enumerate(_ledger_items(count), 1)]


def told_again(count: int) -> list[Message]:
    """Each asset of `told_first` once more, in another order, with one change that raises or lowers what it calls for."""
    rng = random.Random(SEED)
    items = [_once_changed(rng, item) for item in _ledger_items(count)]
    rng.shuffle(items)
    return [_message(number, item) for number, item in enumerate(items, count + 1)]


def _ledger_items(count: int) -> list[Item]:
    return [item for items in city(SEED, count).items.values() for item in items]


def _once_changed(rng: random.Random, item: Item) -> Item:
    changed = raised(rng, item) or lowered(rng, item) or with_facts(item, location=f"書庫 {rng.randrange(1000)}")
    return {**changed, "source_version": item["source_version"] + 1}


def _message(number: int, item: Item) -> Message:
    key, value = _first(item).message(TIME, _traceparent(number))
    return Message(key or b"", value)


def asset_messages(count: int) -> list[Message]:
    """`count` messages of the assets topic: what the inventory publishes of such a feed."""
    return list(islice(_published(count), count))


def register(count: int) -> Iterator[Asset]:
    """`count` assets of the sample city that are not retired, as its changes have left them; more than it has are copies under other ids."""
    known: dict[str, Asset] = {}
    for message in asset_messages(max(1_000, min(_MOST_DISTINCT, int(count * _ASSETS_A_MESSAGE)))):
        asset = AssetChanged.model_validate_json(message.value).data.after
        known[asset.asset_id] = asset
    active = [asset for asset in known.values() if asset.status is AssetStatus.ACTIVE]
    return islice((_copied(asset, copy) for copy in numbers() for asset in active), count)


def changed(asset: Asset, revision: int) -> AssetChanged:
    """The event of a revision of an asset."""
    return AssetChanged(
        id=f"{asset.asset_id}:{revision}",
        source=source_urn("990019", asset.body, "inventory"),
        subject=asset.asset_id,
        time=TIME,
        body=asset.body,
        network=asset.network,
        revision=revision,
        data=AssetChange(before=None, after=asset, change=Change(feed="cmdb")),
    )


def seen(assets: Iterable[Asset], revision: int = 1) -> list[AssetSeen]:
    """The same as the service sees it, of bytes that nobody else holds."""
    reader = AssetReader()
    return [reader.read(_record(message_of(changed(asset, revision)))) for asset in assets]


def _record(message: Message) -> ConsumerRecord[bytes | None, bytes | None]:
    return ConsumerRecord(ASSETS.name, 0, 0, 0, 0, message.key, message.value, None, -1, -1, tuple(message.headers))


def message_of(event: AssetChanged) -> Message:
    """As the inventory's relay writes it."""
    asset = event.data.after
    value = event.model_dump_json(exclude_none=True).encode()
    return Message(make_key(asset.network, asset.body, asset.asset_id), value, kafka_headers(event))


def _copied(asset: Asset, copy: int) -> Asset:
    """The same asset once more under another name, with another number of records, and related to the copies of those that it is related to."""
    if copy == 0:
        return asset
    relations = tuple(one.model_copy(update={"asset_id": _id_of(one.asset_id, copy)}) for one in asset.relations)
    facts = dict(asset.facts)
    if isinstance(count := facts.get("record_count"), int):
        facts["record_count"] = count + copy
    again = {
        "asset_id": _id_of(asset.asset_id, copy),
        "name": f"{asset.name} {copy}",
        "facts": facts,
        "relations": relations,
    }
    return asset.model_copy(update=again)


def _id_of(asset_id: str, copy: int) -> str:
    return f"{copy:08x}{asset_id[8:]}"


def _lines(count: int) -> Iterator[Line]:
    ledgers = city(SEED, max(100, int(count * _LEDGER_SHARE)))
    for items in ledgers.items.values():
        yield from (_first(item) for item in items)
    yield from (line for line in changes(ledgers, SEED, max(500, int(count * _SPARE))) if line.event is not None)


def _first(item: Item) -> Line:
    return Line(Expect.GOOD, "new", key_of(item), event=event_of(item))


def _published(count: int) -> Iterator[Message]:
    known = one_network()
    register, scribe = Register(known), Scribe(known.municipality, TIME)
    for number, line in enumerate(_lines(count), 1):
        try:
            decision = register.take(FeedItem.model_validate(line.item))
        except Refused:
            continue
        for revision in decision.revisions:
            written = scribe.write(revision, _traceparent(number))
            headers = [(name, value.encode()) for name, value in json.loads(written.headers)]
            yield Message(written.key, written.value, headers)


def _traceparent(number: int) -> str:
    return f"00-{number:032x}-{1:016x}-01"
