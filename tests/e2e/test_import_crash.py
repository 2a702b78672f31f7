# SPDX-License-Identifier: Apache-2.0
"""SIGKILL of any process in an import over HTTP, a ledger and lines, against the same import undisturbed.

The client does what clients do: it sends again what was not answered. The versions are its own, so that a row counts once.
"""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from cli.instance import Instance
from cli.layout import APART
from tests.e2e.city import PROFILE, City

LONG = os.environ.get("DAICHO_TEST_LONG") == "1"
SEED = int(os.environ.get("DAICHO_TEST_SEED", "20260404"))
KILLS = 50 if LONG else 8
LEDGERS, ROWS = KILLS // 2, 150
VICTIMS = (*(one.name for one in APART if one.service == "inventory"), "classification-worker")
HEADER = ("台帳番号", "情報資産名", "種類", "件数")
REGISTER = "SELECT asset_id, asset.body, revision, state, source_key, source_version FROM asset JOIN source_link USING (asset_id)"

pytestmark = pytest.mark.timeout(2400 if LONG else 400)


class Delivery:
    """One request of the import, which may be sent again as it is."""

    def __init__(self, feed: str, path: str, media: str, content: bytes) -> None:
        self.feed, self.path, self.media, self.content = feed, path, media, content

    async def send(self, city: City, http: httpx.AsyncClient) -> None:
        """Until it is accepted."""
        headers = {"Authorization": f"Bearer {city.instance.token(f'feed-{self.feed}')}", "Content-Type": self.media}
        while True:
            address = city.instance.addresses["inventory"]
            try:
                answer = await http.post(
                    f"{address}/v1/feeds/{self.feed}/{self.path}", content=self.content, headers=headers
                )
            except httpx.TransportError:
                await asyncio.sleep(0.2)
                continue
            if answer.status_code == 202:
                return
            assert answer.status_code in (429, 503), answer.text
            await asyncio.sleep(1)


def deliveries() -> list[Delivery]:
    """Ledgers and lines in turn; each asset is told of again and again, with other content and a higher version."""
    chance = random.Random(f"{SEED}/import")
    found = []
    for version in range(1, LEDGERS + 1):
        numbers = sorted(chance.sample(range(2 * ROWS), ROWS))
        text = io.StringIO()
        csv.writer(text).writerows([HEADER, *(_row(number, version) for number in numbers)])
        path = f"ledger?body=mayor&mode=file&version={version}&receipts=false"
        found.append(Delivery("ledger", path, "text/csv", text.getvalue().encode("utf-8-sig")))
        lines = "\n".join(json.dumps(_item(number, version), ensure_ascii=False) for number in numbers)
        found.append(Delivery("cmdb", "items", "application/x-ndjson", lines.encode()))
    return found


def _row(number: int, version: int) -> tuple[Any, ...]:
    return f"L-{number}", f"税務調書{number} 第{version}版", "情報", 100 * version + number


def _item(number: int, version: int) -> dict[str, Any]:
    runs_on = [{"type": "runs_on", "source_key": f"C-{number // 10}"}] if number % 10 else []
    told = {"body": "mayor", "feed": "cmdb", "source_key": f"C-{number}", "source_version": version, "kind": "system"}
    return {**told, "name": f"サーバ{number}", "facts": {"record_count": version}, "relations": runs_on}


async def imported(city: City, wanted: Sequence[Delivery], pause: float = 0.0) -> None:
    async with httpx.AsyncClient(timeout=30) as http:
        for delivery in wanted:
            await delivery.send(city, http)
            await asyncio.sleep(pause)


async def killed_meanwhile(city: City) -> list[str]:
    """Each victim in turn, in an order of chance; then the import may come to its end."""
    chance = random.Random(f"{SEED}/kills")
    killed: list[str] = []
    while len(killed) < KILLS:
        await asyncio.sleep(chance.uniform(0.2, 1.5))
        if len(killed) % len(VICTIMS) == 0:
            order = chance.sample(VICTIMS, len(VICTIMS))
        victim = order[len(killed) % len(VICTIMS)]
        await asyncio.to_thread(city.instance.kill, victim)
        await asyncio.to_thread(city.instance.start, victim, wait=False)
        killed.append(victim)
    return killed


async def outcome_of(city: City) -> tuple[dict[str, dict[str, Any]], list[Any]]:
    """The register, and the history without its times."""
    register = {row["source_key"]: dict(row) for row in await city.rows("inventory", REGISTER)}
    history = await city.rows("inventory", "SELECT asset_id, revision, state FROM asset_revision ORDER BY 1, 2")
    return register, [tuple(row.values()) for row in history]


async def test_killed_processes_leave_what_an_undisturbed_import_leaves(tmp_path: Path) -> None:
    print(f"DAICHO_TEST_SEED={SEED}")
    wanted = deliveries()
    with Instance(tmp_path / "calm", profile=PROFILE) as instance:
        calm = City(instance)
        await imported(calm, wanted)
        await calm.settle()
        undisturbed = await outcome_of(calm)
    with Instance(tmp_path / "disturbed", profile=PROFILE, layout=APART) as instance:
        disturbed = City(instance)
        importing = asyncio.create_task(imported(disturbed, wanted, pause=0.3))
        killed = await killed_meanwhile(disturbed)
        await importing
        await disturbed.settle()
        outcome = await outcome_of(disturbed)

    assert set(killed) == set(VICTIMS)
    assert len(undisturbed[0]) > 3 * ROWS
    assert outcome[0] == undisturbed[0]
    assert outcome[1] == undisturbed[1]
