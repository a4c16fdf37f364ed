"""`logbourse project redis|clickhouse`: one Faust worker as its own process."""

import argparse
import asyncio
import signal
from collections.abc import Callable

import uvloop

from infra.logging import configure_logging
from infra.metrics import serve_metrics
from infra.redis import redis_client
from infra.settings import Settings, load_settings
from projections.clickhouse_worker import clickhouse_worker
from projections.faust_worker import FaustWorker, end_worker
from projections.redis_sink import RedisSink


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `logbourse project` takes."""
    parser.add_argument("sink", choices=("redis", "clickhouse"), help="where the views are stored")
    parser.add_argument(
        "--member", default="", help="this worker's own name among those of the sink: back at once"
    )


def run(arguments: argparse.Namespace) -> int:
    """Project until SIGTERM or SIGINT; returns 0 then. A failure ends the process with status 1."""
    settings = load_settings()
    configure_logging(settings.log_level)
    serve_metrics(settings)
    make_worker = redis_worker if arguments.sink == "redis" else clickhouse_worker
    uvloop.install()
    asyncio.run(_until_told(lambda: make_worker(settings, arguments.member)))
    return 0


def redis_worker(settings: Settings, member: str) -> FaustWorker:
    """A worker for Redis, to be run in the loop that calls this."""

    def open_sink() -> RedisSink:
        return RedisSink(redis_client(settings.redis_url))

    return FaustWorker(settings, RedisSink.name, open_sink, member=member)


async def _until_told(make_worker: Callable[[], FaustWorker]) -> None:
    worker = make_worker()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, worker.stop)
    try:
        await worker.run()
    except Exception as error:
        end_worker(f"{type(error).__name__}: {error}")
