# SPDX-License-Identifier: Apache-2.0
"""Looking at the dead letters, and releasing a parked key: its records go back to their topic, in their first order (design §4)."""

from __future__ import annotations

import uuid
from base64 import b64decode
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Final, NamedTuple

from aiokafka import TopicPartition

from libs.bus.consuming import partitions_of
from libs.bus.deadletters import (
    RELEASE,
    RELEASE_DISCARD,
    RELEASE_LAST,
    RELEASE_THROUGH,
    RELEASED_LAST,
    is_of,
    place_of,
)
from libs.bus.partition_log import open_log
from libs.bus.producing import TransactionalWriter
from libs.bus.records import ConsumerRecord, Header, Output
from libs.bus.settings import KafkaSettings
from libs.bus.subscription import Clock, utc_now
from libs.contracts import DeadLetter, DeadLettered, DeadLetterReleased, Release, kafka_headers, source_urn
from libs.contracts.topics import DEADLETTERS

_LONG_AGO: Final = datetime.min.replace(tzinfo=UTC)
_OURS: Final = frozenset({RELEASE, RELEASE_DISCARD, RELEASE_LAST, RELEASE_THROUGH})


@dataclass(frozen=True)
class ParkedLetter:
    """A dead letter that has not been released. `key` None: it parked nothing, for it has no proper key."""

    id: str
    time: datetime
    key: bytes | None
    letter: DeadLetter

    @property
    def source(self) -> TopicPartition:
        return TopicPartition(self.letter.topic, self.letter.partition)

    @property
    def first_id(self) -> str:
        """Of the letter that the record was in first: a record released and put aside again keeps its place in the order."""
        first = dict(self.letter.headers).get(RELEASE)
        return self.id if first is None else b64decode(first).decode()

    @property
    def first_offset(self) -> int:
        return int(self.first_id.rpartition(":")[2])


class _Cover(NamedTuple):
    """The letters of one key that one consumer put aside in one partition."""

    consumer: str
    source: TopicPartition
    key: bytes | None

    @classmethod
    def of(cls, letter: ParkedLetter) -> _Cover:
        return cls(letter.letter.consumer, letter.source, letter.key)


async def parked_letters(
    settings: KafkaSettings, *, consumer: str | None = None, topic: str | None = None, key: bytes | None = None
) -> list[ParkedLetter]:
    """The dead letters that have not been released, oldest first; of one consumer, topic or key if asked."""
    return [
        letter
        for letter in unreleased([record async for record in _dead_letters(settings)])
        if consumer in {None, letter.letter.consumer}
        and topic in {None, letter.letter.topic}
        and key in {None, letter.key}
    ]


def unreleased(records: Iterable[ConsumerRecord]) -> list[ParkedLetter]:
    """What the dead letters' topic holds, less what its releases cover, oldest first."""
    letters: list[ParkedLetter] = []
    through: dict[_Cover, datetime] = {}
    for record in records:
        if is_of(record, DeadLettered):
            letters.append(_letter(record))
        elif is_of(record, DeadLetterReleased):
            cover, time = _release(record)
            through[cover] = max(time, through.get(cover, time))
    left = (letter for letter in letters if letter.time > through.get(_Cover.of(letter), _LONG_AGO))
    return sorted(left, key=lambda letter: letter.time)


async def release_key(
    settings: KafkaSettings,
    consumer: str,
    topic: str,
    key: bytes,
    actor: str,
    *,
    municipality: str,
    discard: Collection[str] = (),
    clock: Clock = utc_now,
) -> int:
    """Send the parked records of a key back to their topic, in order, and say so in the dead letters; returns how many went.

    `discard` holds ids of letters to give up: their records are not handled again. All is one transaction for each partition, under
    one transactional id for each consumer: of two releases at once one is fenced (ProducerFenced) and does nothing. What the consumer
    puts aside meanwhile makes the release stale: its records are then put aside again, in order, and the next release brings all of
    them. Needs the right to write to the topic and to the dead letters.
    """
    writer = TransactionalWriter(settings, f"{consumer}-release")
    try:
        await writer.start()
        by_source: defaultdict[TopicPartition, list[ParkedLetter]] = defaultdict(list)
        for letter in await parked_letters(settings, consumer=consumer, topic=topic, key=key):
            by_source[letter.source].append(letter)
        released = 0
        for source, letters in by_source.items():
            returned = return_of(letters, frozenset(discard))
            count = sum(letter.id not in discard for letter in letters)
            name = key.decode("utf-8", "replace")
            release = Release(consumer=consumer, topic=topic, key=name, actor=actor, count=count)
            event = release_event(release, source, key, municipality, clock())
            through = letters[-1].time
            await writer.write(
                returned,
                pinned={source.topic: source.partition, DEADLETTERS.name: source.partition},
                then=partial(event_output, event, key, through),
            )
            released += count
        return released
    finally:
        await writer.stop()


async def _dead_letters(settings: KafkaSettings) -> AsyncIterator[ConsumerRecord]:
    async with open_log(settings, "dead-letters") as log:
        for partition in await partitions_of(log.meter, DEADLETTERS.name):
            async for records in log.read(TopicPartition(DEADLETTERS.name, partition)):
                for record in records:
                    yield record


def _letter(record: ConsumerRecord) -> ParkedLetter:
    event = DeadLettered.model_validate_json(record.value or b"")
    key = event.data.key
    return ParkedLetter(event.id, event.time, None if key is None else b64decode(key), event.data)


def _release(record: ConsumerRecord) -> tuple[_Cover, datetime]:
    """Which letters a release covers, and up to which time."""
    headers = dict(record.headers)
    topic, partition, _ = headers[RELEASED_LAST].decode().rsplit("/", 2)
    consumer = DeadLetterReleased.model_validate_json(record.value or b"").data.consumer
    time = datetime.fromisoformat(headers[RELEASE_THROUGH].decode())
    return _Cover(consumer, TopicPartition(topic, int(partition)), record.key), time


def return_of(letters: Sequence[ParkedLetter], discard: frozenset[str]) -> list[Output]:
    """What goes back, in the first order. Where all is given up, the last one still goes, as a sign only, to free the key."""
    through = letters[-1].time.isoformat().encode()
    ordered = sorted(letters, key=lambda letter: letter.first_offset)
    kept = [letter for letter in ordered if letter.id not in discard]
    outputs = [_output(letter, [(RELEASE_THROUGH, through)]) for letter in kept[:-1]]
    last = [(RELEASE_THROUGH, through), (RELEASE_LAST, b"1")]
    if kept:
        return [*outputs, _output(kept[-1], last)]
    return [_output(ordered[-1], [*last, (RELEASE_DISCARD, b"1")])]


def _output(letter: ParkedLetter, ours: Sequence[Header]) -> Output:
    first = [(name, b64decode(value)) for name, value in letter.letter.headers if name not in _OURS]
    value = letter.letter.value
    return Output(
        letter.letter.topic,
        letter.key or b"",
        None if value is None else b64decode(value),
        [(RELEASE, letter.first_id.encode()), *ours, *first],
    )


def release_event(
    release: Release, source: TopicPartition, key: bytes, municipality: str, now: datetime
) -> DeadLetterReleased:
    network, body = place_of(key)
    return DeadLetterReleased(
        id=str(uuid.uuid4()),
        source=source_urn(municipality, body or "-", release.consumer),
        subject=f"{source.topic}/{source.partition}",
        time=now,
        body=body,
        network=network,
        data=release,
    )


def event_output(
    event: DeadLetterReleased, key: bytes, through: datetime, last: Mapping[TopicPartition, int]
) -> list[Output]:
    """`last` is the place of the last record that went back."""
    ((place, offset),) = last.items()
    at = f"{place.topic}/{place.partition}/{offset}".encode()
    headers = [*kafka_headers(event), (RELEASED_LAST, at), (RELEASE_THROUGH, through.isoformat().encode())]
    return [Output(DEADLETTERS.name, key, event.model_dump_json().encode(), headers)]
