# SPDX-License-Identifier: Apache-2.0
"""What a command fails with: one sentence of the catalogue, and an exit code."""

from __future__ import annotations

from libs.catalogue import Language, Sentence, text

FAILED = 1
"""Something did not work: a service refused or is not there."""
MISUSED = 2
"""The command was given something it cannot use."""


class CliError(Exception):
    """`key` and `args` are of the catalogue; `code` is the exit code."""

    def __init__(self, key: str, /, *, code: int = FAILED, **args: object) -> None:
        super().__init__(key, args)
        self.key = key
        self.code = code
        self.args_of_text = {name: one if isinstance(one, Sentence) else str(one) for name, one in args.items()}

    def sentence(self, lang: Language) -> str:
        return text(self.key, lang, **self.args_of_text)

    def __str__(self) -> str:
        return self.sentence("en")
