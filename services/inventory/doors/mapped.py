# SPDX-License-Identifier: Apache-2.0
"""Records of any table over HTTP, `{"records": [{…}, …]}`, read by the feed's mapping file."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from libs.contracts import FeedItem
from services.inventory.doors.delivery import Delivery, Fault, Sent, UnreadableError
from services.inventory.doors.faults import faults_of
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
        malformed = any(one["type"] == "json_invalid" for one in error.errors())
        raise UnreadableError(faults_of(error), malformed=malformed) from None
    mapping = sent.mapping
    if mapping is None:
        raise LookupError(f"the feed {sent.feed.id} has no mapping")
    items: list[FeedItem] = []
    faults: list[Fault] = []
    for at, record in enumerate(batch.records):
        try:
            item = mapping.item(sent.feed, Scene(record), under=f"/records/{at}", version=sent.version)
        except UnreadableError as error:
            faults.extend(error.faults)
            continue
        if item is not None:
            items.append(item)
    if faults:
        raise UnreadableError(faults)
    return Delivery(tuple(items), passed_over=len(batch.records) - len(items))
