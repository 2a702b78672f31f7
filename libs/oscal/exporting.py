# SPDX-License-Identifier: Apache-2.0
"""From standards and a profile of an instance to OSCAL documents by file name. Pure; twice the same gives the same bytes."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from trestle.core.base_model import OscalBaseModel
from trestle.oscal.catalog import Catalog
from trestle.oscal.component import ComponentDefinition
from trestle.oscal.profile import Profile as OscalProfile

from libs.contracts import Part, Profile
from libs.oscal.words import VERSION, parts_of, prop, props_of, removes_of, uuid_of, yaml_of
from libs.standards.document import Obligation, StandardDocument
from libs.standards.overlay import AddObligation, AnyChange, Change, Drop, Overlay

CATALOG: Final = "catalog.json"
ATTACHMENT: Final = "changes.yaml"
"""The changes of an overlay for which OSCAL has no words (rules, facts, inheritance), attached to its profile."""


def export(
    base: StandardDocument, overlays: Sequence[Overlay], resolved: Mapping[str, StandardDocument], profile: Profile
) -> dict[str, bytes]:
    """The catalog of the base, a profile for each overlay, and a component for each body; `resolved` has, by network, what holds there
    in the base's place.
    """
    files: dict[str, OscalBaseModel] = {CATALOG: _catalog(base.name, _head(base), base.obligations)}
    for overlay in overlays:
        name = overlay.document.name
        if added := [one.entry for one in overlay.document.changes if isinstance(one, AddObligation)]:
            files[f"{name}-{CATALOG}"] = _catalog(name, _head(overlay.document), added)
        files[f"{name}-profile.json"] = _profile(overlay)
    own = {overlay.document.body: f"{overlay.document.name}-profile.json" for overlay in overlays}
    for body in profile.bodies:
        network = next(one for one in profile.networks if one.id == body.network)
        document = resolved.get(body.network, base)
        source = own.get(network.in_charge, CATALOG) if body.network in resolved else CATALOG
        files[f"{body.id}-component.json"] = _component(body.id, body.name.ja, document, source)
    return {name: (model.oscal_serialize_json(pretty=True) + "\n").encode() for name, model in files.items()}


def _head(document: Any, **more: Any) -> dict[str, Any]:
    return {
        "title": document.title.ja,
        "last-modified": document.effective_from.isoformat(),
        "version": document.version,
        "oscal-version": VERSION,
        "props": [prop("title_en", document.title.en), *more.get("props", ())],
    }


def _catalog(name: str, head: Mapping[str, Any], obligations: Iterable[Obligation]) -> Catalog:
    by_part: dict[Part, list[Obligation]] = {}
    for obligation in obligations:
        by_part.setdefault(obligation.part, []).append(obligation)
    groups = [
        {"id": str(part), "title": str(part), "controls": [_control(one) for one in by_part[part]]}
        for part in Part
        if part in by_part
    ]
    return Catalog.model_validate({"uuid": uuid_of("catalog", name), "metadata": head, "groups": groups})


def _control(obligation: Obligation) -> dict[str, Any]:
    fields = obligation.model_dump(mode="json", exclude_none=True)
    return {
        "id": obligation.id,
        "title": obligation.title.ja,
        "props": props_of(fields),
        "parts": parts_of(obligation.id, fields),
    }


def _profile(overlay: Overlay) -> OscalProfile:
    document = overlay.document
    changes = document.changes
    dropped = [one for one in changes if isinstance(one, Drop) and one.drop == "obligation"]
    added = [one for one in changes if isinstance(one, AddObligation)]
    changed = [one for one in changes if isinstance(one, Change) and one.change == "obligation"]
    others = [one for one in changes if one not in (*dropped, *added, *changed)]
    props = [prop(name, getattr(document, name)) for name in ("name", "body", "base")]
    reasons = {one.id: one.reason for one in dropped}
    reasons |= {one.id: one.reason for one in added} | {one.id: one.reason for one in changed}
    for control, reason in reasons.items():
        props += [prop(f"reason_{word}", getattr(reason, word), control) for word in ("ja", "en")]
    included: dict[str, Any] = {"href": CATALOG, "include-all": {}}
    if dropped:
        included["exclude-controls"] = [{"with-ids": [one.id for one in dropped]}]
    imports = [included]
    if added:
        imports.append({"href": f"{document.name}-{CATALOG}", "include-all": {}})
    content: dict[str, Any] = {
        "uuid": uuid_of("profile", document.name),
        "metadata": _head(document, props=props),
        "imports": imports,
        "merge": {"as-is": True},
    }
    if changed:
        content["modify"] = {"alters": [_alter(one.id, one.to) for one in changed]}
    if others:
        content["back-matter"] = {"resources": [_attached(document.name, others)]}
    return OscalProfile.model_validate(content)


def _alter(control: str, to: Mapping[str, Any]) -> dict[str, Any]:
    removes = [remove for field in to for remove in removes_of(control, field)]
    added: dict[str, Any] = {"position": "ending"}
    if props := props_of(to):
        added["props"] = props
    if parts := parts_of(control, to):
        added["parts"] = parts
    adds = {"adds": [added]} if len(added) > 1 else {}
    return {"control-id": control, "removes": removes, **adds}


def _attached(name: str, changes: Iterable[AnyChange]) -> dict[str, Any]:
    listed = [change.model_dump(mode="json", exclude_none=True) for change in changes]
    content = yaml_of(listed).encode()
    told = {"filename": ATTACHMENT, "media-type": "application/yaml", "value": base64.b64encode(content).decode()}
    return {"uuid": uuid_of("changes", name), "title": ATTACHMENT, "base64": told}


def _component(body: str, title: str, document: StandardDocument, source: str) -> ComponentDefinition:
    requirements = [
        {"uuid": uuid_of("requirement", body, one.id), "control-id": one.id, "description": one.action.ja}
        for one in document.obligations
    ]
    implementation = {
        "uuid": uuid_of("implementation", body),
        "source": source,
        "description": document.title.ja,
        "implemented-requirements": requirements,
    }
    component = {
        "uuid": uuid_of("component", body),
        "type": "policy",
        "title": title,
        "description": document.title.ja,
        "control-implementations": [implementation],
    }
    content = {"uuid": uuid_of("definition", body), "metadata": _head(document), "components": [component]}
    return ComponentDefinition.model_validate(content)
