# SPDX-License-Identifier: Apache-2.0
"""NetBox: its webhooks, and its objects as the REST API gives them. Which field means what is in `netbox_fields.yaml`.

Seen on a real NetBox 4.7.3: the webhook's `timestamp` is no order of changes, `last_updated` is; a webhook may tell of no change at all;
a deletion bears the `last_updated` of the change before it, so its own time is when it was told; what a device only refers to (the name
of its rack, a contact) changes without a word about the device.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple, TypeVar

import yaml
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from libs.contracts import Feed, FeedItem
from services.inventory.doors.delivery import Delivery, Fault, Sent, UnreadableError, check_size
from services.inventory.doors.faults import faults_of, unreadable

FIELDS: Final = Path(__file__).with_name("netbox_fields.yaml")
MAX_OBJECTS: Final = 1000
_LONGEST_TEXT: Final = 300
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

ModelT = TypeVar("ModelT", bound=BaseModel)


class Fields(BaseModel):
    """The mapping file. A path is dotted; of a choice (`{value, label}`) the value is taken.

    Raises ValidationError where it speaks of a type that is in no collection.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    collections: Mapping[str, str]
    body: tuple[str, ...]
    zone: str
    kind_of_role: Mapping[str, str]
    other_roles: str
    facts: Mapping[str, str]
    relations: Mapping[str, Mapping[str, str]]
    shown_in: Mapping[str, Mapping[str, tuple[str, ...]]]
    cleared_untold: frozenset[str]

    @model_validator(mode="after")
    def _types_are_known(self) -> Fields:
        showing = {object_type for shown in self.shown_in.values() for object_type in shown}
        unknown = (showing - self.object_types) | (self.cleared_untold - self.shown_in.keys())
        if unknown:
            raise ValueError(f"shown_in, cleared_untold: not declared: {', '.join(sorted(unknown))}")
        return self

    @property
    def object_types(self) -> frozenset[str]:
        """Those that the register keeps."""
        return frozenset(self.collections)


class Webhook(BaseModel):
    """What the door reads of a webhook (NetBox, extras/webhooks)."""

    event: Literal["created", "updated", "deleted"]
    timestamp: AwareDatetime
    object_type: str
    data: dict[str, Any]


class NetboxObjects(BaseModel):
    """A page of objects of one type, as `GET /api/dcim/devices/` and its like give them in `results`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    object_type: str
    objects: Annotated[tuple[dict[str, Any], ...], Field(min_length=1, max_length=MAX_OBJECTS)]


class _Object(NamedTuple):
    """A NetBox object, and where in the message it stands. `read_after`: it was read after that moment of NetBox's clock."""

    type: str
    given: Mapping[str, Any]
    under: str
    told_at: datetime | None = None
    retired_at: datetime | None = None
    read_after: datetime | None = None

    def fault(self, path: str, key: str) -> Fault:
        return Fault(f"{self.under}/{path.replace('.', '/')}", key)


def signature_fits(content: bytes, secret: str, signature: str | None) -> bool:
    """Whether `X-Hook-Signature` is the hexadecimal HMAC-SHA512 of the body (NetBox, extras/webhooks; RFC 2104)."""
    expected = hmac.new(secret.encode(), content, hashlib.sha512).hexdigest()
    return hmac.compare_digest(expected.encode(), (signature or "").encode())


def read_webhook(sent: Sent) -> Delivery:
    """One item, or none where the webhook is of an object that the register does not keep. Raises UnreadableError."""
    webhook = _parsed(Webhook, sent.content)
    if webhook.object_type not in fields().object_types:
        return Delivery((), passed_over=1)
    retired = webhook.timestamp if webhook.event == "deleted" else None
    thing = _Object(webhook.object_type, webhook.data, "/data", webhook.timestamp, retired)
    return Delivery((_item(sent.feed, thing),))


def read_objects(sent: Sent) -> Delivery:
    """The items of a page of objects; all of them or none. Raises UnreadableError."""
    page = _parsed(NetboxObjects, sent.content)
    if page.object_type not in fields().object_types:
        return Delivery((), passed_over=len(page.objects))
    items: list[FeedItem] = []
    faults: list[Fault] = []
    for position, given in enumerate(page.objects):
        try:
            items.append(_item(sent.feed, _Object(page.object_type, given, f"/objects/{position}")))
        except UnreadableError as error:
            faults.extend(error.faults)
    if faults:
        raise UnreadableError(faults)
    return Delivery(tuple(items))


def read_object(feed: Feed, object_type: str, given: Mapping[str, Any], read_after: datetime | None) -> FeedItem:
    """The item of an object that was read after that moment of NetBox's clock; without one it is no newer than its last change.

    Raises UnreadableError, also for an item too large for a message.
    """
    item = _item(feed, _Object(object_type, given, "", told_at=read_after, read_after=read_after))
    check_size(item)
    return item


def retirement(feed: Feed, body: str, source_key: str, known_version: int, gone_by: datetime) -> FeedItem:
    """The item of an object that was known in that version, and was gone by that moment of NetBox's clock at the latest."""
    return FeedItem(
        body=body,
        feed=feed.id,
        source_key=source_key,
        source_version=max(known_version, _microseconds(gone_by)),
        operation="retire",
        observed_at=gone_by,
    )


def source_key(object_type: str, number: int) -> str:
    """Under what the register knows an object."""
    return f"{object_type}:{number}"


@cache
def fields() -> Fields:
    """The mapping file, read once."""
    return Fields.model_validate(yaml.safe_load(FIELDS.read_text(encoding="utf-8")))


def _parsed(model: type[ModelT], content: bytes) -> ModelT:
    try:
        return model.model_validate_json(content, strict=True)
    except ValidationError as error:
        raise unreadable(error) from None


def _item(feed: Feed, thing: _Object) -> FeedItem:
    known, given = fields(), thing.given
    role = _at(given, "role.slug")
    described: dict[str, Any] = {
        "body": _body(feed, thing),
        "feed": feed.id,
        "source_key": source_key(thing.type, _number(thing)),
        "source_version": _version(thing),
        "operation": "retire" if thing.retired_at else "upsert",
        "kind": known.kind_of_role.get(role, known.other_roles) if isinstance(role, str) else known.other_roles,
        "name": _shortened(_at(given, "name") or _at(given, "display")),
        "zone": _at(given, known.zone),
        "facts": {
            fact: value for fact, path in known.facts.items() if (value := _shortened(_at(given, path))) is not None
        },
        "relations": _relations(given, known.relations),
        "observed_at": thing.told_at,
    }
    try:
        return FeedItem.model_validate(described)
    except ValidationError as error:
        raise UnreadableError([_at_origin(fault, thing.under) for fault in faults_of(error)]) from None


def _body(feed: Feed, thing: _Object) -> str:
    """The first of the mapped fields that is filled in; a body that the feed does not speak for is an error here, where it can be told."""
    paths = fields().body
    body = next((value for path in paths if (value := _at(thing.given, path)) is not None), None)
    if not isinstance(body, str) or body not in feed.bodies:
        raise UnreadableError([thing.fault(paths[0], "inventory.netbox_body")])
    return body


def _number(thing: _Object) -> int:
    number = thing.given.get("id")
    if isinstance(number, bool) or not isinstance(number, int):
        raise UnreadableError([thing.fault("id", "problems.field.int_type")])
    return number


def _version(thing: _Object) -> int:
    """The moment at which the object was so, in microseconds (docs/decisions/0008).

    Told by a webhook or a list: `last_updated`; an object from before NetBox kept it has none, and is older than any other. Deleted: the
    time of the deletion, which no change can follow. Read by us: the moment after which it was read, and at least a microsecond past
    `last_updated`, for what was told with the same one may be older.
    """
    told = _last_updated(thing)
    if thing.read_after is not None:
        return max(told + 1, _microseconds(thing.read_after))
    return max(told, _microseconds(thing.retired_at) if thing.retired_at else 0)


def _last_updated(thing: _Object) -> int:
    told = thing.given.get("last_updated")
    if told is None:
        return 0
    try:
        moment = datetime.fromisoformat(told)
        if moment.tzinfo is None:
            raise ValueError("no offset")
        return max(_microseconds(moment), 0)
    except (TypeError, ValueError):
        raise UnreadableError([thing.fault("last_updated", "problems.field.datetime_parsing")]) from None


def _microseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1)


def _at(given: Any, path: str) -> Any:
    """The value at a path, of a choice its value, of a list a list; None for what is not there, is null or is empty."""
    return _walk(given, path.split("."))


def _walk(given: Any, steps: Sequence[str]) -> Any:
    if isinstance(given, list):
        return [value for entry in given if (value := _walk(entry, steps)) is not None] or None
    if steps:
        return _walk(given.get(steps[0]), steps[1:]) if isinstance(given, Mapping) else None
    value = given.get("value") if isinstance(given, Mapping) else given
    return None if value == "" else value


def _shortened(value: Any) -> Any:
    """Free text of any length must not keep a device out of the register."""
    if isinstance(value, str) and len(value) > _LONGEST_TEXT:
        return value[: _LONGEST_TEXT - 1] + "…"
    return value


def _relations(given: Mapping[str, Any], mapped: Mapping[str, Mapping[str, str]]) -> Sequence[dict[str, Any]]:
    return [
        {"type": kind, "source_key": source_key(object_type, number)}
        for path, relation in mapped.items()
        for kind, object_type in relation.items()
        if (number := _at(given, f"{path}.id")) is not None
    ]


def _at_origin(fault: Fault, under: str) -> Fault:
    """From the item's field to NetBox's own."""
    known = fields()
    name = fault.field.removeprefix("/")
    origin = (
        known.facts.get(name.removeprefix("facts/")) if name.startswith("facts/") else {"zone": known.zone}.get(name)
    )
    return Fault(f"{under}/{(origin or name).replace('.', '/')}", fault.key, **fault.args)
