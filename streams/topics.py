"""The subcommand that makes the topics, or checks that they would lose nothing."""

import argparse

from infra.kafka import check_topics, create_topics
from infra.settings import Settings, load_settings
from schemas.topics import catalogue


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `logbourse topics` takes."""
    parser.add_argument("action", choices=("create", "check"), help="make what is missing, or look")


def run(arguments: argparse.Namespace) -> int:
    """Create or check. Raises `infra.kafka.TopicRefused` for a topic with other settings."""
    prepare(load_settings(), create=arguments.action == "create")
    return 0


def prepare(settings: Settings, *, create: bool) -> None:
    """See that all topics exist as they must; makes the missing ones if `create`.

    Raises `infra.kafka.TopicRefused`.
    """
    topics = catalogue(settings.ledger_partitions, settings.matching_partitions)
    if create:
        for name in create_topics(settings, topics):
            print(f"made {name}")
    else:
        check_topics(settings, topics)
