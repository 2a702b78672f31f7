# SPDX-License-Identifier: Apache-2.0
"""Log lines: JSON, bound, in UTC, and without secrets."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, SecretStr, ValidationError

from libs.observability import configure_logging
from libs.observability.logs import REDACTED, redact

SECRET = "hunter2-hunter2"


class Lines(io.StringIO):
    def all(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.getvalue().splitlines()]


@pytest.fixture
def lines() -> Iterator[Lines]:
    root = logging.getLogger()
    before = list(root.handlers), root.level
    stream = Lines()
    configure_logging("inventory", "990019", stream=stream)
    yield stream
    root.handlers, root.level = before
    structlog.reset_defaults()


def test_a_line_is_json_and_says_who_and_when(lines: Lines) -> None:
    structlog.get_logger("libs.bus").warning("task stopped", partition=3, name="台帳")
    (line,) = lines.all()
    assert {key: line[key] for key in ("service", "instance", "level", "event", "logger", "partition", "name")} == {
        "service": "inventory",
        "instance": "990019",
        "level": "warning",
        "event": "task stopped",
        "logger": "libs.bus",
        "partition": 3,
        "name": "台帳",
    }
    assert line["timestamp"].endswith("Z")
    assert datetime.fromisoformat(line["timestamp"]).tzinfo is not None
    assert "台帳" in lines.getvalue()


def test_the_standard_library_logs_in_the_same_way(lines: Lines) -> None:
    logging.getLogger("asyncio").error("took %s", "long", extra={"seconds": 2})
    (line,) = lines.all()
    assert (line["event"], line["logger"], line["level"], line["seconds"]) == ("took long", "asyncio", "error", 2)


def test_a_line_is_one_line(lines: Lines) -> None:
    structlog.get_logger("x").info("first\nsecond\r\n{}", detail="a\nb")
    assert len(lines.getvalue().splitlines()) == 1


def test_debug_is_left_out_and_configuring_again_does_not_double(lines: Lines) -> None:
    configure_logging("classification", stream=lines)
    structlog.get_logger("x").debug("small")
    structlog.get_logger("x").info("large")
    (line,) = lines.all()
    assert line["service"] == "classification"
    assert "instance" not in line


def test_context_is_bound(lines: Lines) -> None:
    with structlog.contextvars.bound_contextvars(traceparent="00-1"):
        structlog.get_logger("x").info("handled")
    assert lines.all()[0]["traceparent"] == "00-1"


@pytest.mark.parametrize(
    "key",
    [
        "password",
        "owner_password",
        "client_secret",
        "access_token",
        "Authorization",
        "token",
        "dsn",
        "owner_dsn",
        "api_key",
        "apikey",
        "private_key",
        "cookie",
        "X-Hook-Signature",
        "sasl_plain_password",
    ],
)
def test_secrets_are_known_by_their_names(lines: Lines, key: str) -> None:
    structlog.get_logger("x").info("e", **{key: SECRET}, inner={"deep": [{key: SECRET}]})
    logging.getLogger("y").info("e", extra={key: SECRET})
    assert SECRET not in lines.getvalue()
    assert lines.getvalue().count(REDACTED) == 3


@pytest.mark.parametrize(
    "text",
    [
        f"postgresql://inventory:{SECRET}@127.0.0.1:5432/inventory refused",
        f"Authorization: Bearer {SECRET}",
        f"authorization: basic {SECRET}",
        "token eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJodW50ZXIyLWh1bnRlcjIifQ.hunter2-hunter2 was refused",
    ],
)
def test_secrets_are_known_by_their_form(lines: Lines, text: str) -> None:
    structlog.get_logger("x").info(text)
    structlog.get_logger("x").info("e", detail=text, more=[text])
    try:
        raise RuntimeError(text)
    except RuntimeError:
        logging.getLogger("y").exception("failed")
    assert SECRET not in lines.getvalue()
    assert REDACTED in lines.getvalue()


def test_data_quoted_by_libraries_is_left_out(lines: Lines) -> None:
    class Item(BaseModel):
        count: int

    for value in ("山田太郎の記録", {"a": "山田太郎の記録"}):
        try:
            Item.model_validate({"count": value})
        except ValidationError:
            structlog.get_logger("x").exception("invalid")
    structlog.get_logger("x").error("duplicate key\nDETAIL:  Key (name)=(山田太郎) already exists.\nHINT: none")
    assert "山田" not in lines.getvalue()
    assert "Input should be a valid integer" in lines.getvalue()
    assert "HINT: none" in lines.getvalue()


def test_numbers_about_tokens_and_pydantic_secrets_are_safe(lines: Lines) -> None:
    structlog.get_logger("x").info("e", tokens=3, held=SecretStr(SECRET))
    assert lines.all()[0]["tokens"] == 3
    assert SECRET not in lines.getvalue()


@pytest.mark.parametrize("path", ["/assets?name=%E5%B1%B1%E7%94%B0", "/assets"])
def test_access_lines_have_no_query(lines: Lines, path: str) -> None:
    arguments = ("127.0.0.1:1", "GET", path, "1.1", 200)
    logging.getLogger("uvicorn.access").info('%s - "%s %s HTTP/%s" %d', *arguments)
    (line,) = lines.all()
    assert (line["event"], line["method"], line["path"], line["status"]) == ("http request", "GET", "/assets", 200)
    assert "%E5" not in lines.getvalue()


harmless = st.text(alphabet="xyzあ_", max_size=5)
"""No word of these letters names a secret; of all letters, hypothesis does find `token`."""


@given(
    st.dictionaries(
        harmless,
        st.recursive(
            st.none() | st.integers() | st.text(max_size=5),
            lambda inner: st.lists(inner) | st.dictionaries(harmless, inner),
        ),
    )
)
def test_what_holds_no_secret_is_left_as_it_is(event: dict[str, Any]) -> None:
    assert redact(None, "info", dict(event)) == event
