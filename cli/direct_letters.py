# SPDX-License-Identifier: Apache-2.0
"""The dead letters on the bus itself, with the administrator's account: for what no service can release, and while none runs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cli.errors import CliError
from cli.identity import check_operator
from cli.profile import read_profile
from cli.running import load
from libs.catalogue import text_pair
from libs.contracts import parse_key


def waiting(data: Path, client: str, body: str | None, consumer: str | None) -> Iterator[dict[str, Any]]:
    """What waits, oldest first, as the service's list tells it. Raises CliError for who is no operator."""
    from cli.kafka import administrator
    from libs.bus.release import parked_letters

    check_operator(load(data), client)
    for letter in asyncio.run(parked_letters(administrator(data), consumer=consumer)):
        dead = letter.letter
        if body is None or _body_of(letter.key) == body:
            yield {
                "id": letter.id,
                "key": (letter.key or b"").decode(errors="replace"),
                "reason_text": text_pair(f"reason.{dead.reason}"),
                "field": dead.field,
                "detail": dead.detail,
                "parked_at": letter.time,
            }


def release(data: Path, client: str, key: str, consumer: str | None, note: str | None) -> int:
    """Release a key; how many records went back. Raises CliError where nothing waits of it, or for who is no operator."""
    from cli.kafka import administrator
    from libs.bus.release import Act, parked_letters, release_key

    running = load(data)
    check_operator(running, client)
    settings, municipality = administrator(data), read_profile(running.profile).municipality

    async def released() -> int:
        letters = await parked_letters(settings, consumer=consumer, key=key.encode())
        if not letters:
            raise CliError("cli.not_parked", key=key)
        places = sorted({(one.letter.consumer, one.letter.topic) for one in letters})
        act = Act(client, note)
        counts = [await release_key(settings, *place, key.encode(), act, municipality=municipality) for place in places]
        return sum(counts)

    return asyncio.run(released())


def _body_of(key: bytes | None) -> str | None:
    try:
        return parse_key(key or b"").body
    except ValueError:
        return None
