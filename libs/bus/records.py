# SPDX-License-Identifier: Apache-2.0
"""What goes out, and what came in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import aiokafka

ConsumerRecord: TypeAlias = "aiokafka.ConsumerRecord[bytes | None, bytes | None]"
"""A record as aiokafka gives it: `topic`, `partition`, `offset`, `timestamp` (ms), `key`, `value`, `headers`."""

Header: TypeAlias = tuple[str, bytes]


class Output(NamedTuple):
    """A message to send; its partition follows from its key."""

    topic: str
    key: bytes
    value: bytes | None
    headers: Sequence[Header] = ()
