# SPDX-License-Identifier: Apache-2.0
"""Made-up assets: a cluster of systems, servers, information, media and documents around each business."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, islice
from typing import Any, NamedTuple

from samples.vocabulary import BodyWords, Business, profile, shares, words

Item = dict[str, Any]
"""The fields of a FeedItem that are not at their defaults; `city` and `configuration_items` hand them out complete."""

LEDGER, CMDB = "ledger", "cmdb"
_YEARS = ("", "（令和8年度）", "（令和7年度）", "（令和6年度）", "（令和5年度）", "（令和4年度）", "（平成31年度）")
_PAPER_ENDINGS = ("書", "票", "簿", "届", "台帳", "調書", "名簿", "原簿")
_CMDB_LABELS = ("連携基盤", "検証環境", "庁内照会", "統計分析", "電子申請受付", "帳票出力", "更改後環境")
_CMDB_NOUNS = ("連携ファイル", "照会用複製データ", "帳票出力データ", "抽出データ", "操作ログ", "申請受付データ")
_ZONE_NETWORKS = {
    "mynumber": "住民情報系ネットワーク",
    "lgwan": "内部情報系ネットワーク",
    "internet": "インターネット接続系ネットワーク",
    "standalone": "監視制御系ネットワーク",
}
_FILE_SERVER_SHARE = 0.15
_MOST_FILES = 60


class Ref(NamedTuple):
    """An asset that a relation may name."""

    feed: str
    source_key: str
    kind: str
    body: str


@dataclass(frozen=True)
class Ledgers:
    """The items of the nine ledgers, by body."""

    items: Mapping[str, tuple[Item, ...]]


def city(seed: int, assets: int = 3000) -> Ledgers:
    """The ledgers of the nine bodies with `assets` assets together; every relation's target is among them."""
    rng = random.Random(f"{seed}/city")
    wanted = shares(assets)
    built: dict[str, list[Item]] = {}
    for body, entry in words().items():
        shared = built["mayor"] if not entry.own_servers else []
        built[body] = list(islice(_ledger_assets(rng, entry, shared), wanted[body]))
    _keep_on_file_servers(rng, built)
    order = ("network", "system", "facility", "media", "information", "document")
    return Ledgers({b: tuple(sorted(items, key=lambda item: order.index(item["kind"]))) for b, items in built.items()})


def configuration_items(seed: int, ledgers: Ledgers, assets: int) -> list[Item]:
    """The assets that the CMDB knows, in the order in which it tells of them first; some name later ones."""
    rng = random.Random(f"{seed}/cmdb")
    numbers = count(1)
    placed: list[tuple[float, Item]] = []
    for body, wanted in shares(assets).items():
        entry = words()[body]
        made = islice(_cmdb_assets(rng, entry, ledgers.items[body], lambda: f"CI-{next(numbers):06d}"), wanted)
        placed.extend(((at + rng.random() * 12) / max(wanted, 1), item) for at, item in enumerate(made))
    return [item for _, item in sorted(placed, key=lambda pair: (pair[0], pair[1]["source_key"]))]


def network_of(item: Item) -> str:
    return profile().network_of(item["body"])


def relation(kind: str, target: Item, feed: str) -> dict[str, str]:
    """A relation of an item of `feed`; the target's feed is said only where it is another."""
    other = {} if target["feed"] == feed else {"feed": target["feed"]}
    return {"type": kind, "source_key": target["source_key"], **other}


def _ledger_assets(rng: random.Random, entry: BodyWords, shared: Sequence[Item]) -> Iterator[Item]:
    numbers = count(1)
    maker = _Maker(rng, entry, LEDGER, lambda: f"{entry.letter}-{next(numbers):04d}")
    yield from maker.infrastructure(shared)
    clusters = [_Cluster(maker, business, business.business, business.information) for business in entry.businesses]
    for step in count():
        for cluster in clusters:
            yield from cluster.grow(step)


def _cmdb_assets(
    rng: random.Random, entry: BodyWords, ledger: Sequence[Item], number: Callable[[], str]
) -> Iterator[Item]:
    maker = _Maker(rng, entry, CMDB, number)
    maker.take_over(ledger)
    for generation in count(1):
        for label in _CMDB_LABELS:
            suffix = label if generation == 1 else f"{label}{generation}"
            for business in entry.businesses:
                cluster = _Cluster(maker, business, f"{business.business}（{suffix}）", _CMDB_NOUNS)
                known = [i for i in ledger if i["kind"] == "information" and _business(i) == business.business]
                cluster.stores(rng.sample(known, min(3, len(known))))
                for step in range(3):
                    yield from cluster.grow(step)


def _keep_on_file_servers(rng: random.Random, built: Mapping[str, list[Item]]) -> None:
    """A small body's information sits on the mayor's servers, so that levels cross bodies inside the network."""
    servers = [item for item in built["mayor"] if item["name"].startswith("庁内ファイルサーバ")]
    small = [body for body, entry in words().items() if not entry.own_servers]
    files = [item for body in small for item in built[body] if item["kind"] == "information"]
    for item in files:
        open_servers = [server for server in servers if len(server["relations"]) < _MOST_FILES]
        if open_servers and rng.random() < _FILE_SERVER_SHARE:
            rng.choice(open_servers)["relations"].append(relation("stores", item, LEDGER))


def _before(place: str) -> str:
    return f"{place} " if place else ""


def _business(item: Item) -> str | None:
    business: str | None = item["facts"].get("business")
    return business


class _Maker:
    """Makes one body's items in one feed, and knows the rooms, networks and servers that they share."""

    def __init__(self, rng: random.Random, entry: BodyWords, feed: str, number: Callable[[], str]) -> None:
        self.rng = rng
        self.entry = entry
        self.feed = feed
        self._number = number
        self.rooms: list[Item] = []
        self.networks: dict[str, Item] = {}
        self.shared_servers: list[Item] = []

    def item(self, kind: str, name: str, section: str, **fields: Any) -> Item:
        given = {name: value for name, value in fields.items() if value}
        return {
            "body": self.entry.body,
            "feed": self.feed,
            "source_key": self._number(),
            "source_version": 1,
            "kind": kind,
            "name": name,
            "section": section,
            "facts": {},
            "relations": [],
            **given,
        }

    def relate(self, kind: str, *targets: Item) -> list[dict[str, str]]:
        return [relation(kind, target, self.feed) for target in targets]

    def take_over(self, items: Sequence[Item]) -> None:
        """Use the rooms, networks and shared servers among `items`."""
        self.rooms = [item for item in items if item["kind"] == "facility" and "室" in item["name"]]
        self.networks = {item["zone"]: item for item in items if item["kind"] == "network" and "zone" in item}
        self.shared_servers = [item for item in items if item["name"].startswith("共通基盤サーバ")]

    def infrastructure(self, shared: Sequence[Item]) -> Iterator[Item]:
        """Rooms, networks and shared servers; a body without its own uses those of `shared`."""
        if shared:
            self.take_over(shared)
            section = self.entry.sections[0]
            yield self.item("facility", f"{self.entry.places[0]}書庫", section, facts=self._at("耐火書庫"))
            return
        section = next((b.section for b in self.entry.businesses if "ネットワーク" in b.business), "")
        yield from self._rooms(section)
        yield from self._networks(section)
        if self.entry.body == "mayor":
            yield from self._servers(section)

    def _rooms(self, section: str) -> Iterator[Item]:
        prefix = self.entry.places[0]
        for name in ("第一情報システム室", "第二情報システム室"):
            room = self.item("facility", f"{prefix}{name}", section, facts=self._at("3階"))
            self.rooms.append(room)
            yield room
            for part in ("無停電電源装置", "分電盤", "空調設備"):
                yield self.item(
                    "facility",
                    f"{prefix}{name} {part}",
                    section,
                    facts=self._at(name),
                    relations=self.relate("housed_in", room),
                )
        yield self.item("facility", f"{prefix}耐火保管庫", section, facts=self._at("地下1階"))

    def _networks(self, section: str) -> Iterator[Item]:
        zones = dict.fromkeys(business.zone for business in self.entry.businesses)
        for zone in zones:
            name = f"{self.entry.places[0]}{_ZONE_NETWORKS[zone]}"
            network = self.item("network", name, section, zone=zone, facts={"rto_hours": 3})
            self.networks[zone] = network
            yield network
            yield from self._switches(network, section)
        for place in self.entry.places[1:]:
            backbone = self.rng.choice(list(self.networks.values()))
            line = self.item("network", f"{place}接続回線", section, relations=self.relate("connects", backbone))
            yield line
            backbone["relations"].extend(self.relate("connects", line))

    def _switches(self, network: Item, section: str) -> Iterator[Item]:
        """A ring of three core switches, the first two of them a redundant pair: cycles, as real networks have."""
        ring = [
            self.item(
                "network",
                f"{network['name']} 基幹スイッチ {number}号機",
                section,
                zone=network["zone"],
                relations=[*self.relate("connects", network), *self.relate("housed_in", self.rooms[number % 2])],
            )
            for number in (1, 2, 3)
        ]
        for switch in ring:
            yield switch
        for switch, following in zip(ring, (*ring[1:], ring[0]), strict=True):
            switch["relations"].extend(self.relate("connects", following))
        ring[0]["relations"].extend(self.relate("redundant_with", ring[1]))
        ring[1]["relations"].extend(self.relate("redundant_with", ring[0]))

    def _servers(self, section: str) -> Iterator[Item]:
        for number in range(1, 13):
            room = self.rooms[number % len(self.rooms)]
            server = self.item(
                "system",
                f"共通基盤サーバ {number:02d}号機",
                section,
                zone="lgwan",
                facts={"rto_hours": 12, **self._at(room["name"])},
                relations=self.relate("housed_in", room),
            )
            self.shared_servers.append(server)
            yield server
        for number in range(1, 5):
            yield self.item(
                "system",
                f"庁内ファイルサーバ {number}号機",
                section,
                zone="lgwan",
                facts={"rto_hours": 24},
                relations=self.relate("runs_on", self.shared_servers[number]),
            )

    def _at(self, spot: str) -> dict[str, str]:
        return {"location": f"{self.entry.places[0]} {spot}"}


class _Cluster:
    """The assets around one business; it grows step by step, targets of relations first."""

    def __init__(self, maker: _Maker, business: Business, name: str, nouns: Sequence[str]) -> None:
        self._make = maker
        self._of = business
        self._name = name
        self._nouns = (*nouns, *(business.published if maker.feed == LEDGER else ()))
        self._variants = self._all_variants()
        self._information: list[Item] = []
        self._stored: list[Item] = []
        self._systems: list[Item] = []

    def stores(self, items: Sequence[Item]) -> None:
        """Information of another feed that this system holds too."""
        self._stored.extend(items)

    def grow(self, step: int) -> Iterator[Item]:
        place, year, part = next(self._variants)
        for noun in self._nouns if step == 0 else self._make.rng.sample(self._nouns, min(2, len(self._nouns))):
            yield self._add_information(place, noun, f"{year}{part}")
        if step == 0:
            yield from self._system_and_servers()
        yield from self._around(step, _before(place), part)

    def _all_variants(self) -> Iterator[tuple[str, str, str]]:
        for part in count(1):
            for place in ("", *self._make.entry.places):
                for year in _YEARS:
                    yield place, year, "" if part == 1 else f" 第{part}分冊"

    def _item(self, kind: str, name: str, **fields: Any) -> Item:
        facts = {"business": self._of.business, **fields.pop("facts", {})}
        return self._make.item(kind, name, self._of.section, facts=facts, **fields)

    def _add_information(self, place: str, noun: str, ending: str) -> Item:
        published = noun in self._of.published
        item = self._item(
            "information",
            f"{_before(place)}{self._name}{noun}{ending}",
            zone=self._of.zone,
            facts=self._information_facts(noun, published),
        )
        if self._make.rng.random() < 0.6:
            item["declared"] = self._declared(item["facts"], published)
        if self._information and self._make.rng.random() < 0.1:
            item["relations"].extend(self._make.relate("printed_from", self._information[-1]))
        for system in self._systems:
            system["relations"].extend(self._make.relate("stores", item))
        self._information.append(item)
        return item

    def _information_facts(self, noun: str, published: bool) -> Item:
        rng, of = self._make.rng, self._of
        private = of.personal and not published
        facts: Item = {
            "personal_data": private,
            "sensitive_data": private and of.sensitive and rng.random() < 0.7,
            "mynumber_data": private and of.mynumber and rng.random() < 0.6,
            "data_kinds": ["public"] if published else list(of.kinds),
            "record_count": max(1, int(of.records * rng.lognormvariate(-1.0, 1.2))),
            "published": published,
        }
        if self._make.feed == LEDGER and noun.endswith(_PAPER_ENDINGS) and rng.random() < 0.5:
            facts |= {"medium": "paper", "location": f"{self._make.entry.places[0]} {of.section}書庫"}
        return facts

    def _declared(self, facts: Item, published: bool) -> dict[str, str]:
        """What a section would write; one in eight is out of date, as ledgers are."""
        if published:
            confidentiality = "1"
        elif "secret_document" in facts["data_kinds"]:
            confidentiality = "3A"
        elif facts["personal_data"]:
            confidentiality = "3C" if facts["data_kinds"] == ["staff"] else "3B"
        else:
            confidentiality = "3C" if "tender_price" in facts["data_kinds"] else "2"
        if self._make.rng.random() < 0.125:
            confidentiality = "2"
        important = facts["personal_data"] or "billing" in facts["data_kinds"]
        return {
            "confidentiality": confidentiality,
            "integrity": "2" if important else "1",
            "availability": "2" if self._of.rto <= 24 else "1",
        }

    def _system_and_servers(self) -> Iterator[Item]:
        servers = list(self._servers())
        yield from servers
        network = self._make.networks.get(self._of.zone)
        relations = [
            *self._make.relate("stores", *self._information, *self._stored),
            *self._make.relate("runs_on", *servers),
            *(self._make.relate("connects", network) if network else ()),
        ]
        if not servers and self._make.shared_servers:
            relations += self._make.relate("runs_on", self._make.rng.choice(self._make.shared_servers))
        facts = {"rto_hours": self._of.rto}
        system = self._item("system", f"{self._name}システム", zone=self._of.zone, facts=facts, relations=relations)
        self._systems.append(system)
        yield system

    def _servers(self) -> Iterator[Item]:
        if not self._make.entry.own_servers:
            return
        pair = []
        for number in range(1, 3 if self._of.rto <= 12 else 2):
            room = self._make.rng.choice(self._make.rooms) if self._make.rooms else None
            pair.append(
                self._item(
                    "system",
                    f"{self._name}サーバ {number}号機",
                    zone=self._of.zone,
                    facts={"rto_hours": self._of.rto, **({"location": room["name"]} if room else {})},
                    relations=self._make.relate("housed_in", room) if room else [],
                )
            )
            yield pair[-1]
        for one, other in ((0, 1), (1, 0)) if len(pair) == 2 else ():
            pair[one]["relations"].extend(self._make.relate("redundant_with", pair[other]))

    def _around(self, step: int, place: str, part: str) -> Iterator[Item]:
        """One backup, one document, and now and then a terminal, a carried medium or a print-out."""
        rng, make = self._make.rng, self._make
        number = f" {step + 1:02d}{part}"
        medium = rng.choice(("tape", "hdd", "ssd"))
        yield self._item(
            "media",
            f"{self._name} バックアップ媒体{number}",
            facts={"medium": medium, "location": f"{make.entry.places[0]} 耐火保管庫"},
            relations=make.relate("backs_up", *self._systems, rng.choice(self._information)),
        )
        title = ("システム設計書", "構成図", "運用仕様書", "操作マニュアル", "データ項目定義書")[step % 5]
        kinds = {"data_kinds": ["network_diagram"]} if title == "構成図" else {}
        yield self._item(
            "document",
            f"{self._name}システム {title}{number}",
            facts=kinds,
            relations=make.relate("describes", *self._systems),
        )
        if rng.random() < 0.4:
            yield self._terminal(place, number)
        if rng.random() < 0.15:
            yield self._item(
                "media",
                f"{self._of.section} {self._name} 受渡用媒体{number}",
                facts={"medium": rng.choice(("usb", "optical", "mobile"))},
                relations=make.relate("contains", *rng.sample(self._information, min(2, len(self._information)))),
            )
        if rng.random() < 0.2:
            yield from self._print_out(number)

    def _terminal(self, place: str, number: str) -> Item:
        network = self._make.networks.get(self._of.zone)
        return self._item(
            "system",
            f"{place}{self._of.section} {self._name}端末{number}",
            zone=self._of.zone,
            facts={"location": f"{self._make.entry.places[0]} {self._of.section}"},
            relations=self._make.relate("connects", *([network] if network else [])),
        )

    def _print_out(self, number: str) -> Iterator[Item]:
        """A list that is printed, marked and keyed in again: two pieces of information made from each other."""
        origin = self._make.rng.choice(self._information)
        listing = self._item(
            "information",
            f"{self._name}点検用出力帳票{number}",
            zone=self._of.zone,
            facts={"medium": "paper", "data_kinds": origin["facts"]["data_kinds"], "published": False},
            relations=self._make.relate("printed_from", origin),
        )
        yield listing
        if self._make.rng.random() < 0.2:
            origin["relations"].extend(self._make.relate("printed_from", listing))
