# SPDX-License-Identifier: Apache-2.0
"""Write the JSON Schemas by which an editor checks the files of a standard: `python -m libs.standards.schema schemas/standard`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter

from libs.contracts.generate import DIALECT
from libs.standards.document import StandardDocument
from libs.standards.overlay import OverlayDocument

_SECTIONS: Final = ("scales", "mappings", "facts", "rules", "inheritance", "obligations")
_CHANGES: Final = "changes"


def documents() -> dict[str, str]:
    """The content of each schema by its file: of each section, of the head of an overlay, and of its changes."""
    schemas = {section: _of_field(StandardDocument, section) for section in _SECTIONS}
    schemas |= {"overlay": _head(), _CHANGES: _of_field(OverlayDocument, _CHANGES)}
    return {f"{name}.schema.json": _json(name, schema) for name, schema in schemas.items()}


def _of_field(model: type[StandardDocument] | type[OverlayDocument], name: str) -> dict[str, Any]:
    adapter: TypeAdapter[Any] = TypeAdapter(model.model_fields[name].rebuild_annotation())
    return adapter.json_schema()


def _head() -> dict[str, Any]:
    """An overlay without its changes, which are in files of their own."""
    schema = OverlayDocument.model_json_schema()
    del schema["properties"][_CHANGES]
    schema["required"].remove(_CHANGES)
    used = {"Text": schema["$defs"]["Text"]}
    return schema | {"$defs": used}


def _json(name: str, schema: dict[str, Any]) -> str:
    document = {"$schema": DIALECT, "$id": f"urn:daicho:schema:standard:{name}", **schema}
    return json.dumps(document, ensure_ascii=False, indent=2) + "\n"


def main(folder: Path) -> None:
    """Write every schema, and remove what stands for nothing any more."""
    wanted = documents()
    folder.mkdir(parents=True, exist_ok=True)
    for file in folder.glob("*.schema.json"):
        if file.name not in wanted:
            file.unlink()
    for name, content in wanted.items():
        (folder / name).write_text(content, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
