# SPDX-License-Identifier: Apache-2.0
"""The vocabulary (design §2): one enumeration or constrained string for each term."""

from __future__ import annotations

import re
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints
from pydantic_core import PydanticCustomError


class Dimension(StrEnum):
    """機密性・完全性・可用性 (基本方針 §2 (5)–(7))."""

    CONFIDENTIALITY = "confidentiality"
    INTEGRITY = "integrity"
    AVAILABILITY = "availability"


class AssetKind(StrEnum):
    """The kinds of information asset (基本方針 §4 (2); 施行規則16条の3第2項1号)."""

    NETWORK = "network"
    SYSTEM = "system"
    FACILITY = "facility"
    MEDIA = "media"
    INFORMATION = "information"
    DOCUMENT = "document"


class Zone(StrEnum):
    """三層の区分."""

    MYNUMBER = "mynumber"
    LGWAN = "lgwan"
    INTERNET = "internet"
    STANDALONE = "standalone"


class RelationType(StrEnum):
    """A relation reads from its owner: a system `stores` information, a document `describes` a system."""

    STORES = "stores"
    RUNS_ON = "runs_on"
    CONNECTS = "connects"
    HOUSED_IN = "housed_in"
    DESCRIBES = "describes"
    PRINTED_FROM = "printed_from"
    CONTAINS = "contains"
    BACKS_UP = "backs_up"
    REDUNDANT_WITH = "redundant_with"


class AssetStatus(StrEnum):
    """`retired` keeps its place in the register with its history (soft delete)."""

    ACTIVE = "active"
    RETIRED = "retired"


class OverrideState(StrEnum):
    """Only `approved` binds; `refused`, `withdrawn` and `expired` are for good."""

    ASKED = "asked"
    APPROVED = "approved"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"


class FindingState(StrEnum):
    """Whether a check shows its obligation met; `lifted` where the obligation no longer binds."""

    MET = "met"
    NOT_MET = "not_met"
    UNKNOWN = "unknown"
    LIFTED = "lifted"


class StandardState(StrEnum):
    """Of a published version: whether it holds, is being brought to hold, or once did."""

    PUBLISHED = "published"
    ACTIVATING = "activating"
    ACTIVE = "active"
    SUPERSEDED = "superseded"


class SnapshotState(StrEnum):
    """Of a snapshot of one feed on one network: all that the feed tells of there, told between a beginning and an end.

    `waiting` for a person; `retiring` what it did not have; what is `done`, or anything else below, is for good. Only what is `done`
    has retired anything: `incomplete` had not as many items as its end said, `expired` no end in time, and `overtaken` a newer one.
    """

    OPEN = "open"
    WAITING = "waiting"
    RETIRING = "retiring"
    DONE = "done"
    REFUSED = "refused"
    INCOMPLETE = "incomplete"
    ABORTED = "aborted"
    EXPIRED = "expired"
    OVERTAKEN = "overtaken"


class Audience(StrEnum):
    """Who a duty binds (research/jp-standards.md §4)."""

    CISO = "ciso"
    GENERAL_MANAGER = "general_manager"
    DEPARTMENT_MANAGER = "department_manager"
    SECTION_MANAGER = "section_manager"
    SYSTEM_MANAGER = "system_manager"
    SYSTEM_STAFF = "system_staff"
    STAFF = "staff"
    CONTRACTOR = "contractor"
    COMMITTEE = "committee"
    CSIRT = "csirt"
    AUDITOR = "auditor"


class Part(StrEnum):
    """The nine parts of the model standard (research/jp-standards.md §3)."""

    ORGANISATION = "organisation"
    CLASSIFICATION = "classification"
    RESILIENCE = "resilience"
    PHYSICAL = "physical"
    HUMAN = "human"
    TECHNICAL = "technical"
    OPERATIONS = "operations"
    OUTSOURCING_CLOUD = "outsourcing_cloud"
    REVIEW = "review"


SLUG = r"^[a-z][a-z0-9_-]{0,39}$"
Slug = Annotated[str, StringConstraints(pattern=SLUG)]
"""Ids of bodies, networks and feeds: they are parts of keys, so they hold no slash."""

SESSION = r"^[a-z0-9][a-z0-9._-]{0,63}$"
SessionId = Annotated[str, StringConstraints(pattern=SESSION)]
"""What a feed calls a snapshot: used once, and a part of keys, so it holds no slash."""

LEVEL_CODE = r"^[0-9A-Z]{1,4}$"
LevelCode = Annotated[str, StringConstraints(pattern=LEVEL_CODE)]
"""A level of one scale, such as `3B`; its order is the standard's, never the string's."""

FACT_NAME = r"^[a-z][a-z0-9_]{0,39}$"
FactName = Annotated[str, StringConstraints(pattern=FACT_NAME)]
_NO_NUL = r"^[^\x00]*$"
"""PostgreSQL keeps no NUL in a text; refused at the door, it costs one item and not a batch."""

_DATED = re.compile(r"[0-9]{4}-")


def _written(value: Any) -> Any:
    """As RFC 3339 writes it: a number too would be read as a time, of so many seconds after 1970."""
    if isinstance(value, datetime) or (isinstance(value, str) and _DATED.match(value)):
        return value
    raise PydanticCustomError("datetime_parsing", "a time with its zone, as RFC 3339 writes it")


Moment = Annotated[AwareDatetime, BeforeValidator(_written)]
"""What a person or a program asks for by its time."""


def _counted(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise PydanticCustomError("int_type", "a whole number")
    return value


COUNTED = BeforeValidator(_counted)
"""Of a whole number in JSON that is read value by value, where a truth value or a text would be taken for one."""

ShortText = Annotated[str, StringConstraints(min_length=1, max_length=300, pattern=_NO_NUL)]
SourceKey = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=_NO_NUL)]

FactItem = Annotated[str, StringConstraints(max_length=300, pattern=_NO_NUL)]
FactValue = (
    bool
    | Annotated[int, Field(ge=-(2**53), le=2**53)]
    | float
    | FactItem
    | Annotated[list[FactItem], Field(max_length=64)]
)
"""JSON scalars, or a list of strings; what a name means and its type are the standard's (`standards/*/facts.yaml`)."""

Facts = Annotated[dict[FactName, FactValue], Field(max_length=64)]


class Contract(BaseModel):
    """Base of what crosses a topic: immutable; fields that a later minor version adds are passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="null", allow_inf_nan=False)


class Text(Contract):
    """A sentence for people, in Japanese and English."""

    ja: str
    en: str


class Levels(Contract):
    """One level for each dimension, in the codes of the standard's scales."""

    confidentiality: LevelCode
    integrity: LevelCode
    availability: LevelCode


class DeclaredLevels(Contract):
    """What a ledger says itself; a dimension it is silent about is None."""

    confidentiality: LevelCode | None = None
    integrity: LevelCode | None = None
    availability: LevelCode | None = None
