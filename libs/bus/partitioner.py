# SPDX-License-Identifier: Apache-2.0
"""The network part of a key alone decides the partition: a network's whole asset graph is in one (design §4)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from aiokafka.partitioner import murmur2

from libs.contracts import network_of


def partition_of(key: bytes, partitions: int) -> int:
    """The partition of a key: Kafka's own murmur2 of its network, made positive, modulo the number of partitions."""
    return _hash(network_of(key)) % partitions


class NetworkPartitioner:
    """`partition_of` in the shape that aiokafka's producer asks for."""

    def __call__(self, key: bytes | None, all_partitions: Sequence[int], available: Sequence[int]) -> int:
        return all_partitions[partition_of(key or b"", len(all_partitions))]


@lru_cache(maxsize=4096)
def _hash(network: bytes) -> int:
    positive: int = murmur2(network) & 0x7FFFFFFF
    return positive
