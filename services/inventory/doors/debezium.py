# SPDX-License-Identifier: Apache-2.0
"""Debezium: the change of one row of a CMDB's table as feed items. Which column means what is in the feed's mapping.

A change is an envelope with `op`, `before`, `after` and `source`, alone or as `payload` beside its `schema` (JsonConverter with
`schemas.enable`). The version of an item is the connector's own position in its database's log, which rises with every change of a row:

- PostgreSQL: `source.lsn`, where the change stands in the write-ahead log;
- MySQL and MariaDB: the number of `source.file` and `source.pos`, where its event stands in the binary log;
- SQL Server: `source.change_lsn`, or of a snapshot's rows `source.commit_lsn`;
- others: `source.ts_us`, `ts_ns` or `ts_ms`, the time of the commit; of changes in one transaction the later to arrive counts.

A change of a row waits for the transaction that changed it before, so its place in the log is behind that one's, though transactions
of other rows may end in another order. Not the time for all: a transaction that deletes a row and writes it again has one time, and
clocks are set back. A row of an incremental snapshot has no position in the log, and needs none: every change states the whole row, so
it counts, as version 0, only where nothing was told of its row.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple

from pydantic import BaseModel, ValidationError

from libs.contracts import Feed, FeedItem
from services.inventory.doors.delivery import Fault, UnreadableError
from services.inventory.doors.faults import faults_of
from services.inventory.doors.mapping import AssetKey, FeedMapping, Scene

UNAVAILABLE: Final = "__debezium_unavailable_value"
"""What stands for a large column that PostgreSQL did not write to its log again, for it did not change (TOAST)."""
_INCREMENTAL: Final = "incremental"
_MOST: Final = 2**63 - 1
_BINLOG: Final = re.compile(r"\.([0-9]{1,9})$")
_LSN: Final = re.compile(r"([0-9a-fA-F]{8}):([0-9a-fA-F]{8}):([0-9a-fA-F]{4})$")
_LSN_VLF_BITS: Final = 23
_LSN_BLOCK_BITS: Final = 24
_PER_MICROSECOND: Final = {"ts_us": (1, 1), "ts_ns": (1, 1000), "ts_ms": (1000, 1)}

Row = dict[str, Any]


class Envelope(BaseModel):
    """What is read of a change event (Debezium, "Data change events" of each connector)."""

    op: Literal["c", "u", "d", "r", "t", "m"]
    before: Row | None = None
    after: Row | None = None
    source: dict[str, Any]


class Change(NamedTuple):
    """A change as it stood on its topic: the key and the value, read as JSON; a value of None is a tombstone."""

    key: Any
    value: Mapping[str, Any] | None


def read_change(feed: Feed, mapping: FeedMapping, change: Change) -> tuple[FeedItem, ...]:
    """The items of a change: one, none where its row is no asset, or two where a row becomes another asset.

    Raises UnreadableError; also for a truncation, which does not say which rows are gone.
    """
    payload = unwrapped(change.value)
    if payload is None:
        # a tombstone: the deletion has been told
        return ()
    try:
        envelope = Envelope.model_validate(payload)
    except ValidationError as error:
        raise UnreadableError(faults_of(error)) from None
    match envelope.op:
        case "t":
            raise UnreadableError([Fault("/op", "inventory.debezium.truncate")])
        case "m":
            return ()
    reader = _Reader(feed, mapping, envelope.source, _version(envelope.source))
    return reader.items(envelope, unwrapped(change.key))


def unwrapped(content: Any) -> Any:
    """The payload, where the schema stands beside it."""
    if isinstance(content, Mapping) and content.keys() == {"schema", "payload"}:
        return content["payload"]
    return content


class _Reader:
    """The items of one change."""

    def __init__(self, feed: Feed, mapping: FeedMapping, source: Mapping[str, Any], version: int) -> None:
        self._feed, self._mapping, self._source, self._version = feed, mapping, source, version

    def items(self, envelope: Envelope, key: Any) -> tuple[FeedItem, ...]:
        if envelope.op == "d":
            before = envelope.before or (key if isinstance(key, dict) else None)
            if before is None:
                raise UnreadableError([Fault("/before", "problems.field.missing")])
            gone = self._mapping.identity(self._feed, self._scene(before), under="/before")
            return () if gone is None else (self._retirement(gone),)
        if envelope.after is None:
            raise UnreadableError([Fault("/after", "problems.field.missing")])
        scene = self._scene(envelope.after, envelope.before)
        item = self._mapping.item(self._feed, scene, under="/after", version=self._version)
        left = self._left(envelope.before, item)
        return (*((self._retirement(left),) if left else ()), *((item,) if item else ()))

    def _left(self, before: Row | None, item: FeedItem | None) -> AssetKey | None:
        """The asset that the row was and is no longer: its key has changed, or it is no longer of a kind that is kept."""
        if not before:
            return None
        try:
            was = self._mapping.identity(self._feed, self._scene(before), under="/before")
        except UnreadableError:
            # it could not be told then either
            return None
        return was if was and (item is None or item.source_key != was.source_key) else None

    def _scene(self, row: Row, before: Row | None = None) -> Scene:
        """A value that is not told again is as it was before, where that is told, and else left open."""
        missing = {name for name, value in row.items() if value in (UNAVAILABLE, [UNAVAILABLE])}
        known = {name: before[name] for name in missing if before and name in before and before[name] != UNAVAILABLE}
        untold = missing - known.keys()
        told = {name: value for name, value in row.items() if name not in missing} | known
        return Scene(told, self._source, (lambda path: path[0] in untold) if untold else None)

    def _retirement(self, gone: AssetKey) -> FeedItem:
        return FeedItem(
            body=gone.body,
            feed=self._feed.id,
            source_key=gone.source_key,
            source_version=self._version,
            operation="retire",
        )


def _version(source: Mapping[str, Any]) -> int:
    if str(source.get("snapshot")).lower() == _INCREMENTAL:
        return 0
    try:
        position = _position(source)
        if not 0 <= position <= _MOST:
            raise ValueError("out of range")
    except (KeyError, TypeError, ValueError):
        raise UnreadableError([Fault("/source", "inventory.debezium.position")]) from None
    return position


def _position(source: Mapping[str, Any]) -> int:
    """Raises KeyError, TypeError or ValueError where a source tells no position."""
    match source.get("connector"):
        case "postgresql":
            return _whole(source["lsn"])
        case "mysql" | "mariadb":
            return _binlog_position(source)
        case "sqlserver":
            return _log_sequence_number(source.get("change_lsn") or source["commit_lsn"])
    name = next(name for name in (*_PER_MICROSECOND, "") if name == "" or source.get(name) is not None)
    times, per = _PER_MICROSECOND[name]
    return _whole(source[name]) * times // per


def _binlog_position(source: Mapping[str, Any]) -> int:
    """The file's number above, and below the place of the event in it, which has 32 bits."""
    number = _BINLOG.search(source["file"])
    place = _whole(source["pos"])
    if number is None or place >= 2**32:
        raise ValueError("no place in a binary log")
    return int(number[1]) << 32 | place


def _log_sequence_number(text: str) -> int:
    """`VLF:block:slot`, 32, 32 and 16 bits, of which a database in use has far fewer: a block is counted in 512 bytes of one virtual log file."""
    parts = _LSN.match(text)
    if parts is None:
        raise ValueError("no log sequence number")
    vlf, block, slot = (int(part, 16) for part in parts.groups())
    if vlf >= 2**_LSN_VLF_BITS or block >= 2**_LSN_BLOCK_BITS:
        raise ValueError("a log sequence number of more than 63 bits")
    return (vlf << _LSN_BLOCK_BITS | block) << 16 | slot


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError("no whole number")
    return value
