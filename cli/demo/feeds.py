# SPDX-License-Identifier: Apache-2.0
"""Sends the samples through the real doors: NetBox's state and webhooks, nine ledgers, and a stream of changes."""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final

import httpx
from aiokafka import AIOKafkaProducer

from cli.errors import CliError
from libs.bus import NetworkPartitioner
from libs.contracts.topics import FEED
from samples.line import Line

NETBOX: Final = "netbox"
LEDGER: Final = "ledger"
_OBJECTS: Final = {"devices": "dcim.device", "virtual_machines": "virtualization.virtualmachine"}
_OBJECTS_A_REQUEST: Final = 60
_TICK: Final = 0.02

Advance = Callable[[int], None]


def load_netbox(client: httpx.Client, initial: Path, advance: Advance) -> int:
    """Post NetBox's objects as its REST API lists them; returns how many."""
    state = json.loads(gzip.decompress(initial.read_bytes()))
    count = 0
    for name, object_type in _OBJECTS.items():
        objects = iter(state[name].values())
        while batch := list(islice(objects, _OBJECTS_A_REQUEST)):
            document = {"object_type": object_type, "objects": batch}
            _accepted(client.post(f"/v1/feeds/{NETBOX}/netbox/objects", json=document))
            count += len(batch)
            advance(len(batch))
    return count


def load_ledgers(client: httpx.Client, folder: Path, advance: Advance) -> int:
    """Post each `<body>.csv`; returns how many rows were accepted."""
    count = 0
    for file in sorted(folder.glob("*.csv")):
        answer = _accepted(
            client.post(
                f"/v1/feeds/{LEDGER}/ledger",
                params={"body": file.stem, "version": 1},
                content=file.read_bytes(),
                headers={"Content-Type": "text/csv"},
            )
        )
        count += len(answer.json()["receipts"])
        advance(1)
    return count


def post_webhooks(client: httpx.Client, webhooks: Path, secret: str, advance: Advance) -> int:
    """Post the recorded webhooks, byte for byte, signed with this instance's secret as NetBox signs; returns how many."""
    count = 0
    for body in _bodies(webhooks):
        signature = hmac.new(secret.encode(), body, hashlib.sha512).hexdigest()
        headers = {"Content-Type": "application/json", "X-Hook-Signature": signature}
        _accepted(client.post(f"/v1/feeds/{NETBOX}/netbox", content=body, headers=headers))
        count += 1
        advance(1)
    return count


async def stream_changes(
    kafka: Mapping[str, Any], lines: Sequence[Line], rate: int, sent: Callable[[str, float], None], advance: Advance
) -> float:
    """Write the lines to the feed topic as a CMDB would, `rate` a second; returns the seconds it took."""
    producer = AIOKafkaProducer(
        **kafka, partitioner=NetworkPartitioner(), enable_idempotence=True, max_request_size=FEED.max_record_bytes
    )
    await producer.start()
    start = time.perf_counter()
    try:
        done = 0
        while done < len(lines):
            due = min(len(lines), int((time.perf_counter() - start) * rate) + 1)
            for line in lines[done:due]:
                traceparent = f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"
                key, value = line.message(datetime.now(UTC), traceparent)
                sent(traceparent, time.perf_counter())
                await producer.send(FEED.name, key=key, value=value)
            advance(due - done)
            done = due
            await asyncio.sleep(_TICK)
        await producer.flush()
    finally:
        await producer.stop()
    return time.perf_counter() - start


def read_lines(changes: Path) -> list[Line]:
    with changes.open("rb") as stream:
        return [Line.from_json(line) for line in stream]


def _bodies(webhooks: Path) -> Iterator[bytes]:
    with gzip.open(webhooks, "rb") as stream:
        for line in stream:
            yield base64.b64decode(json.loads(line)["body"])


def _accepted(answer: httpx.Response) -> httpx.Response:
    if answer.status_code != httpx.codes.ACCEPTED:
        raise CliError(
            "cli.demo_refused", path=answer.request.url.path, status_code=answer.status_code, said=answer.text[:300]
        )
    return answer
