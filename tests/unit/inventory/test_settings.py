# SPDX-License-Identifier: Apache-2.0
"""What the environment and the file of secrets tell the service."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from libs.security.private_files import PrivateFileError
from services.inventory.settings import Settings

NEEDED = {
    "DAICHO_PROFILE": "profile.yaml",
    "DAICHO_KAFKA__BOOTSTRAP": "127.0.0.1:9092",
    "DAICHO_POSTGRES__DSN": "postgresql://inventory:secret@127.0.0.1/inventory",
    "DAICHO_OIDC__ISSUER": "http://127.0.0.1:9000",
}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name, value in NEEDED.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def secrets(settings: Settings) -> dict[str, str]:
    return {feed: secret.get_secret_value() for feed, secret in settings.read_feed_secrets().items()}


def test_a_feed_has_its_secret_by_a_variable_of_its_own_or_all_have_theirs_in_one(
    environment: pytest.MonkeyPatch,
) -> None:
    environment.setenv("DAICHO_FEED_SECRETS__NETBOX", "one")
    assert secrets(Settings()) == {"netbox": "one"}

    environment.delenv("DAICHO_FEED_SECRETS__NETBOX")
    environment.setenv("DAICHO_FEED_SECRETS", json.dumps({"netbox": "two", "glpi": "three"}))
    assert secrets(Settings()) == {"netbox": "two", "glpi": "three"}


def test_a_file_of_secrets_is_read_if_it_is_private_and_the_environment_goes_over_it(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "secrets.json"
    file.write_text(json.dumps({"netbox": "kept", "glpi": "too"}))
    file.chmod(0o600)
    environment.setenv("DAICHO_FEED_SECRETS_FILE", str(file))
    environment.setenv("DAICHO_FEED_SECRETS__NETBOX", "newer")
    assert secrets(Settings()) == {"netbox": "newer", "glpi": "too"}

    file.chmod(0o644)
    with pytest.raises(PrivateFileError, match="600"):
        Settings().read_feed_secrets()


def test_no_secret_is_shown(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("DAICHO_FEED_SECRETS__NETBOX", "hush-hush")
    assert "hush-hush" not in repr(Settings())
    assert "secret@" not in repr(Settings())


def test_tokens_of_sources_that_are_pulled_are_given_as_secrets_are(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "tokens.json"
    file.write_text(json.dumps({"netbox": "kept", "other": "too"}))
    file.chmod(0o600)
    environment.setenv("DAICHO_FEED_TOKENS_FILE", str(file))
    environment.setenv("DAICHO_FEED_TOKENS__NETBOX", "hush-hush")

    settings = Settings()
    tokens = {feed: token.get_secret_value() for feed, token in settings.read_feed_tokens().items()}
    assert tokens == {"netbox": "hush-hush", "other": "too"}
    assert "hush" not in repr(settings)
    assert secrets(settings) == {}


def test_an_instance_may_add_to_the_columns_of_ledgers(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert "帳票名" not in Settings().read_ledger_columns().of("ledger").by_header

    file = tmp_path / "columns.yaml"
    file.write_text("every_feed: {also: {情報資産名: [帳票名]}}", encoding="utf-8")
    environment.setenv("DAICHO_LEDGER_COLUMNS", str(file))
    assert Settings().read_ledger_columns().of("ledger").by_header["帳票名"] == "情報資産名"
