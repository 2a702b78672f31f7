# SPDX-License-Identifier: Apache-2.0
"""Standards as OSCAL documents that compliance-trestle validates, and profiles back as overlays."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import trestle.core.validator_factory as validators
import yaml
from trestle.oscal.catalog import Catalog
from trestle.oscal.component import ComponentDefinition
from trestle.oscal.profile import Profile as OscalProfile

from libs.contracts import Profile
from libs.oscal import OscalError, export, overlay_files
from libs.standards import StandardDocument, parse
from libs.standards.overlay import Overlay, apply_overlay, parse_overlay

ROOT = Path(__file__).parents[3]
NAMES = ("waterworks", "education")
MODELS = {"catalog": Catalog, "profile": OscalProfile, "component-definition": ComponentDefinition}


def files_of(name: str) -> dict[str, str]:
    folder = ROOT / "standards" / name
    return {file.relative_to(folder).as_posix(): file.read_text("utf-8") for file in folder.rglob("*.yaml")}


@pytest.fixture(scope="module")
def base() -> StandardDocument:
    return parse(files_of("base"))


@pytest.fixture(scope="module")
def overlays() -> dict[str, Overlay]:
    return {name: parse_overlay(files_of(name)) for name in NAMES}


@pytest.fixture(scope="module")
def exported(base: StandardDocument, overlays: Mapping[str, Overlay]) -> dict[str, bytes]:
    profile = Profile.model_validate(yaml.safe_load((ROOT / "samples/city/profile.yaml").read_text("utf-8")))
    resolved = {name: apply_overlay(base, overlay) for name, overlay in overlays.items()}
    return export(base, list(overlays.values()), resolved, profile)


def in_order(standard: StandardDocument) -> dict[str, Any]:
    """A catalog groups its controls by part, so added obligations may come back in another order, which means nothing."""
    dumped = standard.model_dump()
    return dumped | {"obligations": sorted(dumped["obligations"], key=lambda one: one["id"])}


def imported(exported: Mapping[str, bytes], content: Any) -> dict[str, str]:
    return overlay_files(json.dumps(content).encode(), lambda href: exported[href])


def test_every_document_passes_every_validator_of_trestle(exported: Mapping[str, bytes]) -> None:
    validator = validators.validator_factory.get(argparse.Namespace(mode="all"))
    kinds = set()
    for name, content in exported.items():
        [(kind, document)] = json.loads(content).items()
        model = MODELS[kind].model_validate(document)
        assert validator.model_is_valid(model, True), name
        kinds.add(kind)
    assert kinds == set(MODELS)
    assert {
        "catalog.json",
        "waterworks-profile.json",
        "education-profile.json",
        "fire-component.json",
    } <= exported.keys()


def test_the_catalog_has_every_obligation_in_its_part_with_both_languages(
    exported: Mapping[str, bytes], base: StandardDocument
) -> None:
    catalog = json.loads(exported["catalog.json"])["catalog"]
    controls = {control["id"]: (group["id"], control) for group in catalog["groups"] for control in group["controls"]}

    assert controls.keys() == {one.id for one in base.obligations}
    for obligation in base.obligations:
        part, control = controls[obligation.id]
        statement, guidance = control["parts"]
        assert (part, control["title"]) == (obligation.part, obligation.title.ja)
        assert (statement["prose"], statement["parts"][0]["prose"]) == (obligation.action.ja, obligation.action.en)
        assert guidance["parts"][0]["prose"] == obligation.evidence.en
        told = {prop["name"]: prop["value"] for prop in control["props"]}
        assert (told["when"], told["basis-source"]) == (obligation.when, obligation.basis.source)
        assert told.get("check") == obligation.check


def test_a_component_says_what_holds_for_its_body(exported: Mapping[str, bytes]) -> None:
    def ids(body: str) -> tuple[str, set[str]]:
        [component] = json.loads(exported[f"{body}-component.json"])["component-definition"]["components"]
        [implementation] = component["control-implementations"]
        return implementation["source"], {one["control-id"] for one in implementation["implemented-requirements"]}

    of_mayor, of_water = ids("mayor"), ids("waterworks")
    assert (of_mayor[0], of_water[0]) == ("catalog.json", "waterworks-profile.json")
    assert of_water[1] - of_mayor[1]
    assert ids("fire") == of_mayor


@pytest.mark.parametrize("name", NAMES)
def test_what_was_exported_comes_back_as_the_same_standard(
    name: str, exported: Mapping[str, bytes], base: StandardDocument, overlays: Mapping[str, Overlay]
) -> None:
    files = overlay_files(exported[f"{name}-profile.json"], lambda href: exported[href])

    again = apply_overlay(base, parse_overlay(files))

    there = apply_overlay(base, overlays[name])
    assert in_order(again) == in_order(there)
    assert {one.id: one.reason for one in parse_overlay(files).document.changes} == {
        one.id: one.reason for one in overlays[name].document.changes
    }


def test_exporting_twice_gives_the_same_bytes(
    exported: Mapping[str, bytes], base: StandardDocument, overlays: Mapping[str, Overlay]
) -> None:
    profile = Profile.model_validate(yaml.safe_load((ROOT / "samples/city/profile.yaml").read_text("utf-8")))
    resolved = {name: apply_overlay(base, overlay) for name, overlay in overlays.items()}

    assert export(base, list(overlays.values()), resolved, profile) == exported


def test_an_exclusion_and_a_field_taken_away_come_in_too(exported: Mapping[str, bytes], base: StandardDocument) -> None:
    reasons = [
        {"name": f"reason-{word}", "class": control, "ns": "urn:daicho:oscal", "value": f"{word} {control}"}
        for control in ("H-24", "T-04")
        for word in ("ja", "en")
    ]
    content = json.loads(exported["waterworks-profile.json"])
    content["profile"]["metadata"]["props"] += reasons
    content["profile"]["imports"][0]["exclude-controls"] = [{"with-ids": ["H-24"]}]
    content["profile"]["modify"]["alters"].append({"control-id": "T-04", "removes": [{"by-name": "period"}]})

    overlay = parse_overlay(imported(exported, content))

    found = {one.id: one for one in apply_overlay(base, overlay).obligations}
    assert "H-24" not in found
    assert found["T-04"].period is None
    assert overlay.by_entry()["obligations", "H-24"].reason.ja == "ja H-24"


@pytest.mark.parametrize(
    ("break_it", "told"),
    [
        (lambda one: one["metadata"].pop("props"), "name is missing"),
        (lambda one: one["imports"][0].update({"exclude-controls": [{"with-ids": ["H-24"]}]}), "H-24 is changed without a reason"),
        (lambda one: one["imports"].append({"href": "https://example.invalid/x.json", "include-all": {}}), "cannot be read"),
        (lambda one: one["metadata"].pop("title"), "metadata.title"),
        (lambda one: one["back-matter"]["resources"][0]["base64"].update(value="%%%"), "back-matter"),
    ],
)  # fmt: skip
def test_a_profile_that_cannot_be_an_overlay_is_told_where(
    exported: Mapping[str, bytes], break_it: Any, told: str
) -> None:
    content = json.loads(exported["waterworks-profile.json"])
    break_it(content["profile"])

    def read(href: str) -> bytes:
        if href not in exported:
            raise FileNotFoundError(2, "not found")
        return exported[href]

    with pytest.raises(OscalError, match=told):
        overlay_files(json.dumps(content).encode(), read)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"catalog": {}}', b"\xff", b"[" * 100_000])
def test_what_is_no_profile_is_told_so(content: bytes) -> None:
    with pytest.raises(OscalError):
        overlay_files(content, lambda _: b"")
