# SPDX-License-Identifier: Apache-2.0
"""What a part of a service offers so that `/health/ready` can ask it how it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from pydantic import BaseModel, ConfigDict


class ProbeResult(BaseModel):
    """What a probe found: numbers (`lag daicho.feed.v1-0`, `oldest_seconds`), and a stable code where it is not well.

    `essential` False: what is not well is told, and the service is ready nevertheless. It is shown to callers without a token: neither
    names nor measures hold the name of an asset or a body.
    """

    model_config = ConfigDict(frozen=True)

    ok: bool
    essential: bool = True
    code: str | None = None
    measures: Mapping[str, float] = {}


class Probe(Protocol):
    """One thing that must be well for the service to be ready, unless what it finds is not essential. `name` is fixed, such as `outbox` or `consumer`."""

    @property
    def name(self) -> str: ...

    async def check(self) -> ProbeResult:
        """Look now; whatever it raises, or a wait of over two seconds, counts as not well."""
        ...
