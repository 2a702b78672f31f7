# SPDX-License-Identifier: Apache-2.0
"""Files that only their owner may read, replaced whole or not at all."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class PrivateFileError(Exception):
    """A file of secrets cannot be used; the text is one sentence that says which, and what to do."""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Make `folder` (0700) if it is not there, and let one process at a time work in it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def read_private(file: Path) -> dict[str, Any] | None:
    """The JSON object in a file, None if there is no file.

    Raises PrivateFileError for one that others may read or that holds something else.
    """
    try:
        with file.open(encoding="utf-8") as stream:
            mode = os.fstat(stream.fileno()).st_mode & 0o777
            content = stream.read()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise PrivateFileError(f"{file} cannot be read ({error}): mend or remove it.") from error
    if mode & 0o077:
        raise PrivateFileError(f"{file} can be read by others (mode {mode:o}): set it to 600 and renew what it holds.")
    try:
        document = json.loads(content)
    except ValueError as error:
        raise PrivateFileError(f"{file} is not JSON: restore it, or remove it to have it made anew.") from error
    if not isinstance(document, dict):
        raise PrivateFileError(f"{file} holds no JSON object: restore it, or remove it to have it made anew.")
    return document


def write_private(file: Path, document: dict[str, Any]) -> None:
    """Replace a file in one step; afterwards it is on the disk, mode 0600."""
    part = file.with_name(f".{file.name}.part")
    part.unlink(missing_ok=True)
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        json.dump(document, stream, ensure_ascii=False, indent=2)
        stream.write("\n")
        stream.flush()
        os.fsync(handle)
    part.replace(file)
