# SPDX-License-Identifier: Apache-2.0
"""A NetBox pulled over HTTP into the register, by a real Kafka and PostgreSQL: lost webhooks, two workers, a restart, a person's word."""

from __future__ import annotations

import asyncio
import json
import os
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from fastapi import FastAPI, Response
from pydantic import SecretStr
from typer.testing import CliRunner, Result

from cli.instance import FEED_TOKENS
from cli.main import app
from cli.running import ISSUER, Running
from libs.bus import OffsetConsumer, Subscription, apply_topics
from libs.contracts import NetboxPull, Profile
from libs.contracts.topics import FEED
from libs.devstack import Stack
from libs.devstack.credentials import write_private
from libs.devstack.processes import ProcessId
from libs.observability import Metrics
from libs.observability.health import Health
from libs.persistence import Pool, Sessions
from libs.security import Identity, Role, create_app
from services.inventory.intake import Intake
from services.inventory.netbox_pull.api import PullApi
from services.inventory.netbox_pull.client import Netbox, NetboxError, http_client
from services.inventory.netbox_pull.room import NetboxRoom
from services.inventory.worker import FeedWriter
from tests.integration.inventory.conftest import Look, Tokens, emptied
from tests.integration.service import Service, account, environment_of, running_issuer
from tests.netbox import TOKEN, City, FakeNetbox, dump, recorded_webhooks, serving

DEVICE = "dcim.device"
ASSETS = """
SELECT link.source_key, asset.state FROM source_link link JOIN asset USING (asset_id)
WHERE link.feed = 'netbox' AND asset.status = 'active'
"""
CALLERS = {
    "office": Identity("office", "*", frozenset({Role.OPERATOR})),
    "mayor": Identity("mayor", frozenset({"mayor"}), frozenset({Role.OPERATOR})),
    "reader": Identity("reader", "*", frozenset({Role.READER, Role.SECURITY_OFFICER})),
}


def utc_now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture(scope="module")
def netbox() -> FakeNetbox:
    return FakeNetbox()


@pytest.fixture(scope="module")
def address(netbox: FakeNetbox) -> Iterator[str]:
    with serving(netbox.app) as url:
        yield url


@pytest.fixture(scope="module")
def pulling(profile: Profile, address: str) -> Profile:
    """The profile with a NetBox that is asked only when someone wishes it, but for the first time."""
    content = profile.model_dump(mode="json")
    for feed in content["feeds"]:
        if feed["id"] == "netbox":
            feed["pull"] = {"url": address, "every": 86_400}
    return Profile.model_validate(content)


class Inventory:
    """The rooms, and what a person does with them."""

    def __init__(self, http: httpx.AsyncClient, look: Look, room: Callable[[], NetboxRoom]) -> None:
        self.http = http
        self._look = look
        self._room = room

    @asynccontextmanager
    async def pulled(self) -> AsyncIterator[NetboxRoom]:
        """A process that pulls, while the block lasts."""
        room = self._room()
        task = asyncio.create_task(room.run())
        try:
            yield room
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def call(self, method: str, caller: str = "office", feed: str = "netbox", **arguments: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {caller}", "Accept-Language": "en"}
        return await self.http.request(method, f"/v1/feeds/{feed}/pull", headers=headers, **arguments)

    async def ask(self, **wanted: Any) -> dict[str, Any]:
        """Ask for a pull, and wait until it is done; the state after."""
        answer = await self.call("POST", json=wanted)
        assert answer.status_code == 202, answer.text
        return await self.until(lambda state: state["asked_at"] is None)

    async def until(self, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        async with asyncio.timeout(40):
            while not holds(state := (await self.call("GET")).json()):
                await asyncio.sleep(0.05)
        return state

    async def has(self, truth: dict[str, Any]) -> None:
        await register_is(self._look, truth)


async def register_is(look: Look, truth: dict[str, Any]) -> None:
    """Wait until the register is that, and say how it differs if it does not come to be."""
    found: dict[str, Any] = {}
    with suppress(TimeoutError):
        async with asyncio.timeout(40):
            while found != truth:
                await asyncio.sleep(0.1)
                found = {row["source_key"]: row["state"] for row in await look(ASSETS)}
    assert found == truth


@pytest.fixture
async def inventory(
    stack: Stack, pulling: Profile, pool: Pool, sessions: Sessions, look: Look, owner_dsn: str
) -> AsyncIterator[Inventory]:
    await apply_topics(account(stack, "admin"))
    kafka, metrics = account(stack, "inventory"), Metrics()
    subscription = Subscription(
        settings=kafka,
        group="inventory",
        topic=FEED.name,
        service="inventory",
        municipality=pulling.municipality,
        instance="0",
        metrics=metrics,
    )
    worker = asyncio.create_task(OffsetConsumer(subscription, pool, FeedWriter(pulling, utc_now, metrics).apply).run())
    intake = Intake(kafka, pulling, utc_now)
    feed = pulling.feed_by_id["netbox"]

    def room() -> NetboxRoom:
        return NetboxRoom(pool, feed, SecretStr(TOKEN), intake, utc_now, Metrics(), look_every=0.05)

    routes = create_app("test", Tokens(CALLERS), version="1")  # type: ignore[arg-type]
    routes.include_router(PullApi(sessions, pulling, utc_now).router())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(routes), base_url="http://inventory") as http:
        yield Inventory(http, look, room)
    worker.cancel()
    with suppress(asyncio.CancelledError):
        await worker
    await intake.stop()


async def test_lost_webhooks_restarts_two_workers_and_a_persons_word(
    inventory: Inventory, netbox: FakeNetbox, profile: Profile, look: Look
) -> None:
    city = City(profile, netbox)
    async with inventory.pulled() as first:
        await inventory.until(lambda state: state["compared_at"] is not None)
        await inventory.has(city.truth)

        # every webhook is lost
        for content in recorded_webhooks():
            netbox.apply(content)
        async with inventory.pulled() as second:
            while (await second.check()).code != "standby":
                await asyncio.sleep(0.02)
            await inventory.ask()
            real = City(profile, FakeNetbox(dump("expected.json.gz")))
            assert len(real.truth) == 393
            await inventory.has(real.truth)
            assert ((await first.check()).code, (await second.check()).ok) == (None, True)

    # another process goes on where it was, and asks for nothing that it has read
    netbox.asked.clear()
    revisions = await look("SELECT count(*) FROM asset_revision")
    async with inventory.pulled() as third:
        await inventory.ask()
        assert {one.split("?")[0].strip("/") for one in netbox.asked} == {"core/object-changes"}
        assert await look("SELECT count(*) FROM asset_revision") == revisions

        # it is away: told, and nothing else stops; it comes back: a person need not wait
        netbox.answers = [Response(status_code=403)]
        await inventory.call("POST", json={})
        await inventory.until(lambda state: state["failure"] == "refused")
        report = await Health([third], Metrics(), every=0).readiness()
        assert (report.status, report.probes[0].ok, report.probes[0].code) == ("ready", False, "refused")
        netbox.edit(DEVICE, 1, serial="BACK")
        assert (await inventory.ask())["failure"] is None
        await inventory.has(city.truth)

        # more is gone than may go unasked
        for number in list(netbox.objects[DEVICE])[:60]:
            del netbox.objects[DEVICE][number]
        state = await inventory.ask(compare=True)
        assert state["held"] == 60
        assert (await third.check()).code == "held"
        assert (await inventory.ask(retire_up_to=59))["held"] == 60
        assert (await inventory.ask(retire_up_to=60))["held"] == 0
        await inventory.has(city.truth)


async def test_the_service_pulls_and_a_command_shows_it(
    stack: Stack, pulling: Profile, owner_dsn: str, netbox: FakeNetbox, profile: Profile, look: Look, tmp_path: Path
) -> None:
    await apply_topics(account(stack, "admin"))
    await emptied(owner_dsn)
    (declared := tmp_path / "profile.yaml").write_text(pulling.model_dump_json(), encoding="utf-8")
    write_private(tokens := tmp_path / FEED_TOKENS, json.dumps({"netbox": TOKEN}))
    given = {"DAICHO_PROFILE": str(declared), "DAICHO_FEED_TOKENS_FILE": str(tokens)}

    def commanded(url: str, issuer: str, *options: str) -> Result:
        addresses = {"inventory": url, "issuer": issuer}
        Running(tmp_path, declared, stack.kafka_bootstrap, addresses, ProcessId.of(os.getpid())).remember()
        return CliRunner().invoke(app, ["feed", "pull", *options, "--data", str(tmp_path), "--lang", "en"])

    with running_issuer(tmp_path / ISSUER) as issuer:
        environment = environment_of(stack, "inventory", issuer.url) | given
        service = Service("inventory", environment, tmp_path / "inventory.log")
        await asyncio.to_thread(service.start)
        try:
            netbox.edit(DEVICE, next(iter(netbox.objects[DEVICE])), serial="TOLD")
            shown = await asyncio.to_thread(commanded, service.url, issuer.url, "netbox", "--now")
            assert shown.exit_code == 0, shown.output
            assert "wait to be retired 0" in " ".join(shown.output.split())
            truth = City(profile, netbox).truth
            await register_is(look, truth)

            # what a person retires stays so, though NetBox has it still
            key, asset = truth.popitem()
            place = f"{service.url}/v1/assets/{asset['asset_id']}"
            headers = {"Authorization": f"Bearer {issuer.token('body-' + asset['body'])}"}
            async with httpx.AsyncClient(headers=headers) as http:
                match = {"If-Match": (await http.get(place)).headers["ETag"]}
                retired = await http.post(f"{place}/retire", json={"reason": "廃棄済み"}, headers=match)
                assert retired.status_code == 200, retired.text
            kept = await asyncio.to_thread(commanded, service.url, issuer.url, "netbox", "--compare")
            assert kept.exit_code == 0, kept.output
            netbox.edit(DEVICE, next(iter(netbox.objects[DEVICE])), serial="TOLD AFTER")
            await asyncio.to_thread(commanded, service.url, issuer.url, "netbox", "--now")
            truth = City(profile, netbox).truth
            await register_is(look, {one: state for one, state in truth.items() if one != key})

            netbox.meanwhile = lambda path: netbox.answers.append(Response(status_code=401))
            refused = await asyncio.to_thread(commanded, service.url, issuer.url, "netbox", "--compare")
            assert refused.exit_code != 0
            assert "The source refuses the token." in " ".join(refused.output.split())
            no_pull = await asyncio.to_thread(commanded, service.url, issuer.url, "cmdb")
            assert "declares nowhere to pull from" in " ".join(no_pull.output.split())
            async with httpx.AsyncClient() as http:
                ready = (await http.get(f"{service.url}/health/ready")).json()
            assert (ready["status"], next(one for one in ready["probes"] if one["name"] == "pull netbox")["ok"]) == (
                "ready",
                False,
            )
        finally:
            netbox.meanwhile = lambda path: None
            netbox.answers.clear()
            assert await asyncio.to_thread(service.stop) == 0
    assert TOKEN not in service.log


@pytest.mark.parametrize(
    ("caller", "feed", "status"),
    [("reader", "netbox", 403), ("mayor", "netbox", 403), ("office", "nowhere", 403), ("office", "cmdb", 404)],
)
async def test_who_may_ask_for_a_pull(inventory: Inventory, caller: str, feed: str, status: int) -> None:
    for method, content in (("GET", {}), ("POST", {"json": {}})):
        answer = await inventory.call(method, caller, feed, **content)
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("wanted", [{"retire_up_to": -1}, {"retire_up_to": 2**40}, {"now": True}, {"compare": "x"}])
async def test_what_is_no_wish_is_refused_with_its_field(inventory: Inventory, wanted: dict[str, Any]) -> None:
    answer = await inventory.call("POST", json=wanted)
    assert answer.status_code == 422
    assert [one["field"] for one in answer.json()["errors"]] == [f"/{name}" for name in wanted]


async def test_a_feed_without_a_token_is_told_and_asks_for_nothing(
    pool: Pool, pulling: Profile, inventory: Inventory, netbox: FakeNetbox, owner_dsn: str
) -> None:
    await emptied(owner_dsn)
    netbox.asked.clear()
    intake: Any = None
    room = NetboxRoom(pool, pulling.feed_by_id["netbox"], None, intake, utc_now, Metrics())
    task = asyncio.create_task(room.run())
    await asyncio.sleep(0.1)
    assert (await room.check()).code == "no-token"
    assert netbox.asked == []
    task.cancel()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Of a city's own authority: a certificate for localhost, and its key."""
    folder, key = tmp_path_factory.mktemp("tls"), ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(utc_now() - timedelta(days=1))
        .not_valid_after(utc_now() + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    files = folder / "certificate.pem", folder / "key.pem"
    files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private = serialization.PrivateFormat.PKCS8
    files[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, private, serialization.NoEncryption()))
    return files


async def test_a_certificate_must_be_one_that_is_trusted(certificate: tuple[Path, Path], netbox: FakeNetbox) -> None:
    file, key = map(str, certificate)

    async def slept(_: float) -> None:
        return

    async def asked(pull: NetboxPull) -> None:
        async with http_client(pull) as http:
            await Netbox(http, pull.url, SecretStr(TOKEN), utc_now, slept).newest_change()

    with serving(netbox.app, ssl_certfile=file, ssl_keyfile=key) as url:
        there = url.replace("127.0.0.1", "localhost")
        await asked(NetboxPull(url=there, ca_file=file))
        for pull in (NetboxPull(url=there), NetboxPull(url=url, ca_file=file)):
            with pytest.raises(NetboxError) as raised:
                await asked(pull)
            assert raised.value.code == "unreachable"
            assert isinstance(raised.value.__cause__, httpx.ConnectError | ssl.SSLError)


async def test_an_address_that_does_not_answer_as_http_does_is_unreachable() -> None:

    async def slept(_: float) -> None:
        return

    with serving(FastAPI()) as url:
        pass
    async with http_client(NetboxPull(url=url)) as http:
        with pytest.raises(NetboxError) as raised:
            await Netbox(http, url, SecretStr(TOKEN), utc_now, slept).newest_change()
    assert raised.value.code == "unreachable"
    assert TOKEN not in str(raised.value)
