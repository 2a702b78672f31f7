# SPDX-License-Identifier: Apache-2.0
"""What is published of a standard, where it may hold, and the event that says it is to. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Final, NamedTuple

from libs.contracts import (
    Activation,
    Profile,
    StandardActivated,
    StandardState,
    Text,
    kafka_headers,
    make_key,
    source_urn,
)
from libs.contracts.topics import CONTROL
from libs.standards import Standard, StandardDocument, StandardsInForce, compile_standard, parse
from libs.standards.document import digest_of
from libs.standards.overlay import HEAD, Overlay, apply_overlay, parse_overlay
from services.classification.domain import SERVICE, Message

BASE: Final = "base"
"""The place where a standard holds for all networks that have none of their own."""
NO_BODY: Final = "-"
ACTIVATION: Final = "activation"
_NETWORK: Final = "network/"


def place_of(network: str | None) -> str:
    """Where a standard holds: `base`, or `network/<network>`. Of each place there is one at a time."""
    return BASE if network is None else f"{_NETWORK}{network}"


class Edition(NamedTuple):
    """Which standard it is: under what name and version it was published, and what it says."""

    full_name: str
    digest: str


class Version(NamedTuple):
    """A standard as it was published: `name` and `version` are the overlay's own, `document` is the whole of it.

    `base` is what an overlay stands on; `network` is None for a base. What is shipped was published by nobody.
    """

    name: str
    version: str
    network: str | None
    base: str | None
    title: Text
    effective_from: datetime
    digest: str
    document: StandardDocument
    files: Mapping[str, str]
    published_by: str | None = None
    published_at: datetime | None = None

    @property
    def place(self) -> str:
        return place_of(self.network)

    @property
    def edition(self) -> Edition:
        return Edition(f"{self.name}/{self.version}", self.digest)


class Activating(NamedTuple):
    """That a version is to hold at its place, as that place's how many-th activation."""

    revision: int
    version: Version
    activated_by: str
    activated_at: datetime

    def message(self, municipality: str) -> Message:
        """The event of the activation."""
        version, place = self.version, self.version.place
        event = StandardActivated(
            id=f"{ACTIVATION}/{place}:{self.revision}",
            source=source_urn(municipality, NO_BODY, SERVICE),
            subject=place,
            time=self.activated_at,
            revision=self.revision,
            standardversion=f"{version.document.name}/{version.document.version}",
            data=Activation(
                name=version.name,
                version=version.version,
                digest=version.digest,
                network=version.network,
                document=version.document.model_dump(mode="json"),
                published_by=version.published_by,
                activated_by=self.activated_by,
            ),
        )
        key = make_key(NO_BODY, ACTIVATION, place)
        return Message(CONTROL.name, key, event.model_dump_json(exclude_none=True).encode(), kafka_headers(event))


class Activated(NamedTuple):
    """An activation as it is heard of, ready for use."""

    place: str
    revision: int
    network: str | None
    standard: Standard
    at: datetime


def activated(event: StandardActivated) -> Activated:
    """Raises ValueError (pydantic's ValidationError is one) and ConditionError for a standard that this program cannot use."""
    document = StandardDocument.model_validate(event.data.document)
    return Activated(event.subject, event.revision or 0, event.data.network, compile_standard(document), event.time)


def ready(shipped: Iterable[Version]) -> StandardsInForce:
    """The standards of versions, the base among them, made ready for use. Raises ValueError where scales differ."""
    compiled = {one.network: compile_standard(one.document) for one in shipped}
    return StandardsInForce(compiled[None], {network: one for network, one in compiled.items() if network is not None})


def in_force(
    shipped: StandardsInForce, held: Iterable[tuple[str | None, Standard]], profile: Profile
) -> StandardsInForce:
    """What holds where: at each place what was activated there, by network (None: the base), else what is shipped.

    What was activated for a network that the profile no longer has as a separated one does not count (基本方針 §9).
    Raises ValueError where scales differ.
    """
    separated = {network.id for network in profile.networks if network.separation is not None}
    base, own = shipped.base, dict(shipped.own)
    for network, standard in held:
        if network is None:
            base = standard
        elif network in separated:
            own[network] = standard
    return StandardsInForce(base, own)


def read(files: Mapping[str, str]) -> StandardDocument | Overlay:
    """What the files of a standard or an overlay say. Raises StandardError with every mistake that shows without a base."""
    return parse_overlay(files) if HEAD in files else parse(files)


def base_version(files: Mapping[str, str], document: StandardDocument, network: str | None = None) -> Version:
    """A standard that is written out whole."""
    return Version(
        name=document.name,
        version=document.version,
        network=network,
        base=None,
        title=document.title,
        effective_from=document.effective_from,
        digest=digest_of(document),
        document=document,
        files=files,
    )


def overlay_version(files: Mapping[str, str], overlay: Overlay, base: StandardDocument, network: str) -> Version:
    """Raises StandardError with every mistake that shows on the base."""
    head = overlay.document
    return Version(
        name=head.name,
        version=head.version,
        network=network,
        base=head.base,
        title=head.title,
        effective_from=head.effective_from,
        digest=digest_of(head),
        document=apply_overlay(base, overlay),
        files=files,
    )


class Refusal(StrEnum):
    """Why a version may not be activated, by this person or now."""

    OWN_PUBLICATION = "own_publication"
    HOLDS_ALREADY = "holds_already"
    TOO_EARLY = "too_early"
    NOT_SEPARATED = "not_separated"
    BASE_NEVER_HELD = "base_never_held"
    OTHER_SCALES = "other_scales"


class Situation(NamedTuple):
    """What is so at the moment of an activation: what holds everywhere, what holds at the place, and every base that ever held."""

    standards: StandardsInForce
    holds: Edition | None
    bases: Collection[str]


def refuse_activating(
    version: Version, situation: Situation, profile: Profile, activator: str, now: datetime
) -> Refusal | None:
    """None where it may be: by another person than the one who published it (兼務の禁止), from the time on that it names itself."""
    separated = {network.id for network in profile.networks if network.separation is not None}
    reasons = (
        (Refusal.OWN_PUBLICATION, version.published_by == activator),
        (Refusal.HOLDS_ALREADY, situation.holds == version.edition),
        (Refusal.TOO_EARLY, now < version.effective_from),
        (Refusal.NOT_SEPARATED, version.network is not None and version.network not in separated),
        (Refusal.BASE_NEVER_HELD, version.base is not None and version.base not in situation.bases),
        (Refusal.OTHER_SCALES, not _goes_with(version, situation.standards, profile)),
    )
    return next((why for why, is_so in reasons if is_so), None)


def _goes_with(version: Version, standards: StandardsInForce, profile: Profile) -> bool:
    """Whether it has the scales of what holds elsewhere."""
    try:
        in_force(standards, [(version.network, compile_standard(version.document))], profile)
    except ValueError:
        return False
    return True


class Part(NamedTuple):
    """How far one partition is with what was activated at a place; see `libs.contracts.Applied`."""

    activation: int
    partitions: int
    evaluated: int
    told: int
    total: int


def share_of(revision: int, parts: Collection[Part]) -> float:
    """How much of an activation is applied, from 0 to 1; 1 only where every partition is done.

    Of partitions that have told nothing yet it is not known how much they have: each counts as one of the others would.
    """
    told = [part for part in parts if part.activation >= revision]
    partitions = max((part.partitions for part in told), default=1)
    if len(told) >= partitions and all(part.evaluated == part.told == part.total for part in told):
        return 1.0
    work = sum(2 * part.total for part in told)
    done = sum(part.evaluated + part.told for part in told)
    heard = min(len(told) / partitions, 1.0)
    return min(0.99, heard * (done / work if work else 1.0))


def state_of(version: Version, holds: Edition | None, ever: Collection[Edition], share: float) -> StandardState:
    """`ever` has what holds, or has held, anywhere; `share` is of what holds at the version's place."""
    if holds == version.edition:
        return StandardState.ACTIVE if share == 1.0 else StandardState.ACTIVATING
    return StandardState.SUPERSEDED if version.edition in ever else StandardState.PUBLISHED
