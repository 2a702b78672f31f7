# SPDX-License-Identifier: Apache-2.0
"""How an obligation's fields stand in an OSCAL control, both ways: properties in our namespace, and parts for texts.

A control is an obligation; its title, statement and guidance (the evidence asked) are Japanese, with English beside each.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

import yaml

NAMESPACE: Final = "urn:daicho:oscal"
VERSION: Final = "1.2.1"
PLAIN: Final = ("part", "audience", "when", "check", "period", "effective_from", "effective_until")
"""Fields that are one property each, under the same name with a hyphen."""
_BASIS: Final = ("source", "place", "grade")
_PARTS: Final = {"action": "statement", "evidence": "guidance"}
_TRANSLATION: Final = "translation"

Fields = Mapping[str, Any]
"""An obligation's fields, or some of them, as its YAML has them."""


def uuid_of(*what: str) -> str:
    """The same for the same thing, so that exporting twice gives the same bytes (RFC 9562 UUIDv5)."""
    return str(uuid5(NAMESPACE_URL, ":".join((NAMESPACE, *what))))


def prop(name: str, value: object, kind: str | None = None) -> dict[str, str]:
    found = {"name": name.replace("_", "-"), "ns": NAMESPACE, "value": " ".join(str(value).split())}
    return found if kind is None else {**found, "class": kind}


def props_of(fields: Fields) -> list[dict[str, str]]:
    """Properties of the fields that are given and not None; of a title its Japanese too, for a control's own title is no property."""
    found = [prop(name, fields[name]) for name in PLAIN if fields.get(name) is not None]
    basis = fields.get("basis") or {}
    found += [prop(f"basis_{name}", basis[name]) for name in _BASIS if basis.get(name) is not None]
    title = fields.get("title") or {}
    return found + [prop(f"title_{language}", title[language]) for language in title]


def parts_of(control: str, fields: Fields) -> list[dict[str, Any]]:
    return [
        {
            "id": f"{control}_{kind}",
            "name": kind,
            "prose": fields[field]["ja"],
            "parts": [
                {"id": f"{control}_{kind}_en", "name": _TRANSLATION, "ns": NAMESPACE, "prose": fields[field]["en"]}
            ],
        }
        for field, kind in _PARTS.items()
        if field in fields
    ]


def fields_of(props: Iterable[Any], parts: Iterable[Any]) -> dict[str, Any]:
    """What `props_of` and `parts_of` were made of. Raises KeyError naming a text that has no translation."""
    ours = {one.name: one.value for one in props if str(one.ns) == NAMESPACE}
    fields: dict[str, Any] = {name: ours[name.replace("_", "-")] for name in PLAIN if name.replace("_", "-") in ours}
    basis = {name: ours[f"basis-{name}"] for name in _BASIS if f"basis-{name}" in ours}
    if basis:
        fields["basis"] = basis
    if {"title-ja", "title-en"} & ours.keys():
        fields["title"] = {language: ours[f"title-{language}"] for language in ("ja", "en")}
    names = {kind: field for field, kind in _PARTS.items()}
    for part in parts:
        if part.name in names:
            english = next((one.prose for one in part.parts or () if one.name == _TRANSLATION), None)
            if english is None:
                raise KeyError(part.id or part.name)
            fields[names[part.name]] = {"ja": part.prose, "en": english}
    return fields


def removed_names(field: str) -> list[str]:
    """The properties that say a field."""
    if field == "basis":
        return [f"basis-{name}" for name in _BASIS]
    return ["title-ja", "title-en"] if field == "title" else [field.replace("_", "-")]


def removes_of(control: str, field: str) -> list[dict[str, str]]:
    """What takes a field away from a control."""
    if field in _PARTS:
        return [{"by-id": f"{control}_{_PARTS[field]}"}]
    return [{"by-name": name} for name in removed_names(field)]


def yaml_of(content: Any) -> str:
    return yaml.safe_dump(content, allow_unicode=True, sort_keys=False, width=120)
