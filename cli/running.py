# SPDX-License-Identifier: Apache-2.0
"""A running instance as its folder tells of it: `<data>/instance.json`, which holds no secret."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from cli.errors import CliError
from libs.devstack.credentials import write_private
from libs.devstack.processes import ProcessId

INSTANCE: Final = "instance.json"
ISSUER: Final = "issuer"


def ready_path(name: str) -> str:
    """Where a process says that it is ready; the issuer, which waits for nothing, says only that it lives."""
    return "/health/live" if name == ISSUER else "/health/ready"


@dataclass(frozen=True)
class Running:
    """Where an instance listens (`addresses` by service, by process, and `issuer`) and which processes it is made of."""

    data: Path
    profile: Path
    kafka: str
    addresses: Mapping[str, str]
    supervisor: ProcessId
    processes: Mapping[str, ProcessId] = field(default_factory=dict)

    @property
    def issuer_folder(self) -> Path:
        """Where the local issuer keeps its keys and clients."""
        return self.data / ISSUER

    def token(self, client: str) -> str:
        """An access token of one hour for a client of the local issuer; raises CliError for a client it does not know."""
        from libs.security.clients import IssuerFolder, UnknownClientError

        folder = IssuerFolder(self.issuer_folder)
        try:
            return folder.token(client)
        except UnknownClientError:
            raise CliError("cli.unknown_client", client=client, known=", ".join(sorted(folder.clients))) from None

    def client_secret(self, client: str) -> str:
        """The secret with which a client gets its tokens at `addresses["issuer"]`/token."""
        from libs.security.clients import IssuerFolder

        return IssuerFolder(self.issuer_folder).client(client).secret.get_secret_value()

    def feed_secret(self, feed: str) -> str:
        """What the webhooks of a feed are signed with."""
        from libs.devstack import load as load_stack

        return load_stack(self.data).secret(f"feed/{feed}")

    def remember(self) -> None:
        """Write `instance.json`."""
        known = asdict(self) | {"data": str(self.data), "profile": str(self.profile)}
        write_private(self.data / INSTANCE, json.dumps(known, indent=2, ensure_ascii=False) + "\n")


def recall(data: Path) -> Running | None:
    """What the last instance on a folder wrote and did not take back; it may have been killed since."""
    with suppress(FileNotFoundError, ValueError, KeyError, TypeError):
        known: dict[str, Any] = json.loads((data / INSTANCE).read_text(encoding="utf-8"))
        return Running(
            data=data,
            profile=Path(known["profile"]),
            kafka=known["kafka"],
            addresses=known["addresses"],
            supervisor=ProcessId(**known["supervisor"]),
            processes={name: ProcessId(**one) for name, one in known["processes"].items()},
        )
    return None


def load(data: Path) -> Running:
    """The instance that runs on a folder; raises CliError if none does."""
    known = recall(data.expanduser().absolute())
    if known is None or known.supervisor.find() is None:
        raise CliError("cli.not_running", data=data)
    return known


def forget(data: Path) -> None:
    """Take back what `remember` wrote."""
    (data / INSTANCE).unlink(missing_ok=True)
