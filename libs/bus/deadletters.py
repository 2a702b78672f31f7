# SPDX-License-Identifier: Apache-2.0
"""What cannot be taken is put aside whole, and its key parked until a person releases it (design §4).

A key is parked with the time of its last dead letter. A release says which letters it covers by that same time: if another one has
been put aside since, the release is stale, and what it brings back is put aside again, for the next release to bring in order.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar

from aiokafka import TopicPartition

from libs.bus.decoding import Rejected, sentence, type_of
from libs.bus.records import ConsumerRecord, Header, Output
from libs.bus.subscription import Caps, Subscription
from libs.contracts import (
    CloudEvent,
    Contract,
    DeadLetter,
    DeadLettered,
    DeadLetterReleased,
    Reason,
    kafka_headers,
    parse_key,
    source_urn,
)
from libs.contracts.envelope import TRACEPARENT
from libs.contracts.topics import DEADLETTERS

RELEASE: Final = "daicho-release"
"""First header of a released record: the id of its dead letter, or, released again, of its first one."""
RELEASE_THROUGH: Final = "daicho-release-through"
"""Time of the last dead letter that the release covers."""
RELEASED_LAST: Final = "daicho-released-last"
"""On the event of a release: `<topic>/<partition>/<offset>` of the last record that it brought back."""
RELEASE_LAST: Final = "daicho-release-last"
RELEASE_DISCARD: Final = "daicho-release-discard"
"""The record itself is given up: nobody handles it."""

_SLUG: Final = re.compile(r"^[a-z][a-z0-9_-]{0,39}$")
_TRACEPARENT: Final = re.compile(TRACEPARENT)
_TICK: Final = timedelta(microseconds=1)

T = TypeVar("T")


class CapExceeded(Exception):  # noqa: N818 - a state that ends a task
    """A partition has put aside more than its caps allow; `code` says which."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class OutOfOrder(Exception):  # noqa: N818 - a state that ends a batch
    """A handler took a record although an earlier one of its key in the same batch was rejected."""


@dataclass(frozen=True)
class Letter:
    """A record put aside. `time` is later than that of any earlier letter of its partition."""

    record: ConsumerRecord
    rejected: Rejected
    time: datetime


ParkedKeys = dict[bytes, datetime]


class PartitionDeadLetters:
    """What one batch of one partition puts aside; `parked` is what was parked before, and changes only when the batch `settle`s."""

    def __init__(self, subscription: Subscription, parked: Mapping[bytes, datetime]) -> None:
        self._subscription = subscription
        self._before = parked
        self._changed: dict[bytes, datetime | None] = {}
        self._last_time: datetime | None = None
        self.letters: list[Letter] = []

    def is_parked(self, key: bytes | None) -> bool:
        """Whether records of this key are put aside."""
        return key is not None and self._parked_since(key) is not None

    def reject(self, record: ConsumerRecord, rejected: Rejected) -> None:
        """Put a record aside, and park its key if it has a proper one."""
        time = self._tick()
        self.letters.append(Letter(record, rejected, time))
        if record.key is not None and is_proper(record.key):
            self._changed[record.key] = time

    def sift(
        self, records: Sequence[ConsumerRecord], read: Callable[[ConsumerRecord], T]
    ) -> Iterator[tuple[ConsumerRecord, T]]:
        """Each record with what `read` makes of it; those that it rejects, and those of parked keys, are put aside."""
        for record in records:
            # nothing is put aside in nearly all batches
            if self._changed and self.is_parked(record.key) and not _is_release(record):
                self._park_behind(record)
                continue
            try:
                found = read(record)
            except Rejected as rejected:
                self.reject(record, rejected)
                continue
            yield record, found

    def admit(self, records: Sequence[ConsumerRecord]) -> Iterator[Sequence[ConsumerRecord]]:
        """The records to handle, in order, in as few pieces as can be: a released one is alone. Each is to be handled before the next.

        Raises OutOfOrder where a piece was handled against the order of a key.
        """
        if not self._before and not any(map(_is_release, records)):
            yield from self._handled(records)
            return
        piece: list[ConsumerRecord] = []
        for record in records:
            if _is_release(record):
                yield from self._handled(piece)
                piece = []
                yield from self._released(record)
            elif self._before or self._changed:
                self._sort(record, piece)
            else:
                piece.append(record)
        yield from self._handled(piece)

    def outputs(self) -> list[Output]:
        """The letters as messages for the dead letters' topic."""
        return [_output(self._subscription, letter) for letter in self.letters]

    @property
    def changes(self) -> Mapping[bytes, datetime | None]:
        """Keys parked, with the time of the last letter, and keys no longer parked (None)."""
        return self._changed

    @property
    def invalid(self) -> int:
        """How many records were rejected for themselves, not for an earlier one of their key."""
        return sum(letter.rejected.reason is not Reason.KEY_PARKED for letter in self.letters)

    @property
    def parked_before(self) -> int:
        """How many keys were parked before the batch."""
        return len(self._before)

    def parked_count(self) -> int:
        """How many keys are parked after the batch."""
        gone = sum(since is None for since in self._changed.values())
        return len(self._before.keys() | self._changed.keys()) - gone

    def settle(self, parked: ParkedKeys) -> None:
        """The batch is committed: carry its changes over."""
        for key, since in self._changed.items():
            if since is None:
                parked.pop(key, None)
            else:
                parked[key] = since

    def _sort(self, record: ConsumerRecord, piece: list[ConsumerRecord]) -> None:
        if self.is_parked(record.key):
            self._park_behind(record)
        else:
            piece.append(record)

    def _handled(self, piece: Sequence[ConsumerRecord]) -> Iterator[Sequence[ConsumerRecord]]:
        if not piece:
            return
        before = len(self.letters)
        yield piece
        if len(self.letters) > before:
            self._check_order(piece, {letter.record.offset for letter in self.letters[before:]})

    def _check_order(self, piece: Sequence[ConsumerRecord], rejected: set[int]) -> None:
        keys: set[bytes] = set()
        for record in piece:
            if record.offset in rejected:
                if record.key is not None and is_proper(record.key):
                    keys.add(record.key)
            elif record.key in keys:
                raise OutOfOrder

    def _released(self, record: ConsumerRecord) -> Iterator[Sequence[ConsumerRecord]]:
        headers = {name: value or b"" for name, value in record.headers}
        since = self._parked_since(record.key) if record.key is not None else None
        mine = headers[RELEASE].startswith(self._subscription.group.encode() + b":")
        through = headers.get(RELEASE_THROUGH, b"").decode("ascii", "replace")
        if since is not None and not (mine and since.isoformat() == through):
            if RELEASE_DISCARD not in headers:
                self._park_behind(record)
            return
        if RELEASE_DISCARD not in headers:
            yield [record]
        # not so if handling it, or one before it, has put it aside again
        if since is not None and RELEASE_LAST in headers and self._parked_since(record.key) == since:
            self._changed[record.key or b""] = None

    def _park_behind(self, record: ConsumerRecord) -> None:
        self.reject(record, Rejected(Reason.KEY_PARKED, None, sentence("deadletter.parked")))

    def _parked_since(self, key: bytes | None) -> datetime | None:
        if key is None:
            return None
        return self._changed[key] if key in self._changed else self._before.get(key)

    def _tick(self) -> datetime:
        now = self._subscription.clock().astimezone(UTC)
        if self._last_time is None:
            self._last_time = max(self._before.values(), default=now - _TICK)
        self._last_time = max(now, self._last_time + _TICK)
        return self._last_time


class CapGuard:
    """Watches how many keys of one partition are parked, and its share of rejected records over its last ones.

    `resumed`: a person has let a stopped task go on. What is parked by then does not count: what was released to mend it stands behind
    the records that stopped the task, and can be reached in no other way.
    """

    def __init__(self, caps: Caps, *, resumed: bool = False) -> None:
        self._caps = caps
        self._most_parked = None if resumed else caps.max_parked_keys
        self._batches: deque[tuple[int, int]] = deque()
        self._handled = 0
        self._invalid = 0

    def check(self, handled: int, dead_letters: PartitionDeadLetters) -> None:
        """To be called before a batch is committed; raises CapExceeded."""
        if self._most_parked is None:
            self._most_parked = dead_letters.parked_before + self._caps.max_parked_keys
        if dead_letters.letters and dead_letters.parked_count() > self._most_parked:
            raise CapExceeded("parked-keys-cap")
        total = self._handled + handled
        if total >= self._caps.window and self._invalid + dead_letters.invalid > self._caps.max_invalid_ratio * total:
            raise CapExceeded("invalid-ratio-cap")

    def add(self, handled: int, dead_letters: PartitionDeadLetters) -> None:
        """To be called when a batch is committed."""
        self._batches.append((handled, dead_letters.invalid))
        self._handled += handled
        self._invalid += dead_letters.invalid
        while self._handled - self._batches[0][0] >= self._caps.window:
            first = self._batches.popleft()
            self._handled -= first[0]
            self._invalid -= first[1]


async def parked_in_log(
    log: AsyncIterator[Sequence[ConsumerRecord]], consumer: str, source: TopicPartition, committed: int
) -> dict[bytes, datetime]:
    """The keys that a consumer of a partition had parked when it had handled what is below `committed`."""
    parked: dict[bytes, datetime] = {}
    async for records in log:
        for record in records:
            if record.key is None or not is_proper(record.key):
                continue
            if (time := _time_of_letter(record, consumer, source)) is not None:
                parked[record.key] = time
            elif record.key in parked and _frees(record, consumer, source, committed, parked[record.key]):
                del parked[record.key]
    return parked


def is_of(record: ConsumerRecord, model: type[CloudEvent[Contract]]) -> bool:
    """Whether the envelope's headers say that a record is an event of this type."""
    told = (dict(record.headers).get("ce_type") or b"").decode("ascii", "replace")
    return told == type_of(model)


def _time_of_letter(record: ConsumerRecord, consumer: str, source: TopicPartition) -> datetime | None:
    begin = letter_id(consumer, source.topic, source.partition, 0)[:-1].encode()
    if not is_of(record, DeadLettered) or not (dict(record.headers).get("ce_id") or b"").startswith(begin):
        return None
    return DeadLettered.model_validate_json(record.value or b"").time


def _frees(record: ConsumerRecord, consumer: str, source: TopicPartition, committed: int, since: datetime) -> bool:
    """Whether a release covers the key's last letter, and all that it brought back has been handled."""
    if not is_of(record, DeadLetterReleased):
        return False
    release = DeadLetterReleased.model_validate_json(record.value or b"").data
    headers = dict(record.headers)
    place = f"{source.topic}/{source.partition}/".encode()
    last = headers.get(RELEASED_LAST) or b""
    return (
        release.consumer == consumer
        and last.startswith(place)
        and int(last.rpartition(b"/")[2]) < committed
        and headers.get(RELEASE_THROUGH) == since.isoformat().encode()
    )


def letter_id(consumer: str, topic: str, partition: int, offset: int) -> str:
    """The id of a dead letter: the same whenever the same record is put aside by the same consumer."""
    return f"{consumer}:{topic}:{partition}:{offset}"


def _is_release(record: ConsumerRecord) -> bool:
    return bool(record.headers) and record.headers[0][0] == RELEASE


def released_from(record: ConsumerRecord) -> str | None:
    """The id of the letter that a released record was in first; None for any other record."""
    return (record.headers[0][1] or b"").decode("utf-8", "replace") if _is_release(record) else None


def is_proper(key: bytes) -> bool:
    """Whether a key can be parked: one that is no `network/body/…` orders nothing."""
    return place_of(key) != (None, None)


def _output(subscription: Subscription, letter: Letter) -> Output:
    event = _event(subscription, letter)
    headers: list[Header] = kafka_headers(event)
    return Output(DEADLETTERS.name, letter.record.key or b"", event.model_dump_json().encode(), headers)


def _event(subscription: Subscription, letter: Letter) -> DeadLettered:
    record, rejected = letter.record, letter.rejected
    network, body = place_of(record.key)
    return DeadLettered(
        id=letter_id(subscription.group, record.topic, record.partition, record.offset),
        source=source_urn(subscription.municipality, body or "-", subscription.service),
        subject=f"{record.topic}/{record.partition}/{record.offset}",
        time=letter.time,
        body=body,
        network=network,
        traceparent=_traceparent(record),
        data=DeadLetter(
            reason=rejected.reason,
            field=rejected.field,
            detail=rejected.detail,
            consumer=subscription.group,
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            key=_base64(record.key),
            value=_base64(record.value),
            headers=tuple((name, _base64(value or b"")) for name, value in record.headers),
        ),
    )


def place_of(key: bytes | None) -> tuple[str | None, str | None]:
    """Network and body, where the key tells them; the keys of a source's own topic are of another kind."""
    try:
        network, body, _ = parse_key(key or b"")
    except ValueError:
        return None, None
    return (network, body) if _SLUG.match(network) and _SLUG.match(body) else (None, None)


def _traceparent(record: ConsumerRecord) -> str | None:
    value = (dict(record.headers).get("ce_traceparent") or b"").decode("ascii", "replace")
    return value if _TRACEPARENT.match(value) else None


def _base64(value: bytes | None) -> str | None:
    return None if value is None else b64encode(value).decode()
