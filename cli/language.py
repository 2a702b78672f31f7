# SPDX-License-Identifier: Apache-2.0
"""The language of the person at the terminal: `--lang`, else what the environment says (POSIX: LC_ALL, LC_MESSAGES, LANG)."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

from libs.catalogue import Language, text
from libs.contracts import Text


def of_environment(environment: Mapping[str, str] = os.environ) -> Language:
    """Japanese where the locale is Japanese, else English."""
    names = (environment.get(name) for name in ("LC_ALL", "LC_MESSAGES", "LANG"))
    locale = next((name for name in names if name), "")
    return "ja" if locale.lower().startswith("ja") else "en"


_language: ContextVar[Language | None] = ContextVar("language", default=None)


@contextmanager
def speaking(language: Language | None) -> Iterator[None]:
    """Use a language inside the block; None is that of the environment."""
    token = _language.set(language or of_environment())
    try:
        yield
    finally:
        _language.reset(token)


def current() -> Language:
    return _language.get() or of_environment()


def say(key: str, /, **args: object) -> str:
    """A sentence of the catalogue in the person's language."""
    return text(key, current(), **args)


def pick(pair: Text) -> str:
    """The person's language of a text that has both."""
    return pair.ja if current() == "ja" else pair.en
