# SPDX-License-Identifier: Apache-2.0
"""The process that `daicho up` leaves running: it runs an instance until asked to stop, and starts again what ends by itself.

Run as `python -m cli.supervisor --data FOLDER --profile FILE`. It tells its starter one JSON line on standard output:
`{"ready": true}`, or `{"error": {"key": …, "args": …}}`, a sentence of the catalogue.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Final

import structlog

from cli.errors import CliError
from cli.instance import Instance
from libs.devstack import DevstackError, load
from libs.observability import configure_logging

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_log = structlog.get_logger(__name__)


def supervise(instance: Instance) -> None:
    """Stay with a ready instance. Ends by SystemExit when asked to stop, by DevstackError when Kafka or PostgreSQL has ended."""
    while True:
        time.sleep(1.0)
        load(instance.data)
        for name in instance.ended():
            _log.error("process ended, starting it again", process=name)
            instance.start(name, wait=False)


def run(instance: Instance) -> None:
    """Start the instance, say so, and stay until asked to stop."""
    for number in _SIGNALS:
        signal.signal(number, _leave)
    with instance:
        _tell({"ready": True})
        # the starter may end now: from here on standard output is the log
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        try:
            supervise(instance)
        finally:
            for number in _SIGNALS:
                signal.signal(number, signal.SIG_IGN)


def _leave(number: int, frame: FrameType | None) -> None:
    sys.exit(0)


def _tell(message: Mapping[str, object]) -> None:
    with suppress(OSError):
        sys.stdout.write(json.dumps(message) + "\n")
        sys.stdout.flush()


def main() -> int:
    """0 if it was asked to stop, 1 if something failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--profile", type=Path, required=True)
    parser.add_argument("--kafka-port", type=int)
    parser.add_argument("--postgres-port", type=int)
    options = parser.parse_args()
    os.umask(0o077)
    configure_logging("supervisor")
    try:
        run(Instance(**vars(options)))
    except (CliError, DevstackError) as error:
        failure = error if isinstance(error, CliError) else CliError("cli.devstack", detail=str(error))
        _log.error("the instance has ended", detail=str(failure))
        _tell({"error": {"key": failure.key, "args": failure.args_of_text}})
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
