# SPDX-License-Identifier: Apache-2.0
"""The captured NetBox: whole, signed with the secret that its README tells, and of bodies that the profile has."""

import base64
import gzip
import hashlib
import hmac
import json
from collections import Counter
from pathlib import Path

from samples.vocabulary import CITY, profile

NETBOX = CITY.parent / "netbox"
SECRET = b"harness-secret-1"


def load(path: Path) -> dict:
    return json.loads(gzip.decompress(path.read_bytes()))


def webhooks() -> list[dict]:
    return [json.loads(line) for line in gzip.decompress((NETBOX / "webhooks.ndjson.gz").read_bytes()).splitlines()]


def test_703_webhooks_each_with_a_right_signature() -> None:
    assert SECRET.decode() in (NETBOX / "README.md").read_text(encoding="utf-8")
    hooks = webhooks()
    assert len(hooks) == 703
    for hook in hooks:
        signature = hmac.new(SECRET, base64.b64decode(hook["body"]), hashlib.sha512).hexdigest()
        assert dict(hook["headers"])["X-Hook-Signature"] == signature


def test_the_state_before_with_what_was_created_and_deleted_has_the_ids_of_the_state_after() -> None:
    initial, expected = load(NETBOX / "initial.json.gz"), load(NETBOX / "expected.json.gz")
    told = [json.loads(base64.b64decode(hook["body"])) for hook in webhooks()]
    for kind, model in (("devices", "dcim.device"), ("virtual_machines", "virtualization.virtualmachine")):
        ids = Counter(int(key) for key in initial[kind])
        ids.update(
            event["data"]["id"] for event in told if (event["event"], event["object_type"]) == ("created", model)
        )
        ids.subtract(expected["deleted"][kind])
        assert +ids == Counter(int(key) for key in expected[kind])


def test_every_body_is_one_that_the_netbox_feed_may_speak_for() -> None:
    for name in ("initial", "expected"):
        state = load(NETBOX / f"{name}.json.gz")
        for kind in ("devices", "virtual_machines"):
            bodies = {entry["custom_fields"]["body"] for entry in state[kind].values()}
            assert bodies - {None} <= profile().feed_by_id["netbox"].bodies
