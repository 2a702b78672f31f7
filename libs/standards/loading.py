# SPDX-License-Identifier: Apache-2.0
"""From the YAML files of a standard to a checked document; every mistake is told with its file, line and column."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import yaml
from pydantic import ValidationError

from libs.contracts import Dimension, RelationType
from libs.standards.conditions import ASSET_NAMES, ConditionError, compile_condition
from libs.standards.document import StandardDocument

OBLIGATIONS: Final = "obligations/"
_SECTIONS: Final = ("scales", "facts", "rules", "inheritance")
_OURS: Final = "project default"

Place = tuple[str | int, ...]
"""Where an entry stands in the whole document, such as `("rules", 3, "when")`."""


@dataclass(frozen=True, order=True)
class Mistake:
    """One mistake: where it stands (line and column from 1), and what is wrong and what to do, in one sentence."""

    file: str
    line: int
    column: int
    sentence: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.sentence}"


class StandardError(Exception):
    """A standard that cannot be used; `mistakes` are in the order of files and lines."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        self.mistakes = tuple(sorted(mistakes))
        super().__init__("\n".join(map(str, self.mistakes)))


def parse(files: Mapping[str, str]) -> StandardDocument:
    """Read the files of a standard, by their paths in its folder: `standard.yaml`, `rules.yaml`, `obligations/*.yaml` …

    Raises StandardError with every mistake found.
    """
    source = _Source()
    document = source.read(files)
    if source.mistakes:
        raise StandardError(source.mistakes)
    try:
        standard = StandardDocument.model_validate(document)
    except ValidationError as error:
        raise StandardError(
            [
                source.mistake(_known(one["loc"]), one["msg"])
                for one in error.errors(include_url=False, include_input=False)
            ]
        ) from error
    if mistakes := [source.mistake(place, sentence) for place, sentence in _disagreements(standard)]:
        raise StandardError(mistakes)
    return standard


class _Source:
    """The files put together, with the place of every entry."""

    def __init__(self) -> None:
        self.mistakes: list[Mistake] = []
        self._marks: dict[Place, tuple[str, yaml.Mark]] = {}

    def read(self, files: Mapping[str, str]) -> dict[str, Any]:
        document: dict[str, Any] = {}
        for name in ("standard", *_SECTIONS):
            if (file := f"{name}.yaml") not in files:
                self.mistakes.append(Mistake(file, 1, 1, "this file is missing: a standard has one"))
                continue
            where: Place = () if name == "standard" else (name,)
            content = self._load(file, files[file], where)
            if name != "standard":
                document[name] = content
            elif isinstance(content, dict):
                document |= content
        obligations: list[Any] = []
        document["obligations"] = obligations
        for file in sorted(file for file in files if file.startswith(OBLIGATIONS)):
            entries = self._load(file, files[file], ("obligations",), len(obligations))
            obligations += entries if isinstance(entries, list) else []
        return document

    def mistake(self, place: Place, sentence: str) -> Mistake:
        """The mistake at a place, or at the nearest one around it that the files have."""
        known = place
        while known and known not in self._marks:
            known = known[:-1]
        file, mark = self._marks.get(known, ("standard.yaml", None))
        named = ".".join(map(str, place[len(known) :]))
        text = f"{named}: {sentence}" if named else sentence
        return Mistake(file, mark.line + 1 if mark else 1, mark.column + 1 if mark else 1, text)

    def _load(self, file: str, content: str, where: Place, first: int = 0) -> Any:
        try:
            node = yaml.compose(content, yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
            self.mistakes.append(Mistake(file, line, column, f"not YAML: {error.problem}"))
            return None
        return None if node is None else self._value(file, node, where, first)

    def _value(self, file: str, node: yaml.Node, place: Place, first: int = 0) -> Any:
        self._marks.setdefault(place, (file, node.start_mark))
        if isinstance(node, yaml.MappingNode):
            return self._mapping(file, node, place)
        if isinstance(node, yaml.SequenceNode):
            return [self._value(file, child, (*place, first + at)) for at, child in enumerate(node.value)]
        return yaml.SafeLoader("").construct_object(node)

    def _mapping(self, file: str, node: yaml.MappingNode, place: Place) -> dict[str, Any]:
        entries: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value)
            if key in entries:
                mark = key_node.start_mark
                self.mistakes.append(Mistake(file, mark.line + 1, mark.column + 1, f"{key} stands twice: remove one"))
            entries[key] = self._value(file, value_node, (*place, key))
        return entries


def _known(location: tuple[str | int, ...]) -> Place:
    """Pydantic's location of an error, without what it adds for keys of mappings."""
    return tuple(part for part in location if part != "[key]")


def _disagreements(standard: StandardDocument) -> Iterator[tuple[Place, str]]:
    """What each entry alone cannot tell: ids, levels, names and texts that must agree with other entries."""
    yield from _repeated(standard)
    yield from _incomplete(standard)
    codes = {dimension: [level.code for level in levels] for dimension, levels in standard.scales.items()}
    for at, rule in enumerate(standard.rules):
        if rule.level not in codes.get(rule.dimension, ()):
            yield ("rules", at, "level"), f"{rule.level} is not a level of {rule.dimension.value}: see scales.yaml"
    fact_names = frozenset(standard.facts) | ASSET_NAMES
    constants = {f"{dimension[0].upper()}{code}" for dimension, levels in codes.items() for code in levels}
    for section, names in (("rules", fact_names), ("obligations", fact_names | constants | frozenset(Dimension))):
        for at, entry in enumerate(getattr(standard, section)):
            try:
                compile_condition(entry.when, names)
            except ConditionError as error:
                yield (section, at, "when"), str(error)
            if (entry.basis.source == _OURS) != (entry.basis.grade is None):
                yield (section, at, "basis"), f"give a grade, or say `source: {_OURS}` and give none"


def _repeated(standard: StandardDocument) -> Iterator[tuple[Place, str]]:
    for section in ("rules", "obligations"):
        seen = set()
        for at, entry in enumerate(getattr(standard, section)):
            if entry.id in seen:
                yield (section, at, "id"), f"{entry.id} stands twice: give one of them another id"
            seen.add(entry.id)


def _incomplete(standard: StandardDocument) -> Iterator[tuple[Place, str]]:
    for dimension in Dimension:
        if dimension not in standard.scales:
            yield ("scales",), f"{dimension.value} has no scale: add its levels"
        if not any(rule.dimension is dimension and rule.when == "true" for rule in standard.rules):
            yield (
                ("rules",),
                f'{dimension.value} has no rule for all assets: add one with `when: "true"` at its lowest level',
            )
    given = [entry.relation for entry in standard.inheritance]
    for relation in RelationType:
        if given.count(relation) != 1:
            yield (
                ("inheritance",),
                f"{relation.value} stands {given.count(relation)} times: say once how levels travel along it",
            )
