# SPDX-License-Identifier: Apache-2.0
"""Ten thousand malformed items among good ones: none is lost, and every good one gets through."""

from __future__ import annotations

import base64
import os
import random
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cli.instance import Instance
from libs.contracts.topics import DEADLETTERS, FEED
from samples.generate import Line, changes, city, expected_register, malformed
from tests.e2e.city import PROFILE, City, document

SEED = int(os.environ.get("DAICHO_TEST_SEED", "20260402"))
MALFORMED = 10_000
GOOD = 2_000
REGISTER = "SELECT source_key, source_version, status FROM source_link JOIN asset USING (asset_id)"
NO_CAPS = {"DAICHO_CAPS__MAX_INVALID_RATIO": "1", "DAICHO_CAPS__MAX_PARKED_KEYS": "100000"}
"""This flood is meant: the caps, which would stop it, have tests of their own."""


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


async def test_every_malformed_item_is_kept_with_its_reason_and_every_good_one_gets_through(
    tmp_path: Path, lines: list[Line]
) -> None:
    with Instance(tmp_path, profile=PROFILE, settings=NO_CAPS) as instance:
        flooded = City(instance)
        async with flooded.feed() as feed:
            for number, line in enumerate(lines):
                key, value = line.message(datetime.fromtimestamp(number, UTC))
                await feed.send(FEED.name, key=key, value=value)
            await feed.flush()
        await flooded.settle()
        letters = [document(record) for record in await flooded.read(DEADLETTERS.name)]
        register = await flooded.rows("inventory", REGISTER)

    bad = [line for line in lines if line.event is None]
    assert len(letters) == len(bad)
    assert Counter(letter["data"]["reason"] for letter in letters) == Counter(line.reason for line in bad)
    assert {letter["data"]["consumer"] for letter in letters} == {"inventory"}
    expected = expected_register([line for line in lines if line.event is not None])
    assert {row["source_key"]: _standing(row["status"] == "retired", row["source_version"]) for row in register} == {
        key: _standing(entry.retired, entry.item["source_version"]) for key, entry in expected.items()
    }


def _standing(retired: bool, version: int) -> int | None:
    """The version that stands; the reference keeps a retired asset's last content, and not the version that retired it."""
    return None if retired else version


async def test_a_dead_letter_holds_the_original_bytes(tmp_path: Path) -> None:
    lines = list(malformed(200, SEED + 1))
    with Instance(tmp_path, profile=PROFILE, settings=NO_CAPS) as instance:
        flooded = City(instance)
        async with flooded.feed() as feed:
            for line in lines:
                key, value = line.message(datetime.fromtimestamp(0, UTC))
                await feed.send(FEED.name, key=key, value=value)
            await feed.flush()
        await flooded.settle()
        letters = [document(record)["data"] for record in await flooded.read(DEADLETTERS.name)]

    kept = Counter(base64.b64decode(letter["value"] or "") for letter in letters)
    assert kept == Counter(line.raw for line in lines)
