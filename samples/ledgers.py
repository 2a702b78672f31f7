# SPDX-License-Identifier: Apache-2.0
"""Ledgers as sections of a city hall keep them: CSV with Japanese headers, no two bodies' quite alike."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml

from samples.assets import Item, Ledgers

COLUMNS = Path(__file__).parents[1] / "services" / "inventory" / "doors" / "ledger_columns.yaml"


@dataclass(frozen=True)
class Style:
    """How one body writes its ledger; `headers` replaces a column's header by another of the same meaning."""

    encoding: Literal["cp932", "utf-8", "utf-8-sig"]
    headers: Mapping[str, str]
    yes: str = "有"
    no: str = "無"
    unit: str = ""
    wide: bool = False
    newline: str = "\r\n"


STYLES: Mapping[str, Style] = {
    "mayor": Style("cp932", {}, unit="件"),
    "education": Style("cp932", {"台帳番号": "管理番号", "所管課": "主管課"}, yes="○", no="×"),
    "election": Style("cp932", {"情報資産名": "情報資産の名称"}, wide=True),
    "audit": Style("utf-8-sig", {"件数": "保有件数"}),
    "agriculture": Style("cp932", {"種類": "情報資産の種類", "個人情報の有無": "個人情報"}, yes="あり", no="なし"),
    "equity": Style("utf-8", {"台帳番号": "資産番号"}, yes="○", no="×"),
    "assessment": Style("utf-8", {}, newline="\n"),
    "waterworks": Style(
        "utf-8-sig", {"ネットワーク区分": "系統", "目標復旧時間": "目標復旧時間（時間）"}, yes="〇", no="-"
    ),
    "assembly": Style("cp932", {"業務": "業務名", "特定個人情報": "マイナンバー"}, unit="件"),
}

_WIDE = str.maketrans("0123456789ABC-:;", "０１２３４５６７８９ＡＢＣ－：；")


def files(ledgers: Ledgers) -> dict[str, bytes]:
    """The nine files, by name."""
    return {f"{body}.csv": encode(items, STYLES[body]) for body, items in ledgers.items.items()}


def encode(items: tuple[Item, ...], style: Style) -> bytes:
    columns = _columns()
    text = io.StringIO()
    writer = csv.writer(text, lineterminator=style.newline)
    writer.writerow(["No", *(style.headers.get(header, header) for header in columns)])
    for number, item in enumerate(items, 1):
        writer.writerow([number, *(write(item, style) for write in columns.values())])
    return text.getvalue().encode(style.encoding)


@cache
def _columns() -> Mapping[str, Callable[[Item, Style], str]]:
    described = yaml.safe_load(COLUMNS.read_text(encoding="utf-8"))
    words = {name: _inverted(listed) for name, listed in described["words"].items()}
    return {
        header: _cell(column, words)
        for header, column in described["columns"].items()
        if column.get("field") != "operation"
    }


def _inverted(listed: Mapping[str, Any]) -> dict[Any, str]:
    """Code → the first word for it."""
    return {listed[word]: word for word in reversed(list(listed))}


def _cell(column: Mapping[str, Any], words: Mapping[str, Mapping[Any, str]]) -> Callable[[Item, Style], str]:
    path = ("facts", column["fact"]) if "fact" in column else tuple(column["field"].split("."))
    known = words.get(column.get("words", ""), {})
    convert = _CONVERT[column["type"]]

    def write(item: Item, style: Style) -> str:
        value: Any = item
        for name in path:
            value = value.get(name) if value is not None else None
        return "" if value is None else convert(value, known or words["relation"], style)

    return write


def _code(value: Any, _: Mapping[Any, str], style: Style) -> str:
    return str(value).translate(_WIDE) if style.wide else str(value)


def _integer(value: int, _: Mapping[Any, str], style: Style) -> str:
    written = f"{value:,}" if style.unit else str(value)
    return (written.translate(_WIDE) if style.wide else written) + (style.unit if value >= 1000 else "")


def _relations(value: list[dict[str, str]], words: Mapping[Any, str], style: Style) -> str:
    written = "; ".join(f"{words[relation['type']]}: {relation['source_key']}" for relation in value)
    return written.translate(_WIDE) if style.wide else written


_CONVERT: Mapping[str, Callable[[Any, Mapping[Any, str], Style], str]] = {
    "text": lambda value, words, style: str(value),
    "texts": lambda value, words, style: ";".join(value),
    "code": _code,
    "word": lambda value, words, style: words[value],
    "words": lambda value, words, style: ";".join(words[code] for code in value),
    "boolean": lambda value, words, style: style.yes if value else style.no,
    "integer": _integer,
    "number": _integer,
    "date": lambda value, words, style: str(value),
    "relations": _relations,
}
