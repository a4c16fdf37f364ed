"""`logbourse run`: the whole exchange on one machine, under one supervisor."""

import argparse
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import replace

from infra.data_lock import owned_data
from infra.demo.banner import banner
from infra.kafka_broker import kafka_processes, plan_nodes
from infra.ports import HIGHEST_PORT, free_port
from infra.redis_server import plan_redis, redis_process
from infra.settings import LOOPBACK, Settings, load_settings, save_settings, to_environment
from infra.supervisor import Process, Supervisor

DEMO_KEYS = "demo-keys.json"
DEMO_LIMITS = (
    *("--orders-per-10s", "100000"),
    *("--orders-per-day", "100000000"),
    *("--weight-per-minute", "6000000"),
    *("--requests-per-5m", "10000000"),
)

VIEWS, HISTORY = 4, 8
"""Niceness: where the processor is short, orders go first, then live views, then history."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of `logbourse run`."""
    parser.add_argument("--brokers", type=int, choices=(1, 3), default=1, help="Kafka nodes")
    parser.add_argument("--no-demo", action="store_true", help="no demo market and no bots")
    parser.add_argument("--no-bots", action="store_true", help="the demo market without bots")


def run(arguments: argparse.Namespace) -> int:
    """Run until Ctrl-C; the exit status. Raises `Refusal` while another stack has the data."""
    settings = load_settings()
    with owned_data(settings):
        return _run(settings, arguments)


def _run(settings: Settings, arguments: argparse.Namespace) -> int:
    settings, nodes = plan_nodes(_with_free_ports(settings), arguments.brokers)
    settings = plan_redis(settings)
    save_settings(settings)
    processes = [
        *kafka_processes(settings, nodes),
        redis_process(settings),
        *exchange_processes(settings),
    ]
    if not arguments.no_demo:
        processes += demo_processes(settings, bots=not arguments.no_bots)

    def announce() -> None:
        print(banner(settings, settings.data_dir / DEMO_KEYS), flush=True)

    return Supervisor(processes, settings, on_ready=announce).run()


def exchange_processes(settings: Settings) -> list[Process]:
    """Topics and genesis, then shards, projections and APIs, each ready before the next."""
    shards = [f"A{p}" for p in range(settings.ledger_partitions)]
    shards += [f"L{p}" for p in range(settings.ledger_partitions)]
    shards += [f"M{p}" for p in range(settings.matching_partitions)]
    query = f"http://{settings.host}:{settings.query_port}"
    public = f"http://{settings.host}:{settings.public_port}"
    return [
        _process(settings, "topics", ["topics", "create"], task=True),
        _process(settings, "genesis", ["genesis", *DEMO_LIMITS], task=True),
        _process(settings, "shards", ["shard", *shards], metrics=0),
        _process(settings, "project-redis", ["project", "redis"], metrics=1, niceness=VIEWS),
        _process(
            settings,
            "query",
            ["serve", "--roles", "query"],
            metrics=2,
            niceness=HISTORY,
            ready=_answers(f"{query}/health/ready"),
        ),
        _process(
            settings,
            "gateway",
            ["serve", "--roles", "gateway,admin", "--queries-at", query],
            metrics=3,
            ready=_answers(f"{public}/health/ready"),
        ),
    ]


def demo_processes(settings: Settings, *, bots: bool) -> list[Process]:
    """The seeding of the demo market, and its bots."""
    keys = str(settings.data_dir / DEMO_KEYS)
    public = f"http://{settings.host}:{settings.public_port}"
    processes = [_process(settings, "seed", ["seed", "--keys", keys], task=True)]
    if bots:
        processes.append(_process(settings, "bots", ["bots", "--url", public, "--keys", keys]))
    return processes


def _process(
    settings: Settings,
    name: str,
    words: Sequence[str],
    *,
    metrics: int = 9,
    ready: Callable[[], bool] | None = None,
    task: bool = False,
    niceness: int = 0,
) -> Process:
    # All of them: a variable that this process was given names the wanted port, not the free one.
    environment = to_environment(
        replace(settings, metrics_port=min(settings.metrics_port + metrics, HIGHEST_PORT))
    )
    argv = (sys.executable, "-m", "logbourse", *words)
    return Process(name, argv, ready=ready, environment=environment, task=task, niceness=niceness)


def _with_free_ports(settings: Settings) -> Settings:
    public = free_port(settings.host, settings.public_port)
    query = free_port(settings.host, settings.query_port, [public])
    admin = free_port(LOOPBACK, settings.admin_port, [public, query])
    return replace(settings, public_port=public, query_port=query, admin_port=admin)


def _answers(url: str) -> Callable[[], bool]:
    def ready() -> bool:
        try:
            with urllib.request.urlopen(url, timeout=1.0) as response:
                return bool(response.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    return ready
