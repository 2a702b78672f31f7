# SPDX-License-Identifier: Apache-2.0
"""Ten thousand malformed items among good ones: none is lost, and every good one gets through."""

from __future__ import annotations

import base64
import os
import random
from collections import Counter
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pytest

from libs.contracts.topics import DEADLETTERS, FEED
from samples.generate import Line, changes, city, expected_register, malformed
from tests.e2e.city import City, document

SEED = int(os.environ.get("DAICHO_TEST_SEED", "20260402"))
MALFORMED = 10_000
GOOD = 2_000
REGISTER = "SELECT source_key, source_version, status FROM source_link JOIN asset USING (asset_id)"


@pytest.fixture(scope="module")
def lines() -> list[Line]:
    """Good ones keep their order; the malformed are strewn among them."""
    print(f"DAICHO_TEST_SEED={SEED}")
    ledgers = city(SEED, 300)
    good = [line for line in changes(ledgers, SEED, GOOD) if line.event is not None]
    bad = list(malformed(MALFORMED, SEED))
    places = sorted(random.Random(SEED).choices(range(len(good) + 1), k=len(bad)), reverse=True)
    mixed = list(good)
    for place, line in zip(places, bad, strict=True):
        mixed.insert(place, line)
    return mixed


class Flooded(NamedTuple):
    """What an instance holds after the flood."""

    letters: list[dict[str, Any]]
    register: list[Any]


@pytest.fixture(scope="module")
async def flooded(hostile: City, lines: list[Line]) -> Flooded:
    """The first to come to the instance: what is on its topics is the flood's."""
    async with hostile.feed() as feed:
        for number, line in enumerate(lines):
            key, value = line.message(datetime.fromtimestamp(number, UTC))
            await feed.send(FEED.name, key=key, value=value)
        await feed.flush()
    await hostile.settle()
    letters = [document(record)["data"] for record in await hostile.read(DEADLETTERS.name)]
    return Flooded(letters, await hostile.rows("inventory", REGISTER))


def test_every_malformed_item_is_kept_with_its_reason(flooded: Flooded, lines: list[Line]) -> None:
    bad = [line for line in lines if line.event is None]
    assert len(flooded.letters) == len(bad)
    assert Counter(letter["reason"] for letter in flooded.letters) == Counter(line.reason for line in bad)
    assert {letter["consumer"] for letter in flooded.letters} == {"inventory"}


def test_every_good_one_gets_through(flooded: Flooded, lines: list[Line]) -> None:
    expected = expected_register([line for line in lines if line.event is not None])
    assert {
        row["source_key"]: _standing(row["status"] == "retired", row["source_version"]) for row in flooded.register
    } == {key: _standing(entry.retired, entry.item["source_version"]) for key, entry in expected.items()}


def test_a_dead_letter_holds_the_original_bytes(flooded: Flooded, lines: list[Line]) -> None:
    kept = Counter(base64.b64decode(letter["value"] or "") for letter in flooded.letters)
    assert kept == Counter(line.raw for line in lines if line.event is None)


def _standing(retired: bool, version: int) -> int | None:
    """The version that stands; the reference keeps a retired asset's last content, and not the version that retired it."""
    return None if retired else version
