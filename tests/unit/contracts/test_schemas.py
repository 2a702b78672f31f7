# SPDX-License-Identifier: Apache-2.0
"""`schemas/` is what the models say, is valid by its own standards, and keeps what was released."""

from __future__ import annotations

import difflib
import gzip
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import jsonschema
import pytest
import yaml

from libs.contracts import (
    AssetChanged,
    AssetKind,
    CloudEvent,
    DeadLetterReleased,
    FeedItem,
    FeedItemSubmitted,
    Release,
    generate,
)
from libs.contracts.generate import (
    asyncapi,
    broken_promises,
    documents,
    main,
    messages,
    read_released,
    schema_of,
    type_of,
)
from libs.contracts.topics import TOPICS, Principal
from libs.contracts.words import Contract

SCHEMAS = Path(__file__).parents[3] / "schemas"
RELEASE_FIRST = "the change breaks what was released: make a new version of the type instead"

ENVELOPE: dict[str, Any] = {
    "id": "1",
    "source": "urn:daicho:990019:mayor:inventory",
    "time": datetime(2026, 11, 1, tzinfo=UTC),
}
ASSET: dict[str, Any] = {
    "asset_id": "a",
    "body": "mayor",
    "network": "mayor",
    "kind": AssetKind.SYSTEM,
    "name": "住民記録システム",
    "facts": {"record_count": 12, "personal": True, "places": ["庁舎"]},
}


def test_the_committed_schemas_are_those_of_the_models():
    differences = [
        line
        for name, wanted in documents().items()
        for line in difflib.unified_diff(
            _committed(name), wanted.splitlines(), f"schemas/{name}", "the models", lineterm="", n=1
        )
    ]
    assert not differences, "run make schemas\n" + "\n".join(differences[:80])


def test_no_committed_schema_is_of_no_model():
    stray = {file.relative_to(SCHEMAS).as_posix() for file in SCHEMAS.glob("events/*")} - documents().keys()
    assert not stray, f"run make schemas: {sorted(stray)}"


def _committed(name: str) -> list[str]:
    file = SCHEMAS / name
    return file.read_text(encoding="utf-8").splitlines() if file.exists() else []


@pytest.mark.parametrize("message", messages(), ids=type_of)
def test_each_schema_is_a_schema_of_2020_12(message):
    jsonschema.Draft202012Validator.check_schema(schema_of(message))


def test_every_message_of_every_topic_has_a_schema_and_a_type_of_its_own():
    assert {message for topic in TOPICS for message in topic.messages} == set(messages())
    assert len({type_of(message) for message in messages()}) == len(messages())


def test_an_event_fits_its_schema_and_the_envelope_is_required():
    event = AssetChanged(**ENVELOPE, subject="a", data={"before": None, "after": ASSET, "change": {}})
    document = event.model_dump(mode="json")
    validator = jsonschema.Draft202012Validator(schema_of(AssetChanged))
    validator.validate(document)
    for name in ("specversion", "id", "source", "type", "subject", "time", "data"):
        assert not validator.is_valid({key: value for key, value in document.items() if key != name}), name


def test_a_later_field_passes_in_an_event_and_not_in_a_command():
    event = DeadLetterReleased(
        **ENVELOPE, subject="k", data=Release(consumer="c", topic="t", key="k", actor="a", count=1)
    ).model_dump(mode="json")
    event["data"]["later"] = 1
    jsonschema.Draft202012Validator(schema_of(DeadLetterReleased)).validate(event)

    item = FeedItem(body="mayor", feed="cmdb", source_key="S", source_version=1, facts={"os": "x"})
    command = FeedItemSubmitted(**ENVELOPE, subject="S", data=item).model_dump(mode="json")
    validator = jsonschema.Draft202012Validator(schema_of(FeedItemSubmitted))
    validator.validate(command)
    for place, mistake in ((command["data"], {"zonne": "lgwan"}), (command["data"]["facts"], {"Bad Name": 1})):
        place.update(mistake)
        assert not validator.is_valid(command)
        place.pop(next(iter(mistake)))


def test_the_bus_document_is_asyncapi_3():
    meta = json.loads(gzip.decompress(Path(__file__).with_name("asyncapi-3.0.0.json.gz").read_bytes()))
    document = yaml.safe_load(documents()["asyncapi.yaml"])
    jsonschema.Draft7Validator(meta).validate(document)
    assert document == asyncapi()
    del document["operations"]["reader-receives-obligations"]["channel"]
    assert not jsonschema.Draft7Validator(meta).is_valid(document)


def test_every_reference_of_the_bus_document_leads_somewhere():
    document = asyncapi()
    for reference in _references(document):
        file, _, pointer = reference.partition("#")
        if file:
            assert (SCHEMAS / file).is_file(), reference
        place: Any = document
        for step in pointer.split("/")[1:]:
            place = place[step]


def _references(place: Any) -> list[str]:
    inner = list(place.values()) if isinstance(place, dict) else place if isinstance(place, list) else []
    own = [place["$ref"]] if isinstance(place, dict) and "$ref" in place else []
    return own + [found for one in inner for found in _references(one)]


def test_the_bus_document_says_who_may_do_what():
    operations = asyncapi()["operations"]
    assert len(operations) == sum(len(topic.writers) + len(topic.readers) for topic in TOPICS)
    assert operations["reader-receives-obligations"]["action"] == "receive"
    assert not [name for name in operations if name.startswith(f"{Principal.READER}-sends")]
    assert asyncapi()["channels"]["assets"]["bindings"]["kafka"]["topicConfiguration"]["cleanup.policy"] == ["compact"]


def test_the_same_models_give_the_same_bytes():
    assert documents() == documents()


def test_what_was_released_is_kept():
    assert not (broken := broken_promises(read_released(SCHEMAS))), "\n".join([RELEASE_FIRST, *broken])


def test_a_release_is_kept_and_guarded(tmp_path, monkeypatch, capsys):
    assert main([str(tmp_path), "--release"]) == 0
    assert set(read_released(tmp_path)) == {type_of(message) for message in messages()}
    assert broken_promises(read_released(tmp_path)) == []

    class Shorter(Contract):
        consumer: Literal["c"]

    class Changed(CloudEvent[Shorter]):
        type: Literal["daicho.deadletter.released.v1"] = "daicho.deadletter.released.v1"

    monkeypatch.setattr(generate, "messages", lambda: (Changed,))
    assert main([str(tmp_path), "--release"]) == 1
    said = capsys.readouterr().err
    assert "daicho.deadletter.released.v1: /data/topic: the field is gone" in said
    assert "daicho.asset.changed.v1: the type is gone" in said
    assert "topic" in read_released(tmp_path)["daicho.deadletter.released.v1"]["$defs"]["Release"]["properties"]
