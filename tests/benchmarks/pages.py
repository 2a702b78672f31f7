# SPDX-License-Identifier: Apache-2.0
"""Pages of a large register over HTTP, against the same rows read by key: the slowest hundredth of each, request by request in turns."""

from __future__ import annotations

import asyncio
import gc
import json
import random
import statistics
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Self
from urllib.parse import quote
from uuid import UUID

import asyncpg
from pydantic import SecretStr
from pydantic_core import from_json

from libs.contracts import Asset
from libs.persistence import PostgresSettings, Sessions, owner_of, provision, upgrade
from libs.security import Identity, Role, create_app, serving
from libs.security.apps import HttpSettings
from services.inventory.register.api import RegisterApi
from services.inventory.register.searching import findable
from tests.benchmarks.content import TIME, profile, register
from tests.benchmarks.place import Place
from tests.benchmarks.report import Result, Rounds

NAME = "pages-1m"
COUNT = 1_000_000
PAGE = 100
REQUESTS = 200
"""Of each kind, in each round."""
_BY_KEY = "SELECT asset_id, revision, updated_at, state FROM asset WHERE asset_id = ANY($1::uuid[]) ORDER BY asset_id"
_TABLES = ("asset", "asset_revision", "asset_findable")
_FILLED_AT_ONCE = 20_000
_WORD = "サーバ"


@dataclass
class Times:
    """What requests of one kind took, ours and the floor's, in seconds."""

    ours: list[float] = field(default_factory=list)
    floor: list[float] = field(default_factory=list)


async def run(place: Place, count: int, rounds: int) -> Result:
    """The register is filled by COPY; then first pages and deep pages are asked for, each followed by its floor."""
    await _provision(place)
    superuser = await asyncpg.connect(place.stack.postgres_dsn("postgres", "inventory"))
    try:
        ids = await _fill(superuser, count)
        deep = ids[int(len(ids) * 0.9) : -PAGE] or ids[:1]
        chosen = random.Random(count)
        kinds: dict[str, list[tuple[float, float]]] = {"first": [], "deep": []}
        others: dict[str, list[float]] = {"as_of": [], "search": []}
        async with _service(place) as client:
            for _ in range(rounds):
                for kind, found in kinds.items():
                    after = [None if kind == "first" else chosen.choice(deep) for _ in range(REQUESTS)]
                    times = await _in_turns(client, superuser, after)
                    found.append((_p99(times.ours), _p99(times.floor)))
                others["as_of"].append(await _p99_of(client, [_path(one, as_of=True) for one in after]))
                others["search"].append(await _p99_of(client, [f"/v1/search?limit={PAGE}&q={quote(_WORD)}"] * 5))
    finally:
        await superuser.execute(f"TRUNCATE {', '.join(_TABLES)}")
        await superuser.close()
    rates = {
        f"{side} {kind}": Rounds.of(PAGE, [one[at] for one in found])
        for kind, found in kinds.items()
        for at, side in enumerate(("ours", "floor"))
    }
    return Result(
        scenario=NAME,
        unit="assets/s",
        ours=rates["ours first"],
        floor=rates["floor first"],
        floor_is="bare asyncpg: the same rows by their keys, past row-level security, JSON decoded",
        work={
            "assets": count,
            "measured": f"{PAGE} assets over the p99 of {REQUESTS} requests, a page each, over HTTP on loopback; the token is not verified",
            "times_of_the_first_page": _times(kinds["first"]),
            "times_of_a_deep_page": _times(kinds["deep"]),
            "p99_ms": {
                kind: [[round(1e3 * one, 2) for one in pair] for pair in found] for kind, found in kinds.items()
            },
        },
        also={
            "a deep page": rates["ours deep"],
            "its floor": rates["floor deep"],
            **{f"a page of {kind}": Rounds.of(PAGE, found) for kind, found in others.items()},
        },
    )


def _times(found: Sequence[tuple[float, float]]) -> float:
    """How many times as long as its floor a page takes, of the medians of the rounds."""
    return round(statistics.median(ours for ours, _ in found) / statistics.median(floor for _, floor in found), 2)


async def _provision(place: Place) -> None:
    stack, owner = place.stack, owner_of("inventory")
    passwords = stack.postgres_password(owner), stack.postgres_password("inventory")
    await provision(stack.postgres_dsn("postgres", "postgres"), "inventory", *passwords)
    await upgrade("services.inventory", stack.postgres_dsn(owner, "inventory"))


async def _fill(superuser: asyncpg.Connection[Any], count: int) -> list[str]:
    """`count` assets with one revision each; their ids in order."""
    await superuser.execute(f"TRUNCATE {', '.join(_TABLES)}")
    ids: list[str] = []
    assets = register(count)
    while rows := [_row(asset) for asset in islice(assets, _FILLED_AT_ONCE)]:
        ids += [row.asset_id for row in rows]
        await superuser.copy_records_to_table(
            "asset",
            records=[(row.asset_id, row.body, 1, TIME, row.text) for row in rows],
            columns=["asset_id", "body", "revision", "updated_at", "state"],
        )
        await superuser.copy_records_to_table(
            "asset_revision", records=[(row.asset_id, 1, row.body, TIME, row.text, '{"feed": "cmdb"}') for row in rows]
        )
        await superuser.copy_records_to_table("asset_findable", records=[findable(from_json(row.text)) for row in rows])
    await superuser.execute(f"VACUUM (ANALYZE) {', '.join(_TABLES)}")
    return sorted(ids)


@dataclass(frozen=True)
class _Row:
    asset_id: str
    body: str
    text: str


def _row(asset: Asset) -> _Row:
    return _Row(asset.asset_id, asset.body, asset.model_dump_json(exclude_none=True))


class _Anybody:
    """In the place of the verifier: every token is the security office's."""

    async def verify(self, _token: str) -> Identity:
        return Identity("office", "*", frozenset({Role.READER, Role.SECURITY_OFFICER}))


@asynccontextmanager
async def _service(place: Place) -> AsyncIterator[Client]:
    sessions = Sessions(PostgresSettings(dsn=SecretStr(place.stack.postgres_dsn("inventory", "inventory"))))
    app = create_app("Daicho inventory", _Anybody(), version="1")  # type: ignore[arg-type]
    app.include_router(RegisterApi(sessions, profile(), lambda: datetime.now(UTC)).router())
    try:
        async with serving(app, HttpSettings()) as address, await Client.connected(address) as client:
            yield client
    finally:
        await sessions.close()


class Client:
    """One connection that is kept open, and asks for one thing after another: it costs next to nothing of its own."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def connected(cls, address: str) -> Self:
        host, _, port = address.removeprefix("http://").partition(":")
        return cls(*await asyncio.open_connection(host, int(port)))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()
        await self._writer.wait_closed()

    async def get(self, path: str) -> bytes:
        """The body of an answer; raises RuntimeError where it is a refusal."""
        self._writer.write(f"GET {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer anybody\r\n\r\n".encode())
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = next(line for line in head.splitlines() if line.startswith("content-length:"))
        content = await self._reader.readexactly(int(length.partition(":")[2]))
        if not head.startswith("http/1.1 200"):
            raise RuntimeError(f"{path}: {content.decode()}")
        return content


def _path(after: str | None, *, as_of: bool = False) -> str:
    return (
        f"/v1/assets?limit={PAGE}"
        + (f"&after={after}" if after else "")
        + ("&as_of=2026-04-01T00:00:00Z" if as_of else "")
    )


async def _in_turns(client: Client, superuser: asyncpg.Connection[Any], pages: Sequence[str | None]) -> Times:
    times = Times()
    by_key = await superuser.prepare(_BY_KEY)
    gc.collect()
    for after in pages:
        began = time.perf_counter()
        answer = await client.get(_path(after))
        times.ours.append(time.perf_counter() - began)
        wanted = [UUID(one["asset_id"]) for one in json.loads(answer)["items"]]
        began = time.perf_counter()
        rows = [
            (row["asset_id"], row["revision"], row["updated_at"], from_json(row["state"]))
            for row in await by_key.fetch(wanted)
        ]
        times.floor.append(time.perf_counter() - began)
        if [row[0] for row in rows] != wanted:
            raise RuntimeError("the page and its floor are not the same rows")
    return times


async def _p99_of(client: Client, paths: Sequence[str]) -> float:
    seconds = []
    for path in paths:
        began = time.perf_counter()
        await client.get(path)
        seconds.append(time.perf_counter() - began)
    return _p99(seconds)


def _p99(seconds: Sequence[float]) -> float:
    return sorted(seconds)[max(0, -(-len(seconds) * 99 // 100) - 1)]
