# SPDX-License-Identifier: Apache-2.0
"""The made-up city: its ledgers say in CSV exactly what its items say, and name only what is there."""

import csv
import hashlib
import io
import unicodedata
from collections import Counter
from pathlib import Path

import pytest
import yaml

from libs.contracts import AssetKind, FeedItem, RelationType
from samples.assets import Ledgers, city, configuration_items, network_of
from samples.generate import main, write
from samples.ledgers import COLUMNS, STYLES, files
from samples.vocabulary import profile, words

POLICY_BODIES = {
    "mayor",
    "education",
    "election",
    "audit",
    "agriculture",
    "equity",
    "assessment",
    "waterworks",
    "assembly",
}


@pytest.fixture(scope="module")
def ledgers() -> Ledgers:
    return city(20260401)


def everything(ledgers: Ledgers) -> list[dict]:
    return [item for items in ledgers.items.values() for item in items]


def digest(directory: Path) -> dict[str, str]:
    return {
        str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def read_ledger(body: str, content: bytes) -> list[dict]:
    """The items of one file, read by the rules at the top of `ledger_columns.yaml`, independently of the door."""
    described = yaml.safe_load(COLUMNS.read_text(encoding="utf-8"))
    headers = {
        name: column for header, column in described["columns"].items() for name in (header, *column.get("also", ()))
    }
    rows = csv.reader(io.StringIO(content.decode(STYLES[body].encoding), newline=""))
    columns = [unicodedata.normalize("NFKC", header) for header in next(rows)]
    return [item_of(body, dict(zip(columns, row, strict=True)), headers, described) for row in rows]


def item_of(body: str, row: dict[str, str], headers: dict, described: dict) -> dict:
    item: dict = {"body": body, "feed": "ledger", "facts": {}, "relations": [], "declared": {}}
    for header, cell in row.items():
        if header in described["passed_over"] or not cell.strip():
            continue
        column = headers[header]
        value = value_of(cell, column, described)
        if "fact" in column:
            item["facts"][column["fact"]] = value
        elif column["field"].startswith("declared."):
            item["declared"][column["field"].removeprefix("declared.")] = value
        else:
            item[column["field"]] = value
    return item


def value_of(cell: str, column: dict, described: dict):
    kind = column["type"]
    if kind == "text":
        return cell.strip()
    cell = unicodedata.normalize("NFKC", cell).strip()
    parts = [part.strip() for part in cell.split(described["list_separator"])]
    if kind == "relations":
        pairs = [part.split(described["relation_separator"]) for part in parts]
        known = described["words"]["relation"]
        return [{"type": known[word.strip()], "source_key": key.strip()} for word, key in pairs]
    if kind in ("integer", "number"):
        unit = next((unit for unit in described["units"] if cell.endswith(unit)), "")
        return int(cell.removesuffix(unit).replace(",", ""))
    known = described["words"].get(column.get("words", "boolean"))
    return {"code": lambda: cell, "words": lambda: [known[part] for part in parts]}.get(kind, lambda: known[cell])()


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    for name, seed in (("one", 7), ("two", 7), ("other", 8)):
        write(tmp_path / name, seed, assets=600, count=1500)
    one, two, other = (digest(tmp_path / name) for name in ("one", "two", "other"))
    assert one == two
    assert set(one) == {"changes.ndjson", *(f"ledgers/{body}.csv" for body in POLICY_BODIES)}
    assert not set(one.values()) & set(other.values())


def test_the_command_line_refuses_what_it_cannot_make(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["samples.generate", "--directory", str(tmp_path), "--changes", "0"])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    assert "must be 1 or more" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_nine_ledgers_one_for_each_body_of_the_policy(ledgers: Ledgers) -> None:
    assert set(ledgers.items) == POLICY_BODIES == set(words())
    assert len(everything(ledgers)) == 3000
    assert all(len(items) >= 60 for items in ledgers.items.values())
    assert profile().feed_by_id["ledger"].bodies == POLICY_BODIES == profile().feed_by_id["cmdb"].bodies


def test_every_item_is_one_that_the_contract_takes(ledgers: Ledgers) -> None:
    kinds: Counter[str] = Counter()
    types: Counter[str] = Counter()
    for item in everything(ledgers):
        taken = FeedItem.model_validate(item)
        kinds[taken.kind] += 1
        types.update(relation.type for relation in taken.relations)
    assert set(kinds) == set(AssetKind)
    assert set(types) == set(RelationType)


def test_ledger_numbers_and_names_are_unique(ledgers: Ledgers) -> None:
    items = everything(ledgers)
    assert len({item["source_key"] for item in items}) == len(items)
    assert len({(item["body"], item["name"]) for item in items}) == len(items)


@pytest.mark.parametrize("assets", [1, 10, 200, 3000, 9000])
def test_relations_name_assets_that_are_there_and_on_the_same_network(assets: int) -> None:
    ledgers = city(3, assets)
    by_key = {item["source_key"]: item for item in everything(ledgers)}
    assert len(by_key) == assets
    for item in by_key.values():
        named = [(relation["type"], relation["source_key"]) for relation in item["relations"]]
        assert len(set(named)) == len(named)
        for _, key in named:
            assert key != item["source_key"]
            assert network_of(by_key[key]) == network_of(item)


def test_small_bodies_information_lies_on_the_mayors_systems(ledgers: Ledgers) -> None:
    by_key = {item["source_key"]: item for item in everything(ledgers)}
    crossing = {
        by_key[relation["source_key"]]["body"]
        for item in ledgers.items["mayor"]
        for relation in item["relations"]
        if by_key[relation["source_key"]]["body"] != "mayor"
    }
    assert crossing == {body for body, entry in words().items() if not entry.own_servers}


def test_some_assets_come_round_to_themselves(ledgers: Ledgers) -> None:
    graph = {i["source_key"]: [r["source_key"] for r in i["relations"]] for i in everything(ledgers)}
    mutual = [(one, other) for one, named in graph.items() for other in named if one in graph[other]]
    assert len(mutual) >= 20


def test_each_file_says_what_the_items_say(ledgers: Ledgers) -> None:
    for name, content in files(ledgers).items():
        body = name.removesuffix(".csv")
        read = [FeedItem.model_validate({**item, "source_version": 1}) for item in read_ledger(body, content)]
        assert read == [FeedItem.model_validate(item) for item in ledgers.items[body]]


def test_half_of_the_files_are_cp932_and_some_of_the_others_have_a_bom(ledgers: Ledgers) -> None:
    written = files(ledgers)
    cp932 = {name for name, content in written.items() if not is_utf8(content)}
    assert len(cp932) in (4, 5)
    assert all(written[name].decode("cp932").startswith("No,") for name in cp932)
    marked = {name for name, content in written.items() if content.startswith(b"\xef\xbb\xbf")}
    assert marked
    assert set(written) - cp932 - marked


def is_utf8(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def test_the_cmdb_tells_of_all_that_its_relations_name_and_of_some_only_later(ledgers: Ledgers) -> None:
    items = configuration_items(20260401, ledgers, 2000)
    seen = {item["source_key"]: at for at, item in enumerate(items)}
    in_ledgers = {item["source_key"]: item for item in everything(ledgers)}
    forward = to_ledger = 0
    for at, item in enumerate(items):
        for relation in item["relations"]:
            if relation.get("feed") == "ledger":
                to_ledger += 1
                assert network_of(in_ledgers[relation["source_key"]]) == network_of(item)
            else:
                forward += seen[relation["source_key"]] > at
    assert len(items) == len(seen) == 2000
    assert forward > 50
    assert to_ledger > 100
