# SPDX-License-Identifier: Apache-2.0
"""The envelope and the vocabulary as msgspec's structs, for what is read most.

They take what the models take, no more, and in a third of the time; a test of each holds them to the models. What they refuse the model
is asked about: it may know better (a number written as text), and else says what is wrong.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from libs.contracts.envelope import SOURCE, TRACEPARENT
from libs.contracts.words import LEVEL_CODE, SESSION, SLUG, AssetKind, RelationType, Zone


def whole(pattern: str) -> str:
    """A pattern of the models as Python's `re` reads it: to it, `$` may stand before a line's end."""
    return pattern.removesuffix("$") + r"\Z"


SlugText = Annotated[str, Meta(pattern=whole(SLUG))]
SessionText = Annotated[str, Meta(pattern=whole(SESSION))]
LevelText = Annotated[str, Meta(pattern=whole(LEVEL_CODE))]
KindText = Literal[tuple(one.value for one in AssetKind)]  # type: ignore[valid-type]
ZoneText = Literal[tuple(one.value for one in Zone)]  # type: ignore[valid-type]
RelationText = Literal[tuple(one.value for one in RelationType)]  # type: ignore[valid-type]
_Name = Annotated[str, Meta(min_length=1, max_length=200)]

NUL: Final = rb"\u0000"
"""As JSON has it. The models refuse it in every text; in a value without it, patterns need not look for it."""


class DeclaredStruct(Struct, frozen=True, gc=False):
    """`libs.contracts.DeclaredLevels`."""

    confidentiality: LevelText | None = None
    integrity: LevelText | None = None
    availability: LevelText | None = None


class EventStruct(Struct, gc=False):
    """`libs.contracts.CloudEvent`, with what its senders must say."""

    specversion: Literal["1.0"]
    id: _Name
    source: Annotated[str, Meta(pattern=whole(SOURCE))]
    subject: _Name
    time: Annotated[datetime, Meta(tz=True)]
    datacontenttype: Literal["application/json"] = "application/json"
    body: SlugText | None = None
    network: SlugText | None = None
    revision: Annotated[int, Meta(ge=1)] | None = None
    traceparent: Annotated[str, Meta(pattern=whole(TRACEPARENT))] | None = None
    standardversion: str | None = None
