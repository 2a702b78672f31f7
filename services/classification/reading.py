# SPDX-License-Identifier: Apache-2.0
"""From a record's bytes to what evaluation needs of it.

The structs ask for all that the contract's models ask for, and take a third of their time; a test holds them to the models. What they do not
take, the model is asked: it may know better (a number written as text), and else says what is wrong.
"""

from __future__ import annotations

from sys import intern
from typing import Annotated, Final, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct
from pydantic import BeforeValidator, ConfigDict, Field, TypeAdapter

from libs.bus import ConsumerRecord, check_key, decode
from libs.contracts import (
    AssetChange,
    AssetChanged,
    AssetStatus,
    ClassificationChanged,
    ObligationsChanged,
)
from libs.contracts.structs import DeclaredStruct, EventStruct, KindText, LevelText, RelationText, SlugText, ZoneText
from libs.contracts.topics import MAX_RECORD_BYTES, MAX_VALUE_BYTES
from libs.contracts.words import Facts
from libs.standards import Case, EffectiveLevels, GraphAsset, Reason, Reasons, reason_of
from libs.standards.case import Declared
from libs.standards.remembering import remember
from services.classification.domain import AssetSeen, Duties

StructT = TypeVar("StructT", bound=Struct)

_Status = Literal[tuple(one.value for one in AssetStatus)]  # type: ignore[valid-type]

_FACTS: Final[TypeAdapter[Facts]] = TypeAdapter(Facts, config=ConfigDict(allow_inf_nan=False))
_RETIRED: Final = AssetStatus.RETIRED.value


class _Relation(Struct, gc=False):
    type: RelationText
    asset_id: str


class _Asset(Struct, gc=False):
    asset_id: str
    body: SlugText
    network: SlugText
    kind: KindText
    name: str
    facts: msgspec.Raw
    section: str | None = None
    zone: ZoneText | None = None
    status: _Status = AssetStatus.ACTIVE.value
    declared: DeclaredStruct = DeclaredStruct()
    relations: list[_Relation] = []


class _Change(Struct, gc=False):
    feed: SlugText | None = None
    source_key: str | None = None
    source_version: int | None = None
    actor: str | None = None
    reason: str | None = None


class _AssetChange(Struct, gc=False):
    after: _Asset
    change: _Change


class _Event(EventStruct, kw_only=True, gc=False):
    """Without a revision nobody could tell it from one seen before."""

    revision: Annotated[int, Meta(ge=1)]


class _AssetEvent(_Event, kw_only=True, gc=False):
    type: Literal["daicho.asset.changed.v1"]
    data: _AssetChange


class _Levels(Struct, gc=False):
    confidentiality: LevelText
    integrity: LevelText
    availability: LevelText


class _Override(Struct, gc=False):
    override_id: str


class _Inherited(Struct, gc=False):
    body: str
    asset_id: str | None = None


class _Explanation(Struct, gc=False):
    level: str
    origin: str
    rule: str | None = None
    inherited_from: _Inherited | None = None
    declared: str | None = None
    derived: str | None = None
    override: _Override | None = None


class _Explanations(Struct, gc=False):
    """None of a retired asset."""

    confidentiality: _Explanation | None = None
    integrity: _Explanation | None = None
    availability: _Explanation | None = None


class _LevelsChange(Struct, gc=False):
    after: _Levels | None
    explanations: _Explanations


class _LevelsEvent(_Event, kw_only=True, gc=False):
    type: Literal["daicho.classification.changed.v1"]
    data: _LevelsChange


class _DutiesChange(Struct, gc=False):
    in_force: msgspec.Raw


class _DutiesEvent(_Event, kw_only=True, gc=False):
    type: Literal["daicho.obligations.changed.v1"]
    data: _DutiesChange


class _AfterOnly(AssetChange):
    """Of a change, evaluation needs what is; what was is passed over."""

    before: Annotated[None, BeforeValidator(lambda _: None)] = None


class _AssetSeen(AssetChanged):
    """Without a revision nobody could tell it from one seen before."""

    revision: Annotated[int, Field(ge=1)]
    data: _AfterOnly


class AssetReader:
    """Reads assets; those that are alike share what conditions read of them."""

    def __init__(self) -> None:
        self._decoder = msgspec.json.Decoder(_AssetEvent)
        self._cases: dict[tuple[str, str | None, bytes], Case] = {}
        self._declarations: dict[Declared, Declared] = {}

    def read(self, record: ConsumerRecord) -> AssetSeen:
        """Raises Rejected, as `libs.bus.decode` and `check_key` do."""
        event = _decoded(self._decoder, record, MAX_VALUE_BYTES)
        case = None if event is None else self._case(event.data.after)
        if event is None or case is None:
            return _read_slowly(record)
        asset = event.data.after
        check_key(record.key, asset.network, asset.body, asset.asset_id)
        declared = self._declared(asset.declared)
        relations = (
            tuple(sorted({(one.type, intern(one.asset_id)) for one in asset.relations})) if asset.relations else ()
        )
        seen = GraphAsset(
            intern(asset.asset_id),
            intern(asset.body),
            intern(asset.network),
            record.key or b"",
            asset.name,
            asset.section and intern(asset.section),
            case,
            declared,
            relations,
            asset.status == _RETIRED,
        )
        return AssetSeen(seen, event.revision, event.traceparent)

    def _declared(self, told: DeclaredStruct) -> Declared:
        """There are few combinations, and each is kept once."""
        declared = (told.confidentiality, told.integrity, told.availability)
        return self._declarations.get(declared) or remember(self._declarations, declared, declared)

    def _case(self, asset: _Asset) -> Case | None:
        """None for facts that are not as the contract has them."""
        facts = bytes(asset.facts)
        key = (asset.kind, asset.zone, facts)
        if (case := self._cases.get(key)) is None:
            try:
                _FACTS.validate_json(facts)
            except ValueError:
                return None
            case = remember(self._cases, key, Case(asset.kind, asset.zone, facts))
        return case


class OwnEvents:
    """Reads what this service has published itself, as far as it is compared with what is found anew."""

    def __init__(self) -> None:
        self._levels = msgspec.json.Decoder(_LevelsEvent)
        self._duties = msgspec.json.Decoder(_DutiesEvent)
        self._duty_ids = msgspec.json.Decoder(tuple[str, ...])
        self._in_force: dict[bytes, Duties] = {}

    def levels(self, record: ConsumerRecord) -> tuple[int, EffectiveLevels | None, Reasons | None]:
        """Revision, levels and reasons; the latter two None of a retired asset. Raises Rejected."""
        event = _decoded(self._levels, record, MAX_RECORD_BYTES)
        if event is None:
            return _levels_slowly(record)
        after, told = event.data.after, event.data.explanations
        if after is None or told.confidentiality is None or told.integrity is None or told.availability is None:
            return event.revision, None, None
        levels = EffectiveLevels(intern(after.confidentiality), intern(after.integrity), intern(after.availability))
        return (
            event.revision,
            levels,
            (_reason(told.confidentiality), _reason(told.integrity), _reason(told.availability)),
        )

    def duties(self, record: ConsumerRecord) -> tuple[int, Duties]:
        """Revision, and the ids in force. Raises Rejected."""
        event = _decoded(self._duties, record, MAX_RECORD_BYTES)
        if event is None:
            slowly = decode(ObligationsChanged, record, max_bytes=MAX_RECORD_BYTES)
            return slowly.revision or 0, slowly.data.in_force
        told = bytes(event.data.in_force)
        if (known := self._in_force.get(told)) is None:
            known = remember(self._in_force, told, self._duty_ids.decode(told))
        return event.revision, known


def _decoded(decoder: msgspec.json.Decoder[StructT], record: ConsumerRecord, most: int) -> StructT | None:
    """None for what is to be looked at more closely."""
    value = record.value
    if not value or len(value) > most:
        return None
    try:
        return decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _read_slowly(record: ConsumerRecord) -> AssetSeen:
    event = decode(_AssetSeen, record)
    asset = event.data.after
    check_key(record.key, asset.network, asset.body, asset.asset_id)
    return AssetSeen.of(event)


def _levels_slowly(record: ConsumerRecord) -> tuple[int, EffectiveLevels | None, Reasons | None]:
    event = decode(ClassificationChanged, record, max_bytes=MAX_RECORD_BYTES)
    after, told = event.data.after, event.data.explanations
    if after is None or not told:
        return event.revision or 0, None, None
    confidentiality, integrity, availability = map(reason_of, told.values())
    levels = EffectiveLevels(after.confidentiality, after.integrity, after.availability)
    return event.revision or 0, levels, (confidentiality, integrity, availability)


def _reason(told: _Explanation) -> Reason:
    source, override = told.inherited_from, told.override
    return Reason(
        intern(told.level),
        intern(told.origin),
        told.rule and intern(told.rule),
        override and override.override_id,
        told.declared and intern(told.declared),
        told.derived and intern(told.derived),
        source and intern(source.body),
        source and source.asset_id and intern(source.asset_id),
    )
