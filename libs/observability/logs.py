# SPDX-License-Identifier: Apache-2.0
"""Structured logs: one JSON object a line on standard error, with no secret in it."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, Final, TextIO

import structlog
from structlog.typing import EventDict, Processor

REDACTED: Final = "[redacted]"

_SECRET_KEY: Final = re.compile(
    r"pass(word|wd|phrase)?$|secret|token|authorization|cookie|credential|api_?key|private_?key|signature|^dsn$|_dsn$",
    re.I,
)
_SECRET_TEXT: Final = re.compile(
    r"""(?P<header>(?i:authorization["']?\s*[:=]\s*["']?)(?:\w+\s+)?)[^\s"']+"""
    r"|(?P<scheme>\b(?:Bearer|Basic)\s+)[\w.~+/=-]{8,}"
    r"|(?P<jwt>\beyJ[\w-]+\.[\w-]+\.[\w-]*)"
    r"|(?P<user>://[^\s/:@]*:)[^\s/@]+(?=@)"
)

# what PostgreSQL and pydantic quote of the data in their messages
_QUOTED_DATA: Final = re.compile(r"(?m)^DETAIL:.*$|(?<=input_value=).*(?=, input_type=)")


def configure_logging(service: str, instance: str = "", *, level: str = "INFO", stream: TextIO | None = None) -> None:
    """Send every log line of this process, also those of the standard library, to `stream` (default: standard error).

    Each line has `timestamp` (UTC, ISO 8601), `level`, `event`, `logger`, `service` and, if given, `instance`. Values under
    keys that name a secret, bearer tokens and passwords inside URLs are replaced. Calling it again replaces what it set.
    """
    bound = {"service": service} | ({"instance": instance} if instance else {})

    def bind(_logger: Any, _method: str, event: EventDict) -> EventDict:
        return {**bound, **event}

    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        bind,
    ]
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, _access_line],
            pass_foreign_args=True,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.StackInfoRenderer(),
                structlog.processors.format_exc_info,
                redact,
                structlog.processors.JSONRenderer(ensure_ascii=False, default=str),
            ],
        )
    )
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    _let_through_root()


def redact(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Replace what no log may hold, at any depth."""
    for key, value in event.items():
        event[key] = _clean(key, value)
    return event


def _clean(key: str, value: Any) -> Any:
    if _SECRET_KEY.search(key) and not isinstance(value, bool | int | float | None):
        return REDACTED
    if isinstance(value, str):
        return _QUOTED_DATA.sub(REDACTED, _SECRET_TEXT.sub(_mask, value))
    if isinstance(value, MutableMapping):
        return {name: _clean(str(name), inner) for name, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean(key, inner) for inner in value]
    return value


def _mask(match: re.Match[str]) -> str:
    return (match["header"] or match["scheme"] or match["user"] or "") + REDACTED


def _access_line(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Take uvicorn's access line apart; the query string can hold what a person searched for, so it is dropped."""
    arguments = event.pop("positional_args", ())
    event.pop("color_message", None)
    if event["_record"].name == "uvicorn.access" and len(arguments) == 5:
        client, method, target, _version, status = arguments
        path = str(target).partition("?")[0]
        event.update(event="http request", client=client, method=method, path=path, status=status)
    return event


def _let_through_root() -> None:
    for name in ("uvicorn", "uvicorn.access", "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.handlers = []
        logger.propagate = True
    # these say each request or fetch, with the whole URL
    for name in ("httpx", "httpcore", "aiokafka"):
        logging.getLogger(name).setLevel(logging.WARNING)
