# SPDX-License-Identifier: Apache-2.0
"""What the routes refuse before a ledger is read: too much, and more at a time than may be."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from unittest.mock import MagicMock

import httpx
import pytest

from libs.contracts import Profile
from libs.observability import Metrics
from libs.security import Identity, Role
from services.inventory.api import Api, create_app
from services.inventory.ledgers import api as ledgers

CALLER = Identity("ledger", frozenset({"audit"}), frozenset({Role.FEEDER}), frozenset({"ledger"}))
HEADERS = {"Authorization": "Bearer x", "Content-Type": "text/csv"}
PATH = "/v1/feeds/ledger/ledger?body=audit"


class Tokens:
    async def verify(self, _: str) -> Identity:
        return CALLER


@pytest.fixture
async def http(profile: Profile, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[httpx.AsyncClient]:
    """The service with small limits, over parts that no request here comes as far as."""
    monkeypatch.setattr(ledgers, "MAX_BYTES", 1000)
    monkeypatch.setattr(ledgers, "AT_ONCE", 0)
    nothing: Any = MagicMock()
    metrics = Metrics()
    api = Api(nothing, nothing, profile, {}, nothing, lambda: datetime(2026, 4, 1, tzinfo=UTC), metrics)
    app = create_app(Tokens(), api, profile, {}, metrics)  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://inventory") as client:
        yield client


async def pieces(count: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield b"x" * 100


@pytest.mark.parametrize("route", [PATH, PATH.replace("?", "/check?")])
async def test_more_than_may_be_sent_is_refused_also_where_its_length_was_not_told(
    http: httpx.AsyncClient, route: str
) -> None:
    for content in (b"x" * 1100, pieces(11)):
        answer = await http.post(route, content=content, headers=HEADERS)
        assert (answer.status_code, answer.json()["type"]) == (413, "urn:daicho:problem:too-large")


async def test_more_ledgers_at_a_time_than_may_be_are_told_to_come_again(http: httpx.AsyncClient) -> None:
    answer = await http.post(PATH, content=b"x", headers=HEADERS)

    assert (answer.status_code, answer.json()["type"]) == (503, "urn:daicho:problem:busy")
    assert int(answer.headers["Retry-After"]) > 0
