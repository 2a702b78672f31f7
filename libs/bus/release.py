# SPDX-License-Identifier: Apache-2.0
"""Looking at the dead letters, and releasing a parked key: its records go back to their topic, in their first order (design §4).

On the way back a person may correct a record, or give it up. Everything that was put aside of the key goes back with it, in one
transaction with the event that says so: so an act is done whole or not at all, and no record is handled before an earlier one of its key.
"""

from __future__ import annotations

import re
import uuid
from base64 import b64decode, b64encode
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
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
    is_proper,
    place_of,
)
from libs.bus.partition_log import LogReader, open_log
from libs.bus.producing import TransactionalWriter
from libs.bus.records import ConsumerRecord, Header, Output
from libs.bus.settings import KafkaSettings
from libs.bus.subscription import Clock, utc_now
from libs.contracts import (
    Correction,
    DeadLetter,
    DeadLettered,
    DeadLetterReleased,
    Release,
    kafka_headers,
    source_urn,
)
from libs.contracts.topics import DEADLETTERS

_LONG_AGO: Final = datetime.min.replace(tzinfo=UTC)
_NOT_IN_URN: Final = re.compile(r"[^a-z0-9_-]")
_OURS: Final = frozenset({RELEASE, RELEASE_DISCARD, RELEASE_LAST, RELEASE_THROUGH})


@dataclass(frozen=True)
class ParkedLetter:
    """A dead letter that has not been released."""

    id: str
    time: datetime
    key: bytes | None
    letter: DeadLetter

    @property
    def parks(self) -> bool:
        """Whether records of its key wait behind it."""
        return self.key is not None and is_proper(self.key)

    @property
    def source(self) -> TopicPartition:
        return TopicPartition(self.letter.topic, self.letter.partition)

    @property
    def first_id(self) -> str:
        """Of the letter that the record was in first: a record released and put aside again keeps its place in the order."""
        told = b64decode(dict(self.letter.headers).get(RELEASE, "")).decode("ascii", "replace")
        # who writes to the topic may write any header
        begin, _, offset = told.rpartition(":")
        return told if begin == self.id.rpartition(":")[0] and offset.isdecimal() else self.id

    @property
    def first_offset(self) -> int:
        return int(self.first_id.rpartition(":")[2])


class _Cover(NamedTuple):
    """The letters of one key that one consumer put aside in one partition; of those without a proper key, one `letter`."""

    consumer: str
    source: TopicPartition
    key: bytes
    letter: str | None

    @classmethod
    def of(cls, letter: ParkedLetter) -> _Cover:
        return cls(letter.letter.consumer, letter.source, letter.key or b"", None if letter.parks else letter.id)


@dataclass(frozen=True)
class Act:
    """What a person does with the parked records of a key: who, and why.

    `discard` holds ids of letters whose records are given up. `corrections` has, by the id of its letter, what goes back in place of a
    record: in its place in the order, or, under another key, behind what that key has already.
    """

    actor: str
    reason: str | None = None
    discard: Collection[str] = frozenset()
    corrections: Mapping[str, Output] = field(default_factory=dict)

    def moved(self, letters: Iterable[ParkedLetter]) -> list[Output]:
        """Corrections that go to another key than their letter's."""
        wanted = ((letter, self.corrections.get(letter.id)) for letter in letters)
        return [record for letter, record in wanted if record and record.key != letter.key]

    def in_place(self, letter: ParkedLetter) -> bool:
        """Whether something goes back in this letter's place."""
        record = self.corrections.get(letter.id)
        return letter.id not in self.discard and (record is None or record.key == letter.key)


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
            covered = read_release(record)
            cover = _Cover(covered.release.consumer, covered.source, record.key or b"", covered.release.letter)
            through[cover] = max(covered.through, through.get(cover, covered.through))
    left = (letter for letter in letters if letter.time > through.get(_Cover.of(letter), _LONG_AGO))
    return sorted(left, key=lambda letter: letter.time)


class Covered(NamedTuple):
    """Which letters a release is about: those of its key that `source` had until `through`."""

    release: Release
    source: TopicPartition
    through: datetime


def read_release(record: ConsumerRecord) -> Covered:
    """A `DeadLetterReleased`, with what its headers say; raises ValueError or KeyError for what is none."""
    headers = dict(record.headers)
    topic, partition, _ = headers[RELEASED_LAST].decode().rsplit("/", 2)
    release = DeadLetterReleased.model_validate_json(record.value or b"").data
    through = datetime.fromisoformat(headers[RELEASE_THROUGH].decode())
    return Covered(release, TopicPartition(topic, int(partition)), through)


@asynccontextmanager
async def releasing(settings: KafkaSettings, transactional_id: str) -> AsyncIterator[TransactionalWriter]:
    """A writer for releases; who opens another under the same id ends this one (ProducerFenced)."""
    writer = TransactionalWriter(settings, transactional_id)
    try:
        await writer.start()
        yield writer
    finally:
        await writer.stop()


async def release(
    writer: TransactionalWriter,
    letters: Sequence[ParkedLetter],
    act: Act,
    *,
    municipality: str,
    clock: Clock = utc_now,
) -> int:
    """Send back what `letters` hold, and say so, in one transaction; returns how many records went.

    `letters` are all that one consumer has put aside of one key in one partition, oldest first, as they are since the writer was
    opened; or a single one that has no proper key. What the consumer puts aside meanwhile makes the release stale: its records are
    then put aside again, in order, and the next release brings all of them.
    """
    first, last = letters[0], letters[-1]
    moved = act.moved(letters)
    count = sum(letter.id not in act.discard for letter in letters)
    content = Release(
        consumer=first.letter.consumer,
        topic=first.letter.topic,
        key=(first.key or b"").decode("utf-8", "replace"),
        actor=act.actor,
        count=count,
        reason=act.reason,
        discarded=tuple(letter.id for letter in letters if letter.id in act.discard),
        corrected=tuple(_correction(letter, act) for letter in letters if letter.id in act.corrections),
        letter=None if first.parks else first.id,
    )
    key = first.key or b""
    event = release_event(content, first.source, key, municipality, clock())
    await writer.write(
        return_of(letters, act),
        pinned={first.source.topic: first.source.partition, DEADLETTERS.name: first.source.partition},
        beside=moved,
        then=partial(event_output, event, key, last.time),
    )
    return count


async def release_elsewhere(
    writer: TransactionalWriter,
    letter: ParkedLetter,
    outputs: Sequence[Output],
    act: Act,
    *,
    municipality: str,
    clock: Clock = utc_now,
) -> int:
    """Write what the record of a letter that parks nothing means, and say so, in one transaction; returns how much was written.

    For a topic that is its source's own to write to: what was on it is read anew, and goes where the good records of it go.
    """
    corrected = (_correction(letter, act),) if letter.id in act.corrections else ()
    content = Release(
        consumer=letter.letter.consumer,
        topic=letter.letter.topic,
        key=(letter.key or b"").decode("utf-8", "replace"),
        actor=act.actor,
        count=len(outputs),
        reason=act.reason,
        discarded=(letter.id,) if letter.id in act.discard else (),
        corrected=corrected,
        letter=letter.id,
    )
    key = letter.key or b""
    told = release_event(content, letter.source, key, municipality, clock())
    said = event_output(told, key, letter.time, {letter.source: letter.letter.offset})
    await writer.write([*outputs, *said], pinned={DEADLETTERS.name: letter.source.partition})
    return len(outputs)


async def release_key(
    settings: KafkaSettings,
    consumer: str,
    topic: str,
    key: bytes,
    act: Act,
    *,
    municipality: str,
    clock: Clock = utc_now,
) -> int:
    """Release a key by what the dead letters' topic alone says, which is read whole; returns how many records went.

    Of two at once one is fenced (ProducerFenced) and does nothing. Needs the right to write to the topic and to the dead letters.
    """
    async with releasing(settings, f"{consumer}-release") as writer:
        by_source: defaultdict[TopicPartition, list[ParkedLetter]] = defaultdict(list)
        for letter in await parked_letters(settings, consumer=consumer, topic=topic, key=key):
            by_source[letter.source].append(letter)
        counts = [
            await release(writer, letters, act, municipality=municipality, clock=clock)
            for letters in by_source.values()
        ]
    return sum(counts)


async def _dead_letters(settings: KafkaSettings) -> AsyncIterator[ConsumerRecord]:
    async with open_log(settings, "dead-letters") as log:
        async for record in letters_from(log, {}):
            yield record


async def letters_from(log: LogReader, starts: Mapping[int, int]) -> AsyncIterator[ConsumerRecord]:
    """What the dead letters' topic holds now, of each partition from an offset on (default: all of it)."""
    for partition in await partitions_of(log.meter, DEADLETTERS.name):
        async for records in log.read(TopicPartition(DEADLETTERS.name, partition), starts.get(partition, 0)):
            for record in records:
                yield record


def _letter(record: ConsumerRecord) -> ParkedLetter:
    return letter_of(DeadLettered.model_validate_json(record.value or b""))


def letter_of(event: DeadLettered) -> ParkedLetter:
    key = event.data.key
    return ParkedLetter(event.id, event.time, None if key is None else b64decode(key), event.data)


def _correction(letter: ParkedLetter, act: Act) -> Correction:
    record = act.corrections[letter.id]
    key, value = b64encode(record.key).decode(), b64encode(record.value or b"").decode()
    return Correction(letter=letter.id, key=key, value=value)


def return_of(letters: Sequence[ParkedLetter], act: Act) -> list[Output]:
    """What goes back in its place, in the first order. Where nothing does, the last one still goes, as a sign only, to free the key."""
    through = letters[-1].time.isoformat().encode()
    ordered = sorted(letters, key=lambda letter: letter.first_offset)
    kept = [letter for letter in ordered if act.in_place(letter)]
    outputs = [_output(letter, [(RELEASE_THROUGH, through)], act) for letter in kept[:-1]]
    last = [(RELEASE_THROUGH, through), (RELEASE_LAST, b"1")]
    if kept:
        return [*outputs, _output(kept[-1], last, act)]
    return [_output(ordered[-1], [*last, (RELEASE_DISCARD, b"1")], Act(act.actor))]


def _output(letter: ParkedLetter, ours: Sequence[Header], act: Act) -> Output:
    begun = [(RELEASE, letter.first_id.encode()), *ours]
    if (record := act.corrections.get(letter.id)) is not None:
        return record._replace(headers=[*begun, *record.headers])
    first = [(name, b64decode(value)) for name, value in letter.letter.headers if name not in _OURS]
    value = letter.letter.value
    return Output(letter.letter.topic, letter.key or b"", None if value is None else b64decode(value), [*begun, *first])


def release_event(
    release: Release, source: TopicPartition, key: bytes, municipality: str, now: datetime
) -> DeadLetterReleased:
    network, body = place_of(key)
    # the name of a source's topic, which may be part of the consumer's, is written in other signs
    consumer = _NOT_IN_URN.sub("-", release.consumer.lower())
    return DeadLetterReleased(
        id=str(uuid.uuid4()),
        source=source_urn(municipality, body or "-", consumer),
        subject=f"{source.topic}/{source.partition}",
        time=now,
        body=body,
        network=network,
        data=release,
    )


def event_output(
    event: DeadLetterReleased, key: bytes, through: datetime, last: Mapping[TopicPartition, int]
) -> list[Output]:
    """`last` is the place of the last record that went back, or that was released."""
    ((place, offset),) = last.items()
    at = f"{place.topic}/{place.partition}/{offset}".encode()
    headers = [*kafka_headers(event), (RELEASED_LAST, at), (RELEASE_THROUGH, through.isoformat().encode())]
    return [Output(DEADLETTERS.name, key, event.model_dump_json().encode(), headers)]
