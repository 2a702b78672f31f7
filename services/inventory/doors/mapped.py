# SPDX-License-Identifier: Apache-2.0
"""Records of any table over HTTP, `{"records": [{…}, …]}`, read by the feed's mapping file."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from services.inventory.doors.delivery import Delivery, Sent
from services.inventory.doors.faults import unreadable
from services.inventory.doors.mapping import Scene

MAX_RECORDS: Final = 1000


class MappedRecords(BaseModel):
    """Records as the source has them, each one asset or none; taken all together or not at all."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    records: Annotated[tuple[dict[str, Any], ...], Field(min_length=1, max_length=MAX_RECORDS)]


def read(sent: Sent) -> Delivery:
    """Raises UnreadableError with a pointer to each offending field of a record, such as `/records/3/serial_no`.

    `sent.mapping` must be given; `sent.version` is of records for which the mapping names no version.
    """
    try:
        batch = MappedRecords.model_validate_json(sent.content)
    except ValidationError as error:
        raise unreadable(error) from None
    mapping = sent.mapping
    if mapping is None:
        raise LookupError(f"the feed {sent.feed.id} has no mapping")
    scenes = {f"/records/{at}": Scene(record) for at, record in enumerate(batch.records)}
    return mapping.delivery(sent.feed, scenes, version=sent.version)
