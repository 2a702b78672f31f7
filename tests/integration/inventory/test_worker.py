# SPDX-License-Identifier: Apache-2.0
"""Batches of the feed topic into a real register: what each table then holds, and what goes on to the bus."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest

from libs.bus.subscription import utc_now
from libs.contracts import AssetChanged, Profile, Reason, asset_id, kafka_headers, make_key
from libs.observability import Metrics
from libs.persistence import Pool, scoped
from services.inventory.worker import FeedWriter

RESIDENTS = {
    "body": "election",
    "source_key": "S-1",
    "kind": "system",
    "name": "選挙人名簿システム「𠮷」",
    "section": "選挙管理課",
    "zone": "lgwan",
    "facts": {"personal_data": True, "record_count": 91234, "data_kinds": ["election"], "rto_hours": 12.5},
    "declared": {"confidentiality": "3B"},
    "relations": [{"type": "stores", "source_key": "I-1"}, {"type": "runs_on", "source_key": "H-1", "feed": "ledger"}],
}
TRACE = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"


def id_of(source_key: str, feed: str = "cmdb") -> str:
    return asset_id("990019", feed, source_key)


def thing(source_key: str, version: int = 1, **fields: Any) -> dict[str, Any]:
    return {"body": "mayor", "source_key": source_key, "source_version": version, "name": f"資産{source_key}", **fields}


async def events(look: Any) -> list[AssetChanged]:
    return [
        AssetChanged.model_validate_json(row["value"])
        for row in await look("SELECT value FROM outbox WHERE topic = 'daicho.assets.v1' ORDER BY id")
    ]


async def test_a_new_asset_is_in_the_register_its_history_its_link_and_the_outbox(worker: Any, look: Any) -> None:
    await worker.apply(worker.record(RESIDENTS, traceparent=TRACE))

    ((asset,), (revision,), (link,), (message,)) = [
        await look(f"SELECT * FROM {table}") for table in ("asset", "asset_revision", "source_link", "outbox")
    ]
    assert str(asset["asset_id"]) == id_of("S-1")
    assert (asset["body"], asset["kind"], asset["name"], asset["status"], asset["revision"]) == (
        "election",
        "system",
        RESIDENTS["name"],
        "active",
        1,
    )
    assert asset["relations"] == [
        {"type": "runs_on", "asset_id": id_of("H-1", "ledger")},
        {"type": "stores", "asset_id": id_of("I-1")},
    ]
    assert revision["state"] == asset["state"]
    assert revision["change"] == {"feed": "cmdb", "source_key": "S-1", "source_version": 1}
    assert (link["feed"], link["source_key"], link["source_version"]) == ("cmdb", "S-1", 1)
    assert link["asset_id"] == asset["asset_id"]
    event = AssetChanged.model_validate_json(message["value"])
    assert message["key"] == make_key("mayor", "election", id_of("S-1"))
    assert [(name, value.encode()) for name, value in message["headers"]] == kafka_headers(event)
    assert event.data.before is None
    assert event.data.after.model_dump(mode="json", exclude_none=True) == asset["state"]
    assert event.traceparent == TRACE


async def test_of_many_revisions_in_a_batch_all_are_told_in_order_and_the_last_stands(worker: Any, look: Any) -> None:
    await worker.apply(*[thing("S-1", version, facts={"record_count": version}) for version in range(1, 6)])
    await worker.apply(*[thing("S-1", version, facts={"record_count": version}) for version in range(6, 9)])

    (asset,) = await look("SELECT revision, state FROM asset")
    assert (asset["revision"], asset["state"]["facts"]) == (8, {"record_count": 8})
    assert [row["revision"] for row in await look("SELECT revision FROM asset_revision ORDER BY revision")] == [
        *range(1, 9)
    ]
    told = await events(look)
    assert [event.revision for event in told] == [*range(1, 9)]
    assert [event.data.before for event in told[1:]] == [event.data.after for event in told[:-1]]


async def test_what_changes_nothing_publishes_nothing_but_its_version_counts(worker: Any, look: Any) -> None:
    await worker.apply(thing("S-1", 1, facts={"a": 1}))
    await worker.apply(thing("S-1", 7, facts={"a": 1}))
    await worker.apply(thing("S-1", 5, facts={"a": 2}))

    assert len(await events(look)) == 1
    assert (await look("SELECT source_version FROM source_link"))[0]["source_version"] == 7


async def test_retired_before_it_was_told_of_an_asset_does_not_come_up_by_an_older_item(worker: Any, look: Any) -> None:
    await worker.apply(thing("S-1", 5, operation="retire"))
    await worker.apply(thing("S-1", 4))
    assert await look("SELECT 1 FROM asset") == []

    await worker.apply(thing("S-1", 6))
    assert [event.revision for event in await events(look)] == [1]


async def test_an_asset_that_moves_is_told_to_both_bodies_each_its_own_part(worker: Any, look: Any, pool: Pool) -> None:
    await worker.apply(thing("S-1", 1), thing("S-1", 2, body="audit", name="移管後"))

    told = [
        (event.body, event.revision, event.data.after.status.value, event.data.change.reason)
        for event in await events(look)
    ]
    assert told == [("mayor", 1, "active", None), ("mayor", 2, "retired", "moved"), ("audit", 3, "active", None)]
    assert (await events(look))[-1].data.before is None
    assert await _revisions(pool, "mayor") == [1, 2]
    assert await _revisions(pool, "audit") == [3]
    assert [row["body"] for row in await look("SELECT body FROM source_link")] == ["audit"]


async def _revisions(pool: Pool, body: str) -> list[int]:
    async with pool.acquire() as connection, scoped(connection, [body]):
        rows = await connection.fetch("SELECT revision FROM asset_revision ORDER BY revision")
    return [row["revision"] for row in rows]


async def test_an_asset_may_move_to_another_network(worker: Any, look: Any) -> None:
    await worker.apply(thing("S-1", 1))
    await worker.apply(thing("S-1", 2, body="waterworks"))

    assert [(event.network, event.revision) for event in await events(look)] == [
        ("mayor", 1),
        ("mayor", 2),
        ("waterworks", 3),
    ]


async def test_a_relation_across_networks_is_put_aside_and_what_follows_under_its_key(worker: Any, look: Any) -> None:
    await worker.apply(thing("W-1", body="waterworks"))
    across = [{"type": "stores", "source_key": "W-1"}]

    await worker.apply(
        thing("S-1", 1), thing("S-1", 2, relations=across), thing("S-1", 3), thing("S-2", 1, relations=across[:0])
    )

    assert [(letter.rejected.reason, letter.rejected.field) for letter in worker.letters] == [
        (Reason.OTHER_NETWORK_RELATION, "data.relations.0.source_key"),
        (Reason.KEY_PARKED, None),
    ]
    assert [event.subject for event in await events(look)] == [id_of("W-1"), id_of("S-1"), id_of("S-2")]


async def test_equipment_records_keep_the_asset_and_lose_the_relation(worker: Any, look: Any) -> None:
    vm = thing("virtualization.virtualmachine:1", feed="netbox")
    device = thing("dcim.device:1", body="hospital", feed="netbox")
    await worker.apply(device)
    await worker.apply({**vm, "relations": [{"type": "runs_on", "source_key": "dcim.device:1"}]})

    assert worker.letters == []
    last = (await events(look))[-1]
    assert last.data.after.relations == ()
    assert last.data.change.reason == "other-network-relation"


async def test_a_relation_may_name_what_comes_later(worker: Any, look: Any) -> None:
    await worker.apply(thing("S-1", relations=[{"type": "stores", "source_key": "I-1"}]))
    await worker.apply(thing("I-1", kind="information"))

    first, second = await events(look)
    assert first.data.after.relations[0].asset_id == second.subject


@pytest.mark.parametrize(
    ("change", "reason", "where"),
    [
        ({"body": "library"}, Reason.UNKNOWN_BODY, "data.body"),
        ({"feed": "excel"}, Reason.UNKNOWN_FEED, "data.feed"),
        ({"body": "hospital"}, Reason.FEED_NOT_AUTHORISED, "data.body"),
        ({"name": 3}, Reason.SCHEMA, "data.name"),
        ({"persnal_data": True}, Reason.SCHEMA, "data.persnal_data"),
    ],
)
async def test_what_may_not_enter_is_put_aside_and_the_rest_goes_through(
    worker: Any, look: Any, profile: Profile, change: dict[str, Any], reason: Reason, where: str
) -> None:
    bad = worker.record(thing("S-1"), data={**thing("S-1"), "feed": "cmdb", **change})
    await worker.apply(bad, thing("S-2"))

    assert [(letter.rejected.reason, letter.rejected.field) for letter in worker.letters] == [(reason, where)]
    assert [event.subject for event in await events(look)] == [id_of("S-2")]


@pytest.mark.parametrize(
    ("key", "event", "reason", "where"),
    [
        (b"waterworks/mayor/cmdb/S-1", {}, Reason.WRONG_NETWORK, "key"),
        (b"mayor/mayor/cmdb/S-2", {}, Reason.KEY_MISMATCH, "key"),
        (b"S-1", {}, Reason.KEY_MISMATCH, "key"),
        (None, {"network": "hospital"}, Reason.WRONG_NETWORK, "network"),
        (None, {"body": "audit"}, Reason.KEY_MISMATCH, "body"),
        (None, {"subject": "S-2"}, Reason.KEY_MISMATCH, "subject"),
    ],
)
async def test_key_and_envelope_must_agree_with_the_item(
    worker: Any, key: bytes | None, event: dict[str, Any], reason: Reason, where: str
) -> None:
    await worker.apply(worker.record(thing("S-1"), key, **event))

    assert [(letter.rejected.reason, letter.rejected.field) for letter in worker.letters] == [(reason, where)]


async def test_the_number_of_statements_does_not_grow_with_the_batch(worker: Any, pool: Pool) -> None:
    statements: dict[int, int] = {}
    for size in (10, 1000, 3000):
        related = [{"type": "connects", "source_key": "N-0"}]
        records = [worker.record(thing(f"{size}-{number}", relations=related)) for number in range(size)]
        async with pool.acquire() as connection:
            seen: list[Any] = []
            connection.add_query_logger(seen.append)
            async with connection.transaction():
                await worker.apply_in(connection, records)
            connection.remove_query_logger(seen.append)
        statements[size] = len(seen)

    assert set(statements.values()) <= {statements[10], statements[1000]}
    assert max(statements.values()) <= 9, "BEGIN and COMMIT are two of them"


async def test_one_new_asset_told_of_on_two_networks_at_once_is_written_once_and_then_moves(
    worker: Any, look: Any, pool: Pool
) -> None:
    here, there = worker.record(thing("S-1", 1)), worker.record(thing("S-1", 2, body="waterworks"))
    async with pool.acquire() as first, first.transaction():
        await worker.apply_in(first, [here])
        second = asyncio.create_task(worker.apply(there))
        while not await look("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'transactionid'"):
            await asyncio.sleep(0.01)
    with pytest.raises(asyncpg.SerializationError):
        await second

    await worker.apply(there)
    assert [(event.network, event.revision) for event in await events(look)] == [
        ("mayor", 1),
        ("mayor", 2),
        ("waterworks", 3),
    ]


async def test_writers_of_one_network_take_turns(worker: Any, look: Any, pool: Pool) -> None:
    async with pool.acquire() as first, first.transaction():
        await worker.apply_in(first, [worker.record(thing("S-1"))])
        second = asyncio.create_task(worker.apply(thing("S-2")))
        while not await look("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'advisory'"):
            await asyncio.sleep(0.01)
        assert not second.done()
    await second

    assert [event.subject for event in await events(look)] == [id_of("S-1"), id_of("S-2")]


async def test_items_are_counted_by_what_became_of_them(pool: Pool, profile: Profile, worker: Any) -> None:
    metrics = Metrics()
    worker.writer = FeedWriter(profile, utc_now, metrics)
    across = [{"type": "stores", "source_key": "W-1"}]
    await worker.apply(thing("W-1", body="waterworks"), thing("S-1", 2), thing("S-1", 3), thing("S-1", 1))
    await worker.apply(thing("S-2", relations=across), worker.record(thing("S-3"), data="名簿"))

    counted = {
        (sample.labels["feed"], sample.labels["outcome"]): sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name == "daicho_feed_items_total"
    }
    assert counted == {
        ("cmdb", "applied"): 2,
        ("cmdb", "unchanged"): 1,
        ("cmdb", "ignored"): 1,
        ("cmdb", "rejected"): 1,
        ("-", "rejected"): 1,
    }


async def test_a_transaction_may_write_several_batches(worker: Any, look: Any, pool: Pool) -> None:
    async with pool.acquire() as connection, connection.transaction():
        for version in (1, 2, 3):
            await worker.apply_in(connection, [worker.record(thing("S-1", version, name=f"第{version}版"))])

    assert [event.revision for event in await events(look)] == [1, 2, 3]


async def test_a_batch_that_is_rolled_back_leaves_nothing(worker: Any, look: Any, pool: Pool) -> None:
    with pytest.raises(ZeroDivisionError):
        async with pool.acquire() as connection, connection.transaction():
            await worker.apply_in(connection, [worker.record(thing("S-1"))])
            raise ZeroDivisionError
    for table in ("asset", "asset_revision", "source_link", "outbox"):
        assert await look(f"SELECT 1 FROM {table}") == []
