# SPDX-License-Identifier: Apache-2.0
"""`daicho`: run an instance on this machine, and speak to its services and topics."""

from __future__ import annotations

from cli import admin, assets, deadletters, explain, identity, ledgers, lifecycle, oscal, overrides, standards, tail
from cli.command import group
from cli.demo import run as demo
from cli.what_if import command as what_if

app = group("daicho")
for part in (
    lifecycle,
    identity,
    tail,
    assets,
    ledgers,
    explain,
    overrides,
    deadletters,
    admin,
    demo,
    what_if,
    standards,
    oscal,
):
    part.add_to(app)

if __name__ == "__main__":
    app()
