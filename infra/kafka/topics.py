"""Topics whose settings keep the log for ever: made once, checked at each start."""

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from confluent_kafka.admin import (
    AdminClient,
    ConfigEntry,
    ConfigResource,
    ConfigSource,
    NewTopic,
    ResourceType,
)

from infra.kafka.clients import MAX_MESSAGE_BYTES, KafkaError, KafkaException, admin_client
from infra.refusal import Refusal
from infra.settings import Settings

ANSWER_TIMEOUT_S = 30.0
CLOCK_AHEAD_MS = 1_000


class Topic(Protocol):
    """A topic of the catalogue; an inbox refuses records from clocks that run ahead."""

    @property
    def name(self) -> str: ...

    @property
    def partitions(self) -> int: ...

    @property
    def inbox(self) -> bool: ...


class TopicRefused(Refusal):
    """A topic would lose or reorder the log; the text names topic, setting, wanted and found."""


def wanted_settings(topic: Topic, replicas: int) -> dict[str, str]:
    """The settings this topic must have, by Kafka's names."""
    wanted = {
        "cleanup.policy": "delete",
        "retention.ms": "-1",
        "retention.bytes": "-1",
        "max.message.bytes": str(MAX_MESSAGE_BYTES),
        "message.timestamp.type": "CreateTime",
        "min.insync.replicas": str(2 if replicas > 2 else 1),
        "unclean.leader.election.enable": "false",
    }
    if topic.inbox:
        wanted["message.timestamp.after.max.ms"] = str(CLOCK_AHEAD_MS)
    return wanted


def create_topics(
    settings: Settings,
    topics: Sequence[Topic],
    own: Mapping[str, Mapping[str, str]] | None = None,
) -> list[str]:
    """Make those that are missing, then check all; returns the names of the new ones.

    With what `own_settings` found of former ones. Raises `TopicRefused` for what exists with other
    settings.
    """
    admin = admin_client(settings)
    existing = _partition_counts(admin)
    missing = [topic for topic in topics if topic.name not in existing]
    if missing:
        _create(admin, missing, settings.replication_factor, own or {})
        _check_new(settings, missing)
    check_topics(settings, topics)
    return [topic.name for topic in missing]


def own_settings(settings: Settings, topics: Iterable[Topic]) -> dict[str, dict[str, str]]:
    """What was set on topics beside what they must have, by topic, such as `flush.messages`.

    Raises `TopicRefused`.
    """
    admin = admin_client(settings)
    existing = _partition_counts(admin)
    own = {}
    for topic in topics:
        if topic.name not in existing:
            continue
        wanted = wanted_settings(topic, settings.replication_factor)
        found = {
            name: str(entry.value)
            for name, entry in _settings_of(admin, topic.name).items()
            if ConfigSource(entry.source) is ConfigSource.DYNAMIC_TOPIC_CONFIG
            and name not in wanted
        }
        if found:
            own[topic.name] = found
    return own


def existing_topics(settings: Settings) -> list[str]:
    """The names of all topics that are not Kafka's own. Raises `TopicRefused`."""
    return [name for name in _partition_counts(admin_client(settings)) if name[:2] != "__"]


def check_topics(settings: Settings, topics: Iterable[Topic]) -> None:
    """Return if every topic exists with its partitions and settings, else raise `TopicRefused`."""
    admin = admin_client(settings)
    counts = _partition_counts(admin)
    for topic in topics:
        found = counts.get(topic.name)
        if found != topic.partitions:
            raise TopicRefused(f"{topic.name} must have {topic.partitions} partitions, had {found}")
        _check_settings(admin, topic, settings.replication_factor)


def _create(
    admin: AdminClient,
    topics: Sequence[Topic],
    replicas: int,
    own: Mapping[str, Mapping[str, str]],
) -> None:
    new = [
        NewTopic(
            topic.name,
            num_partitions=topic.partitions,
            replication_factor=replicas,
            config={**own.get(topic.name, {}), **wanted_settings(topic, replicas)},
        )
        for topic in topics
    ]
    # Without a timeout of its own a request has that of the sockets, 2 s, to find a controller.
    made = admin.create_topics(
        new, operation_timeout=ANSWER_TIMEOUT_S, request_timeout=ANSWER_TIMEOUT_S
    )
    for name, future in made.items():
        try:
            future.result()
        except KafkaException as error:
            reason = error.args[0]
            # Another process may have been faster; the check that follows judges its work.
            if reason.code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise TopicRefused(f"{name} must be created, was not: {reason.str()}") from error


def _check_new(settings: Settings, topics: Sequence[Topic]) -> None:
    """Every broker learns of a new topic in its own time, and any of them may be asked."""
    give_up_s = time.monotonic() + ANSWER_TIMEOUT_S
    while True:
        try:
            return check_topics(settings, topics)
        except TopicRefused:
            if time.monotonic() > give_up_s:
                raise
        time.sleep(0.2)


def _partition_counts(admin: AdminClient) -> dict[str, int]:
    try:
        found = admin.list_topics(timeout=ANSWER_TIMEOUT_S).topics
    except KafkaException as error:
        raise TopicRefused(f"Kafka must list its topics, did not: {error.args[0].str()}") from error
    return {name: len(topic.partitions) for name, topic in found.items()}


def _check_settings(admin: AdminClient, topic: Topic, replicas: int) -> None:
    found = _settings_of(admin, topic.name)
    for setting, wanted in wanted_settings(topic, replicas).items():
        value = found[setting].value
        if value != wanted:
            raise TopicRefused(f"{topic.name} must have {setting}={wanted}, had {value}")


def _settings_of(admin: AdminClient, name: str) -> dict[str, ConfigEntry]:
    resource = ConfigResource(ResourceType.TOPIC, name)
    try:
        asked = admin.describe_configs([resource], request_timeout=ANSWER_TIMEOUT_S)
        found: dict[str, ConfigEntry] = asked[resource].result()
    except KafkaException as error:
        said = error.args[0].str()
        raise TopicRefused(f"{name} must tell its settings, said: {said}") from error
    return found
