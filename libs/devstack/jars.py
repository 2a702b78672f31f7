# SPDX-License-Identifier: Apache-2.0
"""The jars of Apache Kafka: downloaded once with jgo, kept in the user's cache, and verified at every start.

Which jars, and the SHA-256 of each, is `jars.lock.toml` beside this module: what was tested, whatever a download or a
cache holds. With all of them in the cache the network is not touched. `python -m libs.devstack.relock` writes that file.
"""

import errno
import fcntl
import hashlib
import os
import shutil
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import platformdirs
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from libs.devstack import errors

LOCK_FILE = Path(__file__).with_name("jars.lock.toml")


@dataclass(frozen=True)
class Jar:
    """One jar as it was tested; `size` in bytes."""

    group: str
    artifact: str
    version: str
    size: int
    sha256: str

    @property
    def name(self) -> str:
        return f"{self.artifact}-{self.version}.jar"


@dataclass(frozen=True)
class Lock:
    """The tested set of jars, in class path order."""

    kafka: str
    jars: tuple[Jar, ...]


def load_lock() -> Lock:
    """Read the committed list of jars."""
    read = tomllib.loads(LOCK_FILE.read_text(encoding="utf-8"))
    return Lock(kafka=read["kafka"], jars=tuple(Jar(**jar) for jar in read["jar"]))


def jar_folder(lock: Lock) -> Path:
    """Where the jars are kept: `jars/kafka-<version>` under DAICHO_CACHE, or under the user's own cache folder."""
    cache = os.environ.get("DAICHO_CACHE") or platformdirs.user_cache_dir("daicho")
    return Path(cache).expanduser().absolute() / "jars" / f"kafka-{lock.kafka}"


def ensure_jars(progress: Progress | None = None, *, refresh: bool = False) -> list[Path]:
    """Return the verified jars in class path order, downloading those that are missing (all of them if `refresh`).

    `progress` shows the download; without one, bars are drawn on a terminal's stderr and nothing elsewhere. Raises
    `DevstackError` if a jar is altered, or is missing and cannot be downloaded, or the cache cannot be written.
    """
    lock = load_lock()
    folder = jar_folder(lock)
    missing = list(lock.jars) if refresh else [jar for jar in lock.jars if not (folder / jar.name).is_file()]
    if missing:
        _fetch_all(missing, folder, progress, refresh=refresh)
    for jar in lock.jars:
        if not _is_genuine(folder / jar.name, jar):
            raise errors.jar_altered(folder / jar.name)
    return [folder / jar.name for jar in lock.jars]


def _is_genuine(file: Path, jar: Jar) -> bool:
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest() == jar.sha256
    except OSError:
        return False


def _fetch_all(jars: list[Jar], folder: Path, progress: Progress | None, *, refresh: bool) -> None:
    try:
        with _one_at_a_time(folder), _shown(progress) as bars, tempfile.TemporaryDirectory(dir=folder) as scratch:
            total = bars.add_task(f"Apache Kafka {load_lock().kafka}", total=sum(jar.size for jar in jars))
            for jar in jars:
                # another process may have fetched it while this one waited for its turn
                if refresh or not (folder / jar.name).is_file():
                    _fetch(jar, folder, Path(scratch), bars)
                bars.advance(total, jar.size)
    except OSError as error:
        reason = "its disk is full" if error.errno == errno.ENOSPC else error.strerror or str(error)
        raise errors.cache_unusable(folder, reason) from error


def _fetch(jar: Jar, folder: Path, scratch: Path, bars: Progress) -> None:
    """Put one jar in the cache: from Maven's own local repository if that has the tested one, else by download."""
    part = scratch / jar.name
    local = _local_repository() / jar.group.replace(".", "/") / jar.artifact / jar.version / jar.name
    if _is_genuine(local, jar):
        shutil.copyfile(local, part)
    else:
        _download(jar, scratch / "repository", bars).replace(part)
    if not _is_genuine(part, jar):
        raise errors.jar_download_altered(jar.name)
    part.replace(folder / jar.name)


def _local_repository() -> Path:
    from jgo.constants import default_maven_repo

    return Path(default_maven_repo())


def _download(jar: Jar, repository: Path, bars: Progress) -> Path:
    """Download with jgo into a scratch repository: a broken download must not stay in the one that Maven shares."""
    from jgo.maven import MavenContext, PythonResolver

    context = MavenContext(resolver=PythonResolver(progress_callback=_reporter(bars)), repo_cache=repository)
    component = context.project(jar.group, jar.artifact).at_version(jar.version)
    try:
        return Path(component.artifact().resolve())
    except (OSError, RuntimeError) as error:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise
        reason = "no network" if _is_network(error) else "it was not found"
        raise errors.jar_missing(jar.name, jar_folder(load_lock()), reason) from error


def _is_network(error: Exception) -> bool:
    import requests

    return isinstance(error, requests.RequestException)


def _reporter(bars: Progress) -> Callable[[str, int], AbstractContextManager[Callable[[int], None]]]:
    """Adapt rich's bars to the callback that jgo takes: (file name, bytes) → a context that counts bytes."""

    @contextmanager
    def report(name: str, total: int) -> Iterator[Callable[[int], None]]:
        task = bars.add_task(name, total=total)
        try:
            yield lambda count: bars.advance(task, count)
        finally:
            bars.remove_task(task)

    return report


@contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


@contextmanager
def _shown(progress: Progress | None) -> Iterator[Progress]:
    if progress is not None:
        yield progress
        return
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True) as bars:
        yield bars
