# SPDX-License-Identifier: Apache-2.0
"""Every failure is one sentence in the person's language, with an exit code and no traceback."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.command import command, group
from cli.errors import MISUSED, CliError
from cli.language import current, of_environment
from cli.main import app
from libs.devstack import DevstackError
from libs.devstack.processes import ProcessId

run = CliRunner().invoke


def failing(error: BaseException):
    trial = group("daicho")

    def fail() -> None:
        raise error

    command(trial, "fail", "cli.help.up")(fail)
    command(trial, "other", "cli.help.up")(fail)
    return trial


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (CliError("cli.not_running", data="d"), 1, "No instance is running on d: start one with daicho up."),
        (
            CliError("cli.unknown_body", code=MISUSED, body="x", known="a"),
            2,
            "The body x is not declared: use one of a.",
        ),
        (DevstackError("The disk is full."), 1, "The disk is full."),
        (
            ValueError("odd\nthing"),
            1,
            "Something unexpected failed (ValueError: odd thing): set DAICHO_TRACEBACK to see where.",
        ),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_a_failure_is_one_sentence_and_a_code(error, code, sentence, monkeypatch):
    monkeypatch.delenv("DAICHO_TRACEBACK", raising=False)
    result = run(failing(error), ["fail", "--lang", "en"])
    assert (result.exit_code, result.stderr.strip(), result.stdout) == (code, sentence, "")


def test_the_traceback_is_there_for_who_asks_for_it(monkeypatch):
    monkeypatch.setenv("DAICHO_TRACEBACK", "1")
    result = run(failing(ValueError("odd")), ["fail"])
    assert isinstance(result.exception, ValueError)


@pytest.mark.parametrize(
    ("environment", "language"),
    [
        ({"LANG": "ja_JP.UTF-8"}, "ja"),
        ({"LANG": "en_GB.UTF-8"}, "en"),
        ({"LANG": "C.UTF-8"}, "en"),
        ({}, "en"),
        ({"LANG": "ja_JP.UTF-8", "LC_ALL": "C"}, "en"),
        ({"LANG": "en_US.UTF-8", "LC_MESSAGES": "ja_JP.UTF-8"}, "ja"),
        ({"LANG": "ja_JP.UTF-8", "LC_ALL": ""}, "ja"),
    ],
)
def test_the_language_is_that_of_the_locale(environment, language):
    assert of_environment(environment) == language


def test_the_option_goes_before_the_locale_for_one_command_only(tmp_path, monkeypatch):
    for name in ("LC_ALL", "LC_MESSAGES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", "C")
    data = str(tmp_path)
    assert "では何も動いていません" in run(app, ["status", "--data", data, "--lang", "ja"]).stderr
    assert "No instance is running" in run(app, ["status", "--data", data]).stderr
    assert current() == "en"


def test_a_language_that_is_not_spoken_is_refused():
    result = run(app, ["status", "--lang", "fr"])
    assert result.exit_code == 2
    assert "--lang" in result.stderr


@pytest.mark.parametrize(
    "arguments", [["status"], ["down"], ["token"], ["admin", "apply"], ["tail", "assets", "--body", "fire"]]
)
def test_every_command_says_when_nothing_runs(arguments, tmp_path, monkeypatch):
    monkeypatch.delenv("DAICHO_KAFKA__BOOTSTRAP", raising=False)
    result = run(app, [*arguments, "--data", str(tmp_path / "none"), "--lang", "en"])
    assert (result.exit_code, result.stderr.strip()) == (
        1,
        f"No instance is running on {tmp_path / 'none'}: start one with daicho up.",
    )
    assert list(tmp_path.iterdir()) == []


def test_an_instance_that_was_killed_is_not_running(tmp_path):
    gone = ProcessId(pid=os.getpid(), created=1.0).__dict__
    known = {"profile": "p", "kafka": "k", "addresses": {}, "supervisor": gone, "processes": {}}
    (tmp_path / "instance.json").write_text(json.dumps(known), encoding="utf-8")
    assert run(app, ["status", "--data", str(tmp_path)]).exit_code == 1


@pytest.mark.parametrize("content", ["", "[]", "{", "{}", '{"supervisor": {}}'])
def test_a_spoilt_instance_file_is_as_none(tmp_path: Path, content: str):
    (tmp_path / "instance.json").write_text(content, encoding="utf-8")
    assert run(app, ["status", "--data", str(tmp_path)]).exit_code == 1


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "cannot be read"),
        (b"\xff\xfe", "is not YAML in UTF-8"),
        (b"a: [", "is not YAML in UTF-8"),
        (b"[]", "is not valid at -"),
        (b'municipality: "990018"', "is not valid at municipality (Value error, the check digit"),
    ],
)
def test_a_profile_that_cannot_be_used_starts_nothing(tmp_path: Path, content: bytes | None, says: str):
    profile = tmp_path / "profile.yaml"
    if content is not None:
        profile.write_bytes(content)
    result = run(app, ["up", "--profile", str(profile), "--data", str(tmp_path / "data"), "--lang", "en"])
    assert result.exit_code == 2
    assert says in " ".join(result.stderr.split())
    assert not (tmp_path / "data").exists()


def test_every_command_has_its_help():
    for arguments in (["--help"], ["tail", "--help"], ["up", "--help"], ["tail", "obligations", "--help"]):
        result = run(app, arguments)
        assert result.exit_code == 0
        assert "--help" in result.stdout
