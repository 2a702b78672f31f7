# SPDX-License-Identifier: Apache-2.0
"""One line of the stream: a message for `daicho.feed.v1`, and what a right receiver makes of it."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from libs.contracts import FeedItemSubmitted, Reason, make_key, source_urn
from samples.assets import CMDB, Item, network_of
from samples.vocabulary import profile

TYPE = str(FeedItemSubmitted.model_fields["type"].default)


class Expect(StrEnum):
    """`unchanged` is a newer version with the old content; `stale` an older version that comes too late."""

    GOOD = "good"
    UNCHANGED = "unchanged"
    DUPLICATE = "duplicate"
    STALE = "stale"
    MALFORMED = "malformed"


@dataclass(frozen=True)
class Line:
    """`event` lacks `time` and `traceparent`, which its sender sets; a malformed message is `raw` bytes instead.

    `change` says what kind of change it is; `key` None is a message without one; `reason` is of a malformed one.
    """

    expect: Expect
    change: str
    key: str | None
    event: dict[str, Any] | None = None
    raw: bytes | None = None
    reason: Reason | None = None

    @property
    def item(self) -> Item:
        """The feed item of a line that is not malformed; ValueError of one that is."""
        if self.event is None:
            raise ValueError("a malformed line has no item")
        return dict(self.event["data"])

    def message(self, time: datetime, traceparent: str | None = None) -> tuple[bytes | None, bytes]:
        """Key and value as they go to the topic."""
        key = None if self.key is None else self.key.encode()
        if self.event is None:
            return key, self.raw or b""
        stamped = {**self.event, "time": time.isoformat()}
        if traceparent is not None:
            stamped["traceparent"] = traceparent
        return key, compact(stamped).encode()

    def to_json(self) -> str:
        fields: dict[str, Any] = {"expect": self.expect, "change": self.change, "key": self.key}
        if self.event is not None:
            return compact(fields | {"event": self.event})
        return compact(fields | {"reason": self.reason, "value_b64": base64.b64encode(self.raw or b"").decode()})

    @classmethod
    def from_json(cls, line: str | bytes) -> Line:
        fields = json.loads(line)
        malformed = "value_b64" in fields
        return cls(
            expect=Expect(fields["expect"]),
            change=fields["change"],
            key=fields["key"],
            event=fields.get("event"),
            raw=base64.b64decode(fields["value_b64"]) if malformed else None,
            reason=Reason(fields["reason"]) if malformed else None,
        )


def compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def key_of(item: Item) -> str:
    return make_key(network_of(item), item["body"], item["feed"], item["source_key"]).decode()


def event_of(item: Item) -> dict[str, Any]:
    """The envelope of an item; what is sent twice has one id."""
    return {
        "specversion": "1.0",
        "id": f"{item['feed']}:{item['source_key']}@{item['source_version']}",
        "source": source_urn(profile().municipality, item["body"], CMDB),
        "type": TYPE,
        "subject": item["source_key"],
        "datacontenttype": "application/json",
        "body": item["body"],
        "network": network_of(item),
        "data": item,
    }
