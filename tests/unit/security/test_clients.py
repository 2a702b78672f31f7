# SPDX-License-Identifier: Apache-2.0
"""The local issuer's folder: made once, private, in step with the profile."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from libs.contracts import Profile
from libs.security import InvalidTokenError, OidcSettings, TokenVerifier
from libs.security.clients import IssuerFolder, UnknownClientError, mint_token
from libs.security.keys import KeySet
from libs.security.private_files import PrivateFileError

URL = "http://127.0.0.1:8001"
NOW = datetime(2027, 7, 1, 9, 0, tzinfo=UTC)
FILES = ("signing-key.json", "clients.json", "issuer.json")


class Known:
    def __init__(self, issuer: IssuerFolder) -> None:
        self.keys = KeySet(issuer.public_keys())

    async def key(self, kid: str | None, algorithm: str) -> object:
        return self.keys.find(kid, algorithm)


def verifier(issuer: IssuerFolder, clock: Callable[[], datetime] = lambda: NOW) -> TokenVerifier:
    return TokenVerifier(OidcSettings(issuer=URL), Known(issuer), clock)  # type: ignore[arg-type]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "issuer"


async def test_a_minted_token_is_one_that_services_take(folder: Path, profile: Profile) -> None:
    issuer = IssuerFolder.prepare(folder, URL, profile)
    office = await verifier(issuer).verify(mint_token(folder, "security-office", lambda: NOW))
    assert (office.bodies, sorted(office.roles)) == ("*", ["operator", "reader", "security_officer"])
    body = await verifier(issuer).verify(mint_token(folder, "body-fire", lambda: NOW))
    assert (body.bodies, sorted(body.roles)) == ({"fire"}, ["editor", "reader"])
    feed = await verifier(issuer).verify(mint_token(folder, "feed-netbox", lambda: NOW))
    assert (feed.feeds, feed.bodies, sorted(feed.roles)) == ({"netbox"}, {"fire"}, ["feeder"])


async def test_a_minted_token_ends(folder: Path, profile: Profile) -> None:
    issuer = IssuerFolder.prepare(folder, URL, profile, lifetime=60)
    token = mint_token(folder, "body-fire", lambda: NOW)
    with pytest.raises(InvalidTokenError, match="token_expired"):
        await verifier(issuer, lambda: NOW + timedelta(seconds=70)).verify(token)


def test_only_the_owner_may_read(folder: Path, profile: Profile) -> None:
    IssuerFolder.prepare(folder, URL, profile)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE((folder / name).stat().st_mode) for name in FILES} == {0o600}
    assert {path.name for path in folder.iterdir()} == {*FILES, "lock"}


def test_the_public_keys_hold_nothing_private(folder: Path, profile: Profile) -> None:
    issuer = IssuerFolder.prepare(folder, URL, profile)
    assert all("d" not in key for key in issuer.public_keys()["keys"])


def test_keys_and_secrets_stay_over_a_restart_at_another_address(folder: Path, profile: Profile) -> None:
    first = IssuerFolder.prepare(folder, URL, profile)
    second = IssuerFolder.prepare(folder, "http://127.0.0.1:8002", profile)
    assert second.public_keys() == first.public_keys()
    assert second.clients == first.clients
    assert second.url == "http://127.0.0.1:8002"


def test_clients_follow_the_profile(folder: Path, profile: Profile) -> None:
    before = IssuerFolder.prepare(folder, URL, profile)
    assert set(before.clients) == {"security-office", "security-office-2", "body-mayor", "body-fire", "feed-netbox"}
    smaller = profile.model_copy(update={"bodies": profile.bodies[:1], "feeds": ()})
    after = IssuerFolder.prepare(folder, URL, smaller)
    assert set(after.clients) == {"security-office", "security-office-2", "body-mayor"}
    assert after.client("body-mayor").secret == before.client("body-mayor").secret
    with pytest.raises(UnknownClientError):
        mint_token(folder, "body-fire")


def test_two_that_start_at_once_agree(folder: Path, profile: Profile) -> None:
    with ThreadPoolExecutor(8) as pool:
        issuers = list(pool.map(lambda _: IssuerFolder.prepare(folder, URL, profile), range(8)))
    assert len({json.dumps(issuer.public_keys()) for issuer in issuers}) == 1
    assert len({issuer.client("body-fire").secret for issuer in issuers}) == 1


def test_a_client_is_known_by_its_own_secret_only(folder: Path, profile: Profile) -> None:
    issuer = IssuerFolder.prepare(folder, URL, profile)
    fire = issuer.client("body-fire")
    assert issuer.authenticate("body-fire", fire.secret.get_secret_value()) == fire
    assert issuer.authenticate("body-mayor", fire.secret.get_secret_value()) is None
    assert issuer.authenticate("body-fire", "") is None
    assert issuer.authenticate("nobody", "秘密") is None


def test_secrets_do_not_show_in_a_representation(folder: Path, profile: Profile) -> None:
    issuer = IssuerFolder.prepare(folder, URL, profile)
    assert issuer.client("body-fire").secret.get_secret_value() not in repr(issuer.clients)


@pytest.mark.parametrize("name", ["signing-key.json", "clients.json"])
def test_a_file_that_others_may_read_is_refused(folder: Path, profile: Profile, name: str) -> None:
    IssuerFolder.prepare(folder, URL, profile)
    (folder / name).chmod(0o640)
    with pytest.raises(PrivateFileError, match=rf"{name} can be read by others"):
        IssuerFolder.prepare(folder, URL, profile)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("content", ["", "{", "[]", '{"a": 1}'])
def test_a_broken_file_is_one_clear_error(folder: Path, profile: Profile, name: str, content: str) -> None:
    IssuerFolder.prepare(folder, URL, profile)
    (folder / name).write_text(content)
    with pytest.raises(PrivateFileError, match=name):
        mint_token(folder, "body-fire")


def test_a_folder_without_an_issuer_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(PrivateFileError, match="start the issuer"):
        mint_token(tmp_path / "none", "body-fire")
