"""`logbourse rebuild redis|clickhouse`: views anew from the log's start, while trading goes on."""

import argparse
import sys
from contextlib import closing, suppress
from time import monotonic

from infra.clickhouse import EMBEDDED, StoreUnavailable, clickhouse_client
from infra.kafka import KafkaLog
from infra.redis import RedisError, redis_client
from infra.settings import Settings, load_settings
from projections.clickhouse_builds import current_build, is_being_built
from projections.layout import feeding_partitions
from projections.rebuild import Progress, rebuild_redis
from projections.rebuild_request import NobodyAnswered, RebuildFailed, ask_owner, run_rebuild

BAR = 40
PLAIN_LINE_EVERY_S = 5.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `logbourse rebuild` takes."""
    parser.add_argument("sink", choices=("redis", "clickhouse"), help="which views to build anew")


def run(arguments: argparse.Namespace) -> int:
    """Rebuild and switch; returns 0. Raises `RebuildFailed`."""
    build = rebuild(load_settings(), arguments.sink, ProgressBar())
    if sys.stdout.isatty():
        print()
    print(f"{arguments.sink} now serves build {build}")
    return 0


def rebuild(settings: Settings, sink: str, progress: Progress) -> str:
    """Build the views of "redis" or "clickhouse" anew and switch; returns the new build's id.

    Raises `RebuildFailed`.
    """
    return _redis(settings, progress) if sink == "redis" else _clickhouse(settings, progress)


class ProgressBar:
    """A bar on a terminal, a line now and then elsewhere. Callable as `Progress`."""

    def __init__(self) -> None:
        self._next_line_s = 0.0
        self._shown = (-1, -1)

    def __call__(self, done: int, total: int) -> None:
        """Show that `done` of `total` records are done."""
        if (done, total) == self._shown:
            return
        self._shown = (done, total)
        percent = 100 * done // total if total else 100
        text = f"{percent:3d} %  {done:,} of {total:,} records"
        if sys.stdout.isatty():
            filled = BAR * percent // 100
            print(f"\r[{'#' * filled}{'.' * (BAR - filled)}] {text}", end="", flush=True)
        elif done == total or monotonic() >= self._next_line_s:
            self._next_line_s = monotonic() + PLAIN_LINE_EVERY_S
            print(text, flush=True)


def _redis(settings: Settings, progress: Progress) -> str:
    log = KafkaLog(settings, outside=True)
    client = redis_client(settings.redis_url)
    try:
        sources = feeding_partitions(settings.ledger_partitions, settings.matching_partitions)
        return rebuild_redis(client, log, sources, progress)
    except RedisError as error:
        raise RebuildFailed(f"Redis must answer, did not: {error}") from error
    finally:
        log.close()
        client.close()


def _clickhouse(settings: Settings, progress: Progress) -> str:
    """Rebuild here if the store is a server or nobody owns it, else by the process that does."""
    embedded = settings.clickhouse_dsn.startswith(EMBEDDED)
    if embedded:
        with suppress(NobodyAnswered):
            return ask_owner(settings, progress)
    try:
        if not embedded:
            _expect_no_other(settings)
        return run_rebuild(settings, progress)
    except StoreUnavailable as error:
        # It has an owner, who did not take the request.
        way_out = "; query is busy with another rebuild, or must be started again"
        raise RebuildFailed(f"{error}{way_out if embedded else ''}") from error


def _expect_no_other(settings: Settings) -> None:
    """At a server, which has no lock: of two that begin within a moment one may still fail."""
    with closing(clickhouse_client(settings.clickhouse_dsn)) as client:
        new = str(int(current_build(client)) + 1)
        if is_being_built(client, new):
            raise RebuildFailed(
                "one rebuild of clickhouse may run at a time, "
                f"somebody has written to build {new} within a minute"
            )
