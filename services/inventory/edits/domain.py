# SPDX-License-Identifier: Apache-2.0
"""An edit as one more source of the asset: what it tells, who set each field, when and why. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Final, NamedTuple
from uuid import UUID, uuid4

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import from_json, to_json

from libs.contracts import AssetKind, Zone
from libs.contracts.commands import KeptField
from libs.contracts.words import FactName, Facts, FactValue, LevelCode, RelationType, ShortText, Slug
from services.inventory.acts import Act, By
from services.inventory.composition import BY_HAND, BY_ID, NOWHERE, PERSON, Content
from services.inventory.domain import Link, Source

MOST_FACTS: Final = 64
"""As many as an event may have (`libs.contracts.words.Facts`)."""
NEEDED: Final = ("kind", "name")
"""Fields that every asset has: an edit changes them, or is taken back, but does not take them away."""
_SINGLE: Final[Sequence[str]] = ("kind", "name", "section", "zone")
_GROUPS: Final = ("facts", "declared", "relations")

Targets = Annotated[tuple[UUID, ...], Field(max_length=1000)]


class DeclaredEdit(BaseModel):
    """Levels as they are to be declared; None takes away what the feeds declare."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    confidentiality: LevelCode | None = None
    integrity: LevelCode | None = None
    availability: LevelCode | None = None


class Edit(Act):
    """Fields as they are to be (a JSON Merge Patch, RFC 7396, and why): what is left out stays as it is, and null takes a value away.

    Facts and levels are set one by one, relations by their type: the assets that they are to lead to, by id.
    """

    ACT: ClassVar[str] = "edit"

    kind: AssetKind | None = None
    name: ShortText | None = None
    section: ShortText | None = None
    zone: Zone | None = None
    facts: dict[FactName, FactValue | None] = Field(default_factory=dict, max_length=MOST_FACTS)
    declared: DeclaredEdit = DeclaredEdit()
    relations: dict[RelationType, Targets | None] = Field(default_factory=dict)
    reason: ShortText

    def names(self) -> Iterable[str]:
        return [f"{self.ACT}.{field}" for field in self.fields()]

    def touches(self) -> Iterable[str]:
        return [*super().touches(), *self.fields()]

    def fields(self) -> dict[str, Any]:
        """What it sets, field by field (`facts.serial`, `relations.stores`), as plain JSON."""
        given = self.model_dump(mode="json", exclude_unset=True)
        fields: dict[str, Any] = {name: given[name] for name in _SINGLE if name in given}
        for group in _GROUPS:
            fields |= {f"{group}.{name}": value for name, value in given.get(group, {}).items()}
        return fields


class TakingBack(Act):
    """Fields whose edits end: what the feeds tell shows again."""

    ACT: ClassVar[str] = "take_back"

    fields: Annotated[tuple[KeptField, ...], Field(min_length=1, max_length=200)]
    reason: ShortText

    def names(self) -> Iterable[str]:
        return [f"{Edit.ACT}.{field}" for field in self.fields]

    def touches(self) -> Iterable[str]:
        return [*super().touches(), *self.fields]


class Addition(Act):
    """An asset that no feed tells of."""

    ACT: ClassVar[str] = "add"

    body: Slug
    kind: AssetKind
    name: ShortText
    section: ShortText | None = None
    zone: Zone | None = None
    facts: Facts = Field(default_factory=dict)
    declared: DeclaredEdit = DeclaredEdit()
    relations: dict[RelationType, Targets] = Field(default_factory=dict)
    reason: ShortText

    def content(self, relations: Sequence[tuple[str, str, str]]) -> Content:
        """What it tells, as a feed would."""
        told = self.model_dump(mode="json", exclude={"reason", "relations"}, exclude_none=True)
        return {**told, "relations": sorted(relations)}


class Retirement(Act):
    """That an asset is no longer in use, and why."""

    ACT: ClassVar[str] = "retire"

    reason: ShortText


class Restoration(Act):
    """That an asset was retired by mistake, or is in use again, and why."""

    ACT: ClassVar[str] = "restore"

    reason: ShortText


class Standing(NamedTuple):
    """An edit of one field: its value (None: taken away; of relations, the sources that they lead to), who set it, when and why."""

    value: Any
    by: str
    at: str
    reason: str
    approved_by: str | None = None


def added(asset_id: str, content: Content) -> Link:
    """The source of an asset that a person adds."""
    return Link(BY_HAND, asset_id, asset_id, 0, to_json(content).decode())


def edit_of(asset_id: str, links: Iterable[Link]) -> Link:
    """The link by which people's edits tell of an asset; a new one where there is none yet.

    Its key is never used twice: after a merge the edits of both assets tell of the one, and an undo gives each its own back.
    """
    own = sorted(link for link in links if link.feed == PERSON and link.source_key.startswith(f"{asset_id}/"))
    return own[0] if own else Link(PERSON, f"{asset_id}/{uuid4()}", asset_id, source_version=-1)


def edited(link: Link, fields: Mapping[str, Any], by: By, reason: str) -> Link:
    """The edits with these fields set, too; a relation type has the sources that it leads to."""
    told = told_by(link)
    for field, value in fields.items():
        _set(told, field, value)
    told["edits"] = {**told.get("edits", {}), **dict.fromkeys(fields, by.mark(reason))}
    return _retold(link, told)


def taken_back(link: Link, fields: Iterable[str]) -> Link:
    """The edits without these fields; a link that tells nothing where none is left."""
    told = told_by(link)
    for field in told.get("edits", {}).keys() & set(fields):
        del told["edits"][field]
        _unset(told, field)
    return _retold(link, told if told.get("edits") else None)


def told_by(link: Link) -> Content:
    """What a link tells; nothing where it no longer does."""
    told: Content = from_json(link.told) if link.told is not None else {}
    return told


def edits_in(told: Content) -> dict[str, Standing]:
    """The edits that one link tells, by field."""
    return {field: Standing(_value(told, field), **mark) for field, mark in told.get("edits", {}).items()}


def standing(told: Iterable[Content]) -> dict[str, Standing]:
    """The edits that stand of an asset, by field, of what people tell of it: of several of one field, the newest."""
    found: dict[str, Standing] = {}
    for one in told:
        for field, edit in edits_in(one).items():
            if field not in found or found[field].at < edit.at:
                found[field] = edit
    return dict(sorted(found.items()))


def relations_told(kind: str, sources: Iterable[Source]) -> list[tuple[str, str, str]]:
    """Relations of one type as a source tells them."""
    return sorted({(kind, *source) for source in sources})


def _retold(link: Link, told: Content | None) -> Link:
    content = None if told is None else to_json(told).decode()
    return link._replace(source_version=link.source_version + 1, told=content)


def _value(told: Content, field: str) -> Any:
    group, _, name = field.partition(".")
    if group == "relations":
        return [Source(feed, key) for kind, feed, key in told["relations"] if kind == name and key != NOWHERE]
    return told[group][name] if name else told[group]


def _set(told: Content, field: str, value: Any) -> None:
    group, _, name = field.partition(".")
    if group == "relations":
        _unset(told, field)
        told.setdefault("relations", []).extend(relations_told(name, value or [Source(BY_ID, NOWHERE)]))
    elif name:
        told.setdefault(group, {})[name] = value
    else:
        told[group] = value


def _unset(told: Content, field: str) -> None:
    group, _, name = field.partition(".")
    if group == "relations":
        told["relations"] = [one for one in told.get("relations", ()) if one[0] != name]
    elif name:
        del told[group][name]
    else:
        del told[group]
