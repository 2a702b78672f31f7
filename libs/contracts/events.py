# SPDX-License-Identifier: Apache-2.0
"""What has happened, as every consumer of the topics sees it (design §4)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Literal

from pydantic import AwareDatetime

from libs.contracts.envelope import CloudEvent
from libs.contracts.problems import Reason
from libs.contracts.words import (
    AssetKind,
    AssetStatus,
    Audience,
    Contract,
    DeclaredLevels,
    Dimension,
    Facts,
    FindingState,
    LevelCode,
    Levels,
    OverrideState,
    Part,
    RelationType,
    ShortText,
    Slug,
    Text,
    Zone,
)


class Relation(Contract):
    """A relation to an asset of the same network, which may not be in the register yet."""

    type: RelationType
    asset_id: str


class Asset(Contract):
    """One asset of the register at one revision (research/jp-standards.md §6 for the columns behind `facts`)."""

    asset_id: str
    body: Slug
    network: Slug
    kind: AssetKind
    name: str
    section: str | None = None
    zone: Zone | None = None
    status: AssetStatus = AssetStatus.ACTIVE
    facts: Facts
    declared: DeclaredLevels = DeclaredLevels()
    relations: tuple[Relation, ...] = ()


class Change(Contract):
    """Who or what made a change, and why: `feed` and `source_key` for a feed, `actor` for a person, and `approved_by` for a second one.

    Where assets are merged, split or told apart again, `merged_from` and `merged_into` are their ids. `snapshot` is the session of the
    feed that did not have the asset any more.
    """

    feed: Slug | None = None
    source_key: str | None = None
    source_version: int | None = None
    actor: str | None = None
    reason: str | None = None
    merged_from: str | None = None
    merged_into: str | None = None
    snapshot: str | None = None
    approved_by: str | None = None


class AssetChange(Contract):
    """`before` is None for a new asset. A retired asset has an `after` with status `retired`.

    An asset that moves to another body is retired under its old key, with reason `moved`, and new under its new one. One that a
    person finds to be the same as another is retired with reason `merged`, and `merged_into` says where it went.
    """

    before: Asset | None
    after: Asset
    change: Change


class AssetChanged(CloudEvent[AssetChange]):
    """On `daicho.assets.v1`, from inventory; `subject` is the asset id, `revision` the register's."""

    type: Literal["daicho.asset.changed.v1"] = "daicho.asset.changed.v1"


class AssetRef(Contract):
    """The asset an event is about, as far as its own body may know it."""

    asset_id: str
    name: str
    kind: AssetKind
    zone: Zone | None = None
    section: str | None = None


class Inherited(Contract):
    """Where an inherited level came down from.

    `path` is the chain of asset ids from this asset's neighbour to the origin, all of this asset's body;
    it is empty, and `asset_id` None, where the origin or the way to it is another body's (design §4). Of a long way it names the
    nearest assets and the origin, and `steps` is how many there are.
    """

    body: Slug
    asset_id: str | None = None
    relation: RelationType
    path: tuple[str, ...] = ()
    steps: int | None = None


class OverrideRef(Contract):
    """The override that an effective level rests on: why, who approved it, until when."""

    override_id: str
    reason: str
    approved_by: str
    expires_at: AwareDatetime


class Explanation(Contract):
    """Why an asset has its effective level in one dimension.

    `origin` names what binds; `rule` is the id and text of the rule, at the origin asset if inherited.
    `declared` and `derived` keep the level that each of them gives, or None; `inherited` that of the relation that binds.
    `override` is the one in force at this asset, or at the origin asset of the same body if inherited.
    """

    level: str
    origin: Literal["declared", "derived", "inherited", "override"]
    rule: str | None = None
    text: Text | None = None
    inherited_from: Inherited | None = None
    declared: str | None = None
    derived: str | None = None
    inherited: str | None = None
    override: OverrideRef | None = None


class ClassificationChange(Contract):
    """Effective levels before and after; None before an asset is known, and after it is retired."""

    asset: AssetRef
    asset_revision: int
    before: Levels | None
    after: Levels | None
    explanations: dict[Dimension, Explanation]


class ClassificationChanged(CloudEvent[ClassificationChange]):
    """On `daicho.classifications.v1`; `revision` is classification's own per asset."""

    type: Literal["daicho.classification.changed.v1"] = "daicho.classification.changed.v1"


class Basis(Contract):
    """What a duty rests on; grade A or B of research/jp-standards.md §0, or None for a `project default`."""

    source: str
    place: str | None = None
    grade: Literal["A", "B"] | None = None


class Duty(Contract):
    """An obligation as its audience reads it. `period` is ISO 8601 (`P1Y`), or None for what holds at all times."""

    id: str
    part: Part
    audience: Audience
    title: Text
    action: Text
    evidence: Text
    period: str | None = None
    basis: Basis


class DutyRef(Contract):
    """Enough of an obligation to say which one has ceased to bind."""

    id: str
    part: Part
    audience: Audience
    title: Text


class ObligationsChange(Contract):
    """`in_force` is the whole set of obligation ids, sorted: the last event per asset is enough for a late consumer.

    The texts of every id are in the last `daicho.standard.published.v1` of the same `standardversion`.
    """

    asset: AssetRef
    asset_revision: int
    levels: Levels | None
    in_force: tuple[str, ...]
    imposed: tuple[Duty, ...]
    lifted: tuple[DutyRef, ...]


class ObligationsChanged(CloudEvent[ObligationsChange]):
    """On `daicho.obligations.v1`; same `revision` counter as the classification's."""

    type: Literal["daicho.obligations.changed.v1"] = "daicho.obligations.changed.v1"


class FindingChange(Contract):
    """Whether an obligation is seen to be met at an asset; `before` is None where nothing was told of it yet.

    Of an obligation that is unknown from the beginning nothing is told; `lifted` ends what was told.
    """

    asset: AssetRef
    asset_revision: int
    obligation: DutyRef
    before: FindingState | None
    after: FindingState


class FindingChanged(CloudEvent[FindingChange]):
    """On `daicho.findings.v1`; `subject` is the finding's id, `<asset id>/<obligation id>`."""

    type: Literal["daicho.finding.changed.v1"] = "daicho.finding.changed.v1"


class FeedFinding(Contract):
    """Whether a feed is heard of as often as it declares: `every` is an ISO 8601 duration, `heard_at` when it last was.

    `before` is None where nothing was told of it yet; `not_met` while it is silent for longer, `met` once it is heard again, `lifted`
    where it declares no rhythm any more, or does not speak for the body. It is told to each body for which the feed speaks.
    """

    feed: Slug
    name: Text
    every: timedelta | None
    heard_at: AwareDatetime | None
    before: FindingState | None
    after: FindingState


class FeedFindingChanged(CloudEvent[FeedFinding]):
    """On `daicho.findings.v1`, from inventory; `subject` is the finding's id, `<feed>/silent`."""

    type: Literal["daicho.feed.finding.changed.v1"] = "daicho.feed.finding.changed.v1"


class Standard(Contract):
    """A published standard as far as consumers need it: its scales in rising order, and every duty's text."""

    name: str
    version: str
    digest: str
    effective_from: AwareDatetime
    scales: dict[Dimension, tuple[str, ...]]
    duties: tuple[Duty, ...]


class StandardPublished(CloudEvent[Standard]):
    """On `daicho.control.v1`; `subject` is `<name>`."""

    type: Literal["daicho.standard.published.v1"] = "daicho.standard.published.v1"


class Activation(Contract):
    """That a version of a standard is to hold: as the base, or on the separated `network` in the base's place.

    `name` and `version` are those that it was published under; `document` is the whole standard as `libs.standards` reads it, with an
    overlay applied to the base that it names, so that this event alone is enough to evaluate by it. Nobody publishes what is shipped.
    """

    name: str
    version: str
    digest: str
    network: Slug | None = None
    document: dict[str, Any]
    published_by: str | None = None
    activated_by: str


class StandardActivated(CloudEvent[Activation]):
    """On `daicho.control.v1`, key `-/activation/<subject>`; `subject` is `base`, or `network/<network>`; the last one of each holds.

    It is a command to the service itself. Consumers want `daicho.standard.published.v1`, which follows when it begins to hold.
    """

    type: Literal["daicho.standard.activated.v1"] = "daicho.standard.activated.v1"


class Applied(Contract):
    """How far one partition of the assets is with what was activated at a place, in assets; `activation` is the revision of that event.

    All are first evaluated, in silence, then what differs is told. It is done where all three numbers are the same, in each of
    `partitions`.
    """

    place: str
    activation: int
    partition: int
    partitions: int
    evaluated: int
    told: int
    total: int


class StandardApplied(CloudEvent[Applied]):
    """On `daicho.control.v1`, key `-/applied/<partition>/<place>`; it has no `revision`: the last one says how far it is."""

    type: Literal["daicho.standard.applied.v1"] = "daicho.standard.applied.v1"


class OverrideChange(Contract):
    """An override as it stands at one revision: who asked it, who approved or refused it, who withdrew it.

    `decided_*` are None until it is approved or refused, `ended_*` until it is withdrawn or expires; nobody ends what expires.
    """

    override_id: str
    asset_id: str
    dimension: Dimension
    level: LevelCode
    reason: ShortText
    asked_by: str
    asked_at: AwareDatetime
    state: OverrideState
    decided_by: str | None = None
    decided_at: AwareDatetime | None = None
    decision_note: ShortText | None = None
    ended_by: str | None = None
    ended_at: AwareDatetime | None = None
    end_note: ShortText | None = None
    expires_at: AwareDatetime
    revision: int


class OverrideChanged(CloudEvent[OverrideChange]):
    """On `daicho.control.v1`, key `<body>/override/<asset id>/<dimension>/<override id>`; `subject` is the override id."""

    type: Literal["daicho.override.changed.v1"] = "daicho.override.changed.v1"


class DeadLetter(Contract):
    """A message that could not be taken, whole: bytes in Base64 (RFC 4648 §4), with where it stood.

    `field` is the path of the offending field, such as `data.facts.record_count`; `detail` holds no value of it.
    """

    reason: Reason
    field: str | None = None
    detail: str
    consumer: str
    topic: str
    partition: int
    offset: int
    key: str | None
    value: str | None
    headers: tuple[tuple[str, str], ...] = ()


class DeadLettered(CloudEvent[DeadLetter]):
    """On `daicho.deadletter.v1`; `subject` is `<topic>/<partition>/<offset>`; the key is the parked message's."""

    type: Literal["daicho.deadletter.parked.v1"] = "daicho.deadletter.parked.v1"


class Correction(Contract):
    """What a person put in the place of the message in the dead letter `letter`: key and value in Base64, as in `DeadLetter`."""

    letter: str
    key: str
    value: str


class Release(Contract):
    """That the parked messages of one key went back to their topic, in order: who did it, and why.

    `count` is how many went. Those of `discarded` dead letters did not, those of `corrected` ones went as a person corrected them.
    `letter` is the only dead letter that this is about, where its message had no proper key and so parked nothing.
    """

    consumer: str
    topic: str
    key: str
    actor: str
    count: int
    reason: str | None = None
    discarded: tuple[str, ...] = ()
    corrected: tuple[Correction, ...] = ()
    letter: str | None = None


class DeadLetterReleased(CloudEvent[Release]):
    """On `daicho.deadletter.v1`, under the key that was parked."""

    type: Literal["daicho.deadletter.released.v1"] = "daicho.deadletter.released.v1"


class Resumption(Contract):
    """That a person lets a consumer's task go on, which had stopped because it put too much aside."""

    consumer: str
    topic: str
    partition: int
    actor: str
    reason: str


class ConsumerResumed(CloudEvent[Resumption]):
    """On `daicho.deadletter.v1`, key `-/-/<consumer>/<topic>/<partition>`; `subject` is `<topic>/<partition>`."""

    type: Literal["daicho.deadletter.resumed.v1"] = "daicho.deadletter.resumed.v1"
