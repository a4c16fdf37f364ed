"""`logbourse rebuild redis|clickhouse`: views anew from the log's start, while trading goes on."""

import argparse
import sys
from time import monotonic

from infra.clickhouse import StoreUnavailable
from infra.kafka import KafkaLog
from infra.redis import redis_client
from infra.settings import Settings, load_settings
from projections.rebuild import Progress, partitions, rebuild_redis
from projections.rebuild_request import ask_owner, run_rebuild

BAR = 40
PLAIN_LINE_EVERY_S = 5.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `logbourse rebuild` takes."""
    parser.add_argument("sink", choices=("redis", "clickhouse"), help="which views to build anew")


def run(arguments: argparse.Namespace) -> int:
    """Rebuild and switch; returns 0. Raises `RebuildFailed`."""
    rebuild = _redis if arguments.sink == "redis" else _clickhouse
    build = rebuild(load_settings(), ProgressBar())
    print(f"\n{arguments.sink} now serves build {build}")
    return 0


class ProgressBar:
    """A bar on a terminal, a line now and then elsewhere. Callable as `Progress`."""

    def __init__(self) -> None:
        self._next_line_s = 0.0

    def __call__(self, done: int, total: int) -> None:
        """Show that `done` of `total` records are done."""
        percent = 100 * done // total if total else 100
        text = f"{percent:3d} %  {done:,} of {total:,} records"
        if sys.stdout.isatty():
            filled = BAR * percent // 100
            print(f"\r[{'#' * filled}{'.' * (BAR - filled)}] {text}", end="", flush=True)
        elif monotonic() >= self._next_line_s:
            self._next_line_s = monotonic() + PLAIN_LINE_EVERY_S
            print(text, flush=True)


def _redis(settings: Settings, progress: Progress) -> str:
    log = KafkaLog(settings, outside=True)
    client = redis_client(settings.redis_url)
    try:
        sources = partitions(settings.ledger_partitions, settings.matching_partitions)
        return rebuild_redis(client, log, sources, progress)
    finally:
        log.close()
        client.close()


def _clickhouse(settings: Settings, progress: Progress) -> str:
    """Rebuild here if the store is free or a server, else by the process that owns it."""
    try:
        return run_rebuild(settings, progress)
    except StoreUnavailable:
        return ask_owner(settings, progress)
