# SPDX-License-Identifier: Apache-2.0
"""From an OSCAL profile to the files of an overlay. Pure: what it points at is read by the caller."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import yaml
from pydantic import ValidationError
from trestle.oscal.catalog import Catalog
from trestle.oscal.profile import Profile as OscalProfile

from libs.catalogue import Sentence, field_sentence
from libs.oscal.exporting import ATTACHMENT, CATALOG
from libs.oscal.words import NAMESPACE, PLAIN, fields_of, removed_names, yaml_of
from libs.standards.overlay import CHANGES, HEAD

_HEAD: Final = ("name", "body", "base", "title-en")

Read = Callable[[str], bytes]
"""The content of what an `href` names; raises OSError."""


class OscalError(Exception):
    """A profile that cannot become an overlay: where, and what to do."""

    def __init__(self, key: str, /, **args: object) -> None:
        self.sentence = Sentence(key, **args)
        super().__init__(self.sentence)


def overlay_files(content: bytes, read: Read) -> dict[str, str]:
    """The files of the overlay that a profile in JSON describes; `libs.standards.overlay.parse_overlay` checks them further.

    Raises OscalError.
    """
    profile = _model(OscalProfile, "profile", content)
    told = _ours(profile.metadata.props)
    if missing := [name for name in _HEAD if name not in told]:
        raise OscalError("standard.oscal.no_prop", name=missing[0], namespace=NAMESPACE)
    head = {
        "name": told["name"],
        "version": profile.metadata.version,
        "body": told["body"],
        "base": told["base"],
        "effective_from": profile.metadata.last_modified.isoformat(),
        "title": {"ja": profile.metadata.title, "en": told["title-en"]},
    }
    changes = [*_attached(profile), *_excluded(profile), *_altered(profile), *_added(profile, read)]
    return {HEAD: yaml_of(head), f"{CHANGES}.yaml": yaml_of(changes)}


def _attached(profile: OscalProfile) -> list[Any]:
    """What the profile carries along; an overlay's own checks are made of it."""
    resources = (profile.back_matter.resources or ()) if profile.back_matter else ()
    for resource in resources:
        if resource.base64 is not None and resource.base64.filename == ATTACHMENT:
            try:
                listed = yaml.safe_load(base64.b64decode(resource.base64.value, validate=True))
            except (ValueError, yaml.YAMLError, RecursionError) as error:
                raise OscalError("standard.oscal.attachment", name=ATTACHMENT) from error
            if not isinstance(listed, list):
                raise OscalError("standard.oscal.no_list", name=ATTACHMENT)
            return listed
    return []


def _excluded(profile: OscalProfile) -> Iterator[dict[str, Any]]:
    for one in profile.imports:
        for selection in one.exclude_controls or ():
            for control in selection.with_ids or ():
                control_id = _text(control)
                yield {"drop": "obligation", "id": control_id, "reason": _reason(profile, control_id)}


def _altered(profile: OscalProfile) -> Iterator[dict[str, Any]]:
    for alter in (profile.modify.alters or ()) if profile.modify else ():
        control = _text(alter.control_id)
        to: dict[str, Any] = {}
        for added in alter.adds or ():
            to |= _fields(control, added.props, added.parts)
        removed = {_text(one.by_name) for one in alter.removes or () if one.by_name is not None}
        for field in PLAIN:
            if field not in to and removed.intersection(removed_names(field)):
                to[field] = None
        if not to:
            raise OscalError("standard.oscal.nothing_altered", control=control)
        yield {"change": "obligation", "id": control, "to": to, "reason": _reason(profile, control)}


def _added(profile: OscalProfile, read: Read) -> Iterator[dict[str, Any]]:
    for one in profile.imports:
        if one.href is None or one.href == CATALOG:
            continue
        try:
            content = read(one.href)
        except OSError as error:
            raise OscalError("standard.oscal.unreadable", href=one.href, detail=error.strerror) from error
        catalog = _model(Catalog, "catalog", content)
        for group in catalog.groups or ():
            for control in group.controls or ():
                control_id = _text(control.id)
                entry = {"id": control_id, **_fields(control_id, control.props, control.parts)}
                yield {"add": "obligation", "entry": entry, "reason": _reason(profile, control_id)}


def _fields(control: str, props: Any, parts: Any) -> dict[str, Any]:
    try:
        return fields_of(props or (), parts or ())
    except KeyError as error:
        raise OscalError("standard.oscal.no_english", control=control, part=error.args[0]) from error


def _reason(profile: OscalProfile, control: str) -> dict[str, str]:
    reason = {
        one.name.removeprefix("reason-"): one.value
        for one in profile.metadata.props or ()
        if str(one.ns) == NAMESPACE and one.name.startswith("reason-") and one.class_ == control
    }
    if reason.keys() != {"ja", "en"}:
        raise OscalError("standard.oscal.no_reason", control=control, namespace=NAMESPACE)
    return {"ja": reason["ja"], "en": reason["en"]}


def _ours(props: Any) -> Mapping[str, str]:
    return {one.name: one.value for one in props or () if str(one.ns) == NAMESPACE and one.class_ is None}


def _model(model: Any, name: str, content: bytes) -> Any:
    try:
        return model.model_validate(json.loads(content)[name])
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise OscalError("standard.oscal.unfit", name=name, place=place, sentence=field_sentence(first)) from error
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise OscalError("standard.oscal.no_model", name=name) from error


def _text(told: Any) -> str:
    """OSCAL's own tokens are wrapped."""
    return str(getattr(told, "root", told))
