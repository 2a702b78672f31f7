# SPDX-License-Identifier: Apache-2.0
"""Write the OpenAPI document of each service from its routes: `python schemas/openapi.py`.

It stands outside the packages because it looks at every service, which no lib and no service may.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, Final, get_type_hints
from unittest.mock import MagicMock

from libs.contracts import Problem
from libs.observability import Metrics
from libs.observability.health import Health

FOLDER: Final = Path(__file__).with_name("openapi")
SERVICES: Final = sorted(file.parent.name for file in FOLDER.parents[1].glob("services/*/api.py"))
_PROBLEM: Final = "#/components/schemas/Problem"
_IF_MATCH: Final = "if-match"
_FASTAPI_ERRORS: Final = ("HTTPValidationError", "ValidationError")


def document(service: str) -> dict[str, Any]:
    """The OpenAPI 3.1 document of one service. Every refusal is a problem document (RFC 9457), whatever its status."""
    module = import_module(f"services.{service}.api")
    app = _with_stand_ins(module.create_app, module.__name__)
    app.include_router(Health([], Metrics()).router())
    described: dict[str, Any] = app.openapi()
    schemas = described["components"]["schemas"]
    for name in _FASTAPI_ERRORS:
        schemas.pop(name, None)
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas |= problem.pop("$defs") | {"Problem": problem}
    for path in described["paths"].values():
        for operation in path.values():
            for parameter in operation.get("parameters", ()):
                if parameter["name"].lower() == _IF_MATCH:
                    # without it the answer is 428 and not that of any other header
                    parameter |= {"required": True, "schema": {"type": "string", "title": parameter["name"]}}
            operation["responses"].pop("422", None)
            operation["responses"]["default"] = {
                "description": "Refused or failed",
                "content": {"application/problem+json": {"schema": {"$ref": _PROBLEM}}},
            }
    return described


def _with_stand_ins(make: Callable[..., Any], module: str) -> Any:
    """What `make` makes with a stand-in for each thing it needs, for neither an app nor its routes do I/O when they are made.

    Only what the module of the routes itself defines is made for real.
    """
    hints = get_type_hints(make.__init__ if isinstance(make, type) else make)
    needed = {name: hints[name] for name in inspect.signature(make).parameters}
    return make(
        **{
            name: _with_stand_ins(one, module) if getattr(one, "__module__", "") == module else MagicMock()
            for name, one in needed.items()
        }
    )


def documents() -> dict[str, str]:
    """The content of every document by its path under `schemas/`."""
    return {
        f"openapi/{service}.json": json.dumps(document(service), ensure_ascii=False, indent=2) + "\n"
        for service in SERVICES
    }


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name, content in documents().items():
        (FOLDER.parent / name).write_text(content, encoding="utf-8")


if __name__ == "__main__":
    main()
