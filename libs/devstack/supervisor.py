# SPDX-License-Identifier: Apache-2.0
"""The one process that looks after a stack: it starts Kafka and PostgreSQL, watches them, and stops them together.

Run as `python -m libs.devstack.supervisor --data FOLDER`. It is single-threaded, because the kernel ties a child's life
to the thread that made it. With `--owned`, stdin is a pipe from the owner: when the owner ends, however it ends, the
pipe closes and the stack is stopped. It speaks to the starter in JSON lines on stdout: `{"ready": …}` or `{"error": …}`.
"""

import argparse
import json
import os
import select
import signal
import sys
import traceback
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path
from types import FrameType

from libs.devstack import state
from libs.devstack.credentials import Credentials
from libs.devstack.errors import DevstackError, folder_busy, folder_failed
from libs.devstack.kafka import Kafka
from libs.devstack.ports import Ports
from libs.devstack.postgres import Postgres
from libs.devstack.processes import LEFTOVERS_END_WITHIN, ProcessId, end_leftovers, stop

STOP_WITHIN = 30.0


class StopAskedError(Exception):
    """Somebody asked for the stack to stop, or its owner has gone, while it was starting."""


class Supervisor:
    """A stack from the lock on its folder to the end of its last process."""

    def __init__(self, data: Path, asked: dict[str, int | None], *, owned: bool) -> None:
        self.data = data
        self.asked = asked
        self.owned = owned
        self.owner = os.getppid()
        self.stopping = False
        self.ports = Ports()
        self.services: list[Kafka | Postgres] = []
        self.wake, wake_write = os.pipe()
        os.set_blocking(wake_write, False)
        os.set_blocking(self.wake, False)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._ask_to_stop)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def run(self) -> None:
        """Start, tell the starter, stay until asked to stop; raises `DevstackError` if a service fails."""
        lock = state.try_lock(self.data)
        if lock is None:
            raise folder_busy(self.data)
        try:
            end_leftovers(state.leftovers(self.data), LEFTOVERS_END_WITHIN)
            state.forget(self.data)
            self._start()
            self._stay()
        except StopAskedError:
            pass
        finally:
            self._stop()
            state.forget(self.data)
            os.close(lock)

    def _start(self) -> None:
        before = state.ports_before(self.data)
        for service in ("kafka", "kafka-controller", "postgres"):
            self.ports.take(service, self.asked.get(service), before.get(service))
        credentials = Credentials(self.data)
        numbers = self.ports.numbers
        kafka = Kafka(self.data, credentials, numbers["kafka"], numbers["kafka-controller"])
        postgres = Postgres(self.data, credentials, numbers["postgres"])
        self.services = [kafka, postgres]
        self._advance([kafka.start(), postgres.start()])
        pids = {service.NAME: service.child.process.pid for service in self.services if service.child is not None}
        pids["supervisor"] = os.getpid()
        state.remember(self.data, numbers, {name: ProcessId.of(pid) for name, pid in pids.items()})
        tell({"ready": True})
        self._let_starter_go()

    def _advance(self, starting: list[Generator[None, None, None]]) -> None:
        """Step the starts of all services, side by side, until each has ended."""
        while starting:
            starting = [one for one in starting if next(one, starting) is None]
            self._pause(0.02)
            if self.stopping:
                raise StopAskedError

    def _stay(self) -> None:
        while not self.stopping:
            for service in self.services:
                if service.child is not None and service.child.ended:
                    raise service.failure(service.child)
            self._pause(1.0)

    def _pause(self, seconds: float) -> None:
        """Wait that long, or less if a signal comes or the owner's pipe closes."""
        watched = [self.wake, sys.stdin.fileno()] if self.owned else [self.wake]
        ready, _, _ = select.select(watched, [], [], seconds)
        if self.wake in ready:
            os.read(self.wake, 512)
        if self.owned and (sys.stdin.fileno() in ready or os.getppid() != self.owner):
            self.stopping = True

    def _stop(self) -> None:
        running = [(one.child, one.STOP_SIGNAL) for one in self.services if one.child is not None]
        stop(running, STOP_WITHIN)

    def _ask_to_stop(self, number: int, frame: FrameType | None) -> None:
        self.stopping = True

    def _let_starter_go(self) -> None:
        """Give up the pipe to the starter, which may end and would break it: from here on stdout is the log."""
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())


def tell(message: dict[str, object]) -> None:
    """Say one thing to the starter; it may have gone."""
    with suppress(OSError):
        sys.stdout.write(json.dumps(message) + "\n")
        sys.stdout.flush()


def main() -> int:
    """Run a supervisor as its command line says; 0 if it was stopped by request, 1 if something failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--kafka-port", type=int)
    parser.add_argument("--postgres-port", type=int)
    parser.add_argument("--owned", action="store_true")
    options = parser.parse_args()
    os.umask(0o077)
    asked = {"kafka": options.kafka_port, "postgres": options.postgres_port}
    try:
        Supervisor(options.data, asked, owned=options.owned).run()
    except DevstackError as error:
        sys.stderr.write(f"{error}\n")
        tell({"error": str(error)})
        return 1
    except OSError as error:
        traceback.print_exc()
        tell({"error": str(folder_failed(options.data, error))})
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
