# SPDX-License-Identifier: Apache-2.0
"""Kafka: partition tasks, transactions, stored offsets, the outbox relay, dead letters, topic admin (design §4)."""

from libs.bus.admin import Change, TopicMismatchError, apply_topics
from libs.bus.deadletters import CapExceeded, PartitionDeadLetters, letter_id
from libs.bus.decoding import Rejected, check_key, decode
from libs.bus.following import Follower
from libs.bus.handlers import Apply, Connection, HandlerFactory, PartitionHandler, PartitionLog
from libs.bus.lasting import Lasting
from libs.bus.outbox import OutboxRelay, enqueue, wake_relay
from libs.bus.partition_task import PartitionTask
from libs.bus.partitioner import NetworkPartitioner, partition_of
from libs.bus.records import ConsumerRecord, Output
from libs.bus.release import Act, ParkedLetter, parked_letters, release_key
from libs.bus.settings import KafkaSettings
from libs.bus.subscription import Caps, Limits, Subscription, TaskState, TaskStatus
from libs.bus.workers import OffsetConsumer, PartitionWorker

__all__ = [
    "Act",
    "Apply",
    "CapExceeded",
    "Caps",
    "Change",
    "Connection",
    "ConsumerRecord",
    "Follower",
    "HandlerFactory",
    "KafkaSettings",
    "Lasting",
    "Limits",
    "NetworkPartitioner",
    "OffsetConsumer",
    "OutboxRelay",
    "Output",
    "ParkedLetter",
    "PartitionDeadLetters",
    "PartitionHandler",
    "PartitionLog",
    "PartitionTask",
    "PartitionWorker",
    "Rejected",
    "Subscription",
    "TaskState",
    "TaskStatus",
    "TopicMismatchError",
    "apply_topics",
    "check_key",
    "decode",
    "enqueue",
    "letter_id",
    "parked_letters",
    "partition_of",
    "release_key",
    "wake_relay",
]
