# SPDX-License-Identifier: Apache-2.0
"""The stream of changes that the CMDB sends, and the register that it must leave behind."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from samples.assets import CMDB, Item, Ledgers, configuration_items, network_of, relation
from samples.line import Expect, Line, event_of, key_of
from samples.malformed import malformed
from samples.mutations import lowered, raised, with_facts
from samples.vocabulary import profile, words

PER_MILLE: Mapping[str, int] = {
    "new": 180,
    "upgrade": 195,
    "downgrade": 170,
    "relation-added": 100,
    "relation-removed": 80,
    "edited": 55,
    "moved": 5,
    "retired": 40,
    "returned": 5,
    "unchanged": 40,
    "duplicate": 60,
    "stale": 60,
    "malformed": 10,
}
_OPENING = 0.4
"""The part of the new assets that the stream begins with; the others come throughout."""
_OVERTAKES = 0.2
"""The part of the changes that overtake one before them."""
_FEWEST_ACTIVE = 10
_MOST_RELATIONS = 60
_TRIES = 40

_RELATED: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("system", "information"): ("stores",),
    ("system", "system"): ("runs_on", "runs_on", "connects", "redundant_with"),
    ("system", "network"): ("connects",),
    ("system", "facility"): ("housed_in",),
    ("media", "information"): ("contains", "backs_up"),
    ("media", "system"): ("backs_up",),
    ("media", "facility"): ("housed_in",),
    ("information", "information"): ("printed_from",),
    ("document", "system"): ("describes",),
    ("document", "network"): ("describes",),
    ("network", "network"): ("connects",),
}


_REASONS: Mapping[str, str] = {
    "upgrade": "取扱情報の見直しによる",
    "downgrade": "情報資産の点検による",
    "moved": "事務移管による",
    "retired": "更改に伴う廃止",
    "returned": "廃止の取消し",
}


class Registered(NamedTuple):
    """What the register must hold of one source key: the last item taken that is not a retirement, and if retired."""

    item: Item
    retired: bool


def changes(ledgers: Ledgers, seed: int, count: int = 20_000) -> Iterator[Line]:
    """`count` lines, to be sent when `ledgers` are in: they name assets of theirs. See `PER_MILLE` for the kinds."""
    return _Stream(ledgers, seed, count).lines()


def expected_register(lines: Iterable[Line]) -> dict[str, Registered]:
    """By source key, reckoned the naive way: of each key the highest version stands."""
    register: dict[str, Registered] = {}
    versions: dict[str, int] = {}
    for line in lines:
        if line.expect is Expect.MALFORMED:
            continue
        item = line.item
        key = item["source_key"]
        if item["source_version"] <= versions.get(key, -1):
            continue
        versions[key] = item["source_version"]
        if item.get("operation") == "retire":
            register[key] = Registered(register[key].item, retired=True)
        else:
            register[key] = Registered(item, retired=False)
    return register


@dataclass
class _Known:
    """One asset as the CMDB has it now; `content` is its last full item, without a reason."""

    content: Item
    version: int


class _Stream:
    """The CMDB while it sends: what it has told of, what it has retired, and what was overtaken on the way."""

    def __init__(self, ledgers: Ledgers, seed: int, count: int) -> None:
        self._rng = random.Random(f"{seed}/changes")
        self._plan = _plan(self._rng, count)
        coming = configuration_items(seed, ledgers, self._plan.count("new"))
        self._coming = iter(coming)
        self._targets = _Targets(self._rng, (item for listed in (*ledgers.items.values(), coming) for item in listed))
        self._malformed = malformed(self._plan.count("malformed"), seed, ledgers)
        self._known: dict[str, _Known] = {}
        self._active = _Keys(self._rng)
        self._gone = _Keys(self._rng)
        self._recent: deque[Line] = deque(maxlen=400)
        self._overtaken: deque[Item] = deque(maxlen=100)
        self._special: Mapping[str, Callable[[], Line | None]] = {
            "new": lambda: self._introduce(next(self._coming)),
            "malformed": lambda: next(self._malformed),
            "retired": self._retire,
            "returned": self._bring_back,
            "unchanged": self._repeat_content,
            "duplicate": self._repeat_line,
            "stale": self._come_late,
            "edited": self._edit,
        }
        self._mutations: Mapping[str, Callable[[Item], Item | None]] = {
            "upgrade": lambda item: raised(self._rng, item),
            "downgrade": lambda item: lowered(self._rng, item),
            "relation-added": self._targets.related,
            "relation-removed": self._less_related,
            "moved": self._in_another_body,
        }

    def lines(self) -> Iterator[Line]:
        for change in self._plan:
            made = self._special[change]() if change in self._special else self._change(change)
            line = made or self._edit()
            if line.expect in (Expect.GOOD, Expect.UNCHANGED):
                self._recent.append(line)
            yield line

    def _line(self, expect: Expect, change: str, item: Item) -> Line:
        return Line(expect, change, key_of(item), event=event_of(item))

    def _introduce(self, item: Item) -> Line:
        self._known[item["source_key"]] = _Known(item, item["source_version"])
        self._active.add(item["source_key"])
        return self._line(Expect.GOOD, "new", item)

    def _change(self, change: str) -> Line | None:
        for _ in range(_TRIES):
            known = self._known[self._active.any()]
            changed = self._mutations[change](known.content)
            if changed is not None:
                return self._update(known, changed, change)
        return None

    def _edit(self) -> Line:
        """Always possible, and so what stands in for a change that is not: some asset is always active."""
        known = self._known[self._active.any()]
        return self._update(known, self._relocated(known.content), "edited")

    def _update(self, known: _Known, content: Item, change: str) -> Line:
        if self._rng.random() < _OVERTAKES:
            self._leave_behind(known)
        known.content = content
        return self._send(known, Expect.GOOD, change)

    def _leave_behind(self, known: _Known) -> None:
        """A version in between, which will arrive only after the next one."""
        between = raised(self._rng, known.content) or lowered(self._rng, known.content)
        if between is not None:
            known.version += 1
            self._overtaken.append({**between, "source_version": known.version})

    def _send(self, known: _Known, expect: Expect, change: str) -> Line:
        known.version += 1
        reason = {"reason": _REASONS[change]} if change in _REASONS else {}
        return self._line(expect, change, {**known.content, "source_version": known.version, **reason})

    def _retire(self) -> Line | None:
        if len(self._active) < _FEWEST_ACTIVE:
            return None
        known = self._known[self._active.take()]
        if self._rng.random() < _OVERTAKES:
            self._leave_behind(known)
        known.version += 1
        identity = {name: known.content[name] for name in ("body", "feed", "source_key")}
        item = {**identity, "source_version": known.version, "operation": "retire", "reason": _REASONS["retired"]}
        self._gone.add(item["source_key"])
        return self._line(Expect.GOOD, "retired", item)

    def _bring_back(self) -> Line | None:
        if not self._gone:
            return None
        key = self._gone.take()
        self._active.add(key)
        return self._send(self._known[key], Expect.GOOD, "returned")

    def _repeat_content(self) -> Line:
        return self._send(self._known[self._active.any()], Expect.UNCHANGED, "unchanged")

    def _repeat_line(self) -> Line | None:
        """A line that was sent before, again, while it is still its asset's newest."""
        for _ in range(_TRIES if self._recent else 0):
            line = self._rng.choice(self._recent)
            if line.item["source_version"] == self._known[line.item["source_key"]].version:
                return replace(line, expect=Expect.DUPLICATE, change="duplicate")
        return None

    def _come_late(self) -> Line | None:
        """An item that was overtaken, or now and then one that was seen, again after a newer one."""
        if self._overtaken and self._rng.random() < 0.8:
            at = self._rng.randrange(len(self._overtaken))
            item = self._overtaken[at]
            del self._overtaken[at]
            return self._line(Expect.STALE, "stale", item)
        for _ in range(_TRIES if self._recent else 0):
            line = self._rng.choice(self._recent)
            if line.item["source_version"] < self._known[line.item["source_key"]].version:
                return replace(line, expect=Expect.STALE, change="stale")
        return None

    def _less_related(self, item: Item) -> Item | None:
        if not item["relations"]:
            return None
        dropped = self._rng.choice(item["relations"])
        return {**item, "relations": [relation for relation in item["relations"] if relation != dropped]}

    def _relocated(self, item: Item) -> Item:
        now = item["facts"].get("location")
        spots = [f"{place} {spot}" for place in words()[item["body"]].places for spot in ("執務室", "書庫", "機器室")]
        return with_facts(item, location=self._rng.choice([spot for spot in spots if spot != now]))

    def _in_another_body(self, item: Item) -> Item | None:
        others = [b for b in words() if b != item["body"] and profile().network_of(b) == network_of(item)]
        if not others:
            return None
        body = self._rng.choice(others)
        return {**item, "body": body, "section": self._rng.choice(words()[body].sections)}


class _Keys:
    """Source keys with a random one in constant time."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._keys: list[str] = []

    def __len__(self) -> int:
        return len(self._keys)

    def add(self, key: str) -> None:
        self._keys.append(key)

    def any(self) -> str:
        return self._rng.choice(self._keys)

    def take(self) -> str:
        at = self._rng.randrange(len(self._keys))
        self._keys[at], self._keys[-1] = self._keys[-1], self._keys[at]
        return self._keys.pop()


class _Targets:
    """What a relation may name: mostly of the same business, sometimes of the same body or network."""

    def __init__(self, rng: random.Random, items: Iterable[Item]) -> None:
        self._rng = rng
        self._near: dict[tuple[str, str | None], list[Item]] = {}
        self._by_body: dict[str, list[Item]] = {}
        self._by_network: dict[str, list[Item]] = {}
        for item in items:
            self._near.setdefault(_neighbourhood(item), []).append(item)
            self._by_body.setdefault(item["body"], []).append(item)
            self._by_network.setdefault(network_of(item), []).append(item)

    def related(self, item: Item) -> Item | None:
        """The item with one more relation; None where the drawn target does not suit it."""
        target = self._rng.choice(self._circle(item))
        kinds = _RELATED.get((item["kind"], target["kind"]))
        if kinds is None or target["source_key"] == item["source_key"] or len(item["relations"]) >= _MOST_RELATIONS:
            return None
        added = relation(self._rng.choice(kinds), target, CMDB)
        return None if added in item["relations"] else {**item, "relations": [*item["relations"], added]}

    def _circle(self, item: Item) -> list[Item]:
        drawn = self._rng.random()
        network = self._by_network[network_of(item)]
        body = self._by_body.get(item["body"], network)
        if drawn < 0.8:
            return self._near.get(_neighbourhood(item), body)
        return body if drawn < 0.95 else network


def _neighbourhood(item: Item) -> tuple[str, str | None]:
    return item["body"], item["facts"].get("business")


def _plan(rng: random.Random, count: int) -> list[str]:
    """The kind of each line: first a part of the new assets, then all the rest in any order."""
    planned = {change: count * share // 1000 for change, share in PER_MILLE.items()}
    planned["new"] += count - sum(planned.values())
    opening = max(1, int(planned["new"] * _OPENING))
    planned["new"] -= opening
    rest = [change for change, times in planned.items() for _ in range(times)]
    rng.shuffle(rest)
    return ["new"] * opening + rest
