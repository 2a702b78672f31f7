# SPDX-License-Identifier: Apache-2.0
"""Whatever the key, a network's messages meet in one partition."""

from hypothesis import given
from hypothesis import strategies as st

from libs.bus import NetworkPartitioner, partition_of
from libs.contracts import make_key

slugs = st.from_regex(r"[a-z][a-z0-9_-]{0,39}", fullmatch=True)
counts = st.integers(1, 2000)


@given(slugs, st.tuples(slugs, st.text(max_size=50)), st.tuples(slugs, st.text(max_size=50)), counts)
def test_keys_of_one_network_share_a_partition(
    network: str, one: tuple[str, str], other: tuple[str, str], count: int
) -> None:
    first = partition_of(make_key(network, *one), count)

    assert first == partition_of(make_key(network, *other), count)
    assert 0 <= first < count


@given(st.binary(max_size=60), counts)
def test_any_bytes_have_a_partition_and_all_clients_agree_on_it(key: bytes, count: int) -> None:
    partition = partition_of(key, count)

    assert 0 <= partition < count
    assert NetworkPartitioner()(key, list(range(count)), []) == partition
