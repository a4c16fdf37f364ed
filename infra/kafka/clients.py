"""Producers and consumers configured so that the log's rules hold (ARCHITECTURE §3)."""

import logging
import socket
from collections.abc import Mapping
from typing import Any

from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient

from infra.settings import Settings

__all__ = [
    "Consumer",
    "KafkaError",
    "KafkaException",
    "Message",
    "Producer",
    "TopicPartition",
    "admin_client",
    "broker_count",
    "consumer",
    "is_reachable",
    "outside_producer",
    "shard_producer",
    "words_of",
]

MAX_MESSAGE_BYTES = 4 * 1024 * 1024
ANSWER_TIMEOUT_S = 1.0

_SHARED: Mapping[str, Any] = {
    "broker.address.family": "v4",
    "reconnect.backoff.ms": 100,
    "reconnect.backoff.max.ms": 500,
    # A broker that stands still, or is cut off, is left after this; the next one is asked at once.
    "socket.timeout.ms": 2_000,
    # Who leads is asked now and then, since one that stands still does not tell that it was left.
    "topic.metadata.refresh.interval.ms": 250,
    # Of all brokers: one that is cut off from the others goes on telling that it leads.
    "enable.sparse.connections": False,
    "socket.connection.setup.timeout.ms": 3_000,
    "socket.keepalive.enable": True,
    "socket.nagle.disable": True,
    # Fatal errors alone: while a broker is away, the library repeats itself many times a second.
    "log_level": 2,
    "logger": logging.getLogger("librdkafka"),
}

_PRODUCER: Mapping[str, Any] = {
    "enable.idempotence": True,
    "acks": "all",
    "linger.ms": 0,
    "allow.auto.create.topics": False,
    "message.max.bytes": MAX_MESSAGE_BYTES,
    "queue.buffering.max.messages": 200_000,
    "queue.buffering.max.kbytes": 262_144,
    "retry.backoff.ms": 50,
}


def shard_producer(settings: Settings, **overrides: Any) -> Producer:
    """A producer that never gives up on a record and never leaves a gap; name the partition always.

    A record that cannot be delivered makes the producer fail for good: end the process.
    """
    return Producer(
        {
            **_SHARED,
            **_PRODUCER,
            "bootstrap.servers": settings.kafka_bootstrap,
            "enable.gapless.guarantee": True,
            "message.timeout.ms": 0,
            **_dotted(overrides),
        }
    )


def outside_producer(settings: Settings, **overrides: Any) -> Producer:
    """A producer for gateways and operators: a record is refused after 5 s, the next one may pass.

    A record that the broker refuses (a clock that runs ahead: `KafkaError.INVALID_TIMESTAMP`)
    fails alone. Name the partition always.
    """
    return Producer(
        {
            **_SHARED,
            **_PRODUCER,
            "bootstrap.servers": settings.kafka_bootstrap,
            "message.timeout.ms": 5_000,
            **_dotted(overrides),
        }
    )


def consumer(settings: Settings, group: str = "logbourse-readers", **overrides: Any) -> Consumer:
    """A consumer to be used with `assign` alone; it commits nothing by itself.

    An offset that the log does not have is an error (`_AUTO_OFFSET_RESET`), never a jump.
    `poll` answers at once when a record arrives; `consume(n, t)` waits until n are there or t is
    over, so poll for the first and consume the rest with timeout 0.
    """
    return Consumer(
        {
            **_SHARED,
            "bootstrap.servers": settings.kafka_bootstrap,
            "group.id": group,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "error",
            "isolation.level": "read_uncommitted",
            "check.crcs": True,
            "allow.auto.create.topics": False,
            "fetch.min.bytes": 1,
            # The broker answers as soon as there is a byte; a seek waits for the fetch under way.
            "fetch.wait.max.ms": 50,
            "fetch.queue.backoff.ms": 5,
            "fetch.error.backoff.ms": 50,
            "fetch.message.max.bytes": MAX_MESSAGE_BYTES,
            "queued.max.messages.kbytes": 16_384,
            **_dotted(overrides),
        }
    )


def admin_client(settings: Settings) -> AdminClient:
    """A client that creates and describes topics."""
    return AdminClient({**_SHARED, "bootstrap.servers": settings.kafka_bootstrap})


def broker_count(settings: Settings, cluster_id: str = "") -> int:
    """How many brokers answer there now; 0 if none does within a second, or of another cluster."""
    # Asked first, since the library tries again and again, and says so each time.
    if not any(is_reachable(address) for address in settings.kafka_bootstrap.split(",")):
        return 0
    try:
        found = admin_client(settings).list_topics(timeout=ANSWER_TIMEOUT_S)
    except KafkaException:
        return 0
    return len(found.brokers) if cluster_id in ("", found.cluster_id) else 0


def is_reachable(address: str) -> bool:
    """Whether somebody takes connections at host:port; asks nothing of Kafka itself."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=0.5).close()
    except (OSError, ValueError, OverflowError):
        # Where there is no such name or port, nobody listens.
        return False
    return True


def _dotted(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Keywords as the library's names: dots for underscores, callbacks apart."""
    return {
        name if name.endswith("_cb") else name.replace("_", "."): value
        for name, value in overrides.items()
    }


def words_of(error: KafkaException | SystemError) -> str:
    """What the library said.

    Raised while it calls back, a fatal error is odd to Python (SystemError); its cause has them.
    """
    return str(error.__cause__ or error)
