# SPDX-License-Identifier: Apache-2.0
"""Every sentence that the devstack can fail with, in one place.

Each function returns a `DevstackError` whose text is one sentence that says what is wrong and what to do about it.
"""

import errno
from pathlib import Path


class DevstackError(Exception):
    """The embedded Kafka and PostgreSQL could not be started, found or stopped; `str()` is one clear sentence."""


def port_taken(port: int, service: str) -> DevstackError:
    return DevstackError(
        f"Port {port} on 127.0.0.1, asked for {service}, is already taken: stop what uses it, or choose another port."
    )


def port_forbidden(port: int, service: str) -> DevstackError:
    return DevstackError(
        f"Port {port}, asked for {service}, may not be opened by this user: choose one between 1024 and 65535."
    )


def disk_full(folder: Path, free: int, needed: int) -> DevstackError:
    return DevstackError(
        f"The disk that holds {folder} has {free // 2**20} MiB free, and {needed // 2**20} MiB are needed: "
        "make room, or choose a folder on another disk."
    )


def disk_ran_full(folder: Path, service: str) -> DevstackError:
    return DevstackError(
        f"{service} stopped because the disk that holds {folder} is full: make room, or choose a folder on another disk."
    )


def folder_unusable(folder: Path, reason: str) -> DevstackError:
    return DevstackError(
        f"The folder {folder} cannot be used for the data ({reason}): choose one that you may write to."
    )


def folder_failed(data: Path, error: OSError) -> DevstackError:
    if error.errno == errno.ENOSPC:
        return disk_ran_full(data, "The stack")
    return folder_unusable(Path(error.filename or data), error.strerror or str(error))


def folder_busy(data: Path) -> DevstackError:
    return DevstackError(
        f"The data folder {data} is in use by another running stack: stop it with `daicho down`, or choose another folder."
    )


def not_running(data: Path) -> DevstackError:
    return DevstackError(f"No stack is running on {data}: start one with `daicho up`.")


def jar_altered(jar: Path) -> DevstackError:
    return DevstackError(
        f"The jar {jar} is not the one that was tested (its SHA-256 differs): fetch it again with `daicho up --refresh-jars`."
    )


def jar_download_altered(name: str) -> DevstackError:
    return DevstackError(
        f"The jar {name} was downloaded, but is not the one that was tested (its SHA-256 differs): "
        "try again later, and if it stays so, do not trust the place it came from."
    )


def jar_missing(name: str, folder: Path, reason: str) -> DevstackError:
    return DevstackError(
        f"The jar {name} is missing from {folder} and could not be downloaded ({reason}): "
        "connect to the network once and start again, or copy that folder from a machine that has it."
    )


def cache_unusable(folder: Path, reason: str) -> DevstackError:
    return DevstackError(
        f"The jars cannot be kept in {folder} ({reason}): make room or set DAICHO_CACHE to a folder that you may write to."
    )


def package_missing(package: str) -> DevstackError:
    return DevstackError(f"The Python package {package} is not installed: run `make setup`.")


def service_failed(service: str, last_line: str, log: Path) -> DevstackError:
    said = f" after saying “{last_line}”" if last_line else ""
    return DevstackError(f"{service} stopped{said}: see {log} for more.")


def service_slow(service: str, seconds: int, log: Path) -> DevstackError:
    return DevstackError(f"{service} was not ready within {seconds} seconds: see {log} for what it was doing.")


def supervisor_failed(log: Path) -> DevstackError:
    return DevstackError(f"The process that looks after Kafka and PostgreSQL ended before they were ready: see {log}.")


def supervisor_stuck(data: Path, pid: int, seconds: int) -> DevstackError:
    return DevstackError(
        f"The stack on {data} did not stop within {seconds} seconds: look at process {pid}, which looks after it."
    )


def credentials_lost(name: str, file: Path) -> DevstackError:
    return DevstackError(
        f"The secret {name!r} is not in {file} although the data made with it exist: "
        "restore that file, or start with another data folder."
    )


def credentials_unreadable(file: Path, reason: str) -> DevstackError:
    return DevstackError(
        f"The credentials file {file} cannot be read ({reason}): restore it, or start with another folder."
    )


def credentials_exposed(file: Path, mode: int) -> DevstackError:
    return DevstackError(
        f"The credentials file {file} may be read by other users (mode {mode:04o}): run `chmod 600` on it first."
    )


def account_unknown(name: str, known: tuple[str, ...]) -> DevstackError:
    return DevstackError(f"There is no Kafka account {name!r}: the accounts are {', '.join(known)}.")


def other_user(folder: Path, owner: str) -> DevstackError:
    return DevstackError(
        f"The data in {folder} belong to the user {owner}: start as that user, or choose another folder."
    )
