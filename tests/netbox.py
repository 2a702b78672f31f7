# SPDX-License-Identifier: Apache-2.0
"""A small NetBox: it holds the objects of `samples/netbox`, changes them as its webhooks tell, with all that no webhook told, and answers
over HTTP as NetBox 4.7 does: the change log, lists and objects, with its filters, its pages by id or offset, and its own clock.

`FakeNetbox().app` is the server's application; `serving(app)` a real server with it. `City` has the door, the pull and a register around it.
"""

from __future__ import annotations

import asyncio
import base64
import copy
import gzip
import json
import socket
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any, Final

import httpx
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from pydantic import SecretStr

from libs.contracts import FeedItem, NetboxPull, Profile
from libs.observability import Metrics
from services.inventory.domain import Link, Outcome, Register, State
from services.inventory.doors import Sent
from services.inventory.doors.netbox import read_object, read_webhook
from services.inventory.netbox_pull.client import Netbox
from services.inventory.netbox_pull.domain import Held, Progress
from services.inventory.netbox_pull.pull import Puller

SAMPLES: Final = Path(__file__).parents[1] / "samples/netbox"
TOKEN: Final = "nbt_fake.0123456789"
SECRET: Final = "harness-secret-1"
COLLECTIONS: Final = {
    "dcim/devices": "dcim.device",
    "virtualization/virtual-machines": "virtualization.virtualmachine",
}
DUMPS: Final = {"devices": "dcim.device", "virtual_machines": "virtualization.virtualmachine"}
SHOWN: Final = {
    "dcim.site": ("site",),
    "dcim.rack": ("rack",),
    "dcim.devicerole": ("role",),
    "tenancy.tenant": ("tenant",),
    "tenancy.contact": ("custom_fields", "steward"),
    "extras.tag": ("tags",),
    "ipam.ipaddress": ("primary_ip",),
}
"""Where the objects show another: what changes there changes in them without a word."""
FILTERS: Final = {
    "site_id": "dcim.site",
    "rack_id": "dcim.rack",
    "role_id": "dcim.devicerole",
    "tenant_id": "tenancy.tenant",
    "cf_steward": "tenancy.contact",
    "tag_id": "extras.tag",
    "primary_ip4_id": "ipam.ipaddress",
}
ACTIONS: Final = {"created": "create", "updated": "update", "deleted": "delete"}


def dump(name: str) -> dict[str, Any]:
    return json.loads(gzip.decompress((SAMPLES / name).read_bytes()))


def recorded_webhooks() -> list[bytes]:
    """The bodies, in the order in which they came."""
    lines = gzip.decompress((SAMPLES / "webhooks.ndjson.gz").read_bytes()).splitlines()
    return [base64.b64decode(json.loads(line)["body"]) for line in lines]


class FakeNetbox:
    """`apply` changes it as a webhook says that it was changed, `silently` without a record. `answers` go before its own, one a request;
    `asked` has the requests; `meanwhile` is called at each of them; `most_a_page` is its MAX_PAGE_SIZE."""

    def __init__(self, initial: Mapping[str, Any] | None = None) -> None:
        content = dump("initial.json.gz") if initial is None else initial
        self.objects = {
            object_type: {one["id"]: copy.deepcopy(one) for one in content[name].values()}
            for name, object_type in DUMPS.items()
        }
        self.log: list[dict[str, Any]] = []
        self.gone: set[tuple[str, int]] = set()
        self.now = datetime(2026, 11, 23, 5, 2, tzinfo=UTC)
        self.answers: list[Response] = []
        self.asked: list[str] = []
        self.meanwhile: Callable[[str], None] = lambda path: None
        self.most_a_page = 1000
        self.app = FastAPI()
        self.app.get("/api/{path:path}", response_class=Response)(self._answer)

    def apply(self, content: bytes, *, record: bool = True) -> None:
        """Change it as the webhook tells."""
        told = json.loads(content)
        object_type, data, deleted = told["object_type"], told["data"], told["event"] == "deleted"
        moment = datetime.fromisoformat(told["timestamp"])
        self.now = max(self.now, moment + timedelta(seconds=1))
        if object_type in self.objects:
            self._change(object_type, data, deleted=deleted)
        elif object_type in SHOWN:
            self._show(object_type, data, deleted=deleted)
        if deleted:
            self.gone.add((object_type, data["id"]))
        if record:
            self.record(told["event"], object_type, data["id"], moment)

    def record(self, event: str, object_type: str, number: int, moment: datetime, number_of_record: int = 0) -> None:
        """Write a record of the change log; a number below the last is of a transaction that ended late."""
        action = ACTIONS[event]
        self.log.append(
            {
                "id": number_of_record or 2 * len(self.log) + 2732,
                "time": moment.isoformat(),
                "action": {"value": action, "label": f"{action.title()}d"},
                "changed_object_type": object_type,
                "changed_object_id": number,
                "postchange_data": {"name": "what a record says is not to be believed"},
            }
        )
        self.log.sort(key=lambda one: one["id"])

    def edit(self, object_type: str, number: int, **fields: Any) -> bytes:
        """Change an object as a person would; returns the webhook of it."""
        self.now += timedelta(seconds=1, microseconds=7)
        data = {**self.objects[object_type][number], **fields, "last_updated": self.now.isoformat()}
        self.objects[object_type][number] = data
        self.record("updated", object_type, number, self.now)
        return self._webhook("updated", object_type, data)

    def delete(self, object_type: str, number: int) -> bytes:
        """Delete an object; returns the webhook of it."""
        self.now += timedelta(seconds=1, microseconds=7)
        data = self.objects[object_type].pop(number)
        self.gone.add((object_type, number))
        self.record("deleted", object_type, number, self.now)
        return self._webhook("deleted", object_type, data)

    def create(self, object_type: str, number: int, like: Mapping[str, Any]) -> bytes:
        """Make an object like another; returns the webhook of it."""
        self.now += timedelta(seconds=1, microseconds=7)
        told = {"id": number, "name": f"new-{number}", "last_updated": self.now.isoformat()}
        self.objects[object_type][number] = {**copy.deepcopy(dict(like)), **told}
        self.record("created", object_type, number, self.now)
        return self._webhook("created", object_type, self.objects[object_type][number])

    def _webhook(self, event: str, object_type: str, data: Mapping[str, Any]) -> bytes:
        told = {"event": event, "timestamp": self.now.isoformat(), "object_type": object_type, "data": data}
        return json.dumps(told, ensure_ascii=False).encode()

    def _change(self, object_type: str, data: dict[str, Any], *, deleted: bool) -> None:
        held = self.objects[object_type].get(data["id"])
        if deleted:
            self.objects[object_type].pop(data["id"], None)
        elif (object_type, data["id"]) not in self.gone and (held is None or _moment(held) <= _moment(data)):
            self.objects[object_type][data["id"]] = copy.deepcopy(data)

    def _show(self, object_type: str, data: Mapping[str, Any], *, deleted: bool) -> None:
        for objects in self.objects.values():
            for one in objects.values():
                *before, last = SHOWN[object_type]
                holder = one
                for step in before:
                    holder = holder[step]
                holder[last] = _shown(holder.get(last), data, deleted=deleted)

    async def _answer(self, path: str, request: Request) -> Response:
        self.asked.append(f"{path}?{request.url.query}")
        self.meanwhile(path)
        if self.answers:
            answer = self.answers.pop(0)
        elif request.headers.get("authorization") != f"Bearer {TOKEN}":
            answer = JSONResponse({"detail": "Invalid token"}, 403)
        else:
            answer = self._found(path.strip("/"), request)
        if "date" not in answer.headers:
            answer.headers["Date"] = format_datetime(self.now.replace(microsecond=0), usegmt=True)
        return answer

    def _found(self, path: str, request: Request) -> Response:
        if path == "core/object-changes":
            return self._listed(self.log, request)
        if path in COLLECTIONS:
            objects = self.objects[COLLECTIONS[path]]
            return self._listed([objects[number] for number in sorted(objects, key=str)], request)
        collection, _, number = path.rpartition("/")
        one = self.objects.get(COLLECTIONS.get(collection, ""), {}).get(int(number) if number.isdigit() else 0)
        return JSONResponse(one) if one else JSONResponse({"detail": "No such object matches the given query."}, 404)

    def _listed(self, objects: list[dict[str, Any]], request: Request) -> Response:
        query = request.query_params
        for name in query:
            if name in FILTERS and (FILTERS[name], int(query[name])) in self.gone and name != "cf_steward":
                return JSONResponse({name: ["Select a valid choice."]}, 400)
        found = [one for one in objects if self._fits(one, query)]
        ordering = query.get("ordering", "")
        if ordering.lstrip("-") == "id":
            found.sort(key=lambda one: one["id"], reverse=ordering.startswith("-"))
        limit, offset = min(int(query.get("limit", 50)), self.most_a_page), int(query.get("offset", 0))
        more = str(request.url.include_query_params(offset=offset + limit)) if offset + limit < len(found) else None
        page = {"count": len(found), "next": more, "previous": None, "results": found[offset : offset + limit]}
        return JSONResponse(page)

    def _fits(self, one: Mapping[str, Any], query: Any) -> bool:
        """What NetBox does not know as a filter, it passes over."""
        if (ids := query.getlist("id")) and str(one["id"]) not in ids:
            return False
        if one["id"] <= int(query.get("id__gt", 0)):
            return False
        if "time_after" in query and datetime.fromisoformat(one["time"]) < datetime.fromisoformat(query["time_after"]):
            return False
        return all(
            int(query[name]) in _numbers(one, SHOWN[object_type])
            for name, object_type in FILTERS.items()
            if name in query
        )


class City:
    """A NetBox, its webhooks' door, its pull, and a register in memory behind both."""

    def __init__(self, profile: Profile, netbox: FakeNetbox | None = None, retire_at_most: float = 0.1) -> None:
        self.netbox = netbox or FakeNetbox()
        declared = NetboxPull(url="http://127.0.0.1")
        self.feed = profile.feed_by_id["netbox"].model_copy(update={"pull": declared, "retire_at_most": retire_at_most})
        self.profile = profile
        self.register = Register(profile)
        self.links: dict[str, Link] = {}
        self.aside: set[str] = set()
        self.outcomes: list[Outcome] = []
        self.waits: list[float] = []
        self.progress: Progress | None = None
        self.metrics = Metrics()
        transport = httpx.ASGITransport(self.netbox.app)
        client = Netbox(
            httpx.AsyncClient(transport=transport), declared.url, SecretStr(TOKEN), lambda: self.netbox.now, self._sleep
        )
        self.puller = Puller(self.feed, declared, client, self, self.metrics)

    async def known(self, keys: Collection[str] | None = None) -> Mapping[str, Held]:
        return {
            key: Held(state["body"], link.source_version)
            for key, link in self.links.items()
            if not link.gone and (keys is None or key in keys) and (state := self._state(link))
        }

    async def set_aside(self, keys: Collection[str]) -> Set[str]:
        return self.aside & set(keys)

    async def take(self, items: Sequence[FeedItem]) -> None:
        for item in items:
            decision = self.register.take(item)
            self.outcomes.append(decision.outcome)
            self.links[item.source_key] = decision.link
            if decision.revisions:
                self.aside.discard(item.source_key)

    def retire(self, key: str) -> None:
        """As a person does in the register."""
        (self.links[key],) = self.register.retire(
            self.links[key].asset_id, {"actor": "office", "reason": "廃棄済み"}
        ).links
        self.aside.add(key)

    async def deliver(self, *webhooks: bytes) -> None:
        """By the door, as they are."""
        for content in webhooks:
            await self.take(read_webhook(Sent(content, self.feed)).items)

    async def load(self) -> None:
        """The first pull and comparison."""
        await self.pull()
        await self.puller.compare()

    async def pull(self) -> None:
        if self.progress is None:
            self.progress = await self.puller.begin()
        async for progress in self.puller.changes(self.progress):
            self.progress = progress

    @property
    def active(self) -> dict[str, State]:
        """The register."""
        states = {key: self._state(link) for key, link in self.links.items()}
        return {key: state for key, state in states.items() if state and state["status"] == "active"}

    @property
    def truth(self) -> dict[str, State]:
        """What a register has that is made of this NetBox as it is now."""
        register, states = Register(self.profile), {}
        for object_type, objects in self.netbox.objects.items():
            for given in objects.values():
                item = read_object(self.feed, object_type, given, self.netbox.now)
                states[item.source_key] = register.take(item).held.state or {}
        return states

    def _state(self, link: Link) -> State | None:
        return self.register.held(link.asset_id).state

    async def _sleep(self, seconds: float) -> None:
        self.waits.append(seconds)


def _moment(one: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(one["last_updated"])


def _numbers(one: Any, path: tuple[str, ...]) -> set[int]:
    for step in path:
        one = (one or {}).get(step)
    return {shown["id"] for shown in (one if isinstance(one, list) else [one]) if shown}


def _shown(held: Any, data: Mapping[str, Any], *, deleted: bool) -> Any:
    if isinstance(held, list):
        kept = [_shown(one, data, deleted=deleted) for one in held]
        return [one for one in kept if one is not None]
    if not held or held["id"] != data["id"]:
        return held
    return None if deleted else {**held, **{name: data[name] for name in held.keys() & data.keys() - {"url"}}}


@contextmanager
def serving(app: FastAPI, **tls: str) -> Iterator[str]:
    """A real server; its address."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        config = uvicorn.Config(app, date_header=False, server_header=False, log_level="error", lifespan="off", **tls)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listening])), daemon=True)
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        scheme = "https" if tls else "http"
        yield f"{scheme}://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        thread.join(10)
