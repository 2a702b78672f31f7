# SPDX-License-Identifier: Apache-2.0
"""Messages that no receiver may take, each with the reason code that it must get."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from libs.contracts import Reason, make_key
from libs.contracts.topics import MAX_VALUE_BYTES
from samples.assets import CMDB, LEDGER, Item, Ledgers
from samples.line import TYPE, Expect, Line, compact, event_of, key_of
from samples.vocabulary import profile

KEY_PREFIX = "BAD-"
"""Source keys of malformed items begin so, and no good one's does: a parked key holds up no good item."""

_TIME = "2026-04-01T09:00:00+09:00"
_DEPTH = 10_000


class _Bad(NamedTuple):
    value: bytes
    key: str | None


Make = Callable[[random.Random, Item], _Bad]


class _Fault(NamedTuple):
    """A way to be malformed; of 1,000 lines about `share` are so. Only where `keyless` may the key be left out."""

    change: str
    reason: Reason
    share: int
    make: Make
    keyless: bool = False


def malformed(count: int, seed: int, ledgers: Ledgers | None = None) -> Iterator[Line]:
    """`count` lines, every kind among them from about 40 on; made one at a time.

    With `ledgers`, which must then be in the register, also relations to an asset of another network.
    A line has a key of its own, or none, or one that is no `network/body/<rest>`.
    """
    rng = random.Random(f"{seed}/malformed")
    faults = _FAULTS if ledgers is None else (*_FAULTS, _elsewhere(ledgers))
    order = _order(rng, faults)
    for number in range(count):
        fault = order[number % len(order)]
        item = _item(rng, number)
        bad = fault.make(rng, item)
        key = _without_key(rng) if fault.keyless and rng.random() < 0.3 else bad.key
        yield Line(Expect.MALFORMED, fault.change, key, raw=bad.value, reason=fault.reason)


def _order(rng: random.Random, faults: Sequence[_Fault]) -> list[_Fault]:
    """Each fault once, then as many of each as its share."""
    rest = [fault for fault in faults for _ in range(fault.share - 1)]
    rng.shuffle(rest)
    return [*faults, *rest]


def _without_key(rng: random.Random) -> str | None:
    return rng.choice((None, None, "mayor", "情報資産", "//"))


def _item(rng: random.Random, number: int) -> Item:
    return {
        "body": rng.choice(("mayor", "education", "waterworks", "election")),
        "feed": CMDB,
        "source_key": f"{KEY_PREFIX}{number:06d}",
        "source_version": rng.randrange(1, 50),
        "kind": "information",
        "name": rng.choice(("水道料金調定データ", "固定資産税課税台帳", "選挙人名簿抄本", "学齢簿")),
        "section": "情報政策課",
        "facts": {"personal_data": True, "data_kinds": ["resident"], "record_count": rng.randrange(1, 90_000)},
        "relations": [],
    }


def _event(item: Item, **attributes: Any) -> dict[str, Any]:
    return event_of(item) | {"time": _TIME} | attributes


def _bytes(event: Any) -> bytes:
    return compact(event).encode()


def _as_sent(event: Mapping[str, Any], item: Item) -> _Bad:
    return _Bad(_bytes(event), key_of(item))


def _not_json(rng: random.Random, item: Item) -> _Bad:
    whole = compact(_event(item))
    spoilt = rng.choice(
        (
            whole[: rng.randrange(20, len(whole) - 1)],
            whole.replace('"', "'"),
            whole[:-1] + ",}",
            whole + "\n" + whole,
            f"<asset><name>{item['name']}</name></asset>",
            f"{item['source_key']},{item['name']},情報,3B,2,2",
            "接続に失敗しました",
        )
    )
    return _Bad(spoilt.encode(), key_of(item))


def _not_utf8(rng: random.Random, item: Item) -> _Bad:
    encoding = rng.choice(("cp932", "cp932", "euc_jp", "utf-16"))
    return _Bad(compact(_event(item)).encode(encoding), key_of(item))


def _too_deep(rng: random.Random, item: Item) -> _Bad:
    opened, closed = rng.choice((("[", "]"), ('{"a":', "}")))
    nest = opened * _DEPTH + "1" + closed * _DEPTH
    if rng.random() < 0.5:
        return _Bad(nest.encode(), key_of(item))
    whole = compact(_event({**item, "facts": {"record_count": 0}}))
    return _Bad(whole.replace('"record_count":0', f'"record_count":{nest}').encode(), key_of(item))


def _too_large(rng: random.Random, item: Item) -> _Bad:
    return _as_sent(_event({**item, "name": "台" * (MAX_VALUE_BYTES // 3 + rng.randrange(1, 5_000))}), item)


def _empty(_: random.Random, item: Item) -> _Bad:
    return _Bad(b"", key_of(item))


def _unknown_type(rng: random.Random, item: Item) -> _Bad:
    kind = rng.choice(("daicho.feed.thing.v1", "jp.example.asset.v1", "daicho.asset.changed.v1", "item"))
    return _as_sent(_event(item, type=kind), item)


def _unknown_version(rng: random.Random, item: Item) -> _Bad:
    return _as_sent(_event(item, type=f"{TYPE.removesuffix('1')}{rng.choice((0, 2, 3, 11))}"), item)


_WRONG_VALUES: tuple[Mapping[str, Any], ...] = (
    {"source_version": "three"},
    {"source_version": -1},
    {"source_version": 2**63},
    {"source_version": None},
    {"name": 12},
    {"name": ""},
    {"name": "制御文字\u0000を含む名称"},
    {"name": "台帳" * 200},
    {"kind": "server"},
    {"zone": "dmz"},
    {"operation": "delete"},
    {"facts": "なし"},
    {"facts": {"個人情報": True}},
    {"facts": {"record_count": {"total": 3}}},
    {"facts": {f"fact_{number}": number for number in range(65)}},
    {"relations": [{"type": "stores"}]},
    {"relations": [{"type": "knows", "source_key": "G-0001"}]},
    {"relations": {"stores": "G-0001"}},
    {"declared": {"confidentiality": "高"}},
    {"observed_at": "2026-04-01 09:00"},
    {"body": "市長部局"},
    {"persnal_data": True},
)


def _wrong_value(rng: random.Random, item: Item) -> _Bad:
    return _as_sent(_event(item, data={**item, **rng.choice(_WRONG_VALUES)}), item)


def _missing_field(rng: random.Random, item: Item) -> _Bad:
    event = _event(item)
    missing = rng.choice(("id", "source", "subject", "time", "data", "body", "feed", "source_key", "source_version"))
    if missing in ("body", "feed", "source_key", "source_version"):
        event["data"] = {name: value for name, value in item.items() if name != missing}
    else:
        del event[missing]
    return _as_sent(event, item)


def _wrong_envelope(rng: random.Random, item: Item) -> _Bad:
    wrong: Mapping[str, Any] = rng.choice(
        (
            {"specversion": "0.3"},
            {"time": "きのう"},
            {"source": "netbox"},
            {"datacontenttype": "text/xml"},
            {"traceparent": "00-0-0-00"},
            {"data": []},
            {"data": "水道料金"},
        )
    )
    return _as_sent(_event(item, **wrong), item)


def _other_body(item: Item, body: str, network: str) -> _Bad:
    stranger = {**item, "body": body}
    event = _event(item, data=stranger, body=body, network=network)
    return _Bad(_bytes(event), make_key(network, body, item["feed"], item["source_key"]).decode())


def _unknown_body(rng: random.Random, item: Item) -> _Bad:
    return _other_body(item, rng.choice(("library", "port", "zoo-park", "mayor2")), "mayor")


def _unknown_feed(rng: random.Random, item: Item) -> _Bad:
    stranger = {**item, "feed": rng.choice(("excel", "glpi-old", "cmdb-old"))}
    return _as_sent(_event(stranger), stranger)


def _feed_not_authorised(rng: random.Random, item: Item) -> _Bad:
    may_not = sorted(set(profile().body_by_id) - profile().feed_by_id[CMDB].bodies)
    body = rng.choice(may_not)
    return _other_body(item, body, profile().network_of(body))


def _wrong_network(rng: random.Random, item: Item) -> _Bad:
    right = profile().network_of(item["body"])
    network = rng.choice([network.id for network in profile().networks if network.id != right])
    key = make_key(network, item["body"], item["feed"], item["source_key"]).decode()
    return _Bad(_bytes(_event(item, network=network)), key)


def _key_mismatch(_: random.Random, item: Item) -> _Bad:
    return _Bad(_bytes(_event(item)), f"{key_of(item)}-X")


def _elsewhere(ledgers: Ledgers) -> _Fault:
    """An asset that names one which the register has on another network."""

    def make(rng: random.Random, item: Item) -> _Bad:
        here = profile().network_of(item["body"])
        away = [b for b, items in ledgers.items.items() if items and profile().network_of(b) != here]
        target = rng.choice(ledgers.items[rng.choice(away)])["source_key"]
        named = [{"type": "stores", "source_key": target, "feed": LEDGER}]
        return _as_sent(_event({**item, "kind": "system", "relations": named}), item)

    return _Fault("other-network-relation", Reason.OTHER_NETWORK_RELATION, 50, make)


_FAULTS: tuple[_Fault, ...] = (
    _Fault("not-json", Reason.NOT_JSON, 170, _not_json, keyless=True),
    _Fault("not-utf8", Reason.NOT_UTF8, 100, _not_utf8, keyless=True),
    _Fault("too-deep", Reason.TOO_DEEP, 30, _too_deep, keyless=True),
    _Fault("too-large", Reason.TOO_LARGE, 3, _too_large, keyless=True),
    _Fault("empty", Reason.EMPTY, 30, _empty, keyless=True),
    _Fault("unknown-type", Reason.UNKNOWN_TYPE, 80, _unknown_type, keyless=True),
    _Fault("unknown-version", Reason.UNKNOWN_VERSION, 60, _unknown_version, keyless=True),
    _Fault("wrong-value", Reason.SCHEMA, 150, _wrong_value, keyless=True),
    _Fault("missing-field", Reason.SCHEMA, 80, _missing_field, keyless=True),
    _Fault("wrong-envelope", Reason.SCHEMA, 40, _wrong_envelope, keyless=True),
    _Fault("unknown-body", Reason.UNKNOWN_BODY, 100, _unknown_body),
    _Fault("unknown-feed", Reason.UNKNOWN_FEED, 50, _unknown_feed),
    _Fault("feed-not-authorised", Reason.FEED_NOT_AUTHORISED, 50, _feed_not_authorised),
    _Fault("wrong-network", Reason.WRONG_NETWORK, 30, _wrong_network),
    _Fault("key-mismatch", Reason.KEY_MISMATCH, 27, _key_mismatch),
)
