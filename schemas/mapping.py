# SPDX-License-Identifier: Apache-2.0
"""Write the JSON Schema by which an editor checks a feed's mapping file: `python schemas/mapping.py`.

It stands outside the packages because the mapping is a service's, at which no lib may look.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from libs.contracts.generate import DIALECT
from services.inventory.doors.mapping import MappingDocument

FILE: Final = Path(__file__).parent / "feed" / "mapping.schema.json"


def content() -> str:
    """The content of the file."""
    schema = {"$schema": DIALECT, "$id": "urn:daicho:schema:feed:mapping", **MappingDocument.model_json_schema()}
    return json.dumps(schema, ensure_ascii=False, indent=2) + "\n"


if __name__ == "__main__":
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(content(), encoding="utf-8")
