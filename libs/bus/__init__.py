# SPDX-License-Identifier: Apache-2.0
"""Kafka: partition tasks, transactions, stored offsets, the outbox relay, dead letters, topic admin (design §4)."""

from libs.bus.deadletters import CapExceeded, PartitionDeadLetters, letter_id
from libs.bus.decoding import Rejected, check_key, decode
from libs.bus.handlers import Apply, Connection, HandlerFactory, PartitionHandler, PartitionLog
from libs.bus.partitioner import NetworkPartitioner, partition_of
from libs.bus.records import ConsumerRecord, Output
from libs.bus.settings import KafkaSettings
from libs.bus.subscription import Caps, Limits, Subscription, TaskState, TaskStatus

__all__ = [
    "Apply",
    "CapExceeded",
    "Caps",
    "Connection",
    "ConsumerRecord",
    "HandlerFactory",
    "KafkaSettings",
    "Limits",
    "NetworkPartitioner",
    "Output",
    "PartitionDeadLetters",
    "PartitionHandler",
    "PartitionLog",
    "Rejected",
    "Subscription",
    "TaskState",
    "TaskStatus",
    "check_key",
    "decode",
    "letter_id",
    "partition_of",
]
