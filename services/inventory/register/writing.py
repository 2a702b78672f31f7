# SPDX-License-Identifier: Apache-2.0
"""Differences of the register as CSV: a line for each field, in the reader's language, page by page as they are read."""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from io import BytesIO
from typing import Any, Final

from libs.catalogue import Language, text
from libs.contracts import Text
from services.inventory.ledgers.writing import CsvWriter
from services.inventory.register.answers import Difference, DifferencePage

MEDIA: Final = "text/csv; charset=utf-8"
CONTENT: Final = {CsvWriter.media: {"schema": {"type": "string", "format": "binary"}}}
"""The content as OpenAPI tells it."""
COLUMNS: Final = (
    "what", "asset_id", "body", "kind", "name", "section", "field", "before", "after", "revision", "recorded_at", "feed", "source_key",
    "actor", "approved_by", "reason",
)  # fmt: skip


def file_name(since: datetime, until: datetime) -> str:
    return f"differences-{since:%Y%m%dT%H%M%S}-{until:%Y%m%dT%H%M%S}.csv"


async def lines(
    pages: AsyncIterator[DifferencePage], bodies: Mapping[str, Text], language: Language
) -> AsyncIterator[bytes]:
    """The file, piece by piece; `bodies` are their names."""
    yield _written([[text(f"inventory.difference.{column}", language) for column in COLUMNS]])
    async for page in pages:
        rows = (row for item in page.items for row in _rows(item, bodies, language))
        yield _written(rows).removeprefix(BOM_UTF8)


def _rows(item: Difference, bodies: Mapping[str, Text], language: Language) -> Iterator[list[str]]:
    asset = item.asset
    head = [
        text(f"words.what.{item.what.value}", language),
        str(item.asset_id),
        getattr(bodies[asset.body], language) if asset.body in bodies else asset.body,
        text(f"words.kind.{asset.kind.value}", language),
        asset.name,
        asset.section or "",
    ]
    for one in item.fields:
        change = one.change
        by = [
            str(one.revision),
            one.recorded_at.isoformat(),
            change.feed,
            change.source_key,
            change.actor,
            change.approved_by,
            change.reason,
        ]
        yield [*head, one.field, _cell(one.before), _cell(one.after), *(value or "" for value in by)]


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(value)
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def _written(rows: Iterable[Sequence[str]]) -> bytes:
    """Lines with the mark by which a spreadsheet takes UTF-8 for what it is."""
    file = BytesIO()
    writer = CsvWriter(file, "utf-8-sig")
    for row in rows:
        writer.write(row)
    writer.close()
    return file.getvalue()
