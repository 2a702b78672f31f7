# SPDX-License-Identifier: Apache-2.0
"""Tables as all commands show them."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from cli.language import say


def table_with(*columns: str, **looks: Any) -> Table:
    """An empty table over the whole width, with the headings that the catalogue has for its columns; `looks` are `rich.table.Table`'s own."""
    table = Table(expand=True, **looks)
    for column in columns:
        table.add_column(say(f"cli.column.{column}"), overflow="fold")
    return table
