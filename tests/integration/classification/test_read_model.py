# SPDX-License-Identifier: Apache-2.0
"""The read model, filled from events by the projector, and what its API shows of it to whom. PostgreSQL is real, Kafka is not needed."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import yaml

from libs.bus import KafkaSettings, PartitionDeadLetters, Subscription
from libs.contracts import AssetChanged, Audience, Part, Profile, kafka_headers, make_key
from libs.contracts.topics import ASSETS, CLASSIFICATIONS, FINDINGS, OBLIGATIONS
from libs.observability import Metrics
from libs.persistence import Pool
from libs.standards import Standard, StandardsInForce
from services.classification import store
from services.classification.worker import Projector
from tests.classifiers import ToldClassifier

NOW = datetime(2026, 4, 1, tzinfo=UTC)
PROFILE = Profile.model_validate(yaml.safe_load(Path("samples/city/profile.yaml").read_text(encoding="utf-8")))
RESIDENTS = {"data_kinds": ["resident"], "personal_data": True, "record_count": 91234}
ROLL, DRAFT, SYSTEM, LATER = (f"00000000-0000-4000-8000-0000000000{number}" for number in (10, 11, 12, 13))

Get = Callable[..., Any]


class Log:
    """What the topics hold, as the worker makes it of changes of assets."""

    def __init__(self, standard: Standard) -> None:
        self.now = NOW
        self._classifier = ToldClassifier(StandardsInForce(standard), PROFILE.municipality, lambda: self.now)
        self._revisions: dict[str, int] = {}
        self.topics: dict[str, list[Any]] = {one.name: [] for one in (ASSETS, CLASSIFICATIONS, OBLIGATIONS, FINDINGS)}

    def change(self, asset_id: str, body: str = "mayor", **fields: Any) -> None:
        self._revisions[asset_id] = revision = self._revisions.get(asset_id, 0) + 1
        network = PROFILE.network_of(body)
        base = {"kind": "information", "name": "名簿", "facts": {}, "asset_id": asset_id, "body": body}
        event = AssetChanged.model_validate({
            "id": f"{asset_id}:{revision}", "source": f"urn:daicho:990019:{body}:inventory", "subject": asset_id,
            "time": NOW, "body": body, "network": network, "revision": revision,
            "data": {"before": None, "after": {**base, "network": network, **fields}, "change": {}},
        })  # fmt: skip
        key = make_key(network, body, asset_id)
        self._add(ASSETS.name, key, event.model_dump_json().encode(), kafka_headers(event))
        for message in self._classifier.take_events([event]):
            self._add(*message)

    def _add(self, topic: str, key: bytes, value: bytes, headers: Sequence[tuple[str, bytes]]) -> None:
        records = self.topics[topic]
        records.append(
            SimpleNamespace(
                topic=topic, partition=0, offset=len(records), timestamp=0, key=key, value=value, headers=headers
            )
        )


@pytest.fixture
def log(standard: Standard) -> Log:
    return Log(standard)


async def show(pool: Pool, topic: str, records: Sequence[Any]) -> None:
    """One batch, as the projector's consumer shows it."""
    projector = Projector(PROFILE)
    apply = {
        ASSETS.name: projector.apply_assets,
        CLASSIFICATIONS.name: projector.apply_levels,
        OBLIGATIONS.name: projector.apply_duties,
        FINDINGS.name: projector.apply_findings,
    }[topic]
    subscription = Subscription(
        settings=KafkaSettings(bootstrap="none"),
        group="projection",
        topic=topic,
        service="classification",
        municipality=PROFILE.municipality,
        instance="0",
        metrics=Metrics(),
    )
    letters = PartitionDeadLetters(subscription, {})
    async with pool.acquire() as connection, connection.transaction():
        await apply(connection, records, letters)
    assert letters.letters == []


async def show_all(pool: Pool, log: Log) -> None:
    for topic, records in log.topics.items():
        await show(pool, topic, records)


@pytest.fixture
def get(ask: Any) -> Get:
    """Asks as a reader of `bodies`."""

    async def get(path: str, bodies: Iterable[str] = ("mayor",), **headers: str) -> httpx.Response:
        answer: httpx.Response = await ask("GET", path, bodies=bodies, headers=headers)
        return answer

    return get


def ids(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [item["asset_id"] for item in answer.json()["items"]]


async def test_a_list_is_narrowed_to_what_one_obligation_is(pool: Pool, log: Log, get: Get, standard: Standard) -> None:
    log.change(ROLL, facts=RESIDENTS, zone="mynumber")
    log.change(DRAFT, kind="document", facts={"published": True, "medium": "paper"})
    log.change(SYSTEM, kind="system", relations=[{"type": "stores", "asset_id": ROLL}])
    await show_all(pool, log)

    whole = (await get("classifications")).json()["items"]
    duties = standard.published().duties
    found = set()
    for part in Part:
        for audience in Audience:
            wanted = {duty.id for duty in duties if (duty.part, duty.audience) == (part, audience)}
            expected = [item["asset_id"] for item in whole if wanted & set(item["in_force"])]
            assert ids(await get(f"classifications?part={part}&audience={audience}")) == expected
            found.add(len(expected))
    assert {0, len(whole)} < found
    [review] = [duty for duty in duties if duty.id == "H-07"]
    assert ids(await get(f"classifications?obligation=H-07&part={review.part}")) == [ROLL, SYSTEM]
    assert ids(await get("classifications?obligation=H-07&part=physical")) == []


async def test_an_obligation_that_the_standard_does_not_have_is_told_so(get: Get) -> None:
    refused = await get("classifications?obligation=H-99")

    assert refused.status_code == 422
    assert [error["field"] for error in refused.json()["errors"]] == ["query:obligation"]


async def test_an_answer_that_is_known_is_not_sent_again(pool: Pool, log: Log, get: Get) -> None:
    log.change(ROLL, facts=RESIDENTS)
    await show_all(pool, log)
    tags = set()
    for fields in ({"facts": RESIDENTS, "name": "転入者名簿"}, {"facts": {"published": True}, "name": "転入者名簿"}):
        for path in (f"classifications/{ROLL}", f"classifications/{ROLL}/obligations"):
            first = await get(path)
            again = await get(path, **{"If-None-Match": first.headers["ETag"]})
            assert (first.status_code, again.status_code, again.content) == (200, 304, b"")
            assert again.headers["ETag"] == first.headers["ETag"]
            tags.add(first.headers["ETag"])
        log.change(ROLL, **fields)
        await show_all(pool, log)
        later = await get(f"classifications/{ROLL}", **{"If-None-Match": first.headers["ETag"]})
        assert later.status_code == 200
        assert later.headers["ETag"] not in tags
    assert len(tags) == 2


async def test_an_asset_that_is_renamed_or_moves_to_another_zone_is_found_so(pool: Pool, log: Log, get: Get) -> None:
    log.change(ROLL, facts=RESIDENTS, name="旧名簿", zone="lgwan")
    log.change(ROLL, facts=RESIDENTS, name="新名簿", zone="lgwan", section="市民課")
    await show_all(pool, log)
    assert len(log.topics[CLASSIFICATIONS.name]) == 1

    found = (await get(f"classifications/{ROLL}")).json()
    assert (found["name"], found["section"], found["asset_revision"]) == ("新名簿", "市民課", 2)
    await show(pool, ASSETS.name, log.topics[ASSETS.name][:1])
    assert (await get(f"classifications/{ROLL}")).json() == found


async def test_an_asset_is_not_shown_before_it_is_classified_nor_after_it_is_retired(
    pool: Pool, log: Log, get: Get
) -> None:
    log.change(ROLL, facts=RESIDENTS)
    await show(pool, ASSETS.name, log.topics[ASSETS.name])
    assert (await get(f"classifications/{ROLL}")).status_code == 404
    await show_all(pool, log)
    assert ids(await get("classifications")) == [ROLL]

    log.change(ROLL, facts=RESIDENTS, status="retired")
    await show_all(pool, log)

    assert (await get(f"classifications/{ROLL}")).status_code == 404
    assert (await get("classifications")).json()["items"] == []
    assert (await get("summary")).json() == []


async def test_obligations_that_the_standard_no_longer_has_are_not_left_out_in_silence(pool: Pool, get: Get) -> None:
    row = store.Shown("mayor", LATER, "mayor", "名簿", "information", None, None, 1, "base/2020.1", 1, NOW)
    levels = {"confidentiality": "2", "integrity": "1", "availability": "1", "explanations": "{}"}
    async with pool.acquire() as connection, connection.transaction():
        await store.show_levels(connection, PROFILE.body_by_id, [row._replace(**levels)])
        await store.show_duties(connection, PROFILE.body_by_id, [row._replace(in_force=["H-01", "Z-99"])])

    answer = await get(f"classifications/{LATER}/obligations")

    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "10"
    assert (await get(f"classifications/{LATER}")).json()["in_force"] == ["H-01", "Z-99"]


async def test_each_body_sees_its_own(pool: Pool, log: Log, get: Get) -> None:
    log.change(ROLL, facts=RESIDENTS)
    log.change(DRAFT, body="election", facts=RESIDENTS)
    await show_all(pool, log)

    assert ids(await get("classifications", ["mayor"])) == [ROLL]
    assert ids(await get("classifications", ["election"])) == [DRAFT]
    for path in ("classifications?body=election", "classifications?body=harbour", "overrides?body=election"):
        assert (await get(path, ["mayor"])).status_code == 404
    assert ids(await get("classifications", ["mayor", "election"])) == [ROLL, DRAFT]
    for path in (f"classifications/{DRAFT}", f"classifications/{DRAFT}/obligations"):
        refused = await get(path, ["mayor"])
        assert refused.status_code == 404
        assert DRAFT not in refused.text
    assert [one["body"] for one in (await get("summary", ["mayor"])).json()] == ["mayor"]


async def test_pages_follow_one_another_without_gap_or_repetition(pool: Pool, log: Log, get: Get) -> None:
    every = [f"00000000-0000-4000-8000-{number:012}" for number in range(100, 123)]
    for asset_id in random.Random(1).sample(every, len(every)):
        log.change(asset_id, body="election" if int(asset_id[-1]) % 2 else "mayor")
    await show_all(pool, log)

    found, after = [], ""
    while True:
        answer = await get(f"classifications?limit=5{after}", ["mayor", "election"])
        found += ids(answer)
        if (following := answer.json()["next"]) is None:
            break
        after = f"&after={following}"
    assert found == every


@pytest.mark.parametrize("seed", range(8))
async def test_the_three_topics_may_be_read_each_at_its_own_pace_and_again(pool: Pool, log: Log, seed: int) -> None:
    """However they interleave, and whatever is read twice, the read model ends the same."""
    chance = random.Random(seed)
    for _ in range(30):
        log.change(
            chance.choice((ROLL, DRAFT, SYSTEM)),
            name=chance.choice(("甲", "乙")),
            zone=chance.choice((None, "lgwan")),
            facts=chance.choice(({}, RESIDENTS, {"published": True})),
            status=chance.choice(("active", "active", "active", "retired")),
            relations=[{"type": "stores", "asset_id": chance.choice((ROLL, DRAFT))}],
        )
    at = dict.fromkeys(log.topics, 0)
    while behind := [topic for topic, records in log.topics.items() if at[topic] < len(records)]:
        topic = chance.choice(behind)
        begin, end = max(0, at[topic] - chance.randrange(3)), at[topic] + chance.randint(1, 8)
        await show(pool, topic, log.topics[topic][begin:end])
        at[topic] = max(at[topic], min(end, len(log.topics[topic])))
    interleaved = await rows(pool)

    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("SELECT set_config('daicho.bodies', 'mayor', true)")
        await connection.execute("DELETE FROM asset_classification")
    await show_all(pool, log)

    assert interleaved == await rows(pool)
    assert len(interleaved) == 3


async def rows(pool: Pool) -> list[dict[str, Any]]:
    """All that is shown; which event showed a name first is not."""
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("SELECT set_config('daicho.bodies', 'mayor', true)")
        found = await connection.fetch("SELECT * FROM asset_classification ORDER BY asset_id")
    return [{name: value for name, value in row.items() if name != "asset_revision"} for row in found]


async def test_what_checks_show_is_told_of_each_asset_and_unmet_ones_are_found(pool: Pool, log: Log, get: Get) -> None:
    log.change(ROLL, facts={**RESIDENTS, "encrypted": False, "access_restricted": True})
    log.change(DRAFT, facts={**RESIDENTS, "encrypted": True})
    log.change(SYSTEM, body="election", facts={**RESIDENTS, "encrypted": False})
    await show_all(pool, log)

    found = {one["obligation"]: one for one in (await get(f"classifications/{ROLL}/findings")).json()}
    assert {name: one["state"] for name, one in found.items() if one["state"] != "unknown"} == {
        "T-06": "not_met", "C-13": "met",
    }  # fmt: skip
    assert found["T-06"]["since"] is not None
    assert found["C-03"] == {"obligation": "C-03", "state": "unknown", "since": None}
    assert ids(await get("classifications?unmet=T-06")) == [ROLL]
    assert ids(await get("classifications?unmet=T-06", ["mayor", "election"])) == [ROLL, SYSTEM]
    assert ids(await get("classifications?unmet=C-13")) == []
    [summary] = (await get("summary")).json()
    assert (summary["met"], summary["not_met"]) == (2, 1)
    assert (await get(f"classifications/{SYSTEM}/findings")).status_code == 404

    log.change(ROLL, facts={**RESIDENTS, "encrypted": True})
    await show_all(pool, log)
    assert ids(await get("classifications?unmet=T-06")) == []
    now = {one["obligation"]: one["state"] for one in (await get(f"classifications/{ROLL}/findings")).json()}
    assert (now["T-06"], now["C-13"]) == ("met", "unknown")

    log.change(ROLL, facts={"published": True})
    await show_all(pool, log)
    assert "T-06" not in {one["obligation"] for one in (await get(f"classifications/{ROLL}/findings")).json()}
    assert (await get("summary")).json()[0]["met"] == 1


async def test_an_obligation_without_a_check_cannot_be_asked_for_as_unmet(get: Get) -> None:
    for obligation in ("C-01", "Z-99"):
        refused = await get(f"classifications?unmet={obligation}")
        assert refused.status_code == 422
        assert [error["field"] for error in refused.json()["errors"]] == ["query:unmet"]


async def test_the_way_of_a_level_is_explained_and_drawn_to_who_may_read_it(pool: Pool, log: Log, get: Get) -> None:
    log.change(ROLL, facts=RESIDENTS, name="住民記録")
    log.change(SYSTEM, kind="system", name="窓口端末", relations=[{"type": "stores", "asset_id": ROLL}])
    log.change(DRAFT, body="election", kind="system", relations=[{"type": "stores", "asset_id": SYSTEM}])
    await show_all(pool, log)

    found = (await get(f"classifications/{SYSTEM}/explanation")).json()["dimensions"]["confidentiality"]
    assert (found["level"], found["origin"], found["rule"]["id"]) == ("3B", "inherited", "CR-11")
    assert [(step["name"], step["relation"]) for step in found["path"]] == [("住民記録", "stores")]
    picture = await get(f"classifications/{SYSTEM}/explanation.svg?dimension=confidentiality&language=en")
    assert picture.headers["content-type"] == "image/svg+xml"
    assert picture.headers["content-security-policy"] == "default-src 'none'"
    assert "住民記録" in picture.text

    foreign = await get(f"classifications/{DRAFT}/explanation", ["election"])
    assert foreign.json()["dimensions"]["confidentiality"]["other_body"] == "mayor"
    drawn = await get(f"classifications/{DRAFT}/explanation.svg?dimension=confidentiality", ["election"])
    for answer in (foreign, drawn):
        assert not {ROLL, SYSTEM, "住民記録", "窓口端末"} & set(answer.text.split('"'))
        assert "住民記録" not in answer.text
    for path in ("explanation", "explanation.svg?dimension=confidentiality"):
        assert (await get(f"classifications/{ROLL}/{path}", ["election"])).status_code == 404
    assert (await get(f"classifications/{ROLL}/explanation.svg?dimension=secrecy")).status_code == 422


def moment(days: float) -> str:
    return (NOW + timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")


async def test_what_held_at_a_moment_is_told_as_it_was_then(pool: Pool, log: Log, get: Get) -> None:
    """Recorded while it was of now, by day; then asked for again when all has changed, in one batch and read twice."""
    then: dict[int, dict[str, Any]] = {}
    paths = ["classifications?min_confidentiality=3C", "classifications", "summary", f"classifications/{ROLL}"]
    changes: list[dict[str, Any]] = [
        {"asset_id": ROLL, "facts": RESIDENTS, "zone": "lgwan"},
        {"asset_id": SYSTEM, "kind": "system", "relations": [{"type": "stores", "asset_id": ROLL}]},
        {"asset_id": ROLL, "facts": {"published": True}, "zone": "internet", "name": "公開名簿"},
        {"asset_id": ROLL, "facts": RESIDENTS, "status": "retired"},
    ]
    for day, change in enumerate(changes):
        log.now = NOW + timedelta(days=day)
        log.change(**change)
        await show_all(pool, log)
        then[day] = {path: (await get(path)).json() for path in paths}

    for topic in (OBLIGATIONS.name, CLASSIFICATIONS.name):
        await show(pool, topic, log.topics[topic])
    for day, answers in then.items():
        for path, answer in answers.items():
            asked = f"{path}{'&' if '?' in path else '?'}as_of={moment(day + 0.5)}"
            found = (await get(asked)).json()
            assert found == ([{**one, "met": None, "not_met": None} for one in answer] if path == "summary" else answer)
    assert [len(answers["classifications"]["items"]) for answers in then.values()] == [1, 2, 2, 1]
    assert (await get(f"classifications?as_of={moment(-1)}")).json()["items"] == []


async def test_several_changes_of_one_batch_are_all_remembered(pool: Pool, log: Log, get: Get) -> None:
    for day, facts in enumerate((RESIDENTS, {"published": True}, RESIDENTS)):
        log.now = NOW + timedelta(days=day)
        log.change(ROLL, facts=facts)
    await show_all(pool, log)

    levels = [(await get(f"classifications/{ROLL}?as_of={moment(day)}")).json()["levels"] for day in range(3)]
    assert levels[0] == levels[2] != levels[1]


async def test_a_moment_without_its_zone_or_with_unmet_is_refused(get: Get) -> None:
    for path in ("classifications?as_of=2026-04-01T00:00:00", f"classifications?unmet=T-11&as_of={moment(0)}"):
        refused = await get(path)
        assert refused.status_code == 422
        assert [error["field"] for error in refused.json()["errors"]] == ["query:as_of"]


async def test_what_held_for_another_body_is_not_told_either(pool: Pool, log: Log, get: Get) -> None:
    log.change(ROLL, body="waterworks", facts=RESIDENTS)
    await show_all(pool, log)

    assert (await get(f"classifications/{ROLL}?as_of={moment(1)}")).status_code == 404
    assert ids(await get(f"classifications?as_of={moment(1)}", bodies=("waterworks",))) == [ROLL]
