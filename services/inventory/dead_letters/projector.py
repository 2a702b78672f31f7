# SPDX-License-Identifier: Apache-2.0
"""From `daicho.deadletter.v1` into the table that people read: what was put aside, and what became of it."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from itertools import groupby
from typing import Final, TypeAlias

from libs.bus import Connection, ConsumerRecord, Lasting, PartitionDeadLetters, Rejected, decode
from libs.bus.deadletters import is_of
from libs.bus.decoding import sentence
from libs.bus.release import letter_of, read_release
from libs.contracts import DeadLettered, DeadLetterReleased, Profile, Reason, parse_key
from libs.contracts.topics import DEADLETTERS, FEED
from libs.observability import Metrics
from libs.observability.metrics import DEAD_LETTERS_OLDEST, DEAD_LETTERS_WAITING
from libs.persistence import Pool
from libs.persistence.scope import NO_BODY, scoped, setting_of
from services.inventory.dead_letters import store
from services.inventory.dead_letters.store import NewLetter
from services.inventory.worker import Clock

PROJECTION: Final = "inventory-deadletters"
"""Consumer group of the projection, and the name under which its offsets are kept."""

_MEASURE_SECONDS: Final = 15.0
_WAITING: Final = """
SELECT consumer, reason, count(*) AS letters, extract(epoch FROM min(parked_at))::float8 AS oldest
FROM dead_letter WHERE state = 'parked' GROUP BY consumer, reason
"""

Told: TypeAlias = "DeadLettered | DeadLetterReleased | None"


class LetterProjector:
    """Keeps the table of dead letters; `apply` is what `libs.bus.OffsetConsumer` asks for."""

    def __init__(self, profile: Profile) -> None:
        self._bodies = frozenset(profile.body_by_id)
        self._feeds = frozenset(profile.feed_by_id)

    async def apply(
        self, connection: Connection, records: Sequence[ConsumerRecord], dead_letters: PartitionDeadLetters
    ) -> None:
        """Write what a batch tells, in order; releases find the letters that were put aside before them."""
        await connection.execute("SELECT set_config('daicho.bodies', $1, true)", setting_of({*self._bodies, NO_BODY}))
        told = [(record, event) for record, event in dead_letters.sift(records, _read) if event is not None]
        for kind, group in groupby(told, key=lambda one: type(one[1])):
            if kind is DeadLettered:
                await store.keep(connection, [self._letter(event) for _, event in group])
                continue
            for record, event in group:
                await store.decide(connection, record.key or b"", read_release(record), event.time)

    def _letter(self, event: DeadLettered) -> NewLetter:
        letter = letter_of(event)
        dead = event.data
        return NewLetter(
            letter_id=letter.id,
            first_id=letter.first_id,
            body=event.body if event.body in self._bodies else NO_BODY,
            consumer=dead.consumer,
            topic=dead.topic,
            partition=dead.partition,
            key=letter.key or b"",
            parks=letter.parks,
            feed=self._feed(letter.key or b"") if dead.topic == FEED.name else None,
            reason=dead.reason,
            field=dead.field,
            detail=dead.detail,
            parked_at=letter.time,
            letter=dead.model_dump_json().encode(),
        )

    def _feed(self, key: bytes) -> str | None:
        try:
            feed = parse_key(key).rest.partition("/")[0]
        except ValueError:
            return None
        return feed if feed in self._feeds else None


class WaitingLetters(Lasting):
    """Keeps the numbers of waiting letters in the metrics, as long as `run` lasts. How many wait is for a person, not for a supervisor."""

    name = "dead-letters"

    def __init__(self, pool: Pool, bodies: Collection[str], metrics: Metrics, clock: Clock) -> None:
        super().__init__()
        self._pool = pool
        self._bodies = {*bodies, NO_BODY}
        self._waiting = metrics.gauge(DEAD_LETTERS_WAITING)
        self._oldest = metrics.gauge(DEAD_LETTERS_OLDEST)
        self._clock = clock

    async def measure(self) -> None:
        """Count once."""
        async with self._pool.acquire() as connection, scoped(connection, self._bodies):
            rows = await connection.fetch(_WAITING)
        self._waiting.clear()
        for row in rows:
            self._waiting.labels(row["consumer"], row["reason"]).set(row["letters"])
        now = self._clock().timestamp()
        self._oldest.set(max((now - row["oldest"] for row in rows), default=0))

    async def _live(self) -> None:
        while True:
            await self.measure()
            self._code, self._failures = None, 0
            await asyncio.sleep(_MEASURE_SECONDS)


def _read(record: ConsumerRecord) -> Told:
    """What a record tells; None for what is of no letter. Raises Rejected."""
    if is_of(record, DeadLettered):
        return decode(DeadLettered, record, max_bytes=DEADLETTERS.max_record_bytes)
    if not is_of(record, DeadLetterReleased):
        return None
    event = decode(DeadLetterReleased, record, max_bytes=DEADLETTERS.max_record_bytes)
    try:
        read_release(record)
    except (KeyError, ValueError):
        raise Rejected(Reason.SCHEMA, None, sentence("deadletter.release_headers")) from None
    return event
