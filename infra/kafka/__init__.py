"""The door to Kafka: clients with the log's settings, topics, and the Log that hosts are given."""

from infra.kafka.clients import (
    MAX_MESSAGE_BYTES,
    admin_client,
    broker_count,
    consumer,
    is_reachable,
    outside_producer,
    shard_producer,
)
from infra.kafka.kafka_log import KafkaLog
from infra.kafka.topics import (
    TopicRefused,
    check_topics,
    create_topics,
    existing_topics,
    own_settings,
)

__all__ = [
    "MAX_MESSAGE_BYTES",
    "KafkaLog",
    "TopicRefused",
    "admin_client",
    "broker_count",
    "check_topics",
    "consumer",
    "create_topics",
    "existing_topics",
    "is_reachable",
    "outside_producer",
    "own_settings",
    "shard_producer",
]
