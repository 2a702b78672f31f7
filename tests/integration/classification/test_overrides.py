# SPDX-License-Identifier: Apache-2.0
"""Overrides over the API: who may do what, when, and what is told on the topic. PostgreSQL is real."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from libs.contracts import OverrideChanged, Profile
from libs.contracts.topics import CONTROL
from libs.persistence import Pool
from libs.security import Role
from services.classification import store
from services.classification.overrides.expiry import Expiry

ROLL, ELECTION_ROLL = "00000000-0000-4000-8000-000000000010", "00000000-0000-4000-8000-000000000011"
EXPLANATIONS = {
    dimension: {"level": level, "origin": "derived", "derived": level}
    for dimension, level in (("confidentiality", "3B"), ("integrity", "2"), ("availability", "1"))
}
SHOWN_AT = datetime(2026, 4, 1, tzinfo=UTC)
ASKER, OTHER = ("asker", [Role.EDITOR]), ("other", [Role.EDITOR])
OFFICER = ("officer", [Role.SECURITY_OFFICER, Role.READER])


class City:
    """People who ask and decide, each by name and roles."""

    def __init__(self, ask: Any, clock: Any) -> None:
        self._ask = ask
        self.clock = clock

    def request(self, **changed: Any) -> dict[str, Any]:
        expires_at = (self.clock() + timedelta(days=30)).isoformat()
        return {
            "dimension": "confidentiality", "level": "3A", "reason": "訴訟の証拠に当たるため", "expires_at": expires_at,
            **changed,
        }  # fmt: skip

    async def ask(
        self,
        who: tuple[str, Iterable[Role]] = ASKER,
        asset: str = ROLL,
        bodies: Iterable[str] = ("mayor",),
        **changed: Any,
    ) -> httpx.Response:
        path = f"classifications/{asset}/overrides"
        return await self._send("POST", path, who, bodies, json=self.request(**changed))

    async def do(
        self,
        what: str,
        override: dict[str, Any],
        who: tuple[str, Iterable[Role]],
        *,
        revision: int | None = 1,
        **content: Any,
    ) -> httpx.Response:
        headers = {} if revision is None else {"If-Match": f'"{revision}"'}
        path = f"overrides/{override['override_id']}/{what}"
        return await self._send("POST", path, who, ("mayor",), json=content, headers=headers)

    async def get(self, path: str, bodies: Iterable[str] = ("mayor",)) -> httpx.Response:
        return await self._send("GET", path, ("auditor", [Role.READER]), bodies)

    async def _send(
        self, method: str, path: str, who: tuple[str, Iterable[Role]], bodies: Iterable[str], **sent: Any
    ) -> httpx.Response:
        answer: httpx.Response = await self._ask(method, path, subject=who[0], roles=who[1], bodies=bodies, **sent)
        return answer


@pytest.fixture
async def city(ask: Any, clock: Any, pool: Pool, profile: Profile) -> City:
    """Two bodies with a roll each."""
    async with pool.acquire() as connection, connection.transaction():
        rows = [
            store.Shown(
                body, asset, "mayor", "名簿", "information", None, None, 1, "base/2026.1", 1, SHOWN_AT
            )._replace(confidentiality="3B", integrity="2", availability="1", explanations=json.dumps(EXPLANATIONS))
            for body, asset in (("mayor", ROLL), ("election", ELECTION_ROLL))
        ]
        await store.show_levels(connection, profile.body_by_id, rows)
    return City(ask, clock)


async def told(pool: Pool) -> list[OverrideChanged]:
    async with pool.acquire() as connection:
        rows = await connection.fetch("SELECT topic, key, value FROM outbox ORDER BY id")
    events = [OverrideChanged.model_validate_json(row["value"]) for row in rows]
    for row, event in zip(rows, events, strict=True):
        override = event.data
        place = f"{event.body}/override/{override.asset_id}/{override.dimension}/{override.override_id}"
        assert (row["topic"], row["key"].decode()) == (CONTROL.name, place)
        assert event.revision == override.revision
    return events


def refused(answer: httpx.Response, status: int, word: str) -> None:
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
    assert word in answer.text, answer.text


async def test_one_asks_another_approves_and_each_step_is_told(city: City, pool: Pool) -> None:
    asked = await city.ask()
    assert asked.status_code == 201, asked.text
    assert asked.headers["ETag"] == '"1"'
    found = await city.get(asked.headers["Location"].removeprefix("/v1/"))
    assert found.json() == asked.json()

    approved = await city.do("approve", asked.json(), OTHER, note="庁議で確認した")
    withdrawn = await city.do("withdraw", asked.json(), OFFICER, revision=2, note="訴訟が終わった")

    assert (approved.status_code, withdrawn.status_code) == (200, 200)
    last = withdrawn.json()
    assert (last["asked_by"], last["decided_by"], last["ended_by"]) == ("asker", "other", "officer")
    assert (last["decision_note"], last["end_note"]) == ("庁議で確認した", "訴訟が終わった")
    assert [(one.data.state, one.revision) for one in await told(pool)] == [
        ("asked", 1), ("approved", 2), ("withdrawn", 3),
    ]  # fmt: skip


async def test_a_level_below_what_holds_without_it_needs_a_security_officer(city: City) -> None:
    asked = (await city.ask(level="2")).json()

    refused(await city.do("approve", asked, OTHER), 403, "責任者")
    assert (await city.do("approve", asked, OFFICER)).status_code == 200


@pytest.mark.parametrize("what", ["approve", "refuse"])
async def test_nobody_decides_on_their_own_request(city: City, what: str) -> None:
    asked = (await city.ask(OFFICER)).json()

    refused(await city.do(what, asked, OFFICER, note="理由"), 403, "本人")


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"reason": " "}, "/reason"),
        ({"reason": ""}, "/reason"),
        ({"level": "9Z"}, "/level"),
        ({"level": "秘"}, "/level"),
        ({"expires_at": "2026-03-31T23:59:59Z"}, "/expires_at"),
        ({"expires_at": "2027-04-03T00:00:00Z"}, "/expires_at"),
        ({"expires_at": "2026-05-01T00:00:00"}, "/expires_at"),
        ({"dimension": "secrecy"}, "/dimension"),
        ({"body": "election"}, "/body"),
    ],
)
async def test_a_request_that_cannot_be_names_its_field(
    city: City, pool: Pool, changed: dict[str, Any], field: str
) -> None:
    answer = await city.ask(**changed)

    assert answer.status_code == 422
    assert [one["field"] for one in answer.json()["errors"]] == [field]
    assert await told(pool) == []


async def test_who_decides_says_what_they_have_read(city: City) -> None:
    asked = (await city.ask()).json()

    refused(await city.do("approve", asked, OTHER, revision=None), 428, "If-Match")
    refused(await city.do("approve", asked, OTHER, revision=2), 412, "変更されています")
    refused(await city.do("refuse", asked, OTHER), 422, "/note")


async def test_what_is_decided_is_not_decided_again_and_what_has_ended_does_not_end_again(city: City) -> None:
    asked = (await city.ask()).json()
    assert (await city.do("refuse", asked, OTHER, note="理由が足りない")).status_code == 200

    refused(await city.do("approve", asked, OTHER, revision=2), 409, "決裁待ち")
    refused(await city.do("withdraw", asked, ASKER, revision=2), 409, "終了")


async def test_one_request_at_a_time_and_a_renewal_leaves_no_moment_without(city: City, pool: Pool) -> None:
    first = (await city.ask()).json()
    refused(await city.ask(), 409, "決裁待ち")
    assert (await city.ask(dimension="integrity", level="1")).status_code == 201
    assert (await city.do("approve", first, OTHER)).status_code == 200

    second = (await city.ask(reason="訴訟が続くため")).json()
    assert (await city.do("approve", second, OTHER)).status_code == 200

    last = [(one.data.override_id, one.data.state) for one in (await told(pool))[-2:]]
    assert last == [(second["override_id"], "approved"), (first["override_id"], "withdrawn")]
    states = {
        one["override_id"]: one["state"] for one in (await city.get(f"overrides?asset_id={ROLL}")).json()["items"]
    }
    assert (states[first["override_id"]], states[second["override_id"]]) == ("withdrawn", "approved")


async def test_of_two_who_ask_at_once_one_is_refused(city: City) -> None:
    answers = await asyncio.gather(*(city.ask((f"asker-{number}", [Role.EDITOR])) for number in range(4)))

    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]


async def test_of_two_who_decide_at_once_one_is_refused(city: City) -> None:
    asked = (await city.ask()).json()

    answers = await asyncio.gather(
        *(city.do("approve", asked, (f"other-{number}", [Role.EDITOR])) for number in range(4))
    )

    assert sorted(answer.status_code for answer in answers) == [200, 412, 412, 412]


async def test_each_body_sees_and_asks_for_its_own(city: City) -> None:
    asked = (await city.ask()).json()
    place = f"overrides/{asked['override_id']}"

    assert (await city.get(place, ["election"])).status_code == 404
    assert (await city.get("overrides", ["election"])).json()["items"] == []
    assert (await city.get("overrides?body=mayor", ["election"])).status_code == 404
    assert (await city.ask(asset=ELECTION_ROLL)).status_code == 404
    assert (await city.ask(asset=ELECTION_ROLL, bodies=["election"])).status_code == 201
    assert (await city.get(f"overrides?after={asked['override_id']}", ["election"])).json()["items"] == []


async def test_a_reader_neither_asks_nor_decides(city: City) -> None:
    reader = ("auditor", [Role.READER])
    asked = (await city.ask()).json()

    refused(await city.ask(reader), 403, "")
    for what in ("approve", "refuse", "withdraw"):
        refused(await city.do(what, asked, reader, note="理由"), 403, "")


async def test_pages_follow_one_another_the_newest_first(city: City) -> None:
    ids = []
    for dimension, level in (("confidentiality", "3A"), ("integrity", "1"), ("availability", "2")):
        ids.append((await city.ask(dimension=dimension, level=level)).json()["override_id"])
        city.clock.now += timedelta(seconds=1)

    first = (await city.get("overrides?limit=2")).json()
    second = (await city.get(f"overrides?limit=2&after={first['next']}")).json()

    assert [one["override_id"] for one in (*first["items"], *second["items"])] == ids[::-1]
    assert second["next"] is None


async def test_what_is_asked_of_an_asset_that_has_gone_cannot_be_approved(
    city: City, pool: Pool, profile: Profile
) -> None:
    asked = (await city.ask()).json()
    async with pool.acquire() as connection, connection.transaction():
        gone = store.Shown("mayor", ROLL, "mayor", "名簿", "information", None, None, 2, "base/2026.1", 2, SHOWN_AT)
        await store.show_levels(connection, profile.body_by_id, [gone])

    refused(await city.do("approve", asked, OTHER), 409, "廃止")
    assert (await city.do("withdraw", asked, OTHER)).status_code == 200


async def test_time_ends_what_is_asked_and_what_is_approved(city: City, pool: Pool, profile: Profile) -> None:
    one = (await city.ask()).json()
    other = (await city.ask(dimension="integrity", level="1")).json()
    await city.do("approve", one, OTHER)
    expiry = Expiry(pool, profile.body_by_id, profile.municipality, city.clock)

    await expiry.look()
    assert {event.data.state for event in await told(pool)} == {"asked", "approved"}
    city.clock.now += timedelta(days=30)
    await asyncio.gather(*(expiry.look() for _ in range(3)))

    ended = [event.data for event in (await told(pool))[3:]]
    assert {(override.override_id, override.state, override.ended_by) for override in ended} == {
        (one["override_id"], "expired", None),
        (other["override_id"], "expired", None),
    }
    assert {override.ended_at for override in ended} == {city.clock()}
