# SPDX-License-Identifier: Apache-2.0
"""What is put into SQL and DSNs."""

from __future__ import annotations

import hmac
from base64 import b64decode, b64encode
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from libs.contracts.words import Slug
from libs.persistence import PostgresSettings, StagingTable, dsn_for, model_base
from libs.persistence.provisioning import scram_verifier
from libs.persistence.scope import setting_of


def test_the_verifier_signs_as_the_rfc_says() -> None:
    """The exchange of RFC 7677 §3: user `user`, password `pencil`."""
    nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    message = f"n=user,r=rOprNGfwEbeRWgbNEkqO,r={nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r={nonce}"
    method, cost, keys = scram_verifier("pencil", b64decode("W22ZaJ0SNY7soEsUEjb6gQ=="), 4096).split("$")
    assert (method, cost) == ("SCRAM-SHA-256", "4096:W22ZaJ0SNY7soEsUEjb6gQ==")
    signature = hmac.digest(b64decode(keys.split(":")[1]), message.encode(), "sha256")
    assert b64encode(signature) == b"6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="


@given(
    role=st.text(min_size=1, max_size=9),
    password=st.text(min_size=1, max_size=9),
    database=st.text(min_size=1, max_size=9),
)
def test_a_dsn_keeps_its_server_and_gets_the_rest(role: str, password: str, database: str) -> None:
    parts = urlsplit(
        dsn_for("postgresql://postgres:p%40ss@127.0.0.1:5432/postgres?ssl=require", role, password, database)
    )
    assert (parts.hostname, parts.port, parts.query) == ("127.0.0.1", 5432, "ssl=require")
    assert (unquote(parts.username or ""), unquote(parts.password or "")) == (role, password)
    assert unquote(parts.path[1:]) == database


@given(st.frozensets(st.from_regex(r"\A[a-z][a-z0-9_-]{0,39}\Z"), max_size=5))
def test_a_scope_names_its_bodies_and_no_other(bodies: frozenset[Slug]) -> None:
    named = setting_of(bodies)
    assert frozenset(named.split(",")) - {""} == bodies
    assert setting_of(sorted(bodies)) == named


def test_names_of_a_staging_table_are_quoted() -> None:
    assert StagingTable('a"b', {"order": "text"}).ddl == (
        'CREATE TEMPORARY TABLE IF NOT EXISTS "a""b" ("order" text) ON COMMIT DELETE ROWS'
    )


def test_services_do_not_share_metadata() -> None:
    assert model_base().metadata is not model_base().metadata


@pytest.mark.parametrize("shown", [repr, str])
def test_settings_do_not_show_the_password(shown: object) -> None:
    assert "hunter2" not in shown(PostgresSettings(dsn=SecretStr("postgresql://x:hunter2@h/d")))  # type: ignore[operator]
