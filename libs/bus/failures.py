# SPDX-License-Identifier: Apache-2.0
"""What an error is, for a status and for the log."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Final

import asyncpg
from aiokafka.errors import KafkaError, ProducerFenced

BACKOFF: Final = (0.05, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Seconds to wait after the first failure in a row, the second, and so on; the last one for all that follow."""


def backoff(failures: int) -> float:
    return BACKOFF[min(failures, len(BACKOFF) - 1)]


def code_of(error: Exception) -> str:
    """A stable code for what has failed."""
    if isinstance(error, ProducerFenced):
        return "fenced"
    if isinstance(error, asyncpg.PostgresError | asyncpg.InterfaceError):
        return "database"
    if isinstance(error, KafkaError):
        return "broker"
    return "connection" if isinstance(error, OSError) else "failed"


def describe(error: Exception) -> dict[str, str]:
    """For the log: the error's class and where it arose. Its text only where it is the broker's or the system's: others may quote data."""
    frames = traceback.extract_tb(error.__traceback__)
    at = " < ".join(f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in reversed(frames[-4:]))
    told = {"error": type(error).__name__, "at": at}
    if isinstance(error, asyncpg.PostgresError) and error.sqlstate:
        told["sqlstate"] = error.sqlstate
    if isinstance(error, KafkaError | OSError):
        told["text"] = str(error)
    return told
