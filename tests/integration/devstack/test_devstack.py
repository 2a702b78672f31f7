# SPDX-License-Identifier: Apache-2.0
"""Real stacks: start, stop, restart, two at once, killed owners and supervisors, and each way that a start can fail."""

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import asyncpg
import psutil
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaConnectionError, TopicAuthorizationFailedError

from libs.devstack import KAFKA_ACCOUNTS, DevstackError, Stack, devstack, down, load, up
from libs.devstack import stack as stack_module
from libs.devstack.jars import ensure_jars

ROOT = Path(__file__).resolve().parents[3]
LeftOn = Callable[[Path], list[psutil.Process]]


def client(stack: Stack, account: str, **changed: str) -> dict[str, str]:
    user, password = stack.kafka_account(account)
    return {
        "bootstrap_servers": stack.kafka_bootstrap,
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": user,
        "sasl_plain_password": password,
    } | changed


async def make_topic(stack: Stack, topic: str) -> None:
    admin = AIOKafkaAdminClient(**client(stack, "admin"))
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, 1, 1)])
    finally:
        await admin.close()


async def send(stack: Stack, topic: str, value: bytes, **settings: str) -> None:
    producer = AIOKafkaProducer(**client(stack, "admin"), **settings)
    await producer.start()
    try:
        await producer.send_and_wait(topic, value)
    finally:
        await producer.stop()


async def receive(stack: Stack, topic: str, count: int) -> list[bytes]:
    consumer = AIOKafkaConsumer(topic, **client(stack, "admin"), group_id="test", auto_offset_reset="earliest")
    await consumer.start()
    try:
        return [(await asyncio.wait_for(consumer.getone(), 20)).value for _ in range(count)]
    finally:
        await consumer.stop()


async def sql(stack: Stack, statement: str) -> object:
    connection = await asyncpg.connect(stack.postgres_dsn("postgres", "postgres"))
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


def await_none(left_on: LeftOn, data: Path, seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while left := left_on(data):
        assert time.monotonic() < deadline, [(one.pid, one.cmdline()) for one in left]
        time.sleep(0.05)


def in_other_process(code: str, *arguments: str, **environment: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


OWNER = """
import sys, time
from pathlib import Path
from libs.devstack import devstack
with devstack(Path(sys.argv[1])) as stack:
    print("ready", flush=True)
    time.sleep(600)
"""

ONCE = """
import os, sys
from pathlib import Path
from libs.devstack import devstack
with devstack(Path(sys.argv[1])) as stack:
    print(os.stat(f"/proc/{stack.kafka_pid}").st_uid)
"""

NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]


async def test_data_survive_a_restart_on_other_ports(data: Path, left_on: LeftOn) -> None:
    with devstack(data) as first:
        await make_topic(first, "kept")
        await send(first, "kept", b"one", compression_type="gzip")
        await sql(first, "create table kept as select 42 as answer")
    assert left_on(data) == []
    (data / "ports.json").unlink()
    blocker = socket.create_server(("127.0.0.1", first.kafka_port))
    with blocker, devstack(data) as second:
        assert second.kafka_port != first.kafka_port
        await send(second, "kept", b"two", transactional_id=None, compression_type="zstd")
        assert await receive(second, "kept", 2) == [b"one", b"two"]
        assert await sql(second, "select answer from kept") == 42
    assert left_on(data) == []


async def test_two_stacks_at_once_do_not_meet(stack: Stack, data: Path) -> None:
    with devstack(data) as other:
        assert not {stack.kafka_port, stack.postgres_port} & {other.kafka_port, other.postgres_port}
        await make_topic(stack, "devstack-here")
        await make_topic(other, "devstack-there")
        admin = AIOKafkaAdminClient(**client(other, "admin"))
        await admin.start()
        topics = await admin.list_topics()
        await admin.close()
        assert "devstack-there" in topics
        assert "devstack-here" not in topics
        strange = client(other, "admin", sasl_plain_password=stack.kafka_account("admin")[1])
        with pytest.raises(KafkaConnectionError):
            await AIOKafkaProducer(**strange).start()


async def test_every_door_asks_for_a_password(stack: Stack) -> None:
    for wrong in (client(stack, "reader", sasl_plain_password="wrong"), {"bootstrap_servers": stack.kafka_bootstrap}):
        producer = AIOKafkaProducer(**wrong)
        with pytest.raises(KafkaConnectionError):
            await producer.start()
        await producer.stop()
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(stack.postgres_dsn("postgres", "postgres"), password="wrong")
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(stack.postgres_dsn("nobody", "postgres"))


async def test_an_account_has_no_right_until_it_is_given_one(stack: Stack) -> None:
    await make_topic(stack, "devstack-closed")
    producer = AIOKafkaProducer(**client(stack, "reader"))
    await producer.start()
    with pytest.raises(TopicAuthorizationFailedError):
        await producer.send_and_wait("devstack-closed", b"x")
    await producer.stop()


def test_listens_on_loopback_only(stack: Stack) -> None:
    for pid in (stack.kafka_pid, stack.postgres_pid):
        listening = [one for one in psutil.Process(pid).net_connections() if one.status == psutil.CONN_LISTEN]
        assert listening
        assert {one.laddr.ip for one in listening} == {"127.0.0.1"}


def test_secrets_are_private_and_on_no_command_line(stack: Stack, left_on: LeftOn) -> None:
    assert stack.secret("made-now") == stack.secret("made-now") != stack.secret("other")
    folder = stack.data / "credentials"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o600}
    known = set(json.loads((folder / "secrets.json").read_text()).values())
    assert {stack.kafka_account(name)[1] for name in KAFKA_ACCOUNTS} <= known
    shown = " ".join(" ".join([*one.cmdline(), *one.environ().values()]) for one in left_on(stack.data))
    assert not [secret for secret in known if secret in shown]
    for file in stack.data.rglob("*"):
        if file.is_file() and file.stat().st_mode & 0o077:
            content = file.read_bytes()
            assert not [secret for secret in known if secret.encode() in content], file


def test_up_goes_on_and_down_stops(data: Path, left_on: LeftOn) -> None:
    starter = in_other_process(
        "import sys, pathlib; from libs.devstack import up; up(pathlib.Path(sys.argv[1]))", str(data)
    )
    assert starter.wait(60) == 0, starter.communicate()
    running = load(data)
    assert psutil.pid_exists(running.kafka_pid)
    with pytest.raises(DevstackError, match="in use by another running stack"):
        up(data)
    assert load(data) == running
    assert down(data) is True
    assert left_on(data) == []
    assert down(data) is False
    with pytest.raises(DevstackError, match="No stack is running"):
        load(data)


def test_a_killed_owner_leaves_no_process(data: Path, left_on: LeftOn) -> None:
    owner = in_other_process(OWNER, str(data))
    assert owner.stdout is not None
    assert owner.stdout.readline() == "ready\n"
    assert len(left_on(data)) >= 4
    owner.kill()
    owner.wait()
    await_none(left_on, data)


def test_an_owner_killed_while_starting_leaves_no_process(data: Path, left_on: LeftOn) -> None:
    owner = in_other_process(OWNER, str(data))
    deadline = time.monotonic() + 30
    while not any("java" in one.name() for one in left_on(data)):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    owner.kill()
    owner.wait()
    await_none(left_on, data)


async def test_a_killed_supervisor_leaves_no_process_and_the_data_recover(data: Path, left_on: LeftOn) -> None:
    running = up(data)
    await make_topic(running, "kept")
    await send(running, "kept", b"one")
    await sql(running, "create table kept as select 42 as answer")
    os.kill(running.supervisor_pid, signal.SIGKILL)
    await_none(left_on, data)
    with pytest.raises(DevstackError, match="No stack is running"):
        load(data)
    with devstack(data) as again:
        assert await receive(again, "kept", 1) == [b"one"]
        assert await sql(again, "select answer from kept") == 42


def test_one_server_that_ends_takes_the_other_with_it(data: Path, left_on: LeftOn) -> None:
    running = up(data)
    os.kill(running.kafka_pid, signal.SIGKILL)
    await_none(left_on, data)
    assert "Apache Kafka stopped" in (data / "logs" / "supervisor.log").read_text()


@pytest.mark.parametrize("service", ["kafka", "postgres"])
def test_a_taken_port(data: Path, left_on: LeftOn, service: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        asked = {"kafka_port": port} if service == "kafka" else {"postgres_port": port}
        with pytest.raises(DevstackError, match=rf"^Port {port} on 127\.0\.0\.1, .* is already taken: .*\.$"):
            up(data, **asked)
    assert left_on(data) == []


def test_a_full_disk_is_seen_before_the_start(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(data.parent)
    monkeypatch.setattr(stack_module.shutil, "disk_usage", lambda _: usage._replace(free=3 * 2**20))
    with pytest.raises(DevstackError, match=r"has 3 MiB free, and 512 MiB are needed: make room"):
        up(data)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small file system")
def test_a_disk_that_runs_full_while_starting(data: Path, left_on: LeftOn, monkeypatch: pytest.MonkeyPatch) -> None:
    data.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=24m,mode=700", "daicho-test", str(data)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("this machine allows no mount")
    try:
        monkeypatch.setattr(stack_module, "FIRST_START_NEEDS", 0)
        with pytest.raises(DevstackError, match=r"the disk that holds .* is full: make room"):
            up(data)
        assert left_on(data) == []
    finally:
        subprocess.run(["umount", str(data)], check=True)


def test_an_altered_jar_is_refused(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jars = ensure_jars()
    copy = tmp_path / "cache" / "jars" / jars[0].parent.name
    shutil.copytree(jars[0].parent, copy)
    with (copy / jars[7].name).open("r+b") as jar:
        jar.seek(1000)
        jar.write(b"x")
    monkeypatch.setenv("DAICHO_CACHE", str(tmp_path / "cache"))
    with pytest.raises(DevstackError, match=rf"{jars[7].name} is not the one that was tested .*--refresh-jars"):
        up(data)


OFFLINE = {
    "http_proxy": "http://127.0.0.1:9",
    "https_proxy": "http://127.0.0.1:9",
    "HTTP_PROXY": "http://127.0.0.1:9",
    "HTTPS_PROXY": "http://127.0.0.1:9",
    "no_proxy": "",
    "NO_PROXY": "",
}


def test_a_missing_jar_with_no_network(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jars = ensure_jars()
    copy = tmp_path / "cache" / "jars" / jars[0].parent.name
    shutil.copytree(jars[0].parent, copy)
    (copy / jars[3].name).unlink()
    for name, value in OFFLINE.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("M2_REPO", str(tmp_path / "no-maven-here"))
    monkeypatch.setenv("DAICHO_CACHE", str(tmp_path / "cache"))
    with pytest.raises(
        DevstackError, match=rf"^The jar {jars[3].name} is missing from .* \(no network\): connect .*\.$"
    ):
        up(data)
    assert [file.name for file in copy.iterdir() if file.name.startswith("tmp")] == []


def test_a_start_with_a_warm_cache_needs_no_network(data: Path, tmp_path: Path) -> None:
    ensure_jars()
    owner = in_other_process(ONCE, str(data), M2_REPO=str(tmp_path / "no-maven-here"), **OFFLINE)
    said, failed = owner.communicate(timeout=60)
    assert (owner.returncode, said) == (0, f"{os.geteuid()}\n"), failed


def python_for_everybody() -> tuple[str, str] | None:
    """A Python that the user `nobody` can run, and the folder of the packages for it; None if there is none."""
    packages = sysconfig.get_path("platlib")
    for python in (sys.executable, f"/usr/bin/python3.{sys.version_info.minor}"):
        # setpriv keeps root's rights until the first exec: the shell is that first one
        command = [*NOBODY, "sh", "-c", f"PYTHONPATH={packages} exec {python} -c 'import libs.devstack'"]
        if subprocess.run(command, cwd=ROOT, capture_output=True, check=False).returncode == 0:
            return python, packages
    return None


@pytest.mark.skipif(os.geteuid() != 0, reason="changes user")
def test_started_by_a_user_who_is_not_root() -> None:
    if (found := python_for_everybody()) is None:
        pytest.skip("another user may not reach this Python or this checkout")
    python, packages = found
    home = Path(tempfile.mkdtemp())
    try:
        shutil.copytree(ensure_jars()[0].parent.parent, home / "cache" / "jars")
        for path in (home, *home.rglob("*")):
            os.chown(path, 65534, 65534)
        environment = os.environ | {"HOME": str(home), "DAICHO_CACHE": str(home / "cache"), "PYTHONPATH": packages}
        command = [*NOBODY, "sh", "-c", 'exec "$@"', "sh", python, "-c", ONCE, str(home / "data")]
        ran = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert (ran.returncode, ran.stdout) == (0, "65534\n"), ran.stderr
    finally:
        shutil.rmtree(home)
