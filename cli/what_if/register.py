# SPDX-License-Identifier: Apache-2.0
"""The register as the topic of asset events has it now. Slow to import: the command does so when it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from aiokafka import TopicPartition
from aiokafka.errors import UnknownTopicOrPartitionError
from pydantic import ValidationError

from cli.errors import CliError
from libs.bus import KafkaSettings, partition_of
from libs.bus.consuming import partitions_of
from libs.bus.deadletters import is_of
from libs.bus.partition_log import LogReader, open_log
from libs.contracts import Asset, AssetChanged, AssetStatus, OverrideChanged, StandardActivated, make_key
from libs.contracts.topics import ASSETS, CONTROL
from libs.standards import OverridesInForce, StandardDocument

Progress = Callable[[int, int], None]
"""Told how many messages have been read, of about how many (offsets that compaction emptied count too)."""


@dataclass(frozen=True)
class Register:
    """Assets that are not retired, the overrides that hold on them, and what was activated, by network (None: the base)."""

    assets: Sequence[Asset]
    overrides: OverridesInForce
    activated: Mapping[str | None, StandardDocument]

    def of(self, network: str) -> list[Asset]:
        return [asset for asset in self.assets if asset.network == network]


async def read_register(settings: KafkaSettings, network: str | None, progress: Progress, now: datetime) -> Register:
    """The last committed state of each asset that is not retired, of one network or of all, with the overrides that hold `now`.

    Raises CliError where there is no topic, and aiokafka's KafkaError where it cannot be read.
    """
    prefix = b"" if network is None else make_key(network, "")
    last: dict[bytes, bytes | None] = {}
    async with open_log(settings, "daicho-what-if") as log:
        places = await _places(log, prefix)
        first, end = await log.meter.beginning_offsets(places), await log.meter.end_offsets(places)
        total, done = sum(end[place] - first[place] for place in places), 0
        for place in places:
            async for records in log.read(place):
                last.update((record.key, record.value) for record in records if (record.key or b"").startswith(prefix))
                progress(done + records[-1].offset + 1 - first[place], total)
            done += end[place] - first[place]
            progress(done, total)
        overrides, activated = await _control(log)
    overrides.changes(now)
    return Register([asset for value in last.values() if (asset := _active(value)) is not None], overrides, activated)


async def _control(log: LogReader) -> tuple[OverridesInForce, Mapping[str | None, StandardDocument]]:
    overrides, activated = OverridesInForce(), dict[str | None, StandardDocument]()
    async for records in log.read(TopicPartition(CONTROL.name, 0)):
        for record in records:
            if is_of(record, OverrideChanged):
                event = OverrideChanged.model_validate_json(record.value or b"")
                overrides.learn(event.network or "", event.body or "", event.data)
            elif is_of(record, StandardActivated):
                activation = StandardActivated.model_validate_json(record.value or b"").data
                activated[activation.network] = StandardDocument.model_validate(activation.document)
    return overrides, activated


async def _places(log: LogReader, prefix: bytes) -> list[TopicPartition]:
    """All that a network has is in one partition: the others need not be read."""
    try:
        partitions = await partitions_of(log.meter, ASSETS.name)
    except UnknownTopicOrPartitionError:
        raise CliError("cli.no_topic", topic=ASSETS.name) from None
    if prefix:
        partitions = [partition_of(prefix, len(partitions))]
    return [TopicPartition(ASSETS.name, partition) for partition in partitions]


def _active(value: bytes | None) -> Asset | None:
    """None for a tombstone, a retired asset, or an event of a later version: that is not this command's to tell."""
    try:
        asset = AssetChanged.model_validate_json(value or b"").data.after
    except ValidationError:
        return None
    return None if asset.status is AssetStatus.RETIRED else asset
