# SPDX-License-Identifier: Apache-2.0
"""What the made-up city does (`samples/city/`), as the generator reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from libs.contracts import Profile

CITY = Path(__file__).parent / "city"


@dataclass(frozen=True)
class Business:
    """One business of a section; the fields are explained at the top of `businesses.yaml`."""

    body: str
    section: str
    business: str
    zone: str
    kinds: tuple[str, ...]
    information: tuple[str, ...]
    records: int
    rto: int
    published: tuple[str, ...] = ()
    personal: bool = False
    sensitive: bool = False
    mynumber: bool = False


@dataclass(frozen=True)
class BodyWords:
    """One body's words; `weight` is its share of all assets, per mille."""

    body: str
    letter: str
    weight: int
    places: tuple[str, ...]
    own_servers: bool
    businesses: tuple[Business, ...]

    @property
    def sections(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(business.section for business in self.businesses))


@cache
def profile() -> Profile:
    return Profile.model_validate(yaml.safe_load((CITY / "profile.yaml").read_text(encoding="utf-8")))


@cache
def words() -> Mapping[str, BodyWords]:
    """By body, the mayor's first: the small bodies' systems run on the mayor's servers."""
    entries = yaml.safe_load((CITY / "businesses.yaml").read_text(encoding="utf-8"))
    return {body: _body_words(body, entry) for body, entry in entries.items()}


def _body_words(body: str, entry: Mapping[str, Any]) -> BodyWords:
    businesses = tuple(
        Business(body=body, section=section, **{name: _frozen(value) for name, value in business.items()})
        for section, listed in entry["sections"].items()
        for business in listed
    )
    return BodyWords(
        body=body,
        letter=entry["letter"],
        weight=entry["weight"],
        places=tuple(entry["places"]),
        own_servers=entry.get("own_servers", True),
        businesses=businesses,
    )


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def shares(total: int) -> dict[str, int]:
    """`total` assets divided among the bodies by weight; the mayor's takes what rounding leaves."""
    divided = {body: total * entry.weight // 1000 for body, entry in words().items()}
    divided["mayor"] += total - sum(divided.values())
    return divided
