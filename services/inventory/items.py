# SPDX-License-Identifier: Apache-2.0
"""Feed items as the feed topic's reader makes them: `libs.contracts.FeedItem`, in a tenth of its time. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta, Struct

from libs.contracts import FeedItem, FeedItemSubmitted
from libs.contracts.structs import (
    NUL,
    DeclaredStruct,
    EventStruct,
    KindText,
    RelationText,
    SessionText,
    SlugText,
    ZoneText,
    whole,
)
from libs.contracts.topics import MAX_VALUE_BYTES
from libs.contracts.words import FACT_NAME, AssetKind

_Text = Annotated[str, Meta(min_length=1, max_length=300)]
_SourceKey = Annotated[str, Meta(min_length=1, max_length=200)]
_FactName = Annotated[str, Meta(pattern=whole(FACT_NAME))]
_FactItem = Annotated[str, Meta(max_length=300)]
_Fact = (
    bool
    | Annotated[int, Meta(ge=-(2**53), le=2**53)]
    | float
    | _FactItem
    | Annotated[list[_FactItem], Meta(max_length=64)]
)


class RelationStruct(Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """`libs.contracts.commands.RelationItem`."""

    type: RelationText
    source_key: _SourceKey
    feed: SlugText | None = None


class ItemStruct(Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """`libs.contracts.FeedItem`; one that keeps fields as they were is left to the model."""

    body: SlugText
    feed: SlugText
    source_key: _SourceKey
    source_version: Annotated[int, Meta(ge=0, le=2**63 - 1)]
    operation: Literal["upsert", "retire"] = "upsert"
    kind: KindText = AssetKind.INFORMATION.value
    name: _Text | None = None
    section: _Text | None = None
    zone: ZoneText | None = None
    facts: Annotated[dict[_FactName, _Fact], Meta(max_length=64)] = {}
    declared: DeclaredStruct = DeclaredStruct()
    relations: Annotated[tuple[RelationStruct, ...], Meta(max_length=1000)] = ()
    reason: _Text | None = None
    observed_at: Annotated[datetime, Meta(tz=True)] | None = None
    kept: Annotated[tuple[str, ...], Meta(max_length=0)] = ()
    snapshot: SessionText | None = None


class SubmittedStruct(EventStruct, kw_only=True, gc=False):
    """`libs.contracts.FeedItemSubmitted`."""

    type: Literal["daicho.feed.item.v1"]
    data: ItemStruct


Item: TypeAlias = FeedItem | ItemStruct
Submitted: TypeAlias = FeedItemSubmitted | SubmittedStruct

_DECODER: Final = msgspec.json.Decoder(SubmittedStruct)


def submitted(value: bytes | None) -> SubmittedStruct | None:
    """What a value of the feed topic says; None for what the model is to be asked about."""
    if not value or len(value) > MAX_VALUE_BYTES or NUL in value:
        return None
    try:
        return _DECODER.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
