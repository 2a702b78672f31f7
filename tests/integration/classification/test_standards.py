# SPDX-License-Identifier: Apache-2.0
"""Standards over the API: who may publish and activate what, when, and what is told on the topic. PostgreSQL is real."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from libs.contracts import Applied, StandardActivated
from libs.contracts.topics import CONTROL
from libs.persistence import Pool
from libs.security import Role
from services.classification import store
from services.classification.settings import BASE, _files
from services.classification.standards.domain import activated
from services.classification.standards.store import show_applied

AUTHOR = ("author", [Role.EDITOR, Role.READER], ["mayor"])
BUREAU = ("bureau", [Role.EDITOR, Role.READER], ["waterworks"])
OFFICER = ("officer", [Role.SECURITY_OFFICER, Role.READER], ["*"])
SCHOOLS = ("schools", [Role.EDITOR, Role.READER], ["education"])
ROLL = "00000000-0000-4000-8000-000000000010"

Who = tuple[str, Iterable[Role], Iterable[str]]
Files = dict[str, str]


def edited(files: Mapping[str, str], name: str, old: str, new: str) -> Files:
    assert old in files[name]
    return {**files, name: files[name].replace(old, new, 1)}


def base(version: str = "2026.2", **more: tuple[str, str]) -> Files:
    """The shipped base as another version, with what stands in a file replaced."""
    files = edited(_files(BASE), "standard.yaml", '"2026.1"', f'"{version}"')
    for name, (old, new) in more.items():
        files = edited(files, f"{name}.yaml", old, new)
    return files


def overlay(version: str = "2026.2", on: str = "base/2026.1", body: str = "waterworks") -> Files:
    files = edited(_files(BASE.parent / "waterworks"), "overlay.yaml", '"2026.1"', f'"{version}"')
    files = edited(files, "overlay.yaml", "base: base/2026.1", f"base: {on}")
    return edited(files, "overlay.yaml", "body: waterworks", f"body: {body}")


class City:
    """People who publish and activate, each by name, roles and bodies."""

    def __init__(self, ask: Any, clock: Any) -> None:
        self._ask = ask
        self.clock = clock

    async def publish(self, files: Files, who: Who = AUTHOR) -> httpx.Response:
        return await self.send("POST", "standards", who, json={"files": files})

    async def activate(self, version: str, who: Who = OFFICER, *, seen: int | None = 0) -> httpx.Response:
        headers = {} if seen is None else {"If-Match": f'"{seen}"'}
        return await self.send("POST", f"standards/{version}/activation", who, headers=headers)

    async def get(self, path: str, who: Who = OFFICER) -> httpx.Response:
        return await self.send("GET", path, who)

    async def states(self, who: Who = OFFICER) -> dict[str, str]:
        return {f"{one['name']}/{one['version']}": one["state"] for one in (await self.get("standards", who)).json()}

    async def send(self, method: str, path: str, who: Who, **sent: Any) -> httpx.Response:
        subject, roles, bodies = who
        answer: httpx.Response = await self._ask(method, path, subject=subject, roles=roles, bodies=bodies, **sent)
        return answer


@pytest.fixture
def city(ask: Any, clock: Any, pool: Pool) -> City:
    return City(ask, clock)


async def told(pool: Pool) -> list[StandardActivated]:
    async with pool.acquire() as connection:
        rows = await connection.fetch("SELECT topic, key, value FROM outbox ORDER BY id")
    events = [StandardActivated.model_validate_json(row["value"]) for row in rows]
    assert [(row["topic"], row["key"].decode()) for row in rows] == [
        (CONTROL.name, f"-/activation/{event.subject}") for event in events
    ]
    return events


async def done(pool: Pool, place: str, activation: int, evaluated: int = 7, told: int = 7, partition: int = 0) -> None:
    """What a partition of one says that it has done."""
    async with pool.acquire() as connection, connection.transaction():
        one = Applied(
            place=place, activation=activation, partition=partition, partitions=2,
            evaluated=evaluated, told=told, total=7,
        )  # fmt: skip
        await show_applied(connection, [one])


def refused(answer: httpx.Response, status: int, word: str) -> None:
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
    assert word in answer.text, answer.text


async def test_one_publishes_and_another_activates(city: City, pool: Pool) -> None:
    published = await city.publish(base())
    assert published.status_code == 201, published.text
    assert (published.json()["state"], published.json()["published_by"]) == ("published", "author")
    assert await told(pool) == []
    assert (await city.get("standard")).json()["version"] == "2026.1"

    seen = await city.get(published.headers["Location"].removeprefix("/v1/"))
    assert (seen.headers["ETag"], seen.json()["files"]) == ('"0"', base())
    answer = await city.activate("base/2026.2")

    assert (answer.status_code, answer.headers["ETag"]) == (202, '"1"'), answer.text
    assert (answer.json()["state"], answer.json()["share"]) == ("activating", 0.0)
    (event,) = await told(pool)
    assert (event.subject, event.revision, event.data.activated_by) == ("base", 1, "officer")
    assert (event.data.published_by, event.standardversion) == ("author", "base/2026.2")
    heard = activated(event).standard
    assert (heard.version, heard.digest) == ("base/2026.2", published.json()["digest"])
    assert (await city.get("standard")).json()["digest"] == heard.digest
    assert (await city.get("standard?body=mayor")).json()["version"] == "2026.2"
    assert (await city.get("standard?body=waterworks")).json()["name"] == "base-waterworks"


async def test_who_published_it_does_not_activate_it_nor_does_who_is_no_security_officer(city: City) -> None:
    await city.publish(base(), OFFICER)

    refused(await city.activate("base/2026.2"), 403, "公開した本人")
    refused(await city.activate("base/2026.2", AUTHOR), 403, "")
    assert (await city.activate("base/2026.2", ("deputy", OFFICER[1], ["*"]))).status_code == 202


async def test_who_activates_says_what_they_have_seen(city: City) -> None:
    await city.publish(base())
    await city.publish(base("2026.3"))

    refused(await city.activate("base/2026.2", seen=None), 428, "If-Match")
    refused(await city.activate("base/2026.2", seen=1), 412, "変更されています")
    assert (await city.activate("base/2026.2")).status_code == 202
    refused(await city.activate("base/2026.3"), 412, "変更されています")
    refused(await city.activate("base/2026.2", seen=1), 409, "既に適用")
    assert (await city.activate("base/2026.3", seen=1)).status_code == 202


async def test_of_several_who_activate_at_once_one_does(city: City, pool: Pool) -> None:
    await city.publish(base())

    answers = await asyncio.gather(*(city.activate("base/2026.2") for _ in range(4)))

    assert sorted(answer.status_code for answer in answers) == [202, 412, 412, 412]
    assert len(await told(pool)) == 1


async def test_the_states_follow_what_the_partitions_say_and_an_earlier_version_comes_back(
    city: City, pool: Pool
) -> None:
    await city.publish(base())
    before = await city.states()
    assert (before["base/2026.1"], before["base/2026.2"]) == ("active", "published")
    await city.activate("base/2026.2")
    await done(pool, "base", 1)
    await done(pool, "base", 1, evaluated=7, told=0, partition=1)

    half = (await city.get("standards/base/2026.2")).json()
    assert (half["state"], half["share"]) == ("activating", 0.75)
    await done(pool, "base", 1, partition=1)
    assert {(await city.states())[one] for one in ("base/2026.1", "base/2026.2")} == {"superseded", "active"}

    back = await city.activate("base/2026.1", AUTHOR[:1] + OFFICER[1:], seen=1)
    assert back.status_code == 202, back.text
    assert [event.revision for event in await told(pool)] == [1, 2]
    await done(pool, "base", 1)
    again = await city.states()
    assert (again["base/2026.1"], again["base/2026.2"]) == ("activating", "superseded")
    assert (await city.get("standard")).json()["version"] == "2026.1"


async def test_a_name_and_version_say_one_thing(city: City) -> None:
    assert (await city.publish(base())).status_code == 201
    again = await city.publish(base(), ("other", AUTHOR[1], ["mayor"]))
    assert (again.status_code, again.json()["published_by"]) == (200, "author")

    refused(await city.publish(base(rules=("CR-01", "CR-98"))), 409, "既に公開")
    refused(await city.publish(base("2026.1", rules=("CR-01", "CR-98"))), 409, "既に公開")
    assert (await city.publish(_files(BASE))).json()["published_by"] is None


async def test_each_mistake_is_told_at_its_file_line_and_column(city: City) -> None:
    wrong = edited(base(), "rules.yaml", 'level: "2"', "level: 9Z")

    (level,) = (await city.publish(wrong)).json()["errors"]
    assert level["field"].startswith("rules.yaml:4:")
    assert "9Z" in level["detail"]
    answer = await city.publish({**wrong, "notes.yaml": "a: 1", "inheritance.yaml": "["})
    assert answer.status_code == 422
    assert [one["field"] for one in answer.json()["errors"]] == ["inheritance.yaml:1:2", "notes.yaml:1:1"]
    of_overlay = await city.publish(edited(overlay(), "changes.yaml", "- add: fact", "- add: fakt"), BUREAU)
    assert of_overlay.json()["errors"][0]["field"].startswith("changes.yaml:")
    assert (await city.states()).keys() == {"base/2026.1", "waterworks/2026.1", "education/2026.1"}


@pytest.mark.parametrize(
    "content", [{}, {"files": {}}, {"files": {"../x.yaml": "a"}}, {"files": {"a.yaml": 1}}, {"files": {}, "more": 1}]
)
async def test_what_is_no_set_of_files_is_refused(city: City, content: dict[str, Any]) -> None:
    assert (await city.send("POST", "standards", AUTHOR, json=content)).status_code == 422


async def test_an_overlay_is_its_bodys_on_a_base_that_is_here(city: City) -> None:
    refused(await city.publish(overlay(body="mayor"), AUTHOR), 409, "基本方針 §9")
    refused(await city.publish(overlay(body="nobody"), AUTHOR), 409, "プロファイル")
    refused(await city.publish(overlay(on="base/2031.1"), BUREAU), 409, "base/2031.1")
    refused(await city.publish(overlay(), AUTHOR), 403, "所管する行政機関")
    refused(await city.publish(base(), BUREAU), 403, "所管する行政機関")
    refused(await city.publish(overlay(), ("auditor", [Role.READER], ["waterworks"])), 403, "")

    published = await city.publish(overlay(), BUREAU)

    assert (published.status_code, published.json()["network"]) == (201, "waterworks")
    assert "waterworks/2026.2" in await city.states(BUREAU)
    assert "waterworks/2026.2" not in await city.states(SCHOOLS)
    assert (await city.get("standards/waterworks/2026.2", SCHOOLS)).status_code == 404
    assert (await city.get("standards/waterworks/9999.1")).status_code == 404


async def test_an_overlay_stands_on_the_base_that_it_names_and_only_on_one_that_has_held(
    city: City, pool: Pool
) -> None:
    await city.publish(base(rules=("CR-11", "CR-98")))
    await city.publish(overlay(), BUREAU)
    await city.publish(overlay("2026.3", "base/2026.2"), BUREAU)

    refused(await city.activate("waterworks/2026.3"), 409, "適用されたことがありません")
    assert (await city.activate("waterworks/2026.2")).status_code == 202
    assert (await city.activate("base/2026.2")).status_code == 202
    assert (await city.activate("waterworks/2026.3", seen=1)).status_code == 202

    places = [(event.subject, event.revision) for event in await told(pool)]
    assert places == [("network/waterworks", 1), ("base", 1), ("network/waterworks", 2)]
    rules = [{one.id for one in activated(event).standard.document.rules} for event in await told(pool)]
    assert ["CR-98" in one for one in rules] == [False, True, True]
    states = await city.states()
    assert (states["waterworks/2026.1"], states["education/2026.1"]) == ("superseded", "active")


async def test_one_with_other_scales_than_hold_elsewhere_or_before_its_day_is_refused(city: City) -> None:
    third = '  - {code: "3", name: {ja: 三, en: three}, definition: {ja: 三, en: three}}\n'
    more = {**base(), "scales.yaml": _files(BASE)["scales.yaml"] + third}
    assert (await city.publish(more)).status_code == 201
    refused(await city.activate("base/2026.2"), 409, "分類区分の体系")
    later = edited(base("2027.1"), "standard.yaml", "2026-04-01T00", "2027-04-01T00")
    assert (await city.publish(later)).status_code == 201

    refused(await city.activate("base/2027.1"), 409, "施行は 2027-0")
    city.clock.now = datetime(2027, 4, 2, tzinfo=UTC)
    assert (await city.activate("base/2027.1")).status_code == 202


async def test_a_duty_that_was_withdrawn_is_told_until_the_asset_is_evaluated_anew(city: City, pool: Pool) -> None:
    human = _files(BASE)["obligations/human.yaml"]
    head, *duties = human.split("\n- id: ")
    without = "\n- id: ".join([head, *(one for one in duties if not one.startswith("H-07"))])
    await city.publish({**base(), "obligations/human.yaml": without})
    async with pool.acquire() as connection, connection.transaction():
        shown = store.Shown(
            "mayor", ROLL, "mayor", "名簿", "information", None, None, 1, "base/2026.1", 1, city.clock()
        )
        levels = shown._replace(confidentiality="3B", integrity="2", availability="1", explanations=json.dumps({}))
        await store.show_levels(connection, ["mayor"], [levels])
        await store.show_duties(connection, ["mayor"], [shown._replace(in_force=["H-07"])])

    await city.activate("base/2026.2")

    answer = await city.get(f"classifications/{ROLL}/obligations")
    assert [one["id"] for one in answer.json()] == ["H-07"]
    refused(await city.get("classifications?obligation=H-07", AUTHOR), 422, "query:obligation")
