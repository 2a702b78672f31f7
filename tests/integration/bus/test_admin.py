# SPDX-License-Identifier: Apache-2.0
"""The topic table on a real broker: made once, kept so, and nobody may do more than it says."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from aiokafka.errors import KafkaError
from confluent_kafka.admin import AdminClient, ConfigResource

from libs.bus import KafkaSettings, Output, TopicMismatchError, apply_topics
from libs.bus.producing import TransactionalWriter
from libs.contracts.topics import ASSETS, CLASSIFICATIONS, DAY_MS, FEED, TOPICS, Topic


def config(settings: KafkaSettings, name: str) -> dict[str, str]:
    resource = ConfigResource(ConfigResource.Type.TOPIC, name)
    admin = AdminClient(settings.admin())
    (future,) = admin.describe_configs([resource]).values()
    return {entry.name: entry.value for entry in future.result(10).values()}


def table_row(**changes: Any) -> Topic:
    row = Topic(name=f"test.{uuid.uuid4().hex[:8]}", key="", messages=(), writers=frozenset(), readers=frozenset())
    return replace(row, **changes)


async def test_the_second_time_nothing_is_changed(bus: Any) -> None:
    row = table_row()

    first = await apply_topics(bus.settings, [row], partitions=3)
    second = await apply_topics(bus.settings, [row], partitions=3)

    assert [change.text.en for change in first] == [f"Created the topic {row.name} with 3 partition(s)."]
    assert second == []
    assert await apply_topics(bus.settings, TOPICS) == []


async def test_settings_follow_the_table(bus: Any) -> None:
    assets = await asyncio.to_thread(config, bus.settings, ASSETS.name)
    feed = await asyncio.to_thread(config, bus.settings, FEED.name)

    assert (assets["cleanup.policy"], assets["retention.ms"]) == ("compact", "-1")
    assert (feed["cleanup.policy"], feed["retention.ms"]) == ("delete", str(14 * DAY_MS))
    assert feed["max.message.bytes"] == str(1024 * 1024)


async def test_a_setting_that_drifted_is_set_right(bus: Any) -> None:
    row = table_row(retention_ms=DAY_MS)
    await apply_topics(bus.settings, [row])

    changes = await apply_topics(bus.settings, [replace(row, retention_ms=2 * DAY_MS, compacted=True)])

    assert {change.text.en for change in changes} == {
        f"Set cleanup.policy of the topic {row.name} to compact.",
        f"Set retention.ms of the topic {row.name} to {2 * DAY_MS}.",
    }
    assert (await asyncio.to_thread(config, bus.settings, row.name))["cleanup.policy"] == "compact"


async def test_another_number_of_partitions_is_refused_before_anything_is_changed(bus: Any) -> None:
    there, missing = table_row(), table_row()
    await apply_topics(bus.settings, [there], partitions=2)

    with pytest.raises(TopicMismatchError, match=r"2 partition.*not 5") as caught:
        await apply_topics(bus.settings, [missing, there], partitions=5)

    assert there.name in caught.value.text.ja
    assert missing.name not in AdminClient(bus.settings.admin()).list_topics(timeout=10).topics


async def test_each_account_writes_only_where_the_table_lets_it(
    bus: Any, account: Callable[[str], KafkaSettings]
) -> None:
    writer = TransactionalWriter(account("classification"), "classification-test")
    await writer.start()
    await writer.write([Output(CLASSIFICATIONS.name, b"mayor/mayor/x", b"{}")])
    with pytest.raises(KafkaError):
        await writer.write([Output(FEED.name, b"mayor/mayor/x", b"{}")])
    await writer.stop()


async def test_no_account_takes_a_transactional_id_of_another(account: Callable[[str], KafkaSettings]) -> None:
    writer = TransactionalWriter(account("reader"), "classification-daicho.assets.v1-0")
    with pytest.raises(KafkaError):
        await writer.start()
    await writer.stop()
