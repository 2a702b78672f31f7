# SPDX-License-Identifier: Apache-2.0
"""The parts of the devstack that need no server: secrets, ports, logs, state, jars and the rights of a system user."""

import json
import os
import shutil
import socket
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
from rich.progress import Progress

from libs.devstack import DevstackError, Stack, down, errors, jars, load, state, up
from libs.devstack.credentials import Credentials, write_private
from libs.devstack.ports import Ports
from libs.devstack.processes import ProcessId, User, telling_line
from libs.devstack.system_user import let_through


def get_secret(data: Path) -> str:
    return Credentials(data).get("one")


def test_a_secret_is_made_once_however_many_ask(tmp_path: Path) -> None:
    with ProcessPoolExecutor(4) as pool:
        made = set(pool.map(get_secret, [tmp_path] * 8))
    assert len(made) == 1
    assert len(made.pop()) == 43
    file = tmp_path / "credentials" / "secrets.json"
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_lost_secret_is_not_made_anew(tmp_path: Path) -> None:
    with pytest.raises(DevstackError, match="'kafka/admin' is not in"):
        Credentials(tmp_path).require("kafka/admin")


def test_a_secrets_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    get_secret(tmp_path)
    (tmp_path / "credentials" / "secrets.json").chmod(0o644)
    with pytest.raises(DevstackError, match=r"may be read by other users \(mode 0644\)"):
        get_secret(tmp_path)


def test_a_broken_secrets_file_is_never_overwritten(tmp_path: Path) -> None:
    file = tmp_path / "credentials" / "secrets.json"
    file.parent.mkdir()
    write_private(file, "{broken")
    with pytest.raises(DevstackError, match="it is not JSON"):
        get_secret(tmp_path)
    assert file.read_text() == "{broken"


def test_the_dsn_quotes_what_it_holds(tmp_path: Path) -> None:
    stack = Stack(tmp_path, kafka_port=1, postgres_port=2, supervisor_pid=3, kafka_pid=4, postgres_pid=5)
    password = stack.postgres_password("a role")
    assert stack.postgres_dsn("a role", "d/b") == f"postgresql://a%20role:{password}@127.0.0.1:2/d%2Fb"
    with pytest.raises(DevstackError, match="There is no Kafka account 'broker': the accounts are admin, "):
        stack.kafka_account("broker")


def test_held_ports_differ_and_a_server_may_still_listen_on_them() -> None:
    ports = Ports()
    taken = [ports.take(f"service-{number}", None, None) for number in range(50)]
    assert len(set(taken)) == 50
    with socket.create_server(("127.0.0.1", taken[0])) as server:
        server.listen()
    with pytest.raises(DevstackError, match="may not be opened"):
        ports.take("far", 70000, None)


def test_the_port_of_last_time_is_kept_unless_it_is_taken() -> None:
    before = Ports().take("a", None, None)
    assert Ports().take("a", None, before) == before
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = server.getsockname()[1]
        assert Ports().take("a", None, taken) != taken
        with pytest.raises(DevstackError, match=f"Port {taken} on 127.0.0.1, asked for a, is already taken"):
            Ports().take("a", taken, None)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", ""),
        ("one\ntwo\n", "two"),
        (
            "a\nERROR no room\n  at x.Y\nCaused by: z.IOException: broken\n\tat x.Z\n\t... 3 more\n",
            "IOException: broken",
        ),
        ("LOG: x\nFATAL:  could not start\nLOG: bye", "FATAL:  could not start"),
    ],
)
def test_the_line_of_a_log_that_tells_most(text: str, line: str) -> None:
    assert telling_line(text).endswith(line)


def test_a_reused_pid_is_not_the_same_process() -> None:
    me = ProcessId.of(os.getpid())
    assert me.find() is not None
    assert ProcessId(me.pid, me.created - 60).find() is None


def test_the_lock_tells_its_holder_and_ends_with_it(tmp_path: Path) -> None:
    assert state.lock_holder(tmp_path) is None
    lock = state.try_lock(tmp_path)
    assert lock is not None
    assert state.try_lock(tmp_path) is None
    assert state.lock_holder(tmp_path) == os.getpid()
    os.close(lock)
    assert state.lock_holder(tmp_path) is None


def test_a_stale_stack_file_is_cleared(tmp_path: Path) -> None:
    gone = ProcessId(os.getpid(), 1.0)
    state.remember(tmp_path, {"kafka": 1, "postgres": 2}, {"supervisor": gone, "kafka": gone, "postgres": gone})
    with pytest.raises(DevstackError, match="No stack is running"):
        load(tmp_path)
    assert down(tmp_path) is False
    assert not (tmp_path / "stack.json").exists()
    assert json.loads((tmp_path / "ports.json").read_text()) == {"kafka": 1, "postgres": 2}


def test_down_and_load_make_no_folder(tmp_path: Path) -> None:
    assert down(tmp_path / "none") is False
    with pytest.raises(DevstackError, match="No stack is running"):
        load(tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DevstackError, match="cannot be used for the data"):
        up(tmp_path / "file")


def test_every_jar_is_locked_with_its_size_and_hash() -> None:
    lock = jars.load_lock()
    names = [jar.name for jar in lock.jars]
    assert f"kafka_2.13-{lock.kafka}.jar" in names
    assert f"kafka-clients-{lock.kafka}.jar" in names
    assert any(name.startswith("log4j-slf4j-impl-") for name in names)
    assert len(set(names)) == len(names)
    assert all(len(jar.sha256) == 64 and jar.size > 0 for jar in lock.jars)


def test_missing_jars_are_fetched_and_bars_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    have = {file.name: file for file in jars.ensure_jars()}
    lock = jars.Lock("4.4.0", tuple(sorted(jars.load_lock().jars, key=lambda jar: jar.size)[:3]))
    asked = []

    def download(jar: jars.Jar, repository: Path, bars: Progress) -> Path:
        asked.append(jar.name)
        with jars._reporter(bars)(jar.name, jar.size) as count:
            count(jar.size)
        repository.mkdir(exist_ok=True)
        return Path(shutil.copyfile(have[jar.name], repository / jar.name))

    monkeypatch.setattr(jars, "load_lock", lambda: lock)
    monkeypatch.setattr(jars, "_download", download)
    monkeypatch.setenv("DAICHO_CACHE", str(tmp_path))
    monkeypatch.setenv("M2_REPO", str(tmp_path / "none"))
    with Progress(disable=True) as bars:
        got = jars.ensure_jars(bars)
        assert [task.completed for task in bars.tasks] == [sum(jar.size for jar in lock.jars)]
    assert asked == [jar.name for jar in lock.jars]
    assert jars.ensure_jars() == got
    got[1].unlink()
    jars.ensure_jars()
    assert asked[3:] == [lock.jars[1].name]
    jars.ensure_jars(refresh=True)
    assert len(asked) == 7


def test_an_altered_download_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(jar: jars.Jar, repository: Path, bars: Progress) -> Path:
        file = tmp_path / "wrong"
        file.write_text("not a jar")
        return file

    monkeypatch.setattr(jars, "_download", download)
    monkeypatch.setenv("DAICHO_CACHE", str(tmp_path))
    monkeypatch.setenv("M2_REPO", str(tmp_path / "none"))
    with pytest.raises(DevstackError, match="was downloaded, but is not the one that was tested"):
        jars.ensure_jars()


def test_a_full_cache_disk_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(jars, "_fetch", full)
    monkeypatch.setenv("DAICHO_CACHE", str(tmp_path))
    with pytest.raises(DevstackError, match=r"The jars cannot be kept in .* \(its disk is full\)"):
        jars.ensure_jars()


@pytest.mark.skipif(os.geteuid() != 0, reason="changes rights")
def test_a_system_user_gets_passage_and_nothing_more(tmp_path: Path) -> None:
    folder = tmp_path / "closed" / "inner"
    folder.mkdir(parents=True, mode=0o700)
    (folder / "file").write_text("")
    folder.parent.chmod(0o700)
    folder.chmod(0o700)
    let_through(folder, User(65534, 65534))
    let_through(folder, User(65534, 65534))
    let_through(folder, User(65533, 65533))
    for user in ("65534", "65533"):
        as_user = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "sh", "-c"]
        assert subprocess.run([*as_user, f"test -e {folder}/file"], check=False).returncode == 0
        assert subprocess.run([*as_user, f"ls {folder}"], capture_output=True, check=False).returncode != 0
        assert subprocess.run([*as_user, f"touch {folder}/new"], capture_output=True, check=False).returncode != 0
    assert folder.stat().st_mode & 0o007 == 0


def test_a_child_whose_parent_has_gone_does_not_start() -> None:
    child = Path(errors.__file__).with_name("child.py")
    command = [sys.executable, "-I", "-S", str(child), "9", "1", "-1", "-1", "/bin/echo", "started"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (1, "")
