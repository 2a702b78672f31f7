# SPDX-License-Identifier: Apache-2.0
"""From a mapping file to what reads records; every mistake is told with its file, line and column."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from libs.catalogue import Sentence
from libs.standards.conditions import ConditionError
from libs.standards.loading import Found, Place, Source, StandardError
from services.inventory.doors.mapping.applying import FeedMapping
from services.inventory.doors.mapping.document import MappingDocument, RecordEntry, ValueEntry
from services.inventory.doors.mapping.values import compile_over_record


class MappingFileError(Exception):
    """A mapping that cannot be used: a line `file:line:column: what is wrong, and what to do` for each mistake."""


def load(file: Path) -> FeedMapping:
    """Raises OSError, or MappingFileError with every mistake found."""
    try:
        content = file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise MappingFileError(f"{file}:1:1: byte {error.start} is not UTF-8: save the file in UTF-8") from None
    return parse(content, str(file))


def parse(content: str, name: str) -> FeedMapping:
    """Raises MappingFileError with every mistake found."""
    source = Source(name)
    try:
        document = source.validated(MappingDocument, _read(source, name, content))
        if mistakes := [source.mistake(place, sentence) for place, sentence in _disagreements(document)]:
            raise StandardError(mistakes)
    except StandardError as error:
        raise MappingFileError(str(error)) from None
    return FeedMapping(document)


def _read(source: Source, name: str, content: str) -> dict[str, object]:
    read = source.read(name, content, ())
    if isinstance(read, dict):
        return read
    if not source.mistakes:
        source.note(name, Sentence("inventory.mapping.no_records"))
    return {}


def _disagreements(document: MappingDocument) -> Iterator[Found]:
    """What an entry alone cannot tell: whether expressions compile, and lookups are there."""
    for at, record in enumerate(document.records):
        place: Place = ("records", at)
        for name in ("when", "retired"):
            yield from _wrong_expression((*place, name), getattr(record, name))
        for where, value in values_of(record):
            if value.lookup is not None and value.lookup not in document.lookups:
                yield (*place, *where, "lookup"), Sentence("inventory.mapping.no_lookup", name=value.lookup)
            if value.cel is not None:
                yield from _wrong_expression((*place, *where, "cel"), value.cel)


def values_of(record: RecordEntry) -> Iterator[tuple[Place, ValueEntry]]:
    """Every value of an entry, with its place in it."""
    for name in type(record).model_fields:
        told = getattr(record, name)
        if isinstance(told, ValueEntry):
            yield (name,), told
    for group in ("facts", "declared"):
        for name, value in getattr(record, group).items():
            yield (group, name), value
    for at, relation in enumerate(record.relations):
        yield ("relations", at, "to"), relation.to


def _wrong_expression(place: Place, source: str) -> Iterator[Found]:
    try:
        compile_over_record(source)
    except ConditionError as error:
        yield place, error.sentence
