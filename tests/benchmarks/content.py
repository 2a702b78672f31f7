# SPDX-License-Identifier: Apache-2.0
"""What the scenarios are fed with: the sample city, as large as is asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import yaml

from libs.contracts import FeedItem, Profile
from samples.assets import Item
from samples.generate import SEED, changes, city
from samples.line import Expect, Line, event_of, key_of
from services.inventory.domain import Refused, Register, Scribe
from tests.benchmarks.floors import Message

PROFILE = Path(__file__).parents[2] / "samples/city/profile.yaml"
TIME = datetime(2026, 4, 1, tzinfo=UTC)
_LEDGER_SHARE = 0.15
"""As in the samples: 3,000 assets in the ledgers and 20,000 changes after them."""
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


def feed_messages(count: int) -> list[Message]:
    """`count` messages of the feed topic: the ledgers, then the stream of changes with its repetitions and late comers."""
    lines = islice(_lines(count), count)
    messages = []
    for number, line in enumerate(lines, 1):
        key, value = line.message(TIME, _traceparent(number))
        messages.append(Message(key or b"", value))
    return messages


def asset_messages(count: int) -> list[Message]:
    """`count` messages of the assets topic: what the inventory publishes of such a feed."""
    return list(islice(_published(count), count))


def _lines(count: int) -> Iterator[Line]:
    ledgers = city(SEED, max(100, int(count * _LEDGER_SHARE)))
    for items in ledgers.items.values():
        yield from (_first(item) for item in items)
    yield from (line for line in changes(ledgers, SEED, max(500, int(count * _SPARE))) if line.event is not None)


def _first(item: Item) -> Line:
    return Line(Expect.GOOD, "new", key_of(item), event=event_of(item))


def _published(count: int) -> Iterator[Message]:
    known = one_network()
    register, scribe = Register(known, {}, {}), Scribe(known.municipality, TIME)
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
