# SPDX-License-Identifier: Apache-2.0
"""What a body in charge of a separated network changes of the base standard (基本方針 §9), each change with its reason. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Final, Literal

from pydantic import AwareDatetime, Discriminator, Field, StringConstraints, Tag, ValidationError

from libs.catalogue import Sentence
from libs.contracts import Dimension, Profile, Text
from libs.contracts.words import FactName, Slug
from libs.standards.conditions import ASSET_NAMES, compile_condition
from libs.standards.document import Entry, Fact, Obligation, Rule, StandardDocument
from libs.standards.loading import Found, Place, Source, StandardError, disagreements, level_constants, parse

HEAD: Final = "overlay.yaml"
CHANGES: Final = "changes"
_KEYS: Final = {"facts": "name", "rules": "id", "inheritance": "relation", "obligations": "id"}
"""What tells the entries of a section apart."""
_NO_CHANGE: Final = "standard.no_change"
_ONE_FOR_ALL: Final = Sentence("standard.overlay.one_for_all")

Entries = dict[str, dict[str, Entry]]
"""The entries of a standard, by section and key."""


class _Change(Entry):
    """One change and why the body makes it."""

    reason: Text


class AddRule(_Change):
    add: Literal["rule"]
    entry: Rule

    @property
    def id(self) -> str:
        return self.entry.id


class AddObligation(_Change):
    add: Literal["obligation"]
    entry: Obligation

    @property
    def id(self) -> str:
        return self.entry.id


class AddFact(_Change):
    add: Literal["fact"]
    id: FactName
    entry: Fact


class Change(_Change):
    """`to` has the fields that get another value; the entry keeps the others, its id and its place."""

    change: Literal["rule", "obligation", "fact", "inheritance"]
    id: str
    to: Annotated[dict[str, Any], Field(min_length=1)]


class Drop(_Change):
    drop: Literal["rule", "obligation", "fact"]
    id: str


def _verb(change: Any) -> str | None:
    """In brackets, as pydantic has what is no part of a place; of a change already read, by its type."""
    if not isinstance(change, dict):
        return f"[{type(change).__name__}]"
    if "add" in change:
        return {"rule": "[AddRule]", "obligation": "[AddObligation]", "fact": "[AddFact]"}.get(str(change["add"]))
    return "[Change]" if "change" in change else "[Drop]" if "drop" in change else None


AnyChange = Annotated[
    Annotated[AddRule, Tag("[AddRule]")]
    | Annotated[AddObligation, Tag("[AddObligation]")]
    | Annotated[AddFact, Tag("[AddFact]")]
    | Annotated[Change, Tag("[Change]")]
    | Annotated[Drop, Tag("[Drop]")],
    Discriminator(
        _verb,
        custom_error_type=_NO_CHANGE,
        custom_error_message=str(Sentence(_NO_CHANGE)),
    ),
]


class OverlayDocument(Entry):
    """An overlay as its files say it. `base` is the standard that it stands on, by name and version."""

    name: Slug
    version: Annotated[str, StringConstraints(pattern=r"^\d{4}\.\d+$")]
    body: Slug
    base: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,39}/\d{4}\.\d+$")]
    effective_from: AwareDatetime
    title: Text
    changes: Annotated[tuple[AnyChange, ...], Field(min_length=1)]


@dataclass(frozen=True)
class Overlay:
    """An overlay, and where each entry of it stands in its files."""

    document: OverlayDocument
    source: Source

    @property
    def version(self) -> str:
        return f"{self.document.name}/{self.document.version}"

    def by_entry(self) -> dict[tuple[str, str], AnyChange]:
        """Each change, by the section and key of the entry that it is about."""
        return {(section_of(change), change.id): change for change in self.document.changes}


class Refusal(StrEnum):
    """Why a body may have no standard of its own."""

    UNDECLARED = "undeclared"
    NOT_SEPARATED = "not_separated"
    NOT_IN_CHARGE = "not_in_charge"
    OTHER_NETWORK = "other_network"


class OverlayRefusedError(Exception):
    """The policy gives the body no standard of its own; `network` and `in_charge` are empty for a body not declared."""

    def __init__(self, why: Refusal, body: str, network: str = "", in_charge: str = "") -> None:
        self.why, self.body, self.network, self.in_charge = why, body, network, in_charge
        sentence = {
            Refusal.UNDECLARED: f"the body {body} is not in the profile: declare it, or mend `body`",
            Refusal.NOT_SEPARATED: f"the network {network} of {body} is not separated, so the base standard holds there",
            Refusal.NOT_IN_CHARGE: f"the network {network} is in the charge of {in_charge}, not of {body}: "
            f"only {in_charge} may have a standard for it",
            Refusal.OTHER_NETWORK: f"the network {network} names it, but it is of {body}, which is on another network",
        }
        super().__init__(sentence[why])


def parse_overlay(files: Mapping[str, str]) -> Overlay:
    """Read the files of an overlay: `overlay.yaml`, and the changes in `changes.yaml` or `changes/*.yaml`.

    Raises StandardError with every mistake that shows without the base.
    """
    source = Source(HEAD)
    listed = {file: content for file, content in files.items() if file.startswith(f"{CHANGES}/")}
    if (one := f"{CHANGES}.yaml") in files:
        listed[one] = files[one]
    for file in sorted(files.keys() - listed.keys() - {HEAD}):
        source.note(file, Sentence("standard.overlay.stray_file"))
    if HEAD not in files:
        source.note(HEAD, Sentence("standard.overlay.missing_file"))
    head = source.read(HEAD, files.get(HEAD, ""), ())
    changes = source.read_list(CHANGES, listed, Sentence("standard.overlay.no_list"))
    document = source.validated(OverlayDocument, (head if isinstance(head, dict) else {}) | {CHANGES: changes})
    return Overlay(document, source)


def apply_overlay(base: StandardDocument, overlay: Overlay) -> StandardDocument:
    """The whole standard that an overlay makes of its base; rules that it adds stand first, so of equals they are the reason.

    Raises StandardError with every mistake that shows on the base, at its place in the overlay.
    """
    refuse = overlay.source.mistake
    if found := [*_misplaced(base, overlay.document), *_impossible(base, overlay.document)]:
        raise StandardError([refuse(place, sentence) for place, sentence in found])
    entries = _changed(base, overlay)
    head = overlay.document
    merged = overlay.source.validated(
        StandardDocument,
        {
            "name": f"{base.name}-{head.body}",
            "version": head.version,
            "effective_from": head.effective_from,
            "title": head.title,
            "scales": base.scales,
            "mappings": base.mappings,
            "facts": entries["facts"],
            **{section: tuple(entries[section].values()) for section in ("rules", "inheritance", "obligations")},
        },
    )
    if mistakes := [refuse(*_traced(one, base, merged, overlay)) for one in disagreements(merged)]:
        raise StandardError(mistakes)
    return merged


def refuse_overlay(profile: Profile, overlay: Overlay) -> None:
    """Raises OverlayRefusedError unless the body is in charge of a separated network (基本方針 §9)."""
    body = overlay.document.body
    if body not in profile.body_by_id:
        raise OverlayRefusedError(Refusal.UNDECLARED, body)
    network = next(one for one in profile.networks if one.id == profile.network_of(body))
    if network.separation is None:
        raise OverlayRefusedError(Refusal.NOT_SEPARATED, body, network.id, network.in_charge)
    if network.in_charge != body:
        raise OverlayRefusedError(Refusal.NOT_IN_CHARGE, body, network.id, network.in_charge)


def own_standard(files: Mapping[str, str], base: StandardDocument, profile: Profile, network: str) -> StandardDocument:
    """What the files say that stands in the base's place on a network: an overlay of the base, or a standard written out whole.

    Raises StandardError, and OverlayRefusedError where the overlay is not for this network or refused.
    """
    if HEAD not in files:
        return parse(files)
    overlay = parse_overlay(files)
    refuse_overlay(profile, overlay)
    if profile.network_of(overlay.document.body) != network:
        raise OverlayRefusedError(Refusal.OTHER_NETWORK, overlay.document.body, network)
    return apply_overlay(base, overlay)


def entries_of(document: StandardDocument) -> Entries:
    """What an overlay may change, by section and key."""
    return {
        "facts": dict(document.facts),
        "rules": {rule.id: rule for rule in document.rules},
        "inheritance": {entry.relation.value: entry for entry in document.inheritance},
        "obligations": {duty.id: duty for duty in document.obligations},
    }


def section_of(change: AnyChange) -> str:
    """The section of the standard that a change is about."""
    match change:
        case Change():
            kind: str = change.change
        case Drop():
            kind = change.drop
        case _:
            kind = change.add
    return kind if kind == "inheritance" else f"{kind}s"


def _misplaced(base: StandardDocument, overlay: OverlayDocument) -> Iterator[Found]:
    """Whether it is meant for this base at all."""
    here = f"{base.name}/{base.version}"
    if overlay.base != here:
        yield ("base",), Sentence("standard.overlay.other_base", base=here)
    if overlay.effective_from < base.effective_from:
        yield ("effective_from",), Sentence("standard.overlay.too_early", begins=base.effective_from)


def _impossible(base: StandardDocument, overlay: OverlayDocument) -> Iterator[Found]:
    """Changes that cannot be made on the base."""
    entries, seen = entries_of(base), set()
    for at, change in enumerate(overlay.changes):
        section = section_of(change)
        if (section, change.id) in seen:
            yield (CHANGES, at, *_id_place(change)), Sentence("standard.overlay.twice", id=change.id)
            continue
        seen.add((section, change.id))
        for place, sentence in _impossible_one(entries[section].get(change.id), section, change):
            yield (CHANGES, at, *place), sentence


def _impossible_one(there: Entry | None, section: str, change: AnyChange) -> Iterator[Found]:
    where = _id_place(change)
    if isinstance(change, Change | Drop):
        if there is None:
            yield where, Sentence("standard.overlay.not_there", id=change.id, section=section)
        elif isinstance(change, Drop):
            if _for_all(there):
                yield where, Sentence("standard.overlay.keep_lowest", id=change.id)
        elif (key := _KEYS[section]) in change.to:
            yield ("to", key), Sentence("standard.overlay.keeps_key", key=key, id=change.id)
        elif _for_all(there) and (fixed := sorted(change.to.keys() - {"text", "basis"})):
            yield ("to", fixed[0]), Sentence("standard.overlay.text_alone", id=change.id)
        elif section == "rules" and change.to.get("when") == "true":
            yield ("to", "when"), _ONE_FOR_ALL
    elif there is not None:
        yield where, Sentence("standard.overlay.there_already", id=change.id)
    elif _for_all(change.entry):
        yield ("entry", "when"), _ONE_FOR_ALL


def _for_all(entry: Entry) -> bool:
    return isinstance(entry, Rule) and entry.when == "true"


def _id_place(change: AnyChange) -> Place:
    return ("entry", "id") if isinstance(change, AddRule | AddObligation) else ("id",)


def _changed(base: StandardDocument, overlay: Overlay) -> Entries:
    """Raises StandardError where what is changed no longer fits its kind."""
    entries, mistakes = entries_of(base), []
    first: dict[str, Entry] = {}
    for at, change in enumerate(overlay.document.changes):
        section = entries[section_of(change)]
        if isinstance(change, Drop):
            del section[change.id]
        elif isinstance(change, AddRule):
            first[change.id] = change.entry
        elif not isinstance(change, Change):
            section[change.id] = change.entry
        else:
            old = section[change.id]
            try:
                section[change.id] = type(old).model_validate(old.model_dump() | change.to)
            except ValidationError as error:
                mistakes += overlay.source.invalid(error, (CHANGES, at, "to"))
                continue
            if section[change.id] == old:
                same = Sentence("standard.overlay.says_so", id=change.id)
                mistakes.append(overlay.source.mistake((CHANGES, at, "to"), same))
    if mistakes:
        raise StandardError(mistakes)
    return entries | {"rules": first | entries["rules"]}


def _traced(found: Found, base: StandardDocument, merged: StandardDocument, overlay: Overlay) -> Found:
    """A mistake of the whole standard, at the change that brought it."""
    place, sentence = found
    section, key = place[0], place[1] if len(place) > 1 else None
    entry = getattr(merged, str(section))[key] if section in _KEYS and key is not None else None
    name = str(key) if section == "facts" else getattr(entry, "id", "")
    for at, change in enumerate(overlay.document.changes):
        if (section_of(change), change.id) == (section, name):
            return (CHANGES, at, "to" if isinstance(change, Change) else "entry", *place[2:]), sentence
    # the entry is as in the base: what failed it is a fact that the overlay changed or dropped
    read = _reads(entry, base, merged)
    for at, change in enumerate(overlay.document.changes):
        if section_of(change) == "facts" and change.id in read:
            return (CHANGES, at, "id"), Sentence("standard.overlay.read", name=name, sentence=sentence)
    return (), sentence


def _reads(entry: object, base: StandardDocument, merged: StandardDocument) -> frozenset[str]:
    if not isinstance(entry, Rule | Obligation):
        return frozenset()
    names = {*base.facts, *merged.facts, *ASSET_NAMES, *level_constants(base), *Dimension}
    told = (entry.when, entry.check) if isinstance(entry, Obligation) and entry.check else (entry.when,)
    return frozenset().union(*(compile_condition(one, frozenset(names)).names for one in told))
