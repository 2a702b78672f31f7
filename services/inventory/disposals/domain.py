# SPDX-License-Identifier: Apache-2.0
"""What a record of disposal says, and where what was done falls short of what the medium and its level ask for. Pure but for its table.

What was done is recorded as it was, also where it was not enough: a record that is refused is evidence lost.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, NamedTuple
from uuid import UUID

import yaml
from pydantic import BaseModel, ConfigDict, Field

from libs.contracts import AssetKind, Basis, Text, Zone
from libs.contracts.words import LevelCode, ShortText
from services.inventory.acts import Act
from services.inventory.domain import State

_TABLE: Final = Path(__file__).with_name("methods.yaml")


class Medium(StrEnum):
    """What something is recorded on: the values of the fact `medium` (`standards/base/facts.yaml`)."""

    PAPER = "paper"
    HDD = "hdd"
    SSD = "ssd"
    USB = "usb"
    OPTICAL = "optical"
    TAPE = "tape"
    MOBILE = "mobile"


class Strength(StrEnum):
    """What a method withstands (総務省ガイドライン概要資料 p17 図表41): `cleared` 消去, `purged` 抹消, `destroyed` 破壊; a later one does more."""

    CLEARED = "cleared"
    PURGED = "purged"
    DESTROYED = "destroyed"


class Remark(StrEnum):
    """In what a record falls short."""

    TOO_WEAK = "too_weak"
    NO_CERTIFICATE = "no_certificate"
    NO_WITNESS = "no_witness"


MethodId = Annotated[str, Field(pattern=r"^[a-z][a-z_]{0,39}$")]


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Method(_Entry):
    """One way of disposing of media, what it is called, and for which media it does."""

    id: MethodId
    strength: Strength
    media: tuple[Medium, ...]
    name: Text


class Need(_Entry):
    """How strong a method must be for media with sensitive information, and what says so."""

    strength: Strength
    media: tuple[Medium, ...]
    basis: Basis


class _Sensitive(_Entry):
    zones: tuple[Zone, ...]
    confidentiality: tuple[LevelCode, ...]


class Methods(_Entry):
    """The table: ways of disposal, and for which media, holding what, which of them are enough."""

    methods: tuple[Method, ...]
    sensitive: _Sensitive
    needed: tuple[Need, ...]

    def of(self, method: str) -> Method | None:
        return next((one for one in self.methods if one.id == method), None)

    def needed_for(self, medium: Medium, zone: str | None, confidentiality: str | None) -> Need | None:
        """None where any method does."""
        if zone not in self.sensitive.zones and confidentiality not in self.sensitive.confidentiality:
            return None
        return next((need for need in self.needed if medium in need.media), None)


class DisposalAct(Act):
    """A record of how the medium of an asset was disposed of, as a person gives it.

    `methods` in the order in which they were done (消磁した後に裁断); `medium` as the asset has it (fact `medium`) if none is given. `done_by`
    did it, `approved_by` permitted it, and they are two (兼務の禁止); `certificate` is the number or address of a certificate.
    `corrects` is an earlier record of the same asset, which stays.
    """

    ACT: ClassVar[str] = "dispose"

    methods: Annotated[tuple[MethodId, ...], Field(min_length=1, max_length=4)]
    disposed_on: date
    done_by: ShortText
    approved_by: ShortText
    witnessed_by: ShortText | None = None
    medium: Medium | None = None
    certificate: ShortText | None = None
    note: ShortText | None = None
    corrects: UUID | None = None

    def touches(self) -> Iterable[str]:
        return ["body"]


class Done(NamedTuple):
    """What of a record its remarks depend on; zone and declared confidentiality are those of the asset at that time."""

    medium: Medium
    methods: tuple[str, ...]
    zone: str | None
    confidentiality: str | None
    leased: bool
    witnessed: bool
    certified: bool


@cache
def table() -> Methods:
    """The methods that this version knows."""
    return Methods.model_validate(yaml.safe_load(_TABLE.read_text(encoding="utf-8")))


def has_medium(state: State) -> bool:
    """Whether an asset is, or is kept on, a medium that has to be disposed of."""
    return state["kind"] == AssetKind.MEDIA or bool(state["facts"].get("medium"))


def medium_of(state: State) -> Medium | None:
    """The medium of an asset, where it is one of those known here."""
    told: Any = state["facts"].get("medium")
    return Medium(told) if told in set(Medium) else None


def remarks_on(done: Done) -> tuple[Remark, ...]:
    """Where a disposal falls short of what its medium and level ask for."""
    methods, need = table(), table().needed_for(done.medium, done.zone, done.confidentiality)
    order = list(Strength)
    reached = max(order.index(method.strength) for one in done.methods if (method := methods.of(one)))
    found: list[Remark] = []
    if need is not None and reached < order.index(need.strength):
        found.append(Remark.TOO_WEAK)
    # 仙台市 記録媒体の廃棄にかかる全庁調査結果 (lease); 三股町 廃棄要領 第3条 (staff stand by where residents' data was)
    if done.leased and not done.certified:
        found.append(Remark.NO_CERTIFICATE)
    if done.zone == Zone.MYNUMBER and done.medium in (Medium.HDD, Medium.SSD) and not done.witnessed:
        found.append(Remark.NO_WITNESS)
    return tuple(found)
