# SPDX-License-Identifier: Apache-2.0
"""The same partition as every other Kafka client computes for the network's name."""

import pytest
from aiokafka.partitioner import murmur2

from libs.bus import NetworkPartitioner, partition_of

KAFKA_VECTORS = {  # org.apache.kafka.common.utils.UtilsTest.testMurmur2
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}


@pytest.mark.parametrize(("key", "expected"), KAFKA_VECTORS.items())
def test_murmur2_is_kafkas(key: bytes, expected: int) -> None:
    assert murmur2(key) == expected % 2**32


@pytest.mark.parametrize(("network", "signed"), KAFKA_VECTORS.items())
def test_the_network_alone_is_hashed_and_made_positive_as_kafka_does(network: bytes, signed: int) -> None:
    assert partition_of(network + b"/mayor/x", 7) == (signed & 0x7FFFFFFF) % 7


def test_the_producer_partitions_alike_and_takes_messages_without_a_key() -> None:
    partitioner = NetworkPartitioner()

    assert partitioner(b"waterworks/waterworks/1", [0, 1, 2, 3], [1]) == partition_of(b"waterworks/a/b", 4)
    assert partitioner(None, [0, 1, 2, 3], []) == partition_of(b"", 4)
