# SPDX-License-Identifier: Apache-2.0
"""Load the catalogue once, check it whole, and fill its sentences in."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from functools import cache
from pathlib import Path
from string import Formatter
from typing import Any, Final, Literal, get_args

import yaml

from libs.contracts.words import Text

Language = Literal["ja", "en"]
Catalogue = Mapping[str, Text]

MESSAGES: Final = Path(__file__).with_name("messages")
_LANGUAGES: Final = frozenset(get_args(Language))
_LIMITS: Final = frozenset({"min_length", "max_length", "pattern", "gt", "ge", "lt", "le", "expected"})
"""What pydantic tells of an error that is of its model, not of what was given."""


class CatalogueError(Exception):
    """The catalogue is not whole: says which file and key, and what is wrong with it."""


class _Loader(yaml.SafeLoader):
    """A safe loader that refuses a key which stands twice; YAML 1.2 §3.2.1.1 asks for that, PyYAML does not do it."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise CatalogueError(f"{key} stands twice (line {node.start_mark.line + 1} and after)")
        return super().construct_mapping(node, deep)


class Sentence:
    """A sentence of the catalogue before it is put into a language; an argument may be such a sentence too."""

    __slots__ = ("args", "key")

    def __init__(self, key: str, /, **args: object) -> None:
        self.key = key
        self.args: Mapping[str, object] = args

    def within(self, lang: Language) -> str:
        """Raises as `text` does."""
        return text(self.key, lang, **self.args)

    def __str__(self) -> str:
        return self.within("en")


def text(key: str, /, lang: Language, **args: object) -> str:
    """The sentence `key` in one language; raises KeyError for an unknown key or an argument that it asks for and lacks."""
    template = messages()[key]
    told = {name: one.within(lang) if isinstance(one, Sentence) else one for name, one in args.items()}
    return (template.ja if lang == "ja" else template.en).format_map(told)


def field_sentence(error: Mapping[str, Any]) -> Sentence:
    """What one of pydantic's errors (`ValidationError.errors`) says: limits and allowed values only, never what was given.

    The type of an error of our own is itself a key of the catalogue.
    """
    if error["type"] in messages():
        return Sentence(error["type"], **error.get("ctx", {}))
    key = f"problems.field.{error['type']}"
    limits = {name: value for name, value in error.get("ctx", {}).items() if name in _LIMITS}
    if "expected" in limits:
        limits["expected"] = str(limits["expected"]).replace(" or ", ", ")
    return Sentence(key, **limits) if key in messages() else Sentence("problems.field.other")


def text_pair(key: str, /, **args: object) -> Text:
    """The sentence `key` in both languages; raises as `text` does."""
    return Text(ja=text(key, "ja", **args), en=text(key, "en", **args))


@cache
def messages() -> Catalogue:
    """The whole catalogue; raises `CatalogueError` on first use if it is not whole."""
    return load(MESSAGES)


def load(folder: Path) -> Catalogue:
    """Read and check every `<area>.yaml` of a folder; raises `CatalogueError`."""
    catalogue: dict[str, Text] = {}
    for file in sorted(folder.glob("*.yaml")):
        catalogue |= _read(file)
    return catalogue


def fields_of(template: str) -> frozenset[str]:
    """The names of the arguments that a sentence asks for."""
    return frozenset(
        name.split(".")[0].split("[")[0] for _, name, _, _ in Formatter().parse(template) if name is not None
    )


def _read(file: Path) -> dict[str, Text]:
    try:
        entries = yaml.load(file.read_text(encoding="utf-8"), _Loader) or {}  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, CatalogueError) as error:
        raise CatalogueError(f"{file.name}: {error}") from error
    if not isinstance(entries, dict):
        raise CatalogueError(f"{file.name}: must map keys to sentences")
    return {key: _checked(file, key, entry) for key, entry in entries.items()}


def _checked(file: Path, key: object, entry: object) -> Text:
    """The area is the file's name, so that no key can stand in two files."""
    where = f"{file.name}: {key}"
    if not isinstance(key, str) or not key.startswith(f"{file.stem}."):
        raise CatalogueError(f"{where} must begin with {file.stem}.")
    if not isinstance(entry, dict) or set(entry) != _LANGUAGES:
        raise CatalogueError(f"{where} must have a sentence in each of {sorted(_LANGUAGES)} and nothing else")
    if not all(isinstance(sentence, str) and sentence.strip() for sentence in entry.values()):
        raise CatalogueError(f"{where} has a sentence that is empty or no text (quote it)")
    try:
        japanese, english = fields_of(entry["ja"]), fields_of(entry["en"])
    except ValueError as error:
        raise CatalogueError(f"{where} is no format string: {error}") from error
    if japanese != english:
        raise CatalogueError(f"{where} asks for different arguments in its two languages")
    if not all(name.isidentifier() for name in japanese):
        raise CatalogueError(f"{where} asks for an argument without a name")
    return Text(**entry)
