# SPDX-License-Identifier: Apache-2.0
"""Mistakes of a standard, as a person at city hall reads them."""

from __future__ import annotations

import re
from typing import Final

from libs.standards import StandardError

_KANA: Final = re.compile(r"[\u3040-\u30ff]")


def check_japanese(error: StandardError) -> None:
    """Each mistake is told in Japanese too, at the same place."""
    for mistake in error.mistakes:
        told = mistake.within("ja")
        assert told.startswith(f"{mistake.place}: ")
        assert _KANA.search(told), told
