# SPDX-License-Identifier: Apache-2.0
"""However webhooks are lost, repeated, delayed and turned about: after one pull and one comparison the register is what NetBox is."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from hypothesis import given
from hypothesis import strategies as st

from libs.contracts import Profile
from tests.netbox import City, FakeNetbox, dump

PROFILE = Path(__file__).parents[3] / "samples/city/profile.yaml"
DEVICE, MACHINE = "dcim.device", "virtualization.virtualmachine"
NEVER = 10_000


@cache
def profile() -> Profile:
    return Profile.model_validate(yaml.safe_load(PROFILE.read_text(encoding="utf-8")))


@cache
def few() -> dict[str, Any]:
    content = dump("initial.json.gz")
    return {
        "devices": dict(list(content["devices"].items())[:6]),
        "virtual_machines": dict(list(content["virtual_machines"].items())[:3]),
    }


steps = st.tuples(
    st.sampled_from(("edit", "edit", "create", "delete", "rack", "contact", "silent", "wait", "pull")),
    st.integers(0, 8),
)
delays = st.lists(st.sampled_from((0, 0, 1, 3, 7, NEVER)), max_size=3)
"""After how many further steps a webhook comes, once for each entry: nothing is lost, several are repeated, `NEVER` is after the last pull."""
histories = st.lists(st.tuples(steps, delays), max_size=30)


class Told:
    """A NetBox that changes step by step, and its webhooks on their way."""

    def __init__(self) -> None:
        self.city = City(profile(), FakeNetbox(few()), retire_at_most=1.0)
        self.number = 1000
        self.on_the_way: list[tuple[int, bytes]] = []

    async def step(self, time: int, kind: str, choice: int, delays: list[int]) -> None:
        if kind == "pull":
            await self.city.pull()
        elif (webhook := self._change(kind, choice)) is not None:
            self.on_the_way += [(time + delay, webhook) for delay in delays]
        await self.arrive(time)

    async def arrive(self, time: int) -> None:
        """The later ones first: they overtake each other."""
        due = [webhook for at, webhook in self.on_the_way if at <= time]
        self.on_the_way = [one for one in self.on_the_way if one[0] > time]
        await self.city.deliver(*reversed(due))

    def _change(self, kind: str, choice: int) -> bytes | None:
        netbox = self.city.netbox
        places = [(object_type, number) for object_type in (DEVICE, MACHINE) for number in netbox.objects[object_type]]
        if kind == "wait" or not places:
            netbox.now += timedelta(seconds=choice * 90)
            return None
        object_type, number = places[choice % len(places)]
        one = netbox.objects[object_type][number]
        if kind == "edit":
            return netbox.edit(object_type, number, comments=f"{choice} at {len(netbox.log)}")
        if kind == "create":
            self.number += 1
            return netbox.create(object_type, self.number, one)
        if kind == "delete":
            return netbox.delete(object_type, number)
        if kind == "silent":
            one["description"] = f"silent {choice} at {len(netbox.asked)}"
            return None
        self._rename(kind, one, choice)
        return None

    def _rename(self, kind: str, one: dict[str, Any], choice: int) -> None:
        """A rack is renamed, a contact renamed or deleted: no webhook of those is taken, and none is sent of the objects."""
        shown = one.get("rack") if kind == "rack" else one["custom_fields"].get("steward")
        if not shown:
            return
        event = "deleted" if kind == "contact" and choice % 2 else "updated"
        told = {
            "event": event,
            "timestamp": self.city.netbox.now.isoformat(),
            "object_type": "dcim.rack" if kind == "rack" else "tenancy.contact",
            "data": {**shown, "name": f"name {choice} at {len(self.city.netbox.log)}"},
        }
        self.city.netbox.apply(json.dumps(told).encode())


@given(histories)
def test_the_register_is_what_netbox_is(history: list[tuple[tuple[str, int], list[int]]]) -> None:
    async def run() -> None:
        told = Told()
        await told.city.load()
        for time, ((kind, choice), delays) in enumerate(history):
            await told.step(time, kind, choice, delays)
        await told.arrive(NEVER - 1)
        await told.city.pull()
        await told.city.puller.compare(allowed=NEVER)
        assert told.city.active == told.city.truth
        # those that come after all of it undo nothing of what was there when it began
        before = told.city.active
        await told.arrive(2 * NEVER)
        assert {key: told.city.active.get(key) for key in before} == before
        await told.city.puller.compare(allowed=NEVER)
        assert told.city.active == told.city.truth

    asyncio.run(run())
