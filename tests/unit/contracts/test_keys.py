# SPDX-License-Identifier: Apache-2.0
"""Keys and ids: what they take apart, what they refuse."""

from uuid import NAMESPACE_URL, uuid5

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.contracts import Key, asset_id, make_key, network_of, parse_key

slugs = st.from_regex(r"\A[a-z][a-z0-9_-]{0,39}\Z")


@given(network=slugs, body=slugs, rest=st.text(min_size=1, max_size=200).filter(str.isprintable))
def test_a_key_comes_apart_as_it_was_made(network: str, body: str, rest: str) -> None:
    key = make_key(network, body, rest)

    assert parse_key(key) == Key(network, body, rest)
    assert network_of(key) == network.encode()


@pytest.mark.parametrize(
    "key", [b"", b"mayor", b"mayor/election", b"mayor//x", b"/election/x", b"mayor/election/", b"\xff/a/b"]
)
def test_a_malformed_key_is_refused(key: bytes) -> None:
    with pytest.raises(ValueError):
        parse_key(key)


def test_a_source_key_may_hold_slashes() -> None:
    assert parse_key(make_key("mayor", "election", "cmdb", "a/b")).rest == "cmdb/a/b"


def test_an_asset_is_known_before_it_is_seen() -> None:
    assert asset_id("990019", "cmdb", "S-1") == asset_id("990019", "cmdb", "S-1")
    assert asset_id("990019", "cmdb", "S-1") != asset_id("990019", "ledger", "S-1")


@given(st.text(max_size=20), st.text(max_size=20))
def test_an_asset_id_is_a_uuid_made_from_a_name(feed: str, source_key: str) -> None:
    namespace = uuid5(NAMESPACE_URL, "urn:daicho:asset")

    assert asset_id("990019", feed, source_key) == str(uuid5(namespace, f"990019/{feed}/{source_key}"))
