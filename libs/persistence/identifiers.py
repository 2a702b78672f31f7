# SPDX-License-Identifier: Apache-2.0
"""Names in SQL."""

from __future__ import annotations


def quoted(name: str) -> str:
    """A quoted identifier (SQL:2016 §5.2 delimited identifier)."""
    return '"' + name.replace('"', '""') + '"'
