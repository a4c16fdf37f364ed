"""`logbourse run`: the whole exchange on one machine, under one supervisor."""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace

from domain.limits import Limits
from infra.demo.banner import banner
from infra.direct_http import ask
from infra.kafka_broker import NODE_COUNTS, kafka_processes, node_ports, plan_nodes
from infra.logging import tell
from infra.metrics import serve_metrics
from infra.ports import HIGHEST_PORT, claim, claimed_port, free_port
from infra.redis_server import own_port, plan_redis, redis_process
from infra.scraping import save_targets
from infra.settings import (
    ADDRESSES,
    LOOPBACK,
    Settings,
    save_found,
    to_environment,
)
from infra.start import starting
from infra.supervisor import Process, Supervisor

DEMO_KEYS = "demo-keys.json"
LIMITS = Limits(
    orders_per_10s=100_000,
    orders_per_day=100_000_000,
    request_weight_per_minute=6_000_000,
    raw_requests_per_5m=10_000_000,
)
"""Those of a new exchange here: bots, user and tests share one address and one machine."""

MAX_GATEWAYS = 32
SHARDS_METRICS = {"shards": (0, 8), "engines": (44, 45)}
AUDITOR_METRICS, SUPERVISOR_METRICS, GATEWAYS_METRICS, METRICS_STEPS = 4, 7, 12, 50
"""From the base of the metrics ports: of shards and their standbys, and of others; how many."""

VIEWS = 4
"""Niceness: where the processor is short, orders go first, then views and history.

An auditor that waited for them would stop withdrawals too late.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of `logbourse run`."""
    parser.add_argument("--brokers", type=int, choices=NODE_COUNTS, default=1, help="Kafka nodes")
    parser.add_argument(
        "--gateways",
        type=_gateway_count,
        default=1,
        metavar="N",
        help=f"processes that take orders, on one port: 1 to {MAX_GATEWAYS}",
    )
    parser.add_argument(
        "--standby", action="store_true", help="a second process of shards that takes over"
    )
    parser.add_argument(
        "--apart", action="store_true", help="matching shards in processes of their own"
    )
    parser.add_argument(
        "--snapshot-seconds", type=_seconds, metavar="S", help="how often shards take snapshots"
    )
    parser.add_argument("--no-auditor", action="store_true", help="nobody audits")
    parser.add_argument("--no-demo", action="store_true", help="no demo market and no bots")
    parser.add_argument("--no-bots", action="store_true", help="the demo market without bots")


def run(arguments: argparse.Namespace) -> int:
    """Run until Ctrl-C; the exit status.

    Raises `Refusal` while another stack, or a recovery that is not finished, has the data, or if
    that was made with other partitions or another number of brokers.
    """
    with starting(addresses=ADDRESSES) as settings:
        return _run(settings, arguments)


def _run(wanted: Settings, arguments: argparse.Namespace) -> int:
    settings, nodes = plan_nodes(_with_free_ports(wanted), arguments.brokers)
    settings = plan_redis(settings, node_ports(nodes))
    stores = [*kafka_processes(settings, nodes), redis_process(settings)]
    stores_ports = {*node_ports(nodes), own_port(settings)}
    settings = _with_free_metrics_ports(settings, arguments, stores_ports)
    # What was refused so far leaves no trace in what the next start reads.
    save_found(settings, wanted, ADDRESSES)
    processes = [*stores, *_own_processes(settings, arguments)]

    def announce() -> None:
        tell(banner(settings, settings.data_dir / DEMO_KEYS, LIMITS))

    told_port = serve_metrics(_with_metrics_port(settings, SUPERVISOR_METRICS))
    save_targets(settings, {"supervisor": told_port, **_metrics_ports(processes)})
    return Supervisor(processes, settings, on_ready=announce).run()


def _own_processes(settings: Settings, arguments: argparse.Namespace) -> list[Process]:
    """All but the stores."""
    processes = exchange_processes(
        settings,
        arguments.gateways,
        standby=arguments.standby,
        apart=arguments.apart,
        snapshot_seconds=arguments.snapshot_seconds,
    )
    if not arguments.no_auditor:
        processes.append(_process(settings, "auditor", ["auditor"], metrics=AUDITOR_METRICS))
    if not arguments.no_demo:
        processes += demo_processes(settings, bots=not arguments.no_bots)
    return processes


def _metrics_ports(processes: Sequence[Process]) -> dict[str, int]:
    return {process.name: process.metrics_port for process in processes if process.metrics_port}


def exchange_processes(
    settings: Settings,
    gateways: int = 1,
    *,
    standby: bool = False,
    apart: bool = False,
    snapshot_seconds: int | None = None,
) -> list[Process]:
    """Topics and genesis, then shards, projections and APIs, each ready before the next."""
    groups = _shard_groups(settings, apart=apart)
    options = [] if snapshot_seconds is None else ["--snapshot-seconds", str(snapshot_seconds)]
    if standby:
        options.append("--standby")
    query = f"http://{settings.host}:{settings.query_port}"
    return [
        _process(settings, "topics", ["topics", "create"], task=True),
        _process(settings, "genesis", ["genesis", *_limit_words(LIMITS)], task=True),
        *(
            process
            for name, shards in groups.items()
            for process in _shards(settings, name, ["shard", *options, *shards])
        ),
        _process(
            settings,
            "project-redis",
            ["project", "redis", "--member", "1"],
            metrics=1,
            niceness=VIEWS,
        ),
        _process(
            settings,
            "query",
            ["serve", "--roles", "query"],
            metrics=2,
            niceness=VIEWS,
            ready=_answers(f"{query}/health/ready"),
            port=settings.query_port,
        ),
        *_gateways(settings, query, gateways),
    ]


def _limit_words(limits: Limits) -> list[str]:
    """What `logbourse genesis` is told of them."""
    return [
        *("--orders-per-10s", str(limits.orders_per_10s)),
        *("--orders-per-day", str(limits.orders_per_day)),
        *("--weight-per-minute", str(limits.request_weight_per_minute)),
        *("--requests-per-5m", str(limits.raw_requests_per_5m)),
    ]


def _shard_groups(settings: Settings, *, apart: bool) -> dict[str, list[str]]:
    """The shards of each process, by its name."""
    ledgers = [f"{family}{p}" for family in "AL" for p in range(settings.ledger_partitions)]
    engines = [f"M{p}" for p in range(settings.matching_partitions)]
    return {"shards": ledgers, "engines": engines} if apart else {"shards": ledgers + engines}


def _gateway_count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= MAX_GATEWAYS):
        raise argparse.ArgumentTypeError(f"1 to {MAX_GATEWAYS} is wanted, was {text!r}")
    return int(text)


def _seconds(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= 86_400):
        raise argparse.ArgumentTypeError(f"1 to 86400 seconds are wanted, was {text!r}")
    return int(text)


def _shards(settings: Settings, name: str, words: Sequence[str]) -> list[Process]:
    """One process, or two of which either takes over from the other."""
    places = SHARDS_METRICS[name]
    names = [name, f"{name}-standby"] if "--standby" in words else [name]
    return [
        _process(settings, each, words, metrics=place)
        for each, place in zip(names, places, strict=False)
    ]


def _gateways(settings: Settings, query: str, count: int) -> list[Process]:
    """The processes at the public port; only the first has the operators' port too.

    Nothing tells them apart in the log: a command is known by its own id, whoever sends it.
    """
    ready = _answers(f"http://{settings.host}:{settings.public_port}/health/ready")
    words = ["serve", "--queries-at", query, *(["--share-port"] if count > 1 else [])]
    first = [*words, "--roles", "gateway,admin"]
    return [
        _process(settings, "gateway", first, metrics=3, ready=ready, port=settings.public_port),
        # Which of them answers a probe is the kernel's choice: each listens once it is ready.
        *(
            _process(
                settings,
                f"gateway-{n}",
                [*words, "--roles", "gateway"],
                metrics=GATEWAYS_METRICS + n - 2,
            )
            for n in range(2, count + 1)
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
    metrics: int | None = None,
    ready: Callable[[], bool] | None = None,
    port: int = 0,
    task: bool = False,
    niceness: int = 0,
) -> Process:
    told = settings if metrics is None else _with_metrics_port(settings, metrics)
    return Process(
        name,
        (sys.executable, "-m", "logbourse", *words),
        ready=ready,
        port=port,
        # All of them: what this process was given names the wanted port, not the free one.
        environment=to_environment(told),
        task=task,
        niceness=niceness,
        metrics_port=0 if metrics is None else told.metrics_port,
        halts=words[0] == "shard",
    )


def _with_metrics_port(settings: Settings, step: int) -> Settings:
    return replace(settings, metrics_port=min(settings.metrics_port + step, HIGHEST_PORT))


def _with_free_ports(settings: Settings) -> Settings:
    public = claimed_port(settings.host, settings.public_port)
    query = claimed_port(settings.host, settings.query_port, [public])
    admin = claimed_port(LOOPBACK, settings.admin_port, [public, query])
    return replace(settings, public_port=public, query_port=query, admin_port=admin)


def _with_free_metrics_ports(
    settings: Settings, arguments: argparse.Namespace, taken: set[int]
) -> Settings:
    """From the wanted one up, so that each process has its own and Prometheus asks no stranger.

    `taken` are ports of this stack at which nobody listens yet.
    """
    avoided = taken | {settings.public_port, settings.query_port, settings.admin_port}
    while settings.metrics_port < HIGHEST_PORT:
        supervisors = _with_metrics_port(settings, SUPERVISOR_METRICS).metrics_port
        ports = {supervisors, *_metrics_ports(_own_processes(settings, arguments)).values()}
        if all(free_port(settings.host, p, avoided) == p and claim(p) for p in ports):
            break
        # Another stack's, most likely, which has as many.
        settings = _with_metrics_port(settings, METRICS_STEPS)
    return settings


def _answers(url: str) -> Callable[[], bool]:
    def ready() -> bool:
        try:
            return ask(url, timeout_s=1.0).status == 200
        except OSError:
            return False

    return ready
