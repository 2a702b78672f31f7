# SPDX-License-Identifier: Apache-2.0
"""Loopback ports for one stack: picked free, remembered between starts, and held while the stack runs.

On Linux a bound socket that does not listen may share its port with the server's own (both have SO_REUSEADDR), and
keeps the kernel from handing that port to anyone else: two stacks that start at the same moment cannot meet.
"""

import errno
import socket
import sys
from dataclasses import dataclass, field

from libs.devstack import errors

LOOPBACK = "127.0.0.1"


@dataclass
class Ports:
    """The ports held for one stack, by service name."""

    numbers: dict[str, int] = field(default_factory=dict)
    held: list[socket.socket] = field(default_factory=list)

    def take(self, service: str, asked: int | None, before: int | None) -> int:
        """Hold and return a port for `service`: the one asked for, else the one used before if free, else any free one.

        Raises `DevstackError` if the port asked for is taken or not allowed.
        """
        handle = _hold_free(before) if asked is None else _hold_asked(asked, service)
        port = int(handle.getsockname()[1])
        self.numbers[service] = port
        self._keep(handle)
        return port

    def _keep(self, handle: socket.socket) -> None:
        if sys.platform == "linux":
            self.held.append(handle)
        else:
            handle.close()


def _hold(port: int) -> socket.socket:
    handle = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        handle.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1 if port else 0)
        handle.bind((LOOPBACK, port))
        handle.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    except OSError:
        handle.close()
        raise
    return handle


def _hold_asked(port: int, service: str) -> socket.socket:
    try:
        return _hold(port)
    except (PermissionError, OverflowError) as error:
        raise errors.port_forbidden(port, service) from error
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        raise errors.port_taken(port, service) from error


def _hold_free(before: int | None) -> socket.socket:
    if before:
        try:
            return _hold(before)
        except OSError:
            pass
    return _hold(0)
