# SPDX-License-Identifier: Apache-2.0
"""From the YAML files of a standard to a checked document; every mistake is told with its file, line and column."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Final, TypeVar, cast

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from libs.catalogue import Language, Sentence, field_sentence
from libs.contracts import AssetKind, Dimension, RelationType, Zone
from libs.standards.conditions import ASSET_NAMES, EMPTY, Condition, ConditionError, compile_condition
from libs.standards.document import Fact, Rule, StandardDocument

HEAD: Final = "standard.yaml"
OBLIGATIONS: Final = "obligations/"
_SECTIONS: Final = ("scales", "mappings", "facts", "rules", "inheritance")
_OURS: Final = "project default"
_BASIS: Final = Sentence("standard.basis", ours=_OURS)
_YAML_TAGS: Final = "tag:yaml.org,2002:"
_YAML_PROBLEMS: Final = {
    "found character '\\t'": "standard.yaml.tab",
    "mapping values are not allowed here": "standard.yaml.colon",
    "expected <block end>": "standard.yaml.indent",
    "that cannot start any token": "standard.yaml.quote",
    "but got '<stream end>'": "standard.yaml.unclosed",
    "expected ',' or": "standard.yaml.comma",
    "found unexpected end of stream": "standard.yaml.unclosed",
    "could not find expected ':'": "standard.yaml.no_colon",
}
"""The sentence for what PyYAML says of the mistakes that people make."""
M = TypeVar("M", bound=BaseModel)

Place = tuple[str | int, ...]
"""Where an entry stands in the whole document, such as `("rules", 3, "when")`."""
Found = tuple[Place, Sentence]
"""A place, and what is wrong there."""


@dataclass(frozen=True)
class Mistake:
    """One mistake: where it stands (line and column from 1), and what is wrong and what to do, in one sentence."""

    file: str
    line: int
    column: int
    sentence: Sentence

    @property
    def place(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"

    def within(self, lang: Language) -> str:
        """The place and the sentence, on one line."""
        return f"{self.place}: {self.sentence.within(lang)}"

    def __str__(self) -> str:
        return self.within("en")


class StandardError(Exception):
    """A standard that cannot be used; `mistakes` are in the order of files and lines."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        self.mistakes = tuple(sorted(mistakes, key=lambda one: (one.file, one.line, one.column, str(one))))
        super().__init__("\n".join(map(str, self.mistakes)))


def parse(files: Mapping[str, str]) -> StandardDocument:
    """Read the files of a standard, by their paths in its folder: `standard.yaml`, `rules.yaml`, `obligations/*.yaml` …

    Raises StandardError with every mistake found.
    """
    source = Source(HEAD)
    standard = source.validated(StandardDocument, _read(source, files))
    if mistakes := [source.mistake(place, sentence) for place, sentence in disagreements(standard)]:
        raise StandardError(mistakes)
    return standard


class Source:
    """The YAML files that a document is put together from, with the place of every entry; `head` is the file of the whole."""

    def __init__(self, head: str) -> None:
        self.mistakes: list[Mistake] = []
        self._head = head
        self._marks: dict[Place, tuple[str, yaml.Mark]] = {}

    def mistake(self, place: Place, sentence: Sentence) -> Mistake:
        """The mistake at a place, or at the nearest one around it that the files have."""
        known = place
        while known and known not in self._marks:
            known = known[:-1]
        file, mark = self._marks.get(known, (self._head, None))
        named = ".".join(map(str, place[len(known) :]))
        told = Sentence("standard.of_field", field=named, sentence=sentence) if named else sentence
        return Mistake(file, mark.line + 1 if mark else 1, mark.column + 1 if mark else 1, told)

    def invalid(self, error: ValidationError, within: Place = ()) -> list[Mistake]:
        """What pydantic found wrong with the entry at `within`."""
        found = error.errors(include_url=False, include_input=False)
        return [self.mistake((*within, *_known(one["loc"])), _unfit(one)) for one in found]

    def validated(self, model: type[M], document: dict[str, Any]) -> M:
        """The document as its model has it. Raises StandardError with what was noted while reading, else with what does not fit."""
        if self.mistakes:
            raise StandardError(self.mistakes)
        try:
            return model.model_validate(document)
        except ValidationError as error:
            raise StandardError(self.invalid(error)) from error

    def note(self, file: str, sentence: Sentence) -> None:
        """A mistake of a file as a whole."""
        self.mistakes.append(Mistake(file, 1, 1, sentence))

    def read_list(self, section: str, files: Mapping[str, str], advice: Sentence) -> list[Any]:
        """The entries of several files as one list, in the order of the files' names."""
        entries: list[Any] = []
        for file in sorted(files):
            known = len(self.mistakes)
            content = self.read(file, files[file], (section,), len(entries))
            if isinstance(content, list):
                entries += content
            elif len(self.mistakes) == known:
                self.note(file, advice)
        return entries

    def read(self, file: str, content: str, where: Place, first: int = 0) -> Any:
        """What a file says, which stands at `where` of the whole; None, with the mistake noted, where it is not YAML."""
        try:
            node = _composed(content)
            return None if node is None else self._value(file, node, where, first)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
            self.mistakes.append(Mistake(file, line, column, _not_yaml(error)))
        except yaml.YAMLError as error:
            self.note(file, Sentence("standard.yaml.other", problem=" ".join(str(error).split())))
        except RecursionError:
            self.note(file, Sentence("standard.yaml.too_deep"))
        return None

    def _value(self, file: str, node: yaml.Node, place: Place, first: int = 0) -> Any:
        self._marks.setdefault(place, (file, node.start_mark))
        if isinstance(node, yaml.MappingNode):
            return self._mapping(file, node, place)
        if isinstance(node, yaml.SequenceNode):
            return [self._value(file, child, (*place, first + at)) for at, child in enumerate(node.value)]
        try:
            return yaml.SafeLoader("").construct_object(node)
        except (yaml.YAMLError, ValueError):
            self.mistakes.append(self.mistake(place, _unreadable(node)))
            return None

    def _mapping(self, file: str, node: yaml.MappingNode, place: Place) -> dict[str, Any]:
        entries: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value)
            if key in entries:
                mark = key_node.start_mark
                twice = Sentence("standard.yaml.key_twice", key=key)
                self.mistakes.append(Mistake(file, mark.line + 1, mark.column + 1, twice))
            entries[key] = self._value(file, value_node, (*place, key))
        return entries


def _unfit(error: ErrorDetails) -> Sentence:
    """YAML takes `2` for a number and `no` for false, where a person means a text."""
    return Sentence("standard.yaml.no_text") if error["type"] == "string_type" else field_sentence(error)


def _unreadable(node: yaml.Node) -> Sentence:
    kind = node.tag.removeprefix(_YAML_TAGS)
    if kind == "timestamp":
        return Sentence("standard.yaml.no_day", value=node.value)
    return Sentence("standard.yaml.unquoted", value=node.value, kind=kind)


class _AliasError(yaml.MarkedYAMLError):
    """An alias, by its name."""


def _not_yaml(error: yaml.MarkedYAMLError) -> Sentence:
    """What the parser found, in the words of who writes a standard; of what is rare in its own."""
    problem = str(error.problem)
    if isinstance(error, _AliasError):
        return Sentence("standard.yaml.alias", name=problem)
    for part, key in _YAML_PROBLEMS.items():
        if part in problem:
            return Sentence(key)
    return Sentence("standard.yaml.other", problem=problem)


def _composed(content: str) -> yaml.Node | None:
    """The nodes of a file. A standard says each thing where it holds, so an alias is refused; it could also hold itself."""
    node = yaml.compose(content, yaml.SafeLoader)
    for event in yaml.parse(content, yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            mark = cast("yaml.Mark", event.start_mark)
            raise _AliasError(problem=event.anchor, problem_mark=mark)
    return node


def _read(source: Source, files: Mapping[str, str]) -> dict[str, Any]:
    obligations = {file: content for file, content in files.items() if file.startswith(OBLIGATIONS)}
    sections = {f"{name}.yaml": name for name in _SECTIONS}
    for file in sorted(files.keys() - obligations.keys() - sections.keys() - {HEAD}):
        source.note(file, Sentence("standard.stray_file"))
    document: dict[str, Any] = {}
    for file in (HEAD, *sections):
        if file not in files:
            source.note(file, Sentence("standard.missing_file"))
        elif file != HEAD:
            document[sections[file]] = source.read(file, files[file], (sections[file],))
        elif isinstance(head := source.read(file, files[file], ()), dict):
            document |= head
    advice = Sentence("standard.no_list")
    return document | {"obligations": source.read_list("obligations", obligations, advice)}


def _known(location: tuple[str | int, ...]) -> Place:
    """Pydantic's location of an error, without what it adds in brackets for keys of mappings and kinds of entries."""
    return tuple(part for part in location if not str(part).startswith("["))


def disagreements(standard: StandardDocument) -> Iterator[Found]:
    """What each entry alone cannot tell: ids, levels, names and texts that must agree with other entries."""
    yield from _repeated(standard)
    yield from _incomplete(standard)
    codes = {dimension: [level.code for level in levels] for dimension, levels in standard.scales.items()}
    yield from _wrong_mappings(standard, codes)
    for at, rule in enumerate(standard.rules):
        if rule.level not in codes.get(rule.dimension, ()):
            yield ("rules", at, "level"), _no_level(rule, codes)
    fact_names = frozenset(standard.facts) | ASSET_NAMES
    constants = level_constants(standard)
    trials = [trial | dict.fromkeys((*constants, *Dimension), 0) for trial in _trial_assets(standard)]
    for section, names in (("rules", fact_names), ("obligations", fact_names | constants | frozenset(Dimension))):
        for at, entry in enumerate(getattr(standard, section)):
            try:
                condition = compile_condition(entry.when, names)
                _check_scales(condition, codes)
                for trial in trials:
                    condition.holds(trial)
            except ConditionError as error:
                yield (section, at, "when"), error.sentence
            if section == "obligations" and entry.check is not None:
                yield from _wrong_check((section, at, "check"), entry.check, fact_names, trials)
            begins, ceases = entry.effective_from, entry.effective_until
            if begins is not None and ceases is not None and begins >= ceases:
                yield (section, at, "effective_until"), Sentence("standard.days", begins=begins)
            if (entry.basis.source == _OURS) != (entry.basis.grade is None):
                yield (section, at, "basis"), _BASIS


def _wrong_mappings(standard: StandardDocument, codes: Mapping[Dimension, Sequence[str]]) -> Iterator[Found]:
    for dimension, levels in standard.mappings.items():
        scale, earlier = codes.get(dimension, ()), [level.code for level in levels]
        for at, level in enumerate(levels):
            place = ("mappings", dimension, at)
            if level.code in earlier[:at]:
                yield (*place, "code"), Sentence("standard.earlier.twice", code=level.code)
            if list(level.to) != [code for code in scale if code in level.to]:
                yield (*place, "to"), _in_order(dimension, scale)
            elif level.code in scale and level.to != (level.code,):
                yield (*place, "to"), Sentence("standard.earlier.same_code", code=level.code)
            if (len(level.to) > 1) != (level.decide is not None):
                yield (*place, "decide"), Sentence("standard.earlier.decide")
            if (level.basis.source == _OURS) != (level.basis.grade is None):
                yield (*place, "basis"), _BASIS


def _no_level(rule: Rule, codes: Mapping[Dimension, Sequence[str]]) -> Sentence:
    known = ", ".join(codes.get(rule.dimension, ()))
    return Sentence("standard.level_unknown", level=rule.level, dimension=rule.dimension.value, known=known)


def _in_order(dimension: Dimension, scale: Sequence[str]) -> Sentence:
    return Sentence("standard.earlier.order", dimension=dimension.value, levels=", ".join(scale))


def _wrong_check(
    place: Place, check: str, names: frozenset[str], trials: Sequence[Mapping[str, Any]]
) -> Iterator[Found]:
    """A check is asked only of assets that have all the facts that it reads."""
    try:
        condition = compile_condition(check, names)
        if not condition.names - ASSET_NAMES:
            raise ConditionError(Sentence("standard.check_reads_no_fact"))
        for trial in trials[1::2]:
            condition.holds(trial)
    except ConditionError as error:
        yield place, error.sentence


def level_constants(standard: StandardDocument) -> frozenset[str]:
    """The names that conditions have for levels: `C3B` and so on."""
    return frozenset(
        f"{dimension[0].upper()}{level.code}" for dimension, levels in standard.scales.items() for level in levels
    )


def _repeated(standard: StandardDocument) -> Iterator[Found]:
    for section in ("rules", "obligations"):
        seen = set()
        for at, entry in enumerate(getattr(standard, section)):
            if entry.id in seen:
                yield (section, at, "id"), Sentence("standard.id_twice", id=entry.id)
            seen.add(entry.id)
    for dimension, levels in standard.scales.items():
        codes = [level.code for level in levels]
        for at, code in enumerate(codes):
            if code in codes[:at]:
                yield ("scales", dimension, at, "code"), Sentence("standard.level_twice", code=code)


def _check_scales(condition: Condition, codes: Mapping[Dimension, Sequence[str]]) -> None:
    """A level says something only beside those of its own scale (design §2): neither a number nor another scale's."""
    for dimension, levels in codes.items():
        constants = sorted(f"{dimension[0].upper()}{code}" for code in levels)
        compared = sorted(condition.names.intersection(constants))
        if bool(compared) != (dimension in condition.names):
            named, levels_of_it = compared[0] if compared else dimension.value, ", ".join(constants)
            raise ConditionError(
                Sentence("standard.condition.scales", name=named, dimension=dimension.value, levels=levels_of_it)
            )


def _trial_assets(standard: StandardDocument) -> Iterator[dict[str, Any]]:
    """What conditions see of assets without facts and with all of them, in turn, of each kind and in each zone.

    One that fails forgets that a number may be null, or compares a fact with a value of another type.
    """
    bare = {name: EMPTY[fact.type] for name, fact in standard.facts.items()}
    full = {name: _example(fact) for name, fact in standard.facts.items()}
    for kind, zone, facts in product(AssetKind, ("", *Zone), (bare, full)):
        yield {"kind": str(kind), "zone": str(zone), **facts}


def _example(fact: Fact) -> Any:
    text = fact.values[0] if fact.values else "x"
    return {"boolean": True, "integer": 1, "number": 1.5, "text": text, "list": (text,)}[fact.type]


def _incomplete(standard: StandardDocument) -> Iterator[Found]:
    for dimension in Dimension:
        if dimension not in standard.scales:
            yield ("scales",), Sentence("standard.no_scale", dimension=dimension.value)
            continue
        lowest = standard.scales[dimension][0].code
        for_all = [rule for rule in standard.rules if rule.dimension is dimension and rule.when == "true"]
        if dated := [rule.id for rule in for_all if rule.effective_from or rule.effective_until]:
            yield ("rules",), Sentence("standard.lowest_dated", id=dated[0])
        if [rule.level for rule in for_all] != [lowest]:
            lacks = {"dimension": dimension.value, "level": lowest, "count": len(for_all)}
            yield ("rules",), Sentence("standard.lowest", **lacks)
    for name in sorted(standard.facts.keys() & (ASSET_NAMES | frozenset(Dimension))):
        yield ("facts", name), Sentence("standard.fact_name", name=name)
    given = [entry.relation for entry in standard.inheritance]
    for relation in RelationType:
        if given.count(relation) != 1:
            count = given.count(relation)
            yield ("inheritance",), Sentence("standard.inheritance_count", relation=relation.value, count=count)
