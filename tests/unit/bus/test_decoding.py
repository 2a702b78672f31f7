# SPDX-License-Identifier: Apache-2.0
"""Which messages are taken and which are not: the table in tests/data/bus/decode.yaml."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiokafka import ConsumerRecord

from libs.bus import Rejected, check_key, decode
from libs.contracts import FeedItemSubmitted, Reason

TABLE = Path(__file__).parents[2] / "data" / "bus" / "decode.yaml"
CASES = yaml.safe_load(TABLE.read_text(encoding="utf-8"))
GOOD: dict[str, Any] = {
    "specversion": "1.0",
    "id": "1",
    "source": "urn:daicho:990019:mayor:cmdb",
    "type": "daicho.feed.item.v1",
    "subject": "server-1",
    "time": "2026-04-01T09:00:00+09:00",
    "data": {"body": "mayor", "feed": "cmdb", "source_key": "server-1", "source_version": 1, "facts": {}},
}
SECRETS = ("山田太郎", "平成31年", "金庫", "MAYOR", "人数")


def nested(levels: int) -> Any:
    content: Any = 1
    for _ in range(levels):
        content = [content]
    return content


def value_of(case: dict[str, Any]) -> bytes | None:
    if "bytes" in case:
        return bytes.fromhex(str(case["bytes"]))
    if "repeat" in case:
        piece, times = case["repeat"]
        return piece.encode() * times
    if "message" in case:
        return None if case["message"] is None else case["message"].encode()
    message = json.loads(json.dumps(GOOD))
    for path, value in case["change"].items():
        *parents, name = path.split(".")
        place = message
        for parent in parents:
            place = place[parent]
        if value is None:
            place.pop(name, None)
        elif isinstance(value, dict) and "repeat_around" in value:
            place[name] = nested(value["repeat_around"])
        else:
            place[name] = value
    return json.dumps(message, ensure_ascii=False).encode()


@pytest.mark.parametrize("case", CASES, ids=[case["case"].split(" / ")[0] for case in CASES])
def test_the_table(case: dict[str, Any], make_record: Callable[..., ConsumerRecord]) -> None:
    message = make_record(value=value_of(case))
    began = time.process_time()

    if "reason" not in case:
        assert decode(FeedItemSubmitted, message).data.source_key == "server-1"
        return
    with pytest.raises(Rejected) as caught:
        decode(FeedItemSubmitted, message)

    assert (caught.value.reason, caught.value.field) == (Reason(case["reason"]), case.get("field"))
    assert caught.value.detail
    assert not any(secret in str(caught.value) for secret in SECRETS)
    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    "hostile",
    [
        pytest.param(b'"' + b'\\"' * 120_000, id="a string of escaped quotes that never ends"),
        pytest.param(b'{"a":"' + b"\\" * 200_001, id="backslashes"),
        pytest.param(b"[" * 33 + b'"' * 200_000, id="quotes behind brackets"),
        pytest.param(b"[]" * 100_000, id="many shallow arrays"),
    ],
)
def test_no_message_takes_long_to_refuse(hostile: bytes, make_record: Callable[..., ConsumerRecord]) -> None:
    began = time.process_time()

    with pytest.raises(Rejected):
        decode(FeedItemSubmitted, make_record(value=hostile))

    assert time.process_time() - began < 0.5


@pytest.mark.parametrize(
    ("key", "rest", "agrees"),
    [
        (b"mayor/fire/cmdb/1", (), True),
        (b"mayor/fire/cmdb/1", ("cmdb", "1"), True),
        (b"mayor/fire/cmdb/1", ("cmdb", "2"), False),
        (b"mayor/firefly/cmdb/1", (), False),
        (b"hospital/fire/cmdb/1", (), False),
        (b"mayor/fire", (), False),
        (b"", (), False),
        (None, (), False),
    ],
)
def test_a_key_must_agree_with_the_content(key: bytes | None, rest: tuple[str, ...], agrees: bool) -> None:
    if agrees:
        check_key(key, "mayor", "fire", *rest)
        return
    with pytest.raises(Rejected) as caught:
        check_key(key, "mayor", "fire", *rest)
    assert caught.value.reason is Reason.KEY_MISMATCH
