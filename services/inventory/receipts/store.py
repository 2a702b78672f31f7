# SPDX-License-Identifier: Apache-2.0
"""What became of each record of the feed topic, kept as long as the topic keeps the record: one row for a batch."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import BigInteger, DateTime, LargeBinary
from sqlmodel import Field, col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from libs.bus import ConsumerRecord
from libs.bus.deadletters import released_from
from libs.contracts.topics import FEED
from libs.persistence import PoolConnection
from services.inventory.domain import Decision, Outcome
from services.inventory.store import Base

PUT_ASIDE: Final = 0
UNCHANGED: Final = -1
IGNORED: Final = -2
"""Codes of what made no revision; of what did, the code is its number."""

_CODES: Final = {Outcome.UNCHANGED: UNCHANGED, Outcome.IGNORED: IGNORED}
_SIZE: Final = 4
_KEPT: Final = timedelta(milliseconds=FEED.retention_ms or 0)


class OutcomesRow(Base, table=True):
    """A batch of one partition: the number at `offset - first_offset` (32 bits, little-endian) is the code of a record.

    It is of no body: it holds offsets and revisions' numbers, and who asks must show the receipt.
    """

    __tablename__ = "feed_outcomes"

    partition: int = Field(primary_key=True)
    first_offset: int = Field(primary_key=True, sa_type=BigInteger)
    recorded_at: datetime = Field(sa_type=DateTime(timezone=True))
    codes: bytes = Field(sa_type=LargeBinary)


# of the old ones a few go with each batch, so that it costs the same however many there are
_NOTE: Final = """
WITH gone AS (
  DELETE FROM feed_outcomes WHERE (partition, first_offset) IN (
    SELECT partition, first_offset FROM (
      SELECT * FROM feed_outcomes WHERE partition = $1 ORDER BY first_offset LIMIT 4
    ) AS oldest WHERE recorded_at < $5
  )
)
INSERT INTO feed_outcomes (partition, first_offset, recorded_at, codes) VALUES ($1, $2, $3, $4)
ON CONFLICT (partition, first_offset) DO UPDATE SET recorded_at = excluded.recorded_at, codes = excluded.codes
"""
_NOTE_RELEASED: Final = "UPDATE dead_letter SET outcome = $2 WHERE first_id = $1"


async def note(
    connection: PoolConnection,
    records: Sequence[ConsumerRecord],
    decisions: Mapping[int, Decision],
    recorded_at: datetime,
) -> None:
    """Keep what was decided of a batch, by offset, in the transaction that writes it; what has no decision was put aside."""
    first = records[0]
    codes = [PUT_ASIDE] * (records[-1].offset - first.offset + 1)
    for offset, decision in decisions.items():
        codes[offset - first.offset] = _CODES.get(decision.outcome, decision.held.revision)
    packed = struct.pack(f"<{len(codes)}i", *codes)
    await connection.execute(_NOTE, first.partition, first.offset, recorded_at, packed, recorded_at - _KEPT)
    for record in records:
        if record.offset in decisions and (letter := released_from(record)) is not None:
            await connection.execute(_NOTE_RELEASED, letter, codes[record.offset - first.offset])


async def noted(session: AsyncSession, partition: int, offset: int) -> int | None:
    """The code of a record, PUT_ASIDE where none was kept of it; None where nothing is kept of its time any more."""
    row = OutcomesRow
    before = (col(row.partition) == partition, col(row.first_offset) <= offset)
    query = select(row).where(*before).order_by(col(row.first_offset).desc()).limit(1)
    found = (await session.exec(query)).first()
    if found is None:
        return None
    at = (offset - found.first_offset) * _SIZE
    return PUT_ASIDE if at >= len(found.codes) else int(struct.unpack_from("<i", found.codes, at)[0])
