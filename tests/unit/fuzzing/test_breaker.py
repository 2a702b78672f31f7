# SPDX-License-Identifier: Apache-2.0
"""What is broken by a schema's rules does not fit the schema any more, and every field has its turn."""

from __future__ import annotations

import json
import random
from pathlib import Path

from jsonschema import Draft202012Validator

from tests.fuzzing import Breaker

SCHEMA = json.loads(Path("schemas/events/daicho.feed.item.v1.json").read_text(encoding="utf-8"))
EVENT = {
    "specversion": "1.0",
    "id": "1",
    "source": "urn:daicho:990019:mayor:cmdb",
    "type": "daicho.feed.item.v1",
    "time": "2026-04-01T09:00:00+09:00",
    "body": "mayor",
    "network": "mayor",
    "subject": "K-1",
    "data": {
        "body": "mayor",
        "feed": "cmdb",
        "source_key": "K-1",
        "source_version": 1,
        "kind": "system",
        "name": "税システム",
        "facts": {"record_count": 3, "data_kinds": ["tax"]},
        "relations": [{"type": "stores", "source_key": "K-2"}],
    },
}


def test_what_is_broken_does_not_fit() -> None:
    validator = Draft202012Validator(SCHEMA, format_checker=Draft202012Validator.FORMAT_CHECKER)
    assert validator.is_valid(EVENT)
    breaker, rng = Breaker(SCHEMA), random.Random(20260401)
    places = set()
    for _ in range(2_000):
        errors = list(validator.iter_errors(breaker.broken(EVENT, rng)))
        assert errors
        places |= {".".join(map(str, error.absolute_path)) for error in errors}
    assert places >= {"", "data", "data.kind", "data.source_version", "data.relations.0.type", "source", "time"}
