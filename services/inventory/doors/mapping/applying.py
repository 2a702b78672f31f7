# SPDX-License-Identifier: Apache-2.0
"""From a record of a source to a feed item, as the source's mapping says. Pure; compiled once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from pydantic import TypeAdapter, ValidationError

from libs.contracts import Feed, FeedItem
from libs.contracts.words import SourceKey
from services.inventory.doors.delivery import Delivery, Fault, UnreadableError
from services.inventory.doors.faults import faults_of, pointer_step
from services.inventory.doors.mapping.document import MappingDocument, RecordEntry, Told, ValueEntry
from services.inventory.doors.mapping.values import MappedValue, NoValue, Question, Scene

LONGEST_TEXT: Final = 300
LONGEST_LIST: Final = 64
_IDENTIFYING: Final = ("source_key", "body")
_SINGLE: Final = ("kind", "name", "section", "zone", "reason", "observed_at", "source_version")
_SOURCE_KEY: Final[TypeAdapter[str]] = TypeAdapter(SourceKey)
_MAY_BE_KEPT: Final = frozenset({"kind", "name", "section", "zone"})


class AssetKey(NamedTuple):
    """Which asset a record is about: what is needed to retire it."""

    source_key: str
    body: str


class FeedMapping:
    """A mapping file, compiled. A record is read by the first entry whose `when` holds."""

    def __init__(self, document: MappingDocument) -> None:
        self._records = [_Record(record, document.lookups) for record in document.records]

    def item(self, feed: Feed, scene: Scene, *, under: str = "", version: int | None = None) -> FeedItem | None:
        """The item that a record tells, None where it is of no kind that the mapping keeps. `version` is used where the mapping has none.

        Raises UnreadableError with a fault for each field, at `under` and its path in the record.
        """
        record = self._record(scene, under)
        return None if record is None else record.item(feed, scene, under, version)

    def delivery(self, feed: Feed, scenes: Mapping[str, Scene], *, version: int | None) -> Delivery:
        """The items of all records, given by where each stands, or none of them. Raises UnreadableError with the faults of all; see `item`."""
        items: list[FeedItem] = []
        faults: list[Fault] = []
        for under, scene in scenes.items():
            try:
                item = self.item(feed, scene, under=under, version=version)
            except UnreadableError as error:
                faults.extend(error.faults)
                continue
            if item is not None:
                items.append(item)
        if faults:
            raise UnreadableError(faults)
        return Delivery(tuple(items), passed_over=len(scenes) - len(items))

    def identity(self, feed: Feed, scene: Scene, *, under: str = "") -> AssetKey | None:
        """Which asset a record is about, None where it is of no kind that the mapping keeps. Raises UnreadableError."""
        record = self._record(scene, under)
        return None if record is None else record.identity(feed, scene, under)

    def _record(self, scene: Scene, under: str) -> _Record | None:
        try:
            return next((record for record in self._records if record.when.holds(scene)), None)
        except NoValue as error:
            raise UnreadableError([Fault(under, error.key)]) from None


class _Record:
    def __init__(self, entry: RecordEntry, lookups: Mapping[str, Mapping[str, Told]]) -> None:
        def compiled(value: ValueEntry | None) -> MappedValue | None:
            return None if value is None else MappedValue(value, lookups)

        self.when = Question(entry.when)
        self._retired = Question(entry.retired)
        singles = {name: compiled(getattr(entry, name)) for name in (*_IDENTIFYING, *_SINGLE)}
        self._singles = {name: value for name, value in singles.items() if value is not None}
        self._groups: Mapping[str, Mapping[str, MappedValue]] = {
            "facts": {name: MappedValue(value, lookups) for name, value in entry.facts.items()},
            "declared": {name.value: MappedValue(value, lookups) for name, value in entry.declared.items()},
        }
        self._relations = [(one.type, one.feed, MappedValue(one.to, lookups)) for one in entry.relations]

    def identity(self, feed: Feed, scene: Scene, under: str) -> AssetKey:
        reading = _Reading(scene, under)
        mapped = self._singles["source_key"]
        key = _as_key(reading.value("source_key", mapped))
        body = self._body(feed, reading)
        if key is None:
            reading.fault("source_key", mapped, "problems.field.missing")
        reading.end()
        try:
            return AssetKey(_SOURCE_KEY.validate_python(key), body)
        except ValidationError as error:
            wrong = [reading.at("source_key", mapped, fault.key, **fault.args) for fault in faults_of(error)]
            raise UnreadableError(wrong) from None

    def item(self, feed: Feed, scene: Scene, under: str, version: int | None) -> FeedItem:
        source_key, body = self.identity(feed, scene, under)
        reading = _Reading(scene, under)
        described: dict[str, Any] = {"body": body, "feed": feed.id, "source_key": source_key, "source_version": version}
        for name in _SINGLE:
            if (mapped := self._singles.get(name)) is None:
                continue
            told = reading.value(name, mapped, kept=name if name in _MAY_BE_KEPT else None)
            if told is not None:
                described[name] = _shortened(told) if name in {"name", "section", "reason"} else told
        for group, values in self._groups.items():
            found = {
                name: reading.value(f"{group}/{name}", one, kept=f"{group}.{name}") for name, one in values.items()
            }
            described[group] = {name: _shortened(value) for name, value in found.items() if value is not None}
        described["relations"] = list(self._related(reading))
        described["operation"] = "retire" if reading.answer(self._retired) else "upsert"
        described["kept"] = reading.kept
        reading.end()
        try:
            return FeedItem.model_validate(described)
        except ValidationError as error:
            raise UnreadableError([self._at_origin(fault, reading) for fault in faults_of(error)]) from None

    def _body(self, feed: Feed, reading: _Reading) -> str:
        mapped = self._singles.get("body")
        told = None if mapped is None else reading.value("body", mapped)
        if told is None and len(feed.bodies) == 1:
            (told,) = feed.bodies
        if not isinstance(told, str) or told not in feed.bodies:
            reading.fault("body", mapped, "inventory.mapping.body", feed=feed.id)
        return str(told)

    def _related(self, reading: _Reading) -> Iterator[dict[str, Any]]:
        for kind, feed, mapped in self._relations:
            told = reading.value(f"relations/{kind.value}", mapped, kept=f"relations.{kind.value}")
            for one in told if isinstance(told, list) else [told]:
                if one is not None:
                    yield {"type": kind, "source_key": _as_key(one), **({"feed": feed} if feed else {})}

    def _at_origin(self, fault: Fault, reading: _Reading) -> Fault:
        """From the item's field to the record's own."""
        steps = fault.field.strip("/").split("/")
        mapped = self._groups.get(steps[0], {}).get(steps[-1]) if len(steps) > 1 else self._singles.get(steps[0])
        return reading.at(fault.field.strip("/"), mapped, fault.key, **fault.args)


class _Reading:
    """What is found while one record is read: faults, and fields that it leaves open."""

    def __init__(self, scene: Scene, under: str) -> None:
        self._scene, self._under = scene, under
        self.faults: list[Fault] = []
        self.kept: list[str] = []

    def value(self, field: str, mapped: MappedValue, *, kept: str | None = None) -> Any:
        if mapped.is_untold(self._scene):
            if kept is None:
                self.fault(field, mapped, "inventory.mapping.untold")
            elif kept not in self.kept:
                self.kept.append(kept)
            return None
        try:
            return mapped.of(self._scene)
        except NoValue as error:
            self.fault(field, mapped, error.key, **error.args_)
            return None

    def answer(self, question: Question) -> bool:
        try:
            return question.holds(self._scene)
        except NoValue as error:
            self.faults.append(Fault(self._under, error.key))
            return False

    def fault(self, field: str, mapped: MappedValue | None, key: str, **args: Any) -> None:
        """One for each place: what is missing because it could not be read is told once."""
        fault = self.at(field, mapped, key, **args)
        if fault.field not in {one.field for one in self.faults}:
            self.faults.append(fault)

    def at(self, field: str, mapped: MappedValue | None, key: str, **args: Any) -> Fault:
        """A fault at the first path of the record that the value is made of, or else at the item's field."""
        if mapped is not None and mapped.reads:
            field = "/".join(map(pointer_step, mapped.reads[0]))
        return Fault(f"{self._under}/{field}", key, **args)

    def end(self) -> None:
        if self.faults:
            raise UnreadableError(self.faults)


def _as_key(told: Any) -> Any:
    """Numbers are keys as well; what else it is, the contract refuses with its place."""
    return str(told) if isinstance(told, int) and not isinstance(told, bool) else told


def _shortened(value: Any) -> Any:
    """Free text of any length, or a host with a hundred addresses, must not be kept out of the register."""
    if isinstance(value, str) and len(value) > LONGEST_TEXT:
        return value[: LONGEST_TEXT - 1] + "…"
    if isinstance(value, list):
        return [_shortened(one) for one in value[:LONGEST_LIST]]
    return value
