# SPDX-License-Identifier: Apache-2.0
"""What may be asked of a service over the bus: the plain feed format."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, ConfigDict, Field, StringConstraints, model_validator

from libs.contracts.envelope import CloudEvent
from libs.contracts.words import (
    AssetKind,
    Contract,
    DeclaredLevels,
    Facts,
    RelationType,
    SessionId,
    ShortText,
    Slug,
    SourceKey,
    Zone,
)

SourceVersion = Annotated[int, Field(ge=0, le=2**63 - 1)]


class Command(Contract):
    """Commands refuse fields they do not know: a mistyped field name must not be lost in silence."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class RelationItem(Command):
    """A relation to the asset that `feed` (default: this feed) knows as `source_key`, seen already or not yet."""

    type: RelationType
    source_key: SourceKey
    feed: Slug | None = None


KeptField = Annotated[
    str,
    StringConstraints(
        pattern=r"^(kind|name|section|zone|facts\.[a-z][a-z0-9_]{0,39}"
        r"|declared\.(confidentiality|integrity|availability)"
        rf"|relations\.({'|'.join(kind.value for kind in RelationType)}))$"
    ),
]
"""A field that an item may leave as it is: `zone`, one fact (`facts.serial`), the relations of one type (`relations.stores`)."""


class FeedItem(Command):
    """The state of one asset as its source tells it, or that it is gone.

    An item states the whole asset: what it leaves out is not there, but for the fields in `kept`, which it says nothing about and which
    stay as the same source last told them. Of two items with one `source_key` the one with the lower `source_version` is ignored
    whenever it arrives. `snapshot` is the session in which its feed tells it, if it tells all that it has.
    """

    body: Slug
    feed: Slug
    source_key: SourceKey
    source_version: SourceVersion
    operation: Literal["upsert", "retire"] = "upsert"
    kind: AssetKind = AssetKind.INFORMATION
    name: ShortText | None = None
    section: ShortText | None = None
    zone: Zone | None = None
    facts: Facts = Field(default_factory=dict)
    declared: DeclaredLevels = DeclaredLevels()
    relations: Annotated[tuple[RelationItem, ...], Field(max_length=1000)] = ()
    reason: ShortText | None = None
    observed_at: AwareDatetime | None = None
    kept: Annotated[tuple[KeptField, ...], Field(max_length=200)] = ()
    snapshot: SessionId | None = None


class FeedItemSubmitted(CloudEvent[FeedItem]):
    """One item on `daicho.feed.v1`; `subject` is the source key."""

    type: Literal["daicho.feed.item.v1"] = "daicho.feed.item.v1"


class SnapshotMark(Command):
    """Where a snapshot begins or ends on one network, or is given up: between the two, its feed tells all that it has there.

    A beginning names the `bodies` whose assets it will have all of; none: those for which the feed speaks. An end tells how many
    assets (`items`, different source keys) the feed has told of in the session, so that a snapshot which has lost some retires nothing.
    """

    feed: Slug
    network: Slug
    session: SessionId
    step: Literal["begin", "end", "abort"]
    bodies: Annotated[tuple[Slug, ...], Field(max_length=1000)] = ()
    items: Annotated[int, Field(ge=0, le=2**53)] | None = None
    reason: ShortText | None = None

    @model_validator(mode="after")
    def _an_end_tells_how_many(self) -> Self:
        if (self.items is not None) != (self.step == "end"):
            raise ValueError("an end tells how many `items` were told, and nothing else does")
        if self.bodies and self.step != "begin":
            raise ValueError("only a beginning names `bodies`")
        return self


class FeedSnapshotMarked(CloudEvent[SnapshotMark]):
    """On `daicho.feed.v1`, in order with the items; `subject` is the session, the key `network/-/feed/session`."""

    type: Literal["daicho.feed.snapshot.v1"] = "daicho.feed.snapshot.v1"
