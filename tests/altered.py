# SPDX-License-Identifier: Apache-2.0
"""A good document with other values in some places, for what is to take exactly what something else takes."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final

ABSENT: Final = object()
"""In place of a value: nothing."""

Path = tuple[Any, ...]


def put(content: Any, path: Path, value: Any) -> Any:
    """The content with a value at a path, or without what is there."""
    again = json.loads(json.dumps(content))
    inner = again
    for step in path[:-1]:
        inner = inner[step]
    if value is ABSENT:
        inner.pop(path[-1], None)
    else:
        inner[path[-1]] = value
    return again


def altered(content: Any, changes: Iterable[tuple[Path, Any]]) -> Any:
    """The content with each value put at its path, where an earlier one has left such a path."""
    for path, value in changes:
        try:
            content = put(content, path, value)
        except (KeyError, TypeError, IndexError):
            continue
    return content
