# SPDX-License-Identifier: Apache-2.0
"""CloudEvents 1.0, structured JSON, with Daicho's extension attributes (design §4)."""

from __future__ import annotations

from typing import Annotated, Generic, Literal, TypeVar

from pydantic import AwareDatetime, Field, StringConstraints

from libs.contracts.words import Contract, Slug

DataT_co = TypeVar("DataT_co", bound=Contract, covariant=True)

SOURCE = r"^urn:daicho:[0-9]{6}:[a-z0-9_-]+:[a-z0-9_-]+$"
TRACEPARENT = r"^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$"


class CloudEvent(Contract, Generic[DataT_co]):
    """The envelope of every message on every topic.

    `id` is unique within `source`; a message that is sent again has the same id and the same content.
    `revision` rises by one per subject and service: a consumer drops what is not above what it has seen.
    Source: CloudEvents 1.0.2; Kafka protocol binding §3.3 (structured content mode); W3C Trace Context.
    """

    specversion: Literal["1.0"] = "1.0"
    id: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    source: Annotated[str, StringConstraints(pattern=SOURCE)]
    type: str
    subject: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    time: AwareDatetime
    datacontenttype: Literal["application/json"] = "application/json"
    body: Slug | None = None
    network: Slug | None = None
    revision: Annotated[int, Field(ge=1)] | None = None
    traceparent: Annotated[str, StringConstraints(pattern=TRACEPARENT)] | None = None
    standardversion: str | None = None
    data: DataT_co


CONTENT_TYPE = "application/cloudevents+json; charset=UTF-8"


def source_urn(municipality: str, body: str, service: str) -> str:
    """`urn:daicho:<municipality>:<body>:<service>`; the body is `-` where an event is not of one body."""
    return f"urn:daicho:{municipality}:{body}:{service}"


def kafka_headers(event: CloudEvent[Contract]) -> list[tuple[str, bytes]]:
    """The envelope's attributes as `ce_` headers, for consumers that route without reading the body."""
    attributes = ("id", "source", "type", "subject", "body", "network", "revision", "traceparent", "standardversion")
    present = ((name, getattr(event, name)) for name in attributes)
    headers = [(f"ce_{name}", str(value).encode()) for name, value in present if value is not None]
    return [("content-type", CONTENT_TYPE.encode()), ("ce_specversion", b"1.0"), *headers]
