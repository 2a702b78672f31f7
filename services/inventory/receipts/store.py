# SPDX-License-Identifier: Apache-2.0
"""What became of items that made no revision: a byte for each record of a batch, kept as long as the feed topic keeps the record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import BigInteger, DateTime, LargeBinary
from sqlmodel import Field, col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from libs.bus import ConsumerRecord
from libs.contracts.topics import FEED
from libs.persistence import PoolConnection
from services.inventory.domain import Outcome
from services.inventory.store import Base

_KEPT: Final = timedelta(milliseconds=FEED.retention_ms or 0)
_CODES: Final = {Outcome.APPLIED: 1, Outcome.UNCHANGED: 2, Outcome.IGNORED: 3}
_OUTCOMES: Final = {code: outcome for outcome, code in _CODES.items()}
"""0 stands for a record that was put aside."""


class OutcomesRow(Base, table=True):
    """A batch of one partition: the byte at `offset - first_offset` says what became of a record.

    There is none where all of a batch made revisions, for those tell it themselves. It is of no body: it holds offsets and codes.
    """

    __tablename__ = "feed_outcomes"

    partition: int = Field(primary_key=True)
    first_offset: int = Field(primary_key=True, sa_type=BigInteger)
    recorded_at: datetime = Field(sa_type=DateTime(timezone=True))
    codes: bytes = Field(sa_type=LargeBinary)


# the oldest are looked at only, so that it costs the same however many there are
_NOTE: Final = """
WITH gone AS (
  DELETE FROM feed_outcomes WHERE (partition, first_offset) IN (
    SELECT partition, first_offset FROM (
      SELECT * FROM feed_outcomes WHERE partition = $1 ORDER BY first_offset LIMIT 4
    ) AS oldest WHERE recorded_at < $5
  )
)
INSERT INTO feed_outcomes (partition, first_offset, recorded_at, codes) VALUES ($1, $2, $3, $4)
"""


async def note(
    connection: PoolConnection,
    records: Sequence[ConsumerRecord],
    outcomes: Mapping[int, Outcome],
    recorded_at: datetime,
) -> None:
    """Keep what became of a batch, by offset, in the transaction that decided it; what is not among the outcomes was put aside."""
    if len(outcomes) == len(records) and all(one is Outcome.APPLIED for one in outcomes.values()):
        return
    first = records[0]
    codes = bytearray(records[-1].offset - first.offset + 1)
    for offset, outcome in outcomes.items():
        codes[offset - first.offset] = _CODES[outcome]
    await connection.execute(_NOTE, first.partition, first.offset, recorded_at, bytes(codes), recorded_at - _KEPT)


async def noted(session: AsyncSession, partition: int, offset: int) -> tuple[bool, Outcome | None]:
    """Whether something was kept of a record's batch, and if so what became of the record: None where it was put aside."""
    row = OutcomesRow
    before = (col(row.partition) == partition, col(row.first_offset) <= offset)
    query = select(row).where(*before).order_by(col(row.first_offset).desc()).limit(1)
    found = (await session.exec(query)).first()
    if found is None or offset - found.first_offset >= len(found.codes):
        return False, None
    return True, _OUTCOMES.get(found.codes[offset - found.first_offset])
