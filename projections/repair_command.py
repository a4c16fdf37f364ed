"""`logbourse repair redis KEY|all`, `repair clickhouse TABLE`: views as the log has them."""

import argparse
import sys

from infra.kafka import KafkaLog
from infra.redis import RedisError, redis_client
from infra.refusal import Misunderstood
from infra.settings import Settings, load_settings
from projections.layout import TABLES
from projections.live_cells import LiveCells
from projections.rebuild_command import ProgressBar, rebuild
from projections.repair import Repaired, RepairFailed, key_name, repair_key

ALL = "all"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `logbourse repair` takes."""
    parser.add_argument("store", choices=("redis", "clickhouse"), help="where the view is stored")
    parser.add_argument(
        "what", help="redis: a key such as balances:7, or all; clickhouse: a table, or all"
    )


def run(arguments: argparse.Namespace) -> int:
    """Repair and say what was wrong; returns 0. Raises `Misunderstood`, `RepairFailed`."""
    settings = load_settings()
    if arguments.store == "clickhouse" and arguments.what not in (*TABLES, ALL):
        raise Misunderstood(f"a table must be among {', '.join(TABLES)}, was {arguments.what}")
    if arguments.store == "redis" and arguments.what != ALL:
        name = key_name(arguments.what)
        print(_sentence(name, _repair(settings, name)))
        return 0
    build = rebuild(settings, arguments.store, ProgressBar())
    # A build is switched as a whole: one table cannot be older or newer than the others.
    print(f"{arguments.store} now serves build {build}, {arguments.what} with all the rest anew")
    return 0


def _repair(settings: Settings, name: str) -> Repaired:
    log = KafkaLog(settings, outside=True)
    client = redis_client(settings.redis_url)
    partitions = (settings.ledger_partitions, settings.matching_partitions)
    try:
        found = repair_key(LiveCells(client), log, name, partitions, ProgressBar())
    except RedisError as error:
        raise RepairFailed(f"Redis must answer, did not: {error}") from error
    finally:
        log.close()
        client.close()
    if sys.stdout.isatty():
        print()
    return found


def _sentence(name: str, repaired: Repaired) -> str:
    topic, partition = repaired.place
    at = f"{topic}.{partition}#{repaired.cseq}"
    if not repaired.words:
        return f"{name} is what the log has at {at}: nothing was repaired"
    return f"{name} repaired at {at}: {repaired.words}"
