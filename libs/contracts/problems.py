# SPDX-License-Identifier: Apache-2.0
"""Why something was not taken: reason codes of dead letters, and problem types over HTTP (RFC 9457)."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict


class Reason(StrEnum):
    """Stable codes; the sentence for each, in both languages, is in the catalogue under `reason.<code>`."""

    NOT_UTF8 = "not-utf8"
    NOT_JSON = "not-json"
    TOO_DEEP = "too-deep"
    TOO_LARGE = "too-large"
    EMPTY = "empty"
    UNKNOWN_TYPE = "unknown-type"
    UNKNOWN_VERSION = "unknown-version"
    SCHEMA = "schema"
    UNKNOWN_BODY = "unknown-body"
    UNKNOWN_FEED = "unknown-feed"
    FEED_NOT_AUTHORISED = "feed-not-authorised"
    WRONG_NETWORK = "wrong-network"
    OTHER_NETWORK_RELATION = "other-network-relation"
    UNKNOWN_LEVEL = "unknown-level"
    KEY_MISMATCH = "key-mismatch"
    KEY_PARKED = "key-parked"
    FAILED = "failed"


class ProblemType(StrEnum):
    """`type` of a problem document is `urn:daicho:problem:<value>`; title and detail come from the catalogue."""

    INVALID = "invalid"
    NOT_FOUND = "not-found"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    SIGNATURE = "signature"
    TOO_LARGE = "too-large"
    UNSUPPORTED_MEDIA = "unsupported-media"
    PRECONDITION_FAILED = "precondition-failed"
    PRECONDITION_REQUIRED = "precondition-required"
    CONFLICT = "conflict"
    BUSY = "busy"
    TOO_MANY = "too-many"
    INTERNAL = "internal"


class FieldProblem(BaseModel):
    """One offending field: a JSON Pointer (RFC 6901) or column, and what to do about it."""

    model_config = ConfigDict(frozen=True)

    field: str
    detail: str


class Problem(BaseModel):
    """An RFC 9457 problem document, `application/problem+json`."""

    model_config = ConfigDict(frozen=True)

    type: str
    title: str
    status: int
    detail: str
    instance: str | None = None
    errors: tuple[FieldProblem, ...] = ()
