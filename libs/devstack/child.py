# SPDX-License-Identifier: Apache-2.0
"""Become a server process: drop to a user, tie this process's life to its parent's, then exec the command.

Run as a script (`python -I -S child.py SIGNAL PARENT UID GID COMMAND…`) and not as a function between fork and exec, so
that it is safe whatever the parent is doing. The parent-death signal is set after the change of user, which clears it.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1


def die_with_parent(signal_number: int, parent: int) -> None:
    """On Linux, have the kernel send this process a signal when the parent's spawning thread ends; exit if it has."""
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal_number, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
    if os.getppid() != parent:
        sys.exit(1)


def main(arguments: list[str]) -> None:
    """Do the three steps; never returns. Arguments: signal, parent's pid, uid and gid (-1: stay), command…"""
    signal_number, parent, uid, gid = map(int, arguments[:4])
    command = arguments[4:]
    if uid >= 0:
        os.setgroups([gid])
        os.setgid(gid)
        os.setuid(uid)
    die_with_parent(signal_number, parent)
    os.execv(command[0], command)  # noqa: S606 - becoming the command is what this is for


if __name__ == "__main__":
    main(sys.argv[1:])
