# SPDX-License-Identifier: Apache-2.0
"""The real parts for a scenario: topics with one partition, databases with the services' own roles, and messages to work on."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import yaml
from pydantic import SecretStr

from libs.bus import KafkaSettings, apply_topics
from libs.contracts import FeedItem, Profile
from libs.devstack import Stack
from libs.persistence import owner_of, provision, upgrade
from samples.generate import SEED, Line, changes, city
from services.inventory.domain import Refused, Register, Scribe
from tests.benchmarks.floors import Message

PROFILE = Path("samples/city/profile.yaml")
NETWORK = "mayor"


def profile() -> Profile:
    return Profile.model_validate(yaml.safe_load(PROFILE.read_text(encoding="utf-8")))


def account(stack: Stack, name: str) -> KafkaSettings:
    username, password = stack.kafka_account(name)
    return KafkaSettings(bootstrap=stack.kafka_bootstrap, username=username, password=SecretStr(password))


async def prepare(stack: Stack) -> None:
    """Topics with one partition each, and the inventory's database."""
    await apply_topics(account(stack, "admin"), partitions=1)
    owner = owner_of("inventory")
    passwords = stack.postgres_password(owner), stack.postgres_password("inventory")
    await provision(stack.postgres_dsn("postgres", "postgres"), "inventory", *passwords)
    await upgrade("services.inventory", stack.postgres_dsn(owner, "inventory"))


def feed_lines(count: int) -> list[Line]:
    """Good items of the mayor's network, from as many made-up streams as it takes."""
    return [line for _, line in zip(range(count), _endless(), strict=False)]


def asset_messages(count: int) -> list[Message]:
    """`AssetChanged` events as inventory would publish them for those items."""
    known = profile()
    register, scribe = Register(known), Scribe(known.municipality, datetime.now(UTC))
    messages: list[Message] = []
    for number, line in enumerate(_endless()):
        try:
            decision = register.take(FeedItem.model_validate(line.item))
        except Refused:
            continue
        for revision in decision.revisions:
            written = scribe.write(revision, f"00-{number + 1:032x}-{1:016x}-01")
            messages.append(Message(written.key, written.value))
        if len(messages) >= count:
            return messages[:count]
    return messages


def _endless() -> Iterator[Line]:
    """One stream after another; the source keys of each are its own, so that most assets are distinct."""
    known = profile()
    seed = SEED
    while True:
        for line in changes(city(seed), seed):
            if line.event is not None and known.network_of(line.item["body"]) == NETWORK:
                yield _renamed(line, f"{seed}-")
        seed += 1


def _renamed(line: Line, prefix: str) -> Line:
    item = line.item
    key = f"{prefix}{item['source_key']}"
    relations = [{**one, "source_key": f"{prefix}{one['source_key']}"} for one in item.get("relations", ())]
    event = {**(line.event or {}), "subject": key, "data": {**item, "source_key": key, "relations": relations}}
    event["id"] = f"{item['feed']}:{key}@{item['source_version']}"
    route = (line.key or "").split("/")[:3]
    return Line(line.expect, line.change, "/".join([*route, key]), event)
